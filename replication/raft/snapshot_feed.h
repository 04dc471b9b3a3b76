#ifndef REPLICATION_RAFT_SNAPSHOT_FEED_H
#define REPLICATION_RAFT_SNAPSHOT_FEED_H

#include "replication/raft/group_private.h"

/* The leader's side of snapshots: from the library's snapshot_get() for a follower, over the
 * machine's pre-copy of the data, to the follower's answer. Whatever fails ends with the follower
 * back in the library's PROBE state, from where the next heartbeat starts anew. */

void snapshot_feed_start(struct group *group, struct raft_io_snapshot_get *request);
/* The library has sent the InstallSnapshot. */
void snapshot_feed_sent(struct group *group, uint64_t replica);
/* The machine's answer; runs in snapshot_feed_run(). */
void snapshot_feed_made(struct group *group,
                        uint64_t token,
                        enum status status,
                        const struct group_state *state,
                        struct slice manifest);
/* The follower did not take the snapshot at index. */
void snapshot_feed_refused(struct group *group, uint64_t replica, uint64_t index);
/* The connection to the node of these replicas was lost. */
void snapshot_feed_abort_node(struct group *group, uint64_t node);
/* Tells the machine, hands results to the library, drops what is over, repeats what got lost. */
bool snapshot_feed_run(struct group *group, uint64_t now_ms);
/* True if a rejection from replica means nothing: it is one of a heartbeat that it cannot match, as
 * it waits for its snapshot. The library would take it for the snapshot's when the indexes are
 * equal (progress.c:212) and begin anew. */
bool snapshot_feed_ignores(struct group *group, uint64_t replica);
bool snapshot_feed_active(const struct group *group);
/* Leadership is over: results will be dropped. */
void snapshot_feed_forget(struct group *group);
/* The instance is closed. */
void snapshot_feed_finish(struct group *group);

#endif
