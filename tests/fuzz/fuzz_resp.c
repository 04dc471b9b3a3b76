/* Any bytes as requests: the parser never reads outside them, what it accepts it accepts no matter
 * how the bytes were cut, and it says the same of a request that it sees in one piece. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/proto/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BULK_SIZE_MAX = 1 << 16 };

static uint64_t hash_args(struct args args)
{
    uint64_t hash = args.argc;
    for (size_t i = 0; i < args.argc; i++) {
        hash = hash_bytes_seeded(args.argv[i], hash);
    }
    return hash;
}

/* Bytes come in steps; each time in a place of its own. */
static enum status parse_in_steps(struct slice input, size_t step, uint64_t *hash, size_t *used)
{
    struct resp_parser parser;
    resp_parser_init(&parser, BULK_SIZE_MAX);
    enum status status = STATUS_AGAIN;
    for (size_t len = 0; status == STATUS_AGAIN && len <= input.len; len += step) {
        uint8_t *copy = malloc(len + 1);
        assert(copy != NULL);
        if (len > 0) {
            memcpy(copy, input.data, len);
        }
        struct args args;
        status = resp_parse(&parser, slice_of(copy, len), &args, used);
        assert(status != STATUS_AGAIN || *used > len);
        if (status == STATUS_OK) {
            assert(*used <= len);
            *hash = hash_args(args);
        }
        free(copy);
    }
    resp_parser_deinit(&parser);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096) {
        return 0;
    }
    struct slice input = slice_of(data, size);
    uint64_t hash = 0;
    size_t used = 0;
    struct resp_parser parser;
    resp_parser_init(&parser, BULK_SIZE_MAX);
    struct args args;
    enum status status = resp_parse(&parser, input, &args, &used);
    if (status == STATUS_OK) {
        assert(used > 0 && used <= size);
        hash = hash_args(args);
        uint64_t hash_again = 0;
        size_t used_again = 0;
        enum status again = parse_in_steps(slice_of(data, used), 1, &hash_again, &used_again);
        assert(again == STATUS_OK && hash_again == hash && used_again == used);
    } else if (status == STATUS_AGAIN) {
        assert(used > size);
        assert(parse_in_steps(input, 1, &hash, &used) == STATUS_AGAIN);
    } else {
        assert(parser.error != NULL);
    }
    resp_parser_deinit(&parser);
    return 0;
}
