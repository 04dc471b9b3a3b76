#ifndef REPLICATION_RAFT_INSTANCE_H
#define REPLICATION_RAFT_INSTANCE_H

#include "replication/raft/group_private.h"

/* One instance of the library in a group, and the only way in: every call is wrapped in
 * instance_enter() and instance_leave(), which runs the callbacks of sends and looks at what
 * changed, as 0.15.0 reports no change of state. Callbacks of the library only note; they run
 * inside its state changes (cowsql 54d63472, f66ae571). */

/* Starts an instance with what group->load_* and group->state hold. */
void instance_open(struct group *group);
/* Ends it; everything in flight is completed. */
void instance_close(struct group *group);
/* Makes the instance anew from its own log: the answer to UNAVAILABLE, and to group->cut. Only when
 * nothing is on its way to the disk. Counts as a restart for leases. */
void instance_bounce(struct group *group);

void instance_enter(struct group *group);
void instance_leave(struct group *group);
/* Gives a message to the library, which takes over entries, configuration and snapshot data. */
void instance_receive(struct group *group, struct raft_message *message);
/* Shows the library the passing of time, if the guards let it. */
void instance_tick(struct group *group, uint64_t now_ms);

/* The group has something to do at the end of the turn. */
void instance_mark_dirty(struct group *group);
/* The group waits for the disk. */
void instance_mark_storing(struct group *group);

#endif
