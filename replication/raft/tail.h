#ifndef REPLICATION_RAFT_TAIL_H
#define REPLICATION_RAFT_TAIL_H

#include "replication/raft/group_private.h"

/* The log kept in memory for slow followers, bounded in bytes. The library trims its log when it
 * "takes a snapshot": ours is empty, as the state lives in the store, and is asked for only when
 * the bytes run over. */

void tail_init_fsm(struct group *group);
/* No snapshot until the bytes run over. */
void tail_set_idle(struct group *group);
void tail_add(struct group *group, const struct raft_entry *entries, unsigned count);
/* The instance is gone. */
void tail_forget(struct group *group);
/* The library's local snapshot_put. */
void tail_put(struct group *group, struct raft_io_snapshot_put *request);
/* Ends it; everything that the library has applied was applied by us too. */
void tail_finish(struct group *group);
/* Counts the bytes anew. */
void tail_recount(struct group *group);

#endif
