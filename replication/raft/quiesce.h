#ifndef REPLICATION_RAFT_QUIESCE_H
#define REPLICATION_RAFT_QUIESCE_H

#include "replication/raft/group_private.h"

/* Idle groups cost nothing: when everything is replicated and nothing has happened for quiesce_ms,
 * the leader tells its followers, and nobody ticks any more. Any message, proposal or membership
 * change wakes a group; a silent, restarted or lost node wakes the groups that it led. */

/* Leader's tick: falls quiet if it may. */
void quiesce_try(struct group *group, uint64_t now_ms);
/* Follower: the leader says that all is replicated. */
void quiesce_on_message(struct group *group, const struct message *message, struct lane *lane);
/* Ticks again, as if the leader had just been heard. */
void quiesce_wake(struct group *group);
/* Follower: the leader's node is gone; stands soon, spread over spread_ms. */
void quiesce_wake_orphan(struct group *group, uint64_t spread_ms);
/* Somebody asked a quiet follower for the leader: let the leader show itself. */
void quiesce_demand(struct group *group);
/* Tells all members to tick, as we will not lead on. */
void quiesce_release(struct group *group);
/* Quiet, and the node of its leader is alive. */
bool quiesce_leader_lives(const struct group *group);

#endif
