#ifndef TESTS_RAFT_WORKLOAD_H
#define TESTS_RAFT_WORKLOAD_H

#include "tests/raft/cluster.h"

/* What clients and operators do to a cluster, with the outcomes watched. */

/* A write; when it is acknowledged, every later read must see it. */
enum status workload_propose(struct cluster *cluster, struct node *node, unsigned group);
/* Its entry was applied as index. */
void workload_applied(struct proposal *proposal, uint64_t index);
/* A read; what was acknowledged before it began must be applied when it is answered. */
enum status workload_read(struct cluster *cluster, struct node *node, unsigned group);
/* A replica that does not lead is no older than it says. */
void workload_check_age(struct cluster *cluster, struct node *node, unsigned group);
/* One random membership change, or handover, by the group's leader on the node. */
void workload_change_members(struct cluster *cluster, struct node *node, unsigned group);
void workload_transfer(struct cluster *cluster, struct node *node, unsigned group);
/* A late duplicate of a first probe from the group's leader: entries from index 1 on, which every
 * member has long compacted (guard_trim). */
void workload_replay(struct cluster *cluster, struct node *node, unsigned group);

#endif
