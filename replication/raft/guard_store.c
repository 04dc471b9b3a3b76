#include "replication/raft/guard_store.h"

#include "replication/raft/core_log.h"
#include "replication/raft/ops.h"

bool guard_store_blocks(const struct group *group)
{
    return guard_on(group, GUARD_STORE) && group->raft.state == RAFT_FOLLOWER &&
           ops_has_append(group);
}

bool guard_store_defers(const struct group *group, const struct raft_append_entries *append)
{
    assert(!group->in_library);
    return guard_on(group, GUARD_STORE) && ops_has_append(group) &&
           core_log_conflict(&group->raft, append) != 0;
}
