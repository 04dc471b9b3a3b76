#include "replication/raft/quiesce.h"

#include "common/base/clock.h"
#include "replication/raft/core_log.h"
#include "replication/raft/instance.h"
#include "replication/raft/lane.h"
#include "replication/raft/membership.h"
#include "replication/raft/outbox.h"
#include "replication/raft/snapshot_feed.h"
#include "replication/raft/stand.h"

static bool lane_lives(const struct host *host, const struct lane *lane, uint64_t now_ms)
{
    bool connected = host->env.loops(host->env.ctx, lane->peer->node) != 0;
    return connected && now_ms - lane->received_ms < host->options.election_ms;
}

bool quiesce_leader_lives(const struct group *group)
{
    return group->quiesced && group->leader_lane != NULL &&
           lane_lives(group->host, group->leader_lane, clock_now_ms());
}

static bool is_settled(const struct group *group)
{
    const struct raft *raft = &group->raft;
    uint64_t last = core_log_last(raft);
    bool work = group->pending != NULL || group->rounds != NULL || group->ops != NULL ||
                group->parked != NULL || group->done != NULL || membership_busy(group) ||
                snapshot_feed_active(group);
    return !work && raft->commit_index == last && group->state.index == last &&
           raft->configuration_uncommitted_index == 0 && raft->leader_state.promotee_id == 0;
}

static bool all_have_all(const struct group *group, uint64_t now_ms)
{
    struct host *host = group->host;
    const struct raft *raft = &group->raft;
    uint64_t last = core_log_last(raft);
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->id == raft->id || server->role == RAFT_SPARE) {
            continue;
        }
        struct lane *lane = lane_of_group(host, group_conf_node(server->address), group->id);
        if (lane == NULL || !lane_lives(host, lane, now_ms) ||
            raft->leader_state.progress[i].match_index != last) {
            return false;
        }
    }
    return true;
}

static void tell_all(struct group *group, struct message *message)
{
    const struct raft *raft = &group->raft;
    message->group = group->id;
    message->from = group->replica;
    message->term = raft->current_term;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->id != raft->id && server->role != RAFT_SPARE) {
            message->to = server->id;
            outbox_send(group, group_conf_node(server->address), group->meta_lsn, message);
        }
    }
}

static void fall_quiet(struct group *group)
{
    assert(!group->quiesced);
    group->quiesced = true;
    group->host->stats.quiesced++;
    list_remove(&group->awake);
}

void quiesce_try(struct group *group, uint64_t now_ms)
{
    const struct raft *raft = &group->raft;
    uint32_t quiesce_ms = group->host->options.quiesce_ms;
    if (quiesce_ms == 0 || now_ms - group->active_ms < quiesce_ms || !group->announced) {
        return;
    }
    if (group->quiesced || raft->state != RAFT_LEADER || !is_settled(group) ||
        !all_have_all(group, now_ms)) {
        return;
    }
    struct message out = {.kind = MESSAGE_QUIESCE};
    out.point.index = core_log_last(raft);
    out.point.index_term = core_log_term(raft, out.point.index);
    tell_all(group, &out);
    fall_quiet(group);
}

void quiesce_on_message(struct group *group, const struct message *message, struct lane *lane)
{
    const struct raft *raft = &group->raft;
    uint64_t index = message->point.index;
    bool follows = raft->state == RAFT_FOLLOWER && raft->current_term == message->term &&
                   raft->follower_state.current_leader.id == message->from;
    if (!follows || group->quiesced || group->host->options.quiesce_ms == 0) {
        return;
    }
    bool same =
        core_log_last(raft) == index && core_log_term(raft, index) == message->point.index_term;
    bool settled = group->ops == NULL && group->install.stage == INSTALL_NONE && !group->broken &&
                   raft->commit_index == index && raft->transfer == NULL;
    if (!same || !settled) {
        return;
    }
    fall_quiet(group);
    group->leader_lane = lane;
    list_push_back(&lane->sleepers, &group->sleeper);
}

static void stir(struct group *group)
{
    assert(group->quiesced);
    group->quiesced = false;
    group->host->stats.quiesced--;
    group->active_ms = clock_now_ms();
    list_remove(&group->sleeper);
    list_remove(&group->awake);
    list_push_back(&group->host->awake, &group->awake);
}

void quiesce_wake(struct group *group)
{
    struct raft *raft = &group->raft;
    group->active_ms = clock_now_ms();
    if (!group->quiesced) {
        return;
    }
    stir(group);
    raft->election_timer_start = clock_now_ms();
    for (unsigned i = 0; raft->state == RAFT_LEADER && i < raft->configuration.n; i++) {
        raft->leader_state.progress[i].recent_recv = true;
    }
}

void quiesce_wake_orphan(struct group *group, uint64_t spread_ms)
{
    if (group->quiesced) {
        stir(group);
    }
    stand_soon(group, spread_ms);
}

void quiesce_demand(struct group *group)
{
    struct raft *raft = &group->raft;
    if (!group->quiesced || raft->state != RAFT_FOLLOWER) {
        return;
    }
    struct message out = {
        .kind = MESSAGE_WAKE,
        .group = group->id,
        .from = group->replica,
        .to = raft->follower_state.current_leader.id,
        .term = raft->current_term,
    };
    quiesce_wake(group);
    if (out.to != 0) {
        outbox_send(group, group->leader_node, group->meta_lsn, &out);
    }
}

void quiesce_release(struct group *group)
{
    struct message out = {.kind = MESSAGE_WAKE};
    if (group->raft.state == RAFT_LEADER) {
        tell_all(group, &out);
    }
}
