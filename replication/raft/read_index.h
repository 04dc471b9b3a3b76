#ifndef REPLICATION_RAFT_READ_INDEX_H
#define REPLICATION_RAFT_READ_INDEX_H

#include "replication/raft/group_private.h"

/* Linearizable reads without log writes (Raft dissertation 6.4; conditions in
 * docs/replication.md). A round asks all voters whether the term is still ours; one round serves
 * all reads that came before it was sent, and the questions of all groups to a node share its
 * batch. A round renews the lease as well. */

MUST_USE enum status read_index_begin(struct group *group, struct group_read *read);
/* End of the turn: sends the round that reads wait for. */
void read_index_ask(struct group *group);
/* Asks again if answers are overdue. True if reads wait. */
bool read_index_tick(struct group *group, uint64_t now_ms);
/* Peer: answers. */
void read_index_on_confirm(struct group *group, const struct message *message, uint64_t from_node);
void read_index_on_result(struct group *group, const struct message *message);
/* Calls reads that are ready. True if there was one. */
bool read_index_run(struct group *group);
void read_index_fail(struct group *group, enum status status);

#endif
