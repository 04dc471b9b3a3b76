#ifndef REPLICATION_RAFT_LANE_H
#define REPLICATION_RAFT_LANE_H

#include "replication/raft/group_private.h"

/* The loops of peer nodes: one outgoing batch each per turn, and what is known of their life. */

struct peer *lane_peer(struct host *host, uint64_t node);
void lane_free_peers(struct host *host);
/* The lane of one loop; made at first use. */
struct lane *lane_get(struct peer *peer, unsigned loop);
/* Where the group's replica on node lives now; NULL if the node is not connected. */
struct lane *lane_of_group(struct host *host, uint64_t node, uint64_t group);
/* The batch of this turn, to append one encoded message of about len bytes to. */
struct buf *lane_batch(struct host *host, struct lane *lane, size_t len);
/* Hands all batches to env->send(), and an empty one (a ping) to whom we were silent. */
void lane_flush(struct host *host);
void lane_ping(struct host *host, uint64_t now_ms);

#endif
