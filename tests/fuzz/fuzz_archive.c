#include "common/base/hash.h"
#include "server/archive/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A table of contents that is accepted is written again, and then read, the same. The sum is made
 * right: behind it everything is reached. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct archive archive;
    struct buf bytes;
    struct buf again;
    buf_init(&bytes, SIZE_MAX / 2);
    buf_init(&again, SIZE_MAX / 2);
    buf_append(&bytes, data, size);
    uint64_t sum = hash_bytes(buf_slice(&bytes));
    buf_append_format(&bytes, "sum %016llx\n", (unsigned long long)sum);
    if (archive_decode(buf_slice(&bytes), &archive) == STATUS_OK) {
        archive_encode(&archive, &again);
        struct archive other;
        if (archive_decode(buf_slice(&again), &other) != STATUS_OK ||
            other.file_count != archive.file_count ||
            archive_keys(&other) != archive_keys(&archive)) {
            __builtin_trap();
        }
        archive_deinit(&other);
        archive_deinit(&archive);
    }
    buf_deinit(&bytes);
    buf_deinit(&again);
    return 0;
}
