#ifndef REPLICATION_RAFT_INSTALL_H
#define REPLICATION_RAFT_INSTALL_H

#include "replication/raft/group_private.h"

/* A follower takes a snapshot: the log begins anew behind it, durably, with the manifest in the
 * record; then the machine installs; then the library goes on. If the process dies in between,
 * group_pending_install() tells what to repeat. */

/* False: the message must not reach the library; the leader was told if it has to know. */
bool install_admit(struct group *group, const struct message *message, uint64_t from_node);
/* The library's snapshot_put(trailing 0). */
void install_start(struct group *group,
                   struct raft_io_snapshot_put *request,
                   const struct raft_snapshot *snapshot);
/* Runs what is due: tells the machine, completes the request. True if something was done. */
bool install_run(struct group *group);
/* The record of a log that begins anew. */
void install_encode(const struct group_state *state, struct slice manifest, struct buf *out);
bool install_decode(struct slice data, struct group_state *state, struct slice *manifest);

#endif
