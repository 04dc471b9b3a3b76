#include "common/base/assert.h"
#include "server/machine/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as the reference of a value that comes in pieces: refused, or within its bounds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine_stage ref;
    if (stage_read_ref(slice_of(data, size), &ref) == STATUS_OK) {
        assert(ref.size <= KEYSPACE_VALUE_SIZE_MAX && ref.offset <= ref.size);
    }
    return 0;
}
