#ifndef SERVER_ARCHIVE_ARCHIVE_H
#define SERVER_ARCHIVE_ARCHIVE_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "server/store/store.h"

/* A backup of a cluster in a folder: its table of contents, the file MANIFEST, which is written
 * last, so a folder without one is no backup. Lines of words:
 *
 *   sherd-backup 1
 *   cluster 0f...                           id, 32 digits
 *   cut 1700000000000 held 1250             wall clock (ms); microseconds that the fence was up
 *   shard 3 start 0 last 99 ver 1 index 12 term 2 version 9 keys 5 files 2
 *   file shard-3/data-0.sst data 4096 0a... bytes, XXH3 chain of its blocks (manifest_measure())
 *   sum 5c...                               XXH3 of everything before this line
 *
 * The files of a shard follow it; shards are in the order of their tokens. docs/storage_format.md
 * has the files. Thread: any, one at a time. */

enum {
    ARCHIVE_FORMAT = 1,
    ARCHIVE_NAME_SIZE = 64,
    ARCHIVE_CLUSTER_SIZE = 33,
    ARCHIVE_SHARDS_MAX = 1 << 16,
    ARCHIVE_FILES_MAX = 1 << 22,
    ARCHIVE_SIZE_MAX = 1 << 30, /* Of MANIFEST. */
};

enum archive_kind { ARCHIVE_DATA, ARCHIVE_LOCAL, ARCHIVE_STATE };

struct archive_file {
    char name[ARCHIVE_NAME_SIZE]; /* In the folder. */
    enum archive_kind kind;
    uint64_t size;
    uint64_t sum;
};

struct archive_shard {
    uint64_t id;
    uint64_t start;
    uint64_t last;
    uint64_t ver;
    uint64_t index; /* The view is as of this entry. */
    uint64_t term;
    uint64_t version; /* No row has a greater one. */
    uint64_t keys;
    size_t file_first; /* In archive->files. */
    size_t file_count;
};

struct archive {
    char cluster[ARCHIVE_CLUSTER_SIZE];
    uint64_t cut_ms;
    uint64_t held_us;
    struct archive_shard *shards;
    size_t shard_count;
    struct archive_file *files;
    size_t file_count;
};

void archive_init(struct archive *archive);
void archive_deinit(struct archive *archive);
/* Returns it with no files yet; valid until the next one. */
struct archive_shard *archive_add_shard(struct archive *archive);
/* Of the shard that was added last. */
struct archive_file *archive_add_file(struct archive *archive);

void archive_encode(const struct archive *archive, struct buf *out);
/* CORRUPT: malformed, or its sum is wrong; NEWER_FORMAT. On OK the shards cover the ring exactly
 * once. */
MUST_USE enum status archive_decode(struct slice bytes, struct archive *archive);

/* MANIFEST of a folder. NOT_FOUND, and as above. */
MUST_USE enum status archive_read(const char *folder, struct archive *archive);
MUST_USE enum status archive_write(const char *folder, const struct archive *archive);

uint64_t archive_keys(const struct archive *archive);
uint64_t archive_size(const struct archive *archive);
/* NUL terminated path of a file of the archive. */
void archive_path(const char *folder, const char *name, struct buf *out);

#endif
