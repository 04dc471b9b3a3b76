#ifndef REPLICATION_RAFT_GUARD_CLAMP_H
#define REPLICATION_RAFT_GUARD_CLAMP_H

#include "replication/raft/group_private.h"

/* CLAMP: a successful AppendEntries result carries the follower's last_stored, not the index up to
 * which the leader's entries were compared with it (recv_append_entries.c:128, replication.c:908).
 * A follower with entries of a dead leader acknowledges indexes that the new leader uses anew:
 * acknowledged writes are lost. Also the result of an old append that goes to a new leader, and
 * InstallSnapshot acknowledged because of a local entry of another term. Fixed in cowsql 446f8d21,
 * 66ed6afd, e514f78f, af243f81; canonical 35479fc; the first never in canonical.
 *
 * We remember up to where this term's leader verified our log and acknowledge no more. */

/* A message is about to be given to the library. */
void guard_clamp_begin(struct group *group, const struct raft_message *message);
/* The library took it: it called append() or replies with success. */
void guard_clamp_accept(struct group *group);
/* What may be acknowledged of last_index. */
uint64_t guard_clamp_index(struct group *group, uint64_t last_index);

#endif
