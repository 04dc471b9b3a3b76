#ifndef REPLICATION_RAFT_REPLICA_READ_H
#define REPLICATION_RAFT_REPLICA_READ_H

#include "replication/raft/group_private.h"

/* Linearizable reads at a replica that does not lead: it asks the leader where it stands, and
 * answers once it has applied as much. One question serves all reads that came before it was sent,
 * and those of all groups to a node share its batch. docs/replication.md, Reads at replicas. */

MUST_USE enum status replica_read_begin(struct group *group, struct group_read *read);
/* The state is to be known as fresh again soon, though no read waits for it. */
void replica_read_warm(struct group *group);
/* End of the turn: sends the question. */
void replica_read_ask(struct group *group);
/* Asks again if the answer is overdue, gives up if that lasts. True if something is under way. */
bool replica_read_tick(struct group *group, uint64_t now_ms);
/* Leader: answers. */
void replica_read_on_ask(struct group *group, const struct message *message, uint64_t from_node);
void replica_read_on_point(struct group *group, const struct message *message, struct lane *lane);
/* Calls reads that are ready. True if there was one. */
bool replica_read_run(struct group *group);
/* Those that wait for an answer of the leader, or (all) any. */
void replica_read_fail(struct group *group, bool all, enum status status);

#endif
