#include "replication/raft/core_log.h"

static size_t count_of(const struct raft_log *log)
{
    return log->front <= log->back ? log->back - log->front : log->size - log->front + log->back;
}

uint64_t core_log_first(const struct raft *raft)
{
    return raft->log.offset + 1;
}

uint64_t core_log_last(const struct raft *raft)
{
    return raft->log.offset + count_of(&raft->log);
}

const struct raft_entry *core_log_entry(const struct raft *raft, uint64_t index)
{
    const struct raft_log *log = &raft->log;
    if (index <= log->offset || index > core_log_last(raft)) {
        return NULL;
    }
    assert(log->size > 0);
    return &log->entries[(log->front + (size_t)(index - log->offset - 1)) % log->size];
}

uint64_t core_log_term(const struct raft *raft, uint64_t index)
{
    if (index == 0) {
        return 0;
    }
    if (index == raft->log.snapshot.last_index) {
        return raft->log.snapshot.last_term;
    }
    const struct raft_entry *entry = core_log_entry(raft, index);
    return entry == NULL ? 0 : entry->term;
}

uint64_t core_log_conf_before(const struct raft *raft, uint64_t after, uint64_t up_to)
{
    for (uint64_t index = up_to; index > after; index--) {
        const struct raft_entry *entry = core_log_entry(raft, index);
        if (entry == NULL) {
            return 0;
        }
        if (entry->type == RAFT_CHANGE) {
            return index;
        }
    }
    return 0;
}

uint64_t core_log_conflict(const struct raft *raft, const struct raft_append_entries *append)
{
    if (append->term < raft->current_term ||
        core_log_term(raft, append->prev_log_index) != append->prev_log_term) {
        return 0;
    }
    for (unsigned i = 0; i < append->n_entries; i++) {
        uint64_t index = append->prev_log_index + 1 + i;
        uint64_t term = core_log_term(raft, index);
        if (term == 0) {
            return 0;
        }
        if (term != append->entries[i].term) {
            return index;
        }
    }
    return 0;
}
