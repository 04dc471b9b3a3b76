#ifndef REPLICATION_RAFT_GUARD_STORE_H
#define REPLICATION_RAFT_GUARD_STORE_H

#include "replication/raft/group_private.h"

/* STORE: a follower may campaign with entries that are not on disk, and configuration entries that
 * are stored while it is a candidate are never adopted (replication.c:866). Fixed in canonical
 * 634cb11, a54636b, f65b6e7, 64b0b8b, cowsql 458be3d2. A follower with appends in flight gets
 * no ticks and no TimeoutNow.
 *
 * Besides, updateLastStored() (replication.c:412) adds what it finds to last_stored; when entries
 * are truncated and later appended again with the same index and term while the first write is in
 * flight, it counts them twice. We bound last_stored by what is not on disk. */

bool guard_store_blocks(const struct group *group);
/* After every append callback. */
void guard_store_bound(struct group *group);

#endif
