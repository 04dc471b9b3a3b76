#ifndef REPLICATION_LOG_WAL_WRITER_H
#define REPLICATION_LOG_WAL_WRITER_H

#include "common/base/thread.h"
#include "replication/log/wal_chunk.h"
#include "replication/log/wal_index.h"
#include "replication/log/wal_pool.h"

/* Puts records on disk: seals them, lays them end to end into the newest segment with few and large
 * writes of whole pages past the page cache, syncs once, takes them into the index. A segment that
 * is full is left for a new one; then there is a sync for each of the two.
 *
 * A write or sync that fails ends the process: what is on disk is then unknown, and a second try
 * may report success for pages that the kernel has thrown away.
 *
 * Thread: the writer. lock guards index and the list of segments against readers. */

enum { WAL_WRITER_STAGE_SIZE = 1 << 20 };

struct wal_writer {
    struct wal_pool *pool;
    struct wal_index *index;
    struct mutex *lock;
    struct wal_stats *stats; /* Guarded by lock. */
    uint64_t batch;          /* Number of the last batch. */
    uint8_t *stage;   /* Records gather here. It begins at a page's boundary, in the file too: */
    size_t stage_len; /* before the first record lies what its page holds already. */
    uint64_t offset;  /* In the file, of the stage's first byte. */
    uint64_t bytes_written;
};

void wal_writer_init(struct wal_writer *writer, uint64_t batch);
void wal_writer_deinit(struct wal_writer *writer);

/* Everything in the chunks is durable and in the index when this returns. */
void wal_writer_write(struct wal_writer *writer, struct wal_chunk *chunks);
/* Closes the last batch with an empty one: damage in it is then known from a crash's. */
void wal_writer_seal(struct wal_writer *writer);
/* For statuses of the pool that leave no way on. */
void wal_writer_require(const struct wal_writer *writer, enum status status, const char *what);

#endif
