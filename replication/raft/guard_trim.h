#ifndef REPLICATION_RAFT_GUARD_TRIM_H
#define REPLICATION_RAFT_GUARD_TRIM_H

#include "replication/raft/group_private.h"

/* TRIM: the library takes compacted entries for missing ones (replication.c:937-940, 1024): an
 * AppendEntries from before the compaction is appended at a wrong index and corrupts the heap. Not
 * fixed anywhere. Entries up to the snapshot's index are cut off the message; they are committed,
 * so the rest follows on the snapshot's index and term.
 *
 * The commit index is capped to the entries of the message as well, as a message may be a chunk or
 * may have been trimmed (cowsql 000eacf2). */

/* False: drop the message. An empty replica waits for a snapshot and takes no entries from index 1
 * on: nobody has them, and its state would begin with nothing. */
bool guard_trim_admits(const struct group *group, const struct message_append *append);
void guard_trim_message(struct group *group, struct raft_append_entries *append);

#endif
