#ifndef REPLICATION_LOG_WAL_GC_H
#define REPLICATION_LOG_WAL_GC_H

#include "replication/log/wal_writer.h"

/* Frees the oldest segments. They go strictly from the oldest on, each durably before the next, so
 * that what is left is always an unbroken tail of the log, and replaying it (with or without some
 * segments that were as good as gone) gives the same state.
 *
 * A segment in which nothing is live goes at once. If the log is longer than WAL_GC_SEGMENTS_KEPT
 * and more than half of it is dead, the live entries, votes and bases of the oldest segment are
 * written again at the end of the log, a piece with each batch; only after that batch was synced
 * is the old copy dead. So a log never grows far beyond twice what is live, and copies at most
 * one byte for each byte that was written.
 *
 * Thread: the writer. */

enum { WAL_GC_SEGMENTS_KEPT = 8, WAL_GC_PIECE_SIZE = 1 << 20 };

struct wal_gc {
    struct wal_writer *writer;
    uint32_t slot; /* Groups before this one were looked through. */
    struct buf read;
};

void wal_gc_init(struct wal_gc *gc, struct wal_writer *writer);
void wal_gc_deinit(struct wal_gc *gc);

/* Appends what is to be written next; false if there is nothing. It goes in front of whatever else
 * is in the batch, and is in the index before this is called again. */
bool wal_gc_plan(struct wal_gc *gc, struct buf *out);
/* Frees the segments that hold nothing live; true if there was one. */
bool wal_gc_collect(struct wal_gc *gc);

#endif
