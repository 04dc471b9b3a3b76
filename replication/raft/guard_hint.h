#ifndef REPLICATION_RAFT_GUARD_HINT_H
#define REPLICATION_RAFT_GUARD_HINT_H

#include "replication/raft/group_private.h"

/* HINT: a follower with conflicting entries makes the leader step back one index per heartbeat:
 * 500 entries took 50 s. Fixed in parts in cowsql c1866c1d, caa393a4, 253892df, dd51b46f,
 * 6157ad2b. A rejection names the index before the conflicting local term (Raft, section 5.3), and
 * the leader retries at once instead of at its next heartbeat. */

/* The hint to send with a rejection of the entry at index rejected. */
uint64_t guard_hint_index(const struct group *group, uint64_t rejected, uint64_t last_index);
/* Leader, before a rejection is delivered. */
void guard_hint_retry(struct group *group, const struct raft_message *message);

#endif
