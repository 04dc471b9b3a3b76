#ifndef REPLICATION_RAFT_GUARD_XFER_H
#define REPLICATION_RAFT_GUARD_XFER_H

#include "replication/raft/group_private.h"

/* XFER: a former leader whose handover is still pending grants the transferee a vote in a term in
 * which it has voted for another (election.c:203-209): two leaders in one term. Fixed in cowsql
 * ad19f79a, not in canonical. Such a request is dropped. */

bool guard_xfer_drops(const struct group *group, const struct raft_message *message);

#endif
