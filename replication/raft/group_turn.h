#ifndef REPLICATION_RAFT_GROUP_TURN_H
#define REPLICATION_RAFT_GROUP_TURN_H

#include "replication/raft/group_private.h"

/* What the host runs for a group. */

/* End of a turn, for dirty groups: lets go what is durable, applies, announces, calls back. The
 * group may be freed in it. */
void group_turn(struct group *group);
/* Every HOST_TICK_MS, for groups that are awake. */
void group_turn_tick(struct group *group, uint64_t now_ms);
/* A node was lost, found, or restarted. */
void group_turn_node_changed(struct group *group, uint64_t node);

#endif
