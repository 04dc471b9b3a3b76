#include "replication/raft/guard_clamp.h"

#include "replication/raft/core_log.h"

static void follow_term(struct group *group)
{
    if (group->verified_term != group->raft.current_term) {
        assert(group->verified_term < group->raft.current_term);
        group->verified_term = group->raft.current_term;
        group->verified = 0;
    }
}

void guard_clamp_begin(struct group *group, const struct raft_message *message)
{
    assert(!group->in_library);
    group->verify_on_accept = 0;
    if (message->type == RAFT_IO_APPEND_ENTRIES) {
        const struct raft_append_entries *append = &message->append_entries;
        group->verify_on_accept = append->prev_log_index + append->n_entries;
    }
    if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        const struct raft_install_snapshot *install = &message->install_snapshot;
        if (core_log_term(&group->raft, install->last_index) == install->last_term) {
            group->verify_on_accept = install->last_index;
        }
    }
}

void guard_clamp_accept(struct group *group)
{
    if (!group->in_receive) {
        return;
    }
    follow_term(group);
    if (group->verify_on_accept > group->verified) {
        group->verified = group->verify_on_accept;
    }
}

uint64_t guard_clamp_index(struct group *group, uint64_t last_index)
{
    if (!guard_on(group, GUARD_CLAMP)) {
        return last_index;
    }
    follow_term(group);
    uint64_t known = group->verified;
    if (group->raft.commit_index > known) {
        known = group->raft.commit_index;
    }
    return last_index < known ? last_index : known;
}
