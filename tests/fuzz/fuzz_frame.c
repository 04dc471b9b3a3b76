#include "common/base/assert.h"
#include "common/proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_SIZE_MAX = 1 << 20 };

/* What was written of a body that was read says the same. */
static void check_written(struct slice body, struct buf *out, enum frame_type type)
{
    struct frame frame;
    size_t used = 0;
    enum status status = frame_parse(buf_slice(out), FRAME_BODY_SIZE_MAX, &frame, &used);
    assert(status == STATUS_OK && frame.type == type && used == out->len);
    assert(slice_equal(frame.body, body));
    buf_clear(out);
}

/* Frames of clients that wait, listen, and take large replies. */
static void read_younger(struct slice body)
{
    struct frame_message message;
    struct frame_part part;
    struct frame_ref ref;
    struct buf out;
    buf_init(&out, 4 * BODY_SIZE_MAX);
    if (frame_read_message(body, &message) == STATUS_OK) {
        frame_write_message(&out, &message);
        check_written(body, &out, FRAME_MESSAGE);
    }
    if (frame_read_part(body, &part) == STATUS_OK) {
        assert(part.bytes.len > 0 && part.size <= FRAME_BODY_SIZE_MAX);
        assert(part.offset <= part.size && part.bytes.len <= part.size - part.offset);
        frame_write_part(&out, &part);
        check_written(body, &out, FRAME_PART);
    }
    if (frame_read_ref(body, &ref) == STATUS_OK) {
        frame_write_ref(&out, FRAME_PARKED, &ref);
        check_written(body, &out, FRAME_PARKED);
    }
    buf_deinit(&out);
}

/* Whatever arrives on a port: parsed, and every body read as every kind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size);
    struct frame frame;
    size_t used = 0;
    while (rest.len > 0 && frame_parse(rest, BODY_SIZE_MAX, &frame, &used) == STATUS_OK) {
        rest = slice_of(rest.data + used, rest.len - used);
    }
    /* A checksum that fits is hard to guess: bodies are tried as they are too. */
    struct slice body = slice_of(data, size);
    struct frame_hello hello;
    struct frame_reply reply;
    struct frame_request request;
    struct slice argv[64];
    (void)(frame_read_hello(body, &hello) == STATUS_OK);
    (void)(frame_read_reply(body, &reply) == STATUS_OK);
    read_younger(body);
    if (frame_read_request(body, &request, argv, 64) == STATUS_OK) {
        size_t total = 0;
        for (size_t i = 0; i < request.args.argc; i++) {
            total += request.args.argv[i].len;
        }
        if (total > size) {
            __builtin_trap();
        }
    }
    return 0;
}
