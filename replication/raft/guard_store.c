#include "replication/raft/guard_store.h"

#include "replication/raft/ops.h"

bool guard_store_blocks(const struct group *group)
{
    return guard_on(group, GUARD_STORE) && group->raft.state == RAFT_FOLLOWER &&
           ops_has_append(group);
}

void guard_store_bound(struct group *group)
{
    if (!guard_on(group, GUARD_STORE) || group->raft.state == RAFT_UNAVAILABLE) {
        return;
    }
    uint64_t first = ops_first_unstored(group);
    assert(first > 0);
    if (first != UINT64_MAX && group->raft.last_stored >= first) {
        group->raft.last_stored = first - 1;
    }
}
