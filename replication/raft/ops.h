#ifndef REPLICATION_RAFT_OPS_H
#define REPLICATION_RAFT_OPS_H

#include "replication/raft/group_private.h"

/* Changes of a group's log on their way to the disk. The library wants its append callbacks
 * strictly in order, asynchronously, and also for appends that were truncated meanwhile
 * (docs/replication.md, "Durability"). */

void ops_push(struct group *group, const struct op *op);
/* Fires what is durable and not held back. */
void ops_run(struct group *group);
/* The same when the acknowledgement of `from` up to `index` is about to be delivered: guard_hold
 * counts it already. */
void ops_run_acked(struct group *group, uint64_t from, uint64_t index);
/* Completes everything, durable or not: the instance is being closed. */
void ops_finish(struct group *group);
bool ops_has_append(const struct group *group);
/* The lsn that makes the entry at index durable; 0 if it is durable or not in flight. */
uint64_t ops_lsn_of(const struct group *group, uint64_t index);

#endif
