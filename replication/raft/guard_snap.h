#ifndef REPLICATION_RAFT_GUARD_SNAP_H
#define REPLICATION_RAFT_GUARD_SNAP_H

#include "replication/raft/group_private.h"

/* SNAP: while a snapshot is installed the log claims its index, nothing is stored and the state
 * machine is the old one, yet the library stands for election and votes: it became leader so.
 * Fixed in canonical 4fbd3c0, 2a38d3d, 05746af, cowsql be9065fa. No ticks, no TimeoutNow and no
 * RequestVote until the installation is done. */

bool guard_snap_blocks(const struct group *group);

#endif
