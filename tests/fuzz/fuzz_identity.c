/* Any bytes as an identity file: taken or refused, and what is taken encodes back to the same
 * bytes. The checksum is made right in a second try, else nothing would ever get behind it. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "server/control/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct slice bytes)
{
    struct identity identity;
    if (identity_decode(bytes, &identity) == STATUS_OK) {
        struct buf again;
        buf_init(&again, bytes.len + 1);
        identity_encode(&identity, &again);
        assert(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(slice_of(data, size));
    if (size >= 8) {
        uint8_t *sealed = malloc(size);
        assert(sealed != NULL);
        memcpy(sealed, data, size);
        uint64_t sum = hash_bytes(slice_of(data, size - 8));
        memcpy(sealed + size - 8, &sum, 8);
        check(slice_of(sealed, size));
        free(sealed);
    }
    return 0;
}
