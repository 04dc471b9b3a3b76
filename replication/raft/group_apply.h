#ifndef REPLICATION_RAFT_GROUP_APPLY_H
#define REPLICATION_RAFT_GROUP_APPLY_H

#include "replication/raft/group_private.h"

/* Applying and proposing. The library's apply callback knows no index and sees no barriers, so the
 * entries are taken from its log after the call, up to last_applied (canonical fcc4c8d). */

/* Gives the machine what the library has committed. */
void group_apply(struct group *group);
MUST_USE enum status group_apply_propose(struct group *group,
                                         struct slice entry,
                                         struct proposal *proposal);
bool group_apply_has_room(const struct group *group);
/* Moves failed proposals to the completions. */
void group_apply_reap(struct group *group);
/* Fails all proposals. */
void group_apply_fail(struct group *group, enum status status);

/* Completions wait for the end of the turn. */
void group_apply_complete(struct group *group, struct proposal *proposal, enum status status);
/* Calls what is complete. True if there was something. */
bool group_apply_run(struct group *group);

#endif
