#include "replication/raft/group_turn.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "replication/raft/group_apply.h"
#include "replication/raft/guard_barrier.h"
#include "replication/raft/install.h"
#include "replication/raft/instance.h"
#include "replication/raft/membership.h"
#include "replication/raft/ops.h"
#include "replication/raft/outbox.h"
#include "replication/raft/quiesce.h"
#include "replication/raft/read_index.h"
#include "replication/raft/replica_read.h"
#include "replication/raft/snapshot_feed.h"
#include "replication/raft/tail.h"

static enum group_role role_of(const struct group *group)
{
    if (group->announced) {
        return GROUP_LEADER;
    }
    return group->raft.state == RAFT_FOLLOWER ? GROUP_FOLLOWER : GROUP_CANDIDATE;
}

static uint64_t known_leader_node(const struct group *group)
{
    const struct raft *raft = &group->raft;
    if (group->announced) {
        return group->host->options.node;
    }
    bool known = raft->state == RAFT_FOLLOWER && raft->follower_state.current_leader.id != 0 &&
                 raft->follower_state.current_leader.address != NULL;
    return known ? group_conf_node(raft->follower_state.current_leader.address) : 0;
}

static bool announce(struct group *group)
{
    struct host *host = group->host;
    bool leads = guard_barrier_applied(group) && !group->broken;
    if (leads && !group->announced) {
        group->active_ms = clock_now_ms();
        log_info("group.leader", "group=%llu term=%llu", (unsigned long long)group->id,
                 (unsigned long long)group->raft.current_term);
    }
    group->announced = leads;
    enum group_role role = role_of(group);
    uint64_t leader = known_leader_node(group);
    uint64_t term = group->raft.current_term;
    if (role == group->told_role && term == group->told_term && leader == group->told_leader) {
        return false;
    }
    host->stats.leaders -= group->told_role == GROUP_LEADER;
    host->stats.leaders += role == GROUP_LEADER;
    group->told_role = role;
    group->told_term = term;
    group->told_leader = leader;
    group->leader_node = leader;
    group->callbacks++;
    group->machine->on_role(group->ctx, role, term, leader);
    group->callbacks--;
    if (!group->closed) {
        replica_read_fail(group, false, STATUS_NOT_LEADER); /* Another is to be asked. */
    }
    return true;
}

/* True if something happened, so that there may be more to do. */
static bool run(struct group *group)
{
    bool more = false;
    ops_run(group);
    outbox_release(group);
    group_apply(group);
    tail_finish(group);
    more = install_run(group) || more;
    if (group->closed) {
        return false;
    }
    if (group->broken && group->ops == NULL && group->install.stage == INSTALL_NONE) {
        instance_bounce(group);
        more = true;
    }
    group_apply_reap(group);
    more = announce(group) || more;
    if (!group->closed && !group->announced) {
        read_index_fail(group, STATUS_NOT_LEADER);
    }
    more = (!group->closed && snapshot_feed_run(group, clock_now_ms())) || more;
    more = (!group->closed && membership_run(group, clock_now_ms())) || more;
    more = (!group->closed && group_apply_run(group)) || more;
    more = (!group->closed && read_index_run(group)) || more;
    more = (!group->closed && replica_read_run(group)) || more;
    return more && !group->closed;
}

void group_turn(struct group *group)
{
    group->callbacks++; /* A close inside a callback leaves the memory to us. */
    while (!group->closed && run(group)) {
    }
    group->callbacks--;
    if (group->closed && group->callbacks == 0) {
        free(group);
        return;
    }
    if (group->ops == NULL && group->parked == NULL) {
        list_remove(&group->storing);
    }
}

static void tick_quiet(struct group *group, uint64_t now_ms)
{
    uint64_t patience_ms = group->host->options.election_ms;
    if (!read_index_tick(group, now_ms)) {
        list_remove(&group->awake);
    } else if (now_ms - group->active_ms > patience_ms) {
        quiesce_wake(group);
    }
}

void group_turn_tick(struct group *group, uint64_t now_ms)
{
    if (group->broken) {
        return;
    }
    if (group->quiesced) {
        tick_quiet(group, now_ms);
        return;
    }
    instance_tick(group, now_ms);
    read_index_tick(group, now_ms);
    if (group->feeds != NULL || group->handover_stage != HANDOVER_NONE) {
        instance_mark_dirty(group);
    }
    if (!group->broken) {
        quiesce_try(group, now_ms);
    }
}

/* What was sent to the node may be lost: start again from what it has acknowledged. */
static void probe_again(struct group *group, uint64_t node)
{
    struct raft *raft = &group->raft;
    for (unsigned i = 0; raft->state == RAFT_LEADER && i < raft->configuration.n; i++) {
        struct raft_progress *progress = &raft->leader_state.progress[i];
        if (group_conf_node(raft->configuration.servers[i].address) != node) {
            continue;
        }
        if (progress->state == PROGRESS_PIPELINE) {
            progress->state = PROGRESS_PROBE; /* As progressToProbe(). */
            progress->next_index = progress->match_index + 1;
        }
        progress->last_send = 0;
    }
    for (unsigned i = 0; i < GROUP_CONTACTS_MAX; i++) {
        group->contacts[i].probe_ms = 0;
    }
}

void group_turn_node_changed(struct group *group, uint64_t node)
{
    const struct raft *raft = &group->raft;
    if (group->broken || group->closed) {
        return;
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        bool member = group_conf_node(raft->configuration.servers[i].address) == node;
        if (member && raft->state == RAFT_LEADER) {
            quiesce_wake(group);
            snapshot_feed_abort_node(group, node);
            probe_again(group, node);
            instance_mark_dirty(group);
            return;
        }
    }
}
