#ifndef REPLICATION_RAFT_INBOX_H
#define REPLICATION_RAFT_INBOX_H

#include "replication/raft/group_private.h"

/* Messages to a group: past the guards, into the library. */
void inbox_deliver(struct group *group, const struct message *message, struct lane *lane);

#endif
