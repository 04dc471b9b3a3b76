#ifndef REPLICATION_LOG_WAL_CHUNK_H
#define REPLICATION_LOG_WAL_CHUNK_H

#include "replication/log/wal_record.h"

/* Unsealed records on their way from a port (or from the log itself, which copies live entries out
 * of old segments) to the writer. One owner at a time: the loop, then the queue, then the writer,
 * then the port's list of free ones. */

struct wal_chunk {
    struct wal_chunk *next;
    struct wal_port *port; /* NULL: nobody waits for it. */
    struct buf bytes;
    uint64_t lsn_last; /* Durable with this chunk; 0 if there is no record with an lsn. */
};

struct wal_chunk_queue {
    struct wal_chunk *first;
    struct wal_chunk *last;
    size_t count;
};

struct wal_chunk *wal_chunk_new(void);
void wal_chunk_free(struct wal_chunk *chunk);
void wal_chunk_push(struct wal_chunk_queue *queue, struct wal_chunk *chunk);
/* NULL if there is none. */
struct wal_chunk *wal_chunk_pop(struct wal_chunk_queue *queue);
/* Moves all of *from behind *to. */
void wal_chunk_move(struct wal_chunk_queue *to, struct wal_chunk_queue *from);

#endif
