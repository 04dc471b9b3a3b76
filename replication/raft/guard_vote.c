#include "replication/raft/guard_vote.h"

#include "common/base/clock.h"
#include "replication/raft/quiesce.h"

static bool is_voter(const struct raft *raft)
{
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->id == raft->id) {
            return server->role == RAFT_VOTER;
        }
    }
    return false;
}

void guard_vote_begin(struct group *group, struct guard_vote *vote)
{
    struct raft *raft = &group->raft;
    vote->swapped = false;
    if (!guard_on(group, GUARD_VOTE) || raft->state != RAFT_FOLLOWER) {
        return;
    }
    bool promised = clock_now_ms() - raft->election_timer_start < raft->election_timeout;
    if (!promised && !quiesce_leader_lives(group)) {
        raft->follower_state.current_leader.id = 0;
    }
    if (is_voter(raft)) {
        return;
    }
    vote->kept = raft->configuration;
    vote->swapped = true;
    raft_configuration_init(&raft->configuration);
    int rv = raft_configuration_add(&raft->configuration, raft->id, group->address, RAFT_VOTER);
    assert(rv == 0);
}

void guard_vote_end(struct group *group, struct guard_vote *vote)
{
    if (!vote->swapped) {
        return;
    }
    assert(group->raft.state == RAFT_FOLLOWER || group->raft.state == RAFT_UNAVAILABLE);
    raft_configuration_close(&group->raft.configuration);
    group->raft.configuration = vote->kept;
    vote->swapped = false;
}
