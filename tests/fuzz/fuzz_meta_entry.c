/* Any bytes as an entry of the meta group's log: taken or refused, and what is taken encodes back
 * to the same bytes. */

#include "common/base/assert.h"
#include "server/control/meta_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct meta_entry entry;
    (void)meta_entry_address_ok(slice_of(data, size));
    if (meta_entry_decode(slice_of(data, size), &entry) == STATUS_OK) {
        struct buf again;
        assert(size <= META_ENTRY_SIZE_MAX);
        buf_init(&again, META_ENTRY_SIZE_MAX);
        meta_entry_encode(&entry, &again);
        assert(slice_equal(buf_slice(&again), slice_of(data, size)));
        buf_deinit(&again);
    }
    return 0;
}
