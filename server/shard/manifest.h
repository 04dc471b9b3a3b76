#ifndef SERVER_SHARD_MANIFEST_H
#define SERVER_SHARD_MANIFEST_H

#include "server/shard/shard.h"

/* What a snapshot of a shard consists of: the sender's state at one applied index and the files
 * that hold its rows. Goes into InstallSnapshot and into the log's reset record. Little endian:
 *   u8 format (1) | u64 id | u32 state length | shard_state | u16 files | files * (u8 family |
 *   u64 size | u64 XXH3 chain of the file's blocks)
 * File n of the manifest is called "n.sst". */

enum { MANIFEST_FILES_MAX = 1024, MANIFEST_SIZE_MAX = 60 * 1024 };

struct manifest_file {
    enum store_family family;
    uint64_t size;
    uint64_t sum;
};

struct manifest {
    uint64_t id; /* Random, of this export. */
    struct shard_state state;
    size_t file_count;
    struct manifest_file files[MANIFEST_FILES_MAX];
};

void manifest_encode(const struct manifest *manifest, struct buf *out);
MUST_USE enum status manifest_decode(struct slice bytes, struct manifest *manifest);

/* Size and sum of a file. Blocks. */
MUST_USE enum status manifest_measure(const char *path, uint64_t *size, uint64_t *sum);

#endif
