#ifndef SERVER_STORE_ERASER_H
#define SERVER_STORE_ERASER_H

#include "common/base/buf.h"
#include "common/base/status.h"

struct rocksdb_t;

/* Makes deleted ranges go away for good. RocksDB 7.8 keeps a range deletion beside the rows that it
 * hides until compactions bring them together, and walks that have to heed it are worse: where a
 * walk goes on from one file to the next, or over hidden rows, the engine forgets that it could not
 * read a block (fixed in 8.6), so that a walk in memory only would leave out rows in silence, in
 * both directions. And it goes over hidden rows one by one, beyond the bounds of the walk, where
 * they are as young as the deletion.
 *
 * So walks heed range deletions only in the ranges that are listed here. A thread flushes and
 * compacts these, and takes a range off the list when nothing is hidden in it any more. The list
 * is kept in the engine, in rows of its own, each written together with its range deletion:
 *
 *     'E' | stamp(8 BE) -> u32 size, from, u32 size, to    engine's keys
 *
 * Thread: any. The lock is held for list operations only. */
struct eraser;

/* Reads the list; *eraser is owned by the caller. IO, CORRUPT: the detail is logged. */
MUST_USE enum status eraser_open(struct rocksdb_t *db, struct eraser **eraser);
/* Before the engine is closed. Breaks off what is under way. */
void eraser_close(struct eraser *eraser);

/* Before a range deletion is written: from here on walks heed it. Appends the row that is written
 * with it. */
void eraser_begin(
    struct eraser *eraser, struct slice from, struct slice to, struct buf *key, struct buf *value);
/* That many deletions that began were written, or will not be. */
void eraser_end(struct eraser *eraser, size_t count);

/* True if something may be hidden in from <= key < to. */
bool eraser_hides(struct eraser *eraser, struct slice from, struct slice to);
/* Waits until nothing is listed. For tests. */
void eraser_drain(struct eraser *eraser);

#endif
