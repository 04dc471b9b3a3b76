#include <stdlib.h>

#include "common/base/assert.h"
#include "server/shard/shard.h"

enum { OUT_SIZE_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as the state of a shard, its machine's with it: refused, or what says the same when it
 * is written, in the youngest format, and read again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shard_state *state = calloc(1, sizeof(*state));
    assert(state != NULL);
    if (shard_state_decode(slice_of(data, size), state) == STATUS_OK) {
        struct buf once;
        struct buf twice;
        buf_init(&once, OUT_SIZE_MAX);
        buf_init(&twice, OUT_SIZE_MAX);
        shard_state_encode(state, &once);
        enum status status = shard_state_decode(buf_slice(&once), state);
        assert(status == STATUS_OK && once.len >= size);
        shard_state_encode(state, &twice);
        assert(slice_equal(buf_slice(&once), buf_slice(&twice)));
        buf_deinit(&once);
        buf_deinit(&twice);
    }
    free(state);
    return 0;
}
