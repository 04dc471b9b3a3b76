#ifndef REPLICATION_RAFT_GUARD_STORE_H
#define REPLICATION_RAFT_GUARD_STORE_H

#include "replication/raft/group_private.h"

/* STORE: a follower may campaign with entries that are not on disk, and configuration entries that
 * are stored while it is a candidate are never adopted (replication.c:866). Fixed in canonical
 * 634cb11, a54636b, f65b6e7, 64b0b8b, cowsql 458be3d2. A follower with appends in flight gets
 * no ticks and no TimeoutNow.
 *
 * Besides, entries that are truncated and appended again with the same index and term while the
 * first write is in flight are counted twice in last_stored (updateLastStored, replication.c:412)
 * and have two reference counts of one name (refsTryInsert, log.c:94), so that the memory of the
 * new ones is freed early. Not fixed anywhere. An AppendEntries that truncates waits until
 * nothing is in flight: it is dropped, the leader sends it again. */

bool guard_store_blocks(const struct group *group);
/* True if the message must be dropped. */
bool guard_store_defers(const struct group *group, const struct raft_append_entries *append);

#endif
