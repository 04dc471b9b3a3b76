/* Any text as a Lua script, and any bytes for the decoders that scripts have: a script ends in one
 * of the ways that script_engine.h names, and the next one runs as if it had never been. */

#include "common/base/assert.h"
#include "server/script/script_engine.h"

enum { MEMORY_MAX = 4 << 20, STEPS_MAX = 100 * 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status on_call(void *ctx, const struct script_call *call, struct buf *reply)
{
    (void)ctx;
    assert(call->args.argc > 0);
    buf_append_text(reply, "*3\r\n:1\r\n$3\r\nabc\r\n%1\r\n+a\r\n_\r\n");
    return STATUS_OK;
}

static void run(struct script_engine *engine, struct slice source, struct slice arg)
{
    struct buf reply;
    buf_init(&reply, 1 << 30);
    unsigned flags = 0;
    if (script_engine_load(engine, source, &flags, &reply) == STATUS_OK) {
        char sha[SHA1_HEX_SIZE + 1];
        sha1_hex(source, sha);
        struct script_run input = {.sha = slice_str(sha),
                                   .argv = {.argv = &arg, .argc = 1},
                                   .steps_max = STEPS_MAX,
                                   .call = on_call};
        enum status status = STATUS_OK;
        enum script_end end = script_engine_run(engine, &input, &reply, &status);
        assert(end == SCRIPT_DONE || end == SCRIPT_STOPPED);
        assert(reply.len > 0);
    } else {
        assert(reply.len > 0 && reply.data[0] == '-');
    }
    buf_deinit(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const decoders[] = {
        "return {cmsgpack.unpack(ARGV[1])}",
        "return {cmsgpack.unpack_limit(ARGV[1], 3, 1)}",
        "return cjson.decode(ARGV[1])",
        "return {struct.unpack(ARGV[1]:sub(1, 8), ARGV[1]:sub(9))}",
        "return struct.pack(ARGV[1], 1, 'x', 2, 3, 'yz')",
        "return {string.find('aab(b)c 12 x', ARGV[1])}",
        "return {string.gsub('aab(b)c 12 x', ARGV[1], ARGV[1]:reverse())}",
        "return loadstring(ARGV[1])",
    };
    struct script_engine *engine = script_engine_new(MEMORY_MAX);
    struct slice input = slice_of(data, size);
    run(engine, input, input);
    for (size_t i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++) {
        run(engine, slice_str(decoders[i]), input);
    }
    script_engine_free(engine);
    return 0;
}
