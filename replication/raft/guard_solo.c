#include "replication/raft/guard_solo.h"

#include "replication/raft/core_io.h"

bool guard_solo_load(const struct group *group,
                     const struct group_conf *conf,
                     uint64_t *term,
                     uint64_t *vote)
{
    if (!guard_on(group, GUARD_SOLO) || !group_conf_is_solo(conf, group->replica)) {
        return false;
    }
    assert(*term > 0);
    *term += 1;
    *vote = group->replica;
    return true;
}

static bool will_elect(const struct raft *raft, uint64_t now_ms)
{
    uint64_t waited = now_ms - raft->election_timer_start;
    if (raft->state == RAFT_FOLLOWER) {
        return waited >= raft->follower_state.randomized_election_timeout;
    }
    return raft->state == RAFT_CANDIDATE &&
           waited >= raft->candidate_state.randomized_election_timeout;
}

void guard_solo_before_tick(struct group *group, uint64_t now_ms)
{
    struct raft *raft = &group->raft;
    if (!guard_on(group, GUARD_SOLO) || !will_elect(raft, now_ms)) {
        return;
    }
    struct group_conf conf;
    group_conf_from_raft(&raft->configuration, &conf);
    if (!group_conf_is_solo(&conf, group->replica)) {
        return;
    }
    raft->current_term++;
    raft->voted_for = group->replica;
    core_io_store_vote(group, raft->current_term, raft->voted_for);
    assert(group->term_stored == raft->current_term);
}
