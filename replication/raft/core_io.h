#ifndef REPLICATION_RAFT_CORE_IO_H
#define REPLICATION_RAFT_CORE_IO_H

#include "replication/raft/group_private.h"

/* Our struct raft_io (facts about the contract: docs/replication.md). Nothing here fails: a disk
 * that fails ends the process elsewhere, and messages may get lost. */

void core_io_init(struct group *group);
/* Called by close(): completes all that is in flight. In instance.c. */
void core_io_closed(struct group *group);
/* Writes term and vote; messages wait for it. */
void core_io_store_vote(struct group *group, uint64_t term, uint64_t vote);
/* Writes entries that the library is given as loaded. */
void core_io_store_entries(struct group *group,
                           uint64_t first,
                           const struct raft_entry *entries,
                           size_t count);
void core_io_truncate(struct group *group, uint64_t index);
/* An entry with memory of its own. */
struct raft_entry core_io_copy_entry(uint64_t term, uint8_t type, struct slice data);

#endif
