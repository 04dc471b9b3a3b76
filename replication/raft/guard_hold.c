#include "replication/raft/guard_hold.h"

/* The highest index that enough other voters hold for a quorum together with us. */
static uint64_t others_hold(const struct group *group, uint64_t from, uint64_t index)
{
    const struct raft *raft = &group->raft;
    uint64_t match[GROUP_MEMBERS_MAX + 1];
    unsigned others = 0;
    unsigned voters = 0;
    unsigned self = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->role != RAFT_VOTER) {
            continue;
        }
        voters++;
        if (server->id == raft->id) {
            self = 1;
            continue;
        }
        uint64_t value = raft->leader_state.progress[i].match_index;
        if (server->id == from && index > value) {
            value = index;
        }
        unsigned at = others++;
        assert(at < GROUP_MEMBERS_MAX);
        for (; at > 0 && match[at - 1] < value; at--) {
            match[at] = match[at - 1];
        }
        match[at] = value;
    }
    unsigned needed = voters / 2 + 1 - self;
    if (needed == 0) {
        return UINT64_MAX;
    }
    return needed <= others ? match[needed - 1] : 0;
}

bool guard_hold_keeps(const struct group *group, const struct op *op, uint64_t from, uint64_t index)
{
    assert(op->kind == OP_APPEND && op->count > 0);
    if (!guard_on(group, GUARD_HOLD) || group->raft.state != RAFT_LEADER) {
        return false;
    }
    uint64_t last = op->first + op->count - 1;
    if (group->barrier_index == 0 || last <= group->barrier_index) {
        return false;
    }
    return last > others_hold(group, from, index);
}
