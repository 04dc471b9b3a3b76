#include <stdlib.h>

#include "common/base/assert.h"
#include "server/shard/shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as the state of a shard, its machine's with it: refused, or what says the same when it
 * is written again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shard_state *state = calloc(1, sizeof(*state));
    assert(state != NULL);
    if (shard_state_decode(slice_of(data, size), state) == STATUS_OK) {
        struct buf out;
        buf_init(&out, 1 << 24);
        shard_state_encode(state, &out);
        assert(out.len == size && memcmp(out.data, data, size) == 0);
        buf_deinit(&out);
    }
    free(state);
    return 0;
}
