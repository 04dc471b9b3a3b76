#ifndef REPLICATION_RAFT_CORE_LOG_H
#define REPLICATION_RAFT_CORE_LOG_H

#include "replication/raft/group_private.h"

/* Reads the library's log in memory (src/log.c of 0.15.0: a ring of entries behind `offset`). */

uint64_t core_log_first(const struct raft *raft); /* Last + 1 if there are none. */
uint64_t core_log_last(const struct raft *raft);
/* NULL if it is not held. */
const struct raft_entry *core_log_entry(const struct raft *raft, uint64_t index);
/* Also of the snapshot's index; 0 if unknown. */
uint64_t core_log_term(const struct raft *raft, uint64_t index);
/* Index of the newest configuration entry in (after, up_to], 0 if there is none. */
uint64_t core_log_conf_before(const struct raft *raft, uint64_t after, uint64_t up_to);
/* Index of the first entry that an AppendEntries will replace by another one; 0: none. */
uint64_t core_log_conflict(const struct raft *raft, const struct raft_append_entries *append);

#endif
