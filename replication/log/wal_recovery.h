#ifndef REPLICATION_LOG_WAL_RECOVERY_H
#define REPLICATION_LOG_WAL_RECOVERY_H

#include "replication/log/wal_index.h"
#include "replication/log/wal_pool.h"

/* Replays all segments, from the oldest on, into the index, with few and large reads.
 *
 * What may be damaged. A batch is written only after the batch before it was synced, so a crash
 * can tear the last batch of the newest segment and nothing else. The newest segment is therefore
 * read up to the first record that does not check out, and then searched for the beginning of a
 * later batch: if there is one, the damage is in a batch that was synced, acknowledged writes are
 * gone, and the answer is CORRUPT. If there is none, the records before the damage are kept (a
 * prefix, in the order in which they were submitted, none of them acknowledged unless the whole
 * batch is there) and the rest is given up. A segment that has a successor ends exactly where the
 * successor's header says; damage before that is CORRUPT.
 *
 * What was kept may sit in the page cache only, or in nothing but a cache whose write-back has
 * failed before: the last batch is written once more and synced before anyone acts on it.
 *
 * Sets the newest segment's end; the caller begins a new segment behind it, so that nothing is
 * ever written in front of old bytes that would check out. *batch_last: number of the last batch.
 * CORRUPT and NEWER_FORMAT are logged with file, offset and what to do. */
MUST_USE enum status wal_recovery_run(struct wal_pool *pool,
                                      struct wal_index *index,
                                      uint64_t *batch_last);

#endif
