#ifndef SERVER_STORE_ROCKS_H
#define SERVER_STORE_ROCKS_H

#include <rocksdb/c.h>
#include <stdatomic.h>

#include "server/store/engine.h"

/* What the files that talk to RocksDB share: store_rocksdb.c, store_files.c, eraser.c. */

struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write_options;
    rocksdb_writeoptions_t *range_options; /* For batches that delete ranges. */
    rocksdb_writeoptions_t *list_options;  /* For rows of the eraser; may wait. */
    rocksdb_flushoptions_t *flush_options;
    rocksdb_flushoptions_t *part_options; /* Does not wait for the flush. */
    struct eraser *eraser;
    uint64_t row_cache_size;
    atomic_uint_fast64_t generation;
    atomic_uint_fast64_t changes; /* Batches and ingestions. */
    atomic_uint load_checks;
    atomic_bool overloaded;
};

/* Takes the engine's malloc'ed message (or NULL), logs and frees it. */
MUST_USE enum status rocks_take_error(const char *doing, char *error);
/* The engine's key, in place of what *key holds: family byte, key. */
void rocks_set_key(struct buf *key, enum store_family family, struct slice bytes);

static inline const char *rocks_text(const uint8_t *data)
{
    return (const char *)data;
}

#endif
