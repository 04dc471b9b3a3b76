/* Any bytes as the body of a packed list, the first one as the number of its elements: refused, or
 * taken apart and put together again. */

#include "common/base/assert.h"
#include "server/machine/sequence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice body = slice_of(data + 1, size - 1);
    struct sequence sequence;
    if (sequence_unpack(body, data[0], &sequence) != STATUS_OK) {
        return 0;
    }
    assert(sequence.size == data[0] && sequence.size <= SEQUENCE_PACKED_COUNT_MAX);
    struct buf again;
    buf_init(&again, size);
    for (uint64_t i = 0; i < sequence.size; i++) {
        buf_append_bytes(&again, sequence.items[i]);
    }
    assert(slice_equal(buf_slice(&again), body));
    buf_deinit(&again);
    return 0;
}
