#include "replication/raft/guard_xfer.h"

bool guard_xfer_drops(const struct group *group, const struct raft_message *message)
{
    assert(message->type == RAFT_IO_REQUEST_VOTE);
    const struct raft *raft = &group->raft;
    const struct raft_request_vote *vote = &message->request_vote;
    if (!guard_on(group, GUARD_XFER) || raft->transfer == NULL || vote->pre_vote) {
        return false;
    }
    return vote->term == raft->current_term && raft->voted_for != 0 &&
           raft->voted_for != vote->candidate_id;
}
