#ifndef REPLICATION_RAFT_GUARD_CTERM_H
#define REPLICATION_RAFT_GUARD_CTERM_H

#include "replication/raft/group_private.h"

/* CTERM: the library allows membership changes before an entry of the leader's own term is
 * committed (membership.c:13-54), which is unsafe with single-server changes (Ongaro, "bug in
 * single-server membership changes", raft-dev 2015). Not fixed anywhere. */

bool guard_cterm_allows(const struct group *group);

#endif
