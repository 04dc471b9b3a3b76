#include "common/base/assert.h"
#include "server/shard/range_change.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A log entry that changes a shard's range: refused, or what is read encodes back to the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct range_change change;
    struct slice entry = slice_of(data, size);
    if (range_change_decode(entry, &change) == STATUS_OK) {
        struct buf again;
        buf_init(&again, size + 1);
        assert(range_change_is(entry));
        range_change_encode(&change, &again);
        assert(slice_equal(buf_slice(&again), entry));
        buf_deinit(&again);
    }
    return 0;
}
