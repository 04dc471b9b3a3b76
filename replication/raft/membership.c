#include "replication/raft/membership.h"

#include "common/base/clock.h"
#include "replication/raft/core_log.h"
#include "replication/raft/group_apply.h"
#include "replication/raft/guard_cterm.h"
#include "replication/raft/instance.h"
#include "replication/raft/quiesce.h"

static enum status status_from_raft(int rv)
{
    switch (rv) {
    case 0: return STATUS_OK;
    case RAFT_NOTLEADER: return STATUS_NOT_LEADER;
    case RAFT_CANTCHANGE: return STATUS_BUSY;
    case RAFT_DUPLICATEID:
    case RAFT_DUPLICATEADDRESS:
    case RAFT_BADROLE: return STATUS_CONFLICT;
    case RAFT_BADID:
    case RAFT_NOTFOUND: return STATUS_NOT_FOUND;
    case RAFT_NOCONNECTION: return STATUS_TIMEOUT;
    default: return STATUS_LEADERSHIP_LOST;
    }
}

static void on_changed(struct raft_change *change, int status)
{
    struct group *group = change->data;
    if (group->closed) {
        return; /* Already failed. */
    }
    assert(group->change_stage == CHANGE_IN_CORE);
    group->change_stage = CHANGE_NONE;
    group_apply_complete(group, group->change_done, status_from_raft(status));
    group->change_done = NULL;
}

/* What forbids a change now; OK: nothing. */
static enum status admit(struct group *group)
{
    if (group->closed || group->broken) {
        return STATUS_CLOSED;
    }
    if (!guard_cterm_allows(group)) {
        return STATUS_NOT_LEADER;
    }
    bool busy = group->change_stage != CHANGE_NONE || group->handover_stage != HANDOVER_NONE ||
                group->raft.transfer != NULL;
    return busy ? STATUS_BUSY : STATUS_OK;
}

static void begin(struct group *group, struct proposal *done)
{
    quiesce_wake(group);
    group->change.data = group;
    group->change_done = done;
    group->change_stage = CHANGE_IN_CORE;
    instance_enter(group);
}

static enum status end(struct group *group, int rv)
{
    if (rv != 0) {
        group->change_stage = CHANGE_NONE;
        group->change_done = NULL;
    }
    instance_leave(group);
    return status_from_raft(rv);
}

enum status group_add(struct group *group, uint64_t replica, uint64_t node, struct proposal *done)
{
    char address[GROUP_ADDRESS_SIZE];
    enum status status = admit(group);
    if (status != STATUS_OK) {
        return status;
    }
    if (group->raft.configuration.n >= GROUP_MEMBERS_MAX) {
        return STATUS_TOO_BIG;
    }
    assert(replica > 0 && replica >> GROUP_REPLICA_MAX_BITS == 0 && node > 0);
    group_conf_address(replica, node, address);
    begin(group, done);
    return end(group, raft_add(&group->raft, &group->change, replica, address, on_changed));
}

/* The last voter stays, and of two the leader: the other would be the only voter without
 * having been told that the change is committed. */
static bool may_leave(const struct group *group, const struct group_conf *conf, uint64_t replica)
{
    unsigned voters = group_conf_voters(conf);
    if (!group_conf_is_voter(conf, replica)) {
        return true;
    }
    return voters > 2 || (voters == 2 && replica != group->replica);
}

enum status group_assign(struct group *group,
                         uint64_t replica,
                         enum member_role role,
                         struct proposal *done)
{
    struct group_conf conf;
    enum status status = admit(group);
    if (status != STATUS_OK) {
        return status;
    }
    group_conf_from_raft(&group->raft.configuration, &conf);
    const struct group_member *member = group_conf_find(&conf, replica);
    if (member == NULL) {
        return STATUS_NOT_FOUND;
    }
    bool skips = role == MEMBER_VOTER && member->role == MEMBER_SPARE;
    if (member->role == role || skips ||
        (role != MEMBER_VOTER && !may_leave(group, &conf, replica))) {
        return STATUS_CONFLICT;
    }
    int raft_role = role == MEMBER_VOTER     ? RAFT_VOTER
                    : role == MEMBER_STANDBY ? RAFT_STANDBY
                                             : RAFT_SPARE;
    begin(group, done);
    return end(group, raft_assign(&group->raft, &group->change, replica, raft_role, on_changed));
}

