#include "replication/raft/guard_barrier.h"

#include "replication/raft/core_log.h"
#include "replication/raft/instance.h"
#include "replication/raft/lease.h"

static void on_barrier(struct raft_barrier *barrier, int status)
{
    struct group *group = barrier->data;
    (void)status;
    assert(group->magic == GROUP_MAGIC);
    group->barrier_in_core = false;
}

void guard_barrier_start(struct group *group)
{
    struct raft *raft = &group->raft;
    if (raft->state != RAFT_LEADER || group->barrier_index != 0) {
        return;
    }
    if (!guard_on(group, GUARD_BARRIER) || raft->transfer != NULL || group->barrier_in_core) {
        return;
    }
    uint64_t index = core_log_last(raft) + 1;
    group->barrier.data = group;
    group->barrier_in_core = true;
    instance_enter(group);
    int rv = raft_barrier(raft, &group->barrier, on_barrier);
    assert(rv == 0);
    group->barrier_index = index;
    instance_leave(group);
}

bool guard_barrier_keeps(struct group *group, const struct raft_message *message)
{
    struct raft *raft = &group->raft;
    const struct raft_append_entries_result *result = &message->append_entries_result;
    if (!guard_on(group, GUARD_BARRIER) || raft->state != RAFT_LEADER ||
        result->term != raft->current_term || result->rejected != 0) {
        return false;
    }
    if (core_log_term(raft, raft->last_stored) == raft->current_term) {
        return false;
    }
    struct contact *contact = lease_contact(group, message->server_id);
    if (contact != NULL && result->last_log_index + 1 > contact->held_index) {
        contact->held_index = result->last_log_index + 1; /* 0 means none. */
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].id == message->server_id) {
            raft->leader_state.progress[i].recent_recv = true;
        }
    }
    return true;
}

void guard_barrier_release(struct group *group)
{
    struct raft *raft = &group->raft;
    for (unsigned i = 0; i < GROUP_CONTACTS_MAX; i++) {
        struct contact *contact = &group->contacts[i];
        if (contact->replica == 0 || contact->held_index == 0) {
            continue;
        }
        if (raft->state != RAFT_LEADER || group->contacts_term != raft->current_term) {
            return;
        }
        if (core_log_term(raft, raft->last_stored) != raft->current_term) {
            return;
        }
        struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES_RESULT};
        message.server_id = contact->replica;
        message.server_address = group->address; /* Only has to be there. */
        message.append_entries_result.term = raft->current_term;
        message.append_entries_result.last_log_index = contact->held_index - 1;
        contact->held_index = 0;
        instance_receive(group, &message);
    }
}

bool guard_barrier_applied(const struct group *group)
{
    if (group->raft.state != RAFT_LEADER || group->seen_term != group->raft.current_term) {
        return false;
    }
    if (!guard_on(group, GUARD_BARRIER)) {
        return true;
    }
    return group->barrier_index != 0 && group->state.index >= group->barrier_index;
}
