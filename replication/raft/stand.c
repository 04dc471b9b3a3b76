#include "replication/raft/stand.h"

#include "common/base/clock.h"
#include "replication/raft/core_log.h"

/* Parts of the election timeout. */
enum { STAND_RANK_PART = 8, STAND_YIELD_PART = 4, STAND_PRE_VOTE_PART = 4, STAND_VOTE_PART = 2 };

/* Our place among the voters, the leader left out, begun at another one in every group. */
static unsigned rank_of(const struct group *group, uint64_t leader)
{
    const struct raft *raft = &group->raft;
    unsigned count = 0;
    unsigned own = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->role != RAFT_VOTER || server->id == leader) {
            continue;
        }
        if (server->id == raft->id) {
            own = count;
        }
        count++;
    }
    return count == 0 ? 0 : (own + (unsigned)(group->id % count)) % count;
}

static unsigned delay_of(struct group *group, uint64_t leader)
{
    unsigned step = group->raft.election_timeout / STAND_RANK_PART + 1;
    assert(step > 0);
    return rank_of(group, leader) * step + (unsigned)rand_below(&group->host->rand, step);
}

static void watch_follower(struct group *group)
{
    struct raft *raft = &group->raft;
    uint64_t leader = raft->follower_state.current_leader.id;
    if (leader == group->seen_leader) {
        return;
    }
    group->seen_leader = leader;
    group->yielded = false;
    if (leader != 0) {
        raft->follower_state.randomized_election_timeout =
            raft->election_timeout + delay_of(group, leader);
        group->leader_node = group_conf_node(raft->follower_state.current_leader.address);
    }
}

static void watch_candidate(struct group *group)
{
    struct raft *raft = &group->raft;
    unsigned part = raft->candidate_state.in_pre_vote ? STAND_PRE_VOTE_PART : STAND_VOTE_PART;
    unsigned base = raft->election_timeout / part + 1;
    group->seen_leader = 0;
    group->yielded = false;
    /* The library has drawn a time of at least T anew. */
    if (raft->candidate_state.randomized_election_timeout >= raft->election_timeout) {
        raft->candidate_state.randomized_election_timeout =
            base + (unsigned)rand_below(&group->host->rand, base / 2 + 1);
        assert(raft->candidate_state.randomized_election_timeout < raft->election_timeout);
    }
}

void stand_watch(struct group *group)
{
    assert(!group->in_library);
    switch (group->raft.state) {
    case RAFT_FOLLOWER: watch_follower(group); break;
    case RAFT_CANDIDATE: watch_candidate(group); break;
    default: group->seen_leader = 0; break;
    }
}

void stand_soon(struct group *group, uint64_t spread_ms)
{
    struct raft *raft = &group->raft;
    if (raft->state != RAFT_FOLLOWER) {
        return;
    }
    uint64_t now_ms = clock_now_ms();
    uint64_t promise_ms = raft->election_timer_start + raft->election_timeout;
    uint64_t at_ms = promise_ms > now_ms ? promise_ms : now_ms;
    at_ms += delay_of(group, raft->follower_state.current_leader.id);
    at_ms += spread_ms == 0 ? 0 : rand_below(&group->host->rand, spread_ms);
    if (now_ms > raft->election_timeout &&
        raft->election_timer_start < now_ms - raft->election_timeout) {
        raft->election_timer_start = now_ms - raft->election_timeout;
    }
    assert(at_ms >= raft->election_timer_start);
    raft->follower_state.randomized_election_timeout =
        (unsigned)(at_ms - raft->election_timer_start);
}

void stand_now(struct group *group)
{
    if (group->raft.state == RAFT_FOLLOWER) {
        group->raft.follower_state.randomized_election_timeout = 0;
    }
}

void stand_again(struct group *group, uint64_t now_ms)
{
    struct raft *raft = &group->raft;
    if (raft->state != RAFT_CANDIDATE) {
        return;
    }
    if (now_ms - raft->election_timer_start >= raft->candidate_state.randomized_election_timeout) {
        raft->candidate_state.disrupt_leader = false;
        raft->candidate_state.in_pre_vote = true;
    }
}

bool stand_yields(struct group *group, uint64_t now_ms)
{
    struct raft *raft = &group->raft;
    if (raft->state != RAFT_FOLLOWER || group->yielded) {
        return false;
    }
    unsigned timeout = raft->follower_state.randomized_election_timeout;
    bool due = now_ms - raft->election_timer_start >= timeout;
    if (!due || group->commit_seen <= core_log_last(raft)) {
        return false;
    }
    group->yielded = true;
    raft->follower_state.randomized_election_timeout =
        timeout + raft->election_timeout / STAND_YIELD_PART;
    return true;
}