enum status group_remove(struct group *group, uint64_t replica, struct proposal *done)
{
    struct group_conf conf;
    enum status status = admit(group);
    if (status != STATUS_OK) {
        return status;
    }
    group_conf_from_raft(&group->raft.configuration, &conf);
    if (group_conf_find(&conf, replica) == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (!may_leave(group, &conf, replica)) {
        return STATUS_CONFLICT;
    }
    begin(group, done);
    return end(group, raft_remove(&group->raft, &group->change, replica, on_changed));
}

enum status group_transfer(struct group *group, uint64_t replica, struct proposal *done)
{
    struct group_conf conf;
    enum status status = admit(group);
    if (status != STATUS_OK) {
        return status;
    }
    if (!group->announced) {
        return STATUS_NOT_LEADER;
    }
    group_conf_from_raft(&group->raft.configuration, &conf);
    if (group_conf_find(&conf, replica) == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (replica == group->replica || !group_conf_is_voter(&conf, replica)) {
        return STATUS_CONFLICT;
    }
    quiesce_wake(group);
    group->handover_stage = HANDOVER_CATCHING_UP;
    group->handover_done = done;
    group->handover_target = replica;
    group->handover_ended = false;
    group->handover_deadline_ms = clock_now_ms() + 2 * (uint64_t)group->host->options.election_ms;
    instance_mark_dirty(group);
    return STATUS_OK;
}

static void on_transferred(struct raft_transfer *transfer)
{
    struct group *group = transfer->data;
    if (group->closed) {
        return; /* Already failed. */
    }
    assert(group->handover_stage == HANDOVER_IN_CORE);
    group->handover_ended = true;
    instance_mark_dirty(group);
}

static void finish_handover(struct group *group, enum status status)
{
    group->handover_stage = HANDOVER_NONE;
    group_apply_complete(group, group->handover_done, status);
    group->handover_done = NULL;
}

/* TimeoutNow may only go to a member that has everything, or it is ignored and not repeated. */
static bool target_has_all(const struct group *group)
{
    const struct raft *raft = &group->raft;
    uint64_t last = core_log_last(raft);
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].id == group->handover_target) {
            const struct raft_progress *progress = &raft->leader_state.progress[i];
            return progress->match_index == last && progress->next_index == last + 1 &&
                   raft->commit_index == last;
        }
    }
    return false;
}

static bool catch_up(struct group *group, uint64_t now_ms)
{
    if (!group->announced || now_ms >= group->handover_deadline_ms) {
        finish_handover(group, STATUS_TIMEOUT);
        return true;
    }
    if (!target_has_all(group)) {
        return false;
    }
    group->transfer.data = group;
    group->handover_stage = HANDOVER_IN_CORE;
    instance_enter(group);
    int rv = raft_transfer(&group->raft, &group->transfer, group->handover_target, on_transferred);
    instance_leave(group);
    if (rv != 0) {
        finish_handover(group, STATUS_TIMEOUT);
    }
    return true;
}

bool membership_run(struct group *group, uint64_t now_ms)
{
    if (group->handover_stage == HANDOVER_CATCHING_UP) {
        return catch_up(group, now_ms);
    }
    if (group->handover_stage == HANDOVER_IN_CORE && group->handover_ended) {
        const struct raft *raft = &group->raft;
        bool over = raft->state == RAFT_FOLLOWER &&
                    raft->follower_state.current_leader.id == group->handover_target;
        finish_handover(group, over ? STATUS_OK : STATUS_TIMEOUT);
        return true;
    }
    return false;
}

bool membership_busy(const struct group *group)
{
    return group->change_stage != CHANGE_NONE || group->handover_stage != HANDOVER_NONE ||
           group->raft.transfer != NULL;
}

void membership_fail(struct group *group, enum status status)
{
    if (group->change_stage != CHANGE_NONE) {
        group->change_stage = CHANGE_NONE;
        group_apply_complete(group, group->change_done, status);
    }
    if (group->handover_stage != HANDOVER_NONE) {
        finish_handover(group, status);
    }
}
