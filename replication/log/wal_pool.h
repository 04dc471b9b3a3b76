#ifndef REPLICATION_LOG_WAL_POOL_H
#define REPLICATION_LOG_WAL_POOL_H

#include "replication/log/wal_segment.h"

/* The files of the log's folder: the segments in use, without a gap from the oldest to the newest,
 * and spares, which hold nothing and are written over by the next segment.
 *
 *   0000000000000007.log   segment 7          spare-00000003   a spare
 *
 * What I/O does is durable when the call returns. The list of segments is changed by push and pop
 * only, under the wal's index lock. Thread: the writer. Sizes are in bytes. */

enum { WAL_POOL_SPARES_MAX = 64 };

struct wal_pool {
    char *dir;
    uint64_t segment_size;
    unsigned spares_max;
    struct wal_segment **segments; /* Oldest first. */
    size_t count;
    size_t size;
    uint32_t spares[WAL_POOL_SPARES_MAX];
    unsigned spares_count;
    uint32_t spare_next;
};

/* Opens every segment that dir holds, or makes dir. Pages of old segments are not looked at.
 * CORRUPT: a segment is missing or its header is damaged; logged. */
MUST_USE enum status wal_pool_open(struct wal_pool *pool,
                                   const char *dir,
                                   const struct wal_options *options);
void wal_pool_close(struct wal_pool *pool);

static inline struct wal_segment *wal_pool_newest(const struct wal_pool *pool)
{
    return pool->count == 0 ? NULL : pool->segments[pool->count - 1];
}
/* NULL if it is not in use. */
struct wal_segment *wal_pool_find(const struct wal_pool *pool, uint32_t segment);
/* Bytes that the segments take on disk. */
uint64_t wal_pool_bytes(const struct wal_pool *pool);

/* Makes the segment behind the newest one, with room for a record of `room` bytes. batch_first: see
 * wal_header. The newest one takes no more records. */
MUST_USE enum status wal_pool_make(struct wal_pool *pool,
                                   size_t room,
                                   uint64_t batch_first,
                                   struct wal_segment **segment);
void wal_pool_push(struct wal_pool *pool, struct wal_segment *segment);
/* Takes the oldest one off the list. */
struct wal_segment *wal_pool_pop(struct wal_pool *pool);
/* Makes a spare of what was popped. Takes it. */
MUST_USE enum status wal_pool_recycle(struct wal_pool *pool, struct wal_segment *segment);

#endif
