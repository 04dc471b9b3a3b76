#include "replication/raft/guard_prev.h"

uint64_t guard_prev_term(const struct group *group, const struct raft_request_vote_result *result)
{
    bool refused = !result->vote_granted && result->pre_vote == raft_tribool_true;
    assert(group->magic == GROUP_MAGIC);
    if (guard_on(group, GUARD_PREV) && refused && group->raft.current_term > result->term) {
        return group->raft.current_term;
    }
    return result->term;
}
