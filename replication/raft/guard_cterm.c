#include "replication/raft/guard_cterm.h"

#include "replication/raft/guard_barrier.h"

bool guard_cterm_allows(const struct group *group)
{
    assert(group->magic == GROUP_MAGIC);
    if (!guard_on(group, GUARD_CTERM)) {
        return group->raft.state == RAFT_LEADER;
    }
    return guard_barrier_applied(group);
}
