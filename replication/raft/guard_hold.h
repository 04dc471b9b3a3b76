#ifndef REPLICATION_RAFT_GUARD_HOLD_H
#define REPLICATION_RAFT_GUARD_HOLD_H

#include "replication/raft/group_private.h"

/* HOLD: the leader tests for a quorum at its own last_stored only, not at the acknowledged index
 * (replication.c:746). Under steady load no follower is ever there, and nothing commits until the
 * load pauses. Fixed in canonical 1996d32, cowsql d61a743d. We keep the leader's own append
 * callbacks back until as many followers as a quorum needs have acknowledged the entries. */

/* True if the callback of op must wait. from, index: an acknowledgement that is about to be
 * delivered and counts already; from 0: none. */
bool guard_hold_keeps(const struct group *group,
                      const struct op *op,
                      uint64_t from,
                      uint64_t index);

#endif
