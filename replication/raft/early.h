#ifndef REPLICATION_RAFT_EARLY_H
#define REPLICATION_RAFT_EARLY_H

#include "replication/raft/group_private.h"

/* Messages for groups that are not open here yet. The replicas of a new group come to be at about
 * the same time, and the first of them stands at once: what it asks of the others before they are
 * there is kept for a moment, or its election would take until it asks again. Bounded; whatever is
 * dropped is lost like any message. Thread: the host's loop. */

void early_init(struct early *early);
void early_free(struct early *early);
/* bytes: the message as it came. */
void early_keep(struct host *host,
                const struct lane *lane,
                const struct message *message,
                struct slice bytes);
/* The group is open now. */
void early_deliver(struct host *host, struct group *group);
/* Drops what is too old. */
void early_tick(struct host *host, uint64_t now_ms);

#endif
