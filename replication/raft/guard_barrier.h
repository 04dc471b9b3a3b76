#ifndef REPLICATION_RAFT_GUARD_BARRIER_H
#define REPLICATION_RAFT_GUARD_BARRIER_H

#include "replication/raft/group_private.h"

/* BARRIER and TERM: the library counts replicas for entries of earlier terms (Raft, figure 8) and
 * appends nothing at the start of a term. Fixed in canonical 524f735 + 29bb302. We append a
 * barrier as soon as we lead and hold acknowledgements back until it is stored: the library tests
 * the quorum at last_stored only, so from then on it counts an entry of its own term. Reads,
 * membership changes and the announcement of the leader wait until the barrier is applied. */

/* The library has just become leader, or a try before failed. */
void guard_barrier_start(struct group *group);
/* Takes an acknowledgement that must wait; false: deliver it. */
bool guard_barrier_keeps(struct group *group, const struct raft_message *message);
/* Delivers what was held, if the barrier is stored now. */
void guard_barrier_release(struct group *group);
/* True if this leadership may be announced: its barrier is applied. */
bool guard_barrier_applied(const struct group *group);

#endif
