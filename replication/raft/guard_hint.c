#include "replication/raft/guard_hint.h"

#include "replication/raft/core_log.h"

uint64_t guard_hint_index(const struct group *group, uint64_t rejected, uint64_t last_index)
{
    const struct raft *raft = &group->raft;
    uint64_t term = core_log_term(raft, rejected);
    if (!guard_on(group, GUARD_HINT) || term == 0) {
        return last_index;
    }
    uint64_t first = rejected;
    while (first > raft->commit_index + 1 && core_log_term(raft, first - 1) == term) {
        first--;
    }
    assert(first >= 1);
    return last_index >= first ? first - 1 : last_index;
}

void guard_hint_retry(struct group *group, const struct raft_message *message)
{
    struct raft *raft = &group->raft;
    const struct raft_append_entries_result *result = &message->append_entries_result;
    if (!guard_on(group, GUARD_HINT) || raft->state != RAFT_LEADER || result->rejected == 0 ||
        result->term != raft->current_term) {
        return;
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        struct raft_progress *progress = &raft->leader_state.progress[i];
        bool it = raft->configuration.servers[i].id == message->server_id;
        if (it && progress->state != PROGRESS_SNAPSHOT) {
            progress->last_send = 0;
        }
    }
}
