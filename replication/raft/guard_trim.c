#include "replication/raft/guard_trim.h"

static void drop_front(struct raft_append_entries *append, uint64_t count)
{
    if (count >= append->n_entries) {
        if (append->n_entries > 0) {
            raft_free(append->entries[0].batch);
            raft_free(append->entries);
        }
        append->entries = NULL;
        append->n_entries = 0;
        return;
    }
    unsigned rest = append->n_entries - (unsigned)count;
    memmove(append->entries, append->entries + count, rest * sizeof *append->entries);
    append->n_entries = rest;
}

bool guard_trim_admits(const struct group *group, const struct message_append *append)
{
    bool empty = group->raft.log.snapshot.last_index == 0;
    return !(guard_on(group, GUARD_TRIM) && empty && append->prev_index == 0);
}

void guard_trim_message(struct group *group, struct raft_append_entries *append)
{
    const struct raft *raft = &group->raft;
    if (!guard_on(group, GUARD_TRIM)) {
        return;
    }
    uint64_t snapshot = raft->log.snapshot.last_index;
    if (append->prev_log_index < snapshot) {
        drop_front(append, snapshot - append->prev_log_index);
        append->prev_log_index = snapshot;
        append->prev_log_term = raft->log.snapshot.last_term;
    }
    uint64_t verified = append->prev_log_index + append->n_entries;
    if (append->leader_commit > verified) {
        append->leader_commit = verified;
    }
}
