#ifndef REPLICATION_RAFT_OUTBOX_H
#define REPLICATION_RAFT_OUTBOX_H

#include "replication/raft/group_private.h"

/* Messages of a group on their way out. A message may leave when the record with its lsn is on
 * disk; those behind it wait too, so that the order in a group is kept. Encoded at once: nothing of
 * the library's memory is referenced after send(). */

/* Sends to the group's replica on node when lsn is durable; 0: nothing to wait for. */
void outbox_send(struct group *group, uint64_t node, uint64_t lsn, const struct message *message);
/* Entries in chunks, each with a commit index that its own entries cover. */
void outbox_send_append(struct group *group,
                        uint64_t node,
                        uint64_t lsn,
                        const struct message *message,
                        const struct raft_append_entries *append);
/* Lets go what may go. */
void outbox_release(struct group *group);
void outbox_clear(struct group *group);

#endif
