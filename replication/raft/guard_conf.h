#ifndef REPLICATION_RAFT_GUARD_CONF_H
#define REPLICATION_RAFT_GUARD_CONF_H

#include "replication/raft/group_private.h"

/* CONF: the library does not know after a restart that a configuration may be uncommitted
 * (start.c:56-59), rolls back by reading an entry that may be compacted (membership.c:158: NULL),
 * snapshots uncommitted configurations (replication.c:1523) and keeps
 * configuration_uncommitted_index over an installation. Fixed in canonical baa8f52, 4c96b75,
 * 2ed5d42. We find out at start what is uncommitted, roll back ourselves, and refuse snapshots
 * while something is uncommitted; a configuration entry leaves the leader only when it is on the
 * leader's own disk. */

/* The instance was started from state. */
void guard_conf_start(struct group *group);
/* An AppendEntries is about to be delivered, which may truncate a configuration entry. */
void guard_conf_before_append(struct group *group, const struct raft_append_entries *append);
/* True if no snapshot may be taken now. */
bool guard_conf_unsettled(const struct group *group);
/* A snapshot was installed. */
void guard_conf_restored(struct group *group);
/* The lsn that an AppendEntries has to wait for. */
uint64_t guard_conf_lsn(const struct group *group, const struct raft_append_entries *append);

#endif
