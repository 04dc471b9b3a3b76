#ifndef REPLICATION_RAFT_MEMBERSHIP_H
#define REPLICATION_RAFT_MEMBERSHIP_H

#include "replication/raft/group_private.h"

/* Changes of the configuration, one at a time, and handing over of leadership. group.h has the
 * functions; this is what runs at the end of a turn and at ticks. */

/* True if something was completed. */
bool membership_run(struct group *group, uint64_t now_ms);
/* Something is under way that forbids to fall quiet. */
bool membership_busy(const struct group *group);
void membership_fail(struct group *group, enum status status);

#endif
