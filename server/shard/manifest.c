#include "server/shard/manifest.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/hash.h"
#include "common/base/reader.h"

enum { FORMAT = 1, STATE_SIZE_MAX = 4096, BLOCK_SIZE = 1 << 20 };

void manifest_encode(const struct manifest *manifest, struct buf *out)
{
    assert(manifest->file_count <= MANIFEST_FILES_MAX);
    buf_append_u8(out, FORMAT);
    buf_append_u64(out, manifest->id);
    struct buf state;
    buf_init(&state, STATE_SIZE_MAX);
    shard_state_encode(&manifest->state, &state);
    buf_append_bytes(out, buf_slice(&state));
    buf_deinit(&state);
    buf_append_u16(out, (uint16_t)manifest->file_count);
    for (size_t i = 0; i < manifest->file_count; i++) {
        buf_append_u8(out, (uint8_t)manifest->files[i].family);
        buf_append_u64(out, manifest->files[i].size);
        buf_append_u64(out, manifest->files[i].sum);
    }
}

enum status manifest_decode(struct slice bytes, struct manifest *manifest)
{
    struct reader in = reader_of(bytes);
    uint8_t format = reader_u8(&in);
    manifest->id = reader_u64(&in);
    struct slice state = reader_bytes(&in, STATE_SIZE_MAX);
    manifest->file_count = reader_u16(&in);
    if (in.failed || format != FORMAT || manifest->file_count > MANIFEST_FILES_MAX ||
        shard_state_decode(state, &manifest->state) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    for (size_t i = 0; i < manifest->file_count; i++) {
        uint8_t family = reader_u8(&in);
        if (family >= STORE_FAMILY_COUNT) {
            return STATUS_CORRUPT;
        }
        manifest->files[i].family = (enum store_family)family;
        manifest->files[i].size = reader_u64(&in);
        manifest->files[i].sum = reader_u64(&in);
    }
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

static enum status measure(struct disk_file *file, uint8_t *block, uint64_t *size, uint64_t *sum)
{
    enum status status = disk_size(file, size);
    *sum = 0;
    for (uint64_t at = 0; status == STATUS_OK && at < *size; at += BLOCK_SIZE) {
        size_t len = *size - at < BLOCK_SIZE ? (size_t)(*size - at) : BLOCK_SIZE;
        status = disk_read(file, at, block, len);
        *sum = hash_bytes_seeded(slice_of(block, len), *sum);
    }
    return status;
}

enum status manifest_measure(const char *path, uint64_t *size, uint64_t *sum)
{
    struct disk_file *file = NULL;
    enum status status = disk_open(path, DISK_READ, &file);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t *block = malloc(BLOCK_SIZE);
    assert(block != NULL);
    status = measure(file, block, size, sum);
    free(block);
    disk_close(file);
    return status;
}
