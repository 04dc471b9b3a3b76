#include "common/proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever arrives on a port: parsed, and every body read as every kind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size);
    struct frame frame;
    size_t used = 0;
    while (rest.len > 0 && frame_parse(rest, 1 << 20, &frame, &used) == STATUS_OK) {
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
