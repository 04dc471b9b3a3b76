#include "replication/raft/guard_conf.h"

#include "replication/raft/core_log.h"
#include "replication/raft/ops.h"

/* Makes the newest configuration at or below up_to the one in force. */
static void settle(struct group *group, uint64_t up_to, bool replace)
{
    struct raft *raft = &group->raft;
    struct group_conf conf = group->state.conf;
    uint64_t index = core_log_conf_before(raft, group->state.conf_index, up_to);
    uint64_t before = group->state.conf_index;
    if (index != 0) {
        const struct raft_entry *entry = core_log_entry(raft, index);
        bool whole = group_conf_decode_entry(slice_of(entry->buf.base, entry->buf.len), &conf);
        assert(whole);
        uint64_t older = core_log_conf_before(raft, group->state.conf_index, index - 1);
        before = older != 0 ? older : before;
    }
    if (replace) {
        raft_configuration_close(&raft->configuration);
        group_conf_to_raft(&conf, &raft->configuration);
    }
    bool open = index > raft->last_applied;
    raft->configuration_uncommitted_index = open ? index : 0;
    raft->configuration_index = open || index == 0 ? before : index;
}

void guard_conf_start(struct group *group)
{
    if (guard_on(group, GUARD_CONF) && group->state.index > 0) {
        settle(group, core_log_last(&group->raft), false);
    }
}

void guard_conf_before_append(struct group *group, const struct raft_append_entries *append)
{
    struct raft *raft = &group->raft;
    if (!guard_on(group, GUARD_CONF) || raft->configuration_uncommitted_index == 0) {
        return;
    }
    uint64_t conflict = core_log_conflict(raft, append);
    if (conflict == 0 || conflict > raft->configuration_uncommitted_index) {
        return;
    }
    if (conflict <= raft->commit_index) {
        return; /* The library stops itself. */
    }
    settle(group, conflict - 1, true);
}

bool guard_conf_unsettled(const struct group *group)
{
    return guard_on(group, GUARD_CONF) && group->raft.configuration_uncommitted_index != 0;
}

void guard_conf_restored(struct group *group)
{
    if (guard_on(group, GUARD_CONF)) {
        group->raft.configuration_uncommitted_index = 0;
    }
}

uint64_t guard_conf_lsn(const struct group *group, const struct raft_append_entries *append)
{
    uint64_t lsn = 0;
    if (!guard_on(group, GUARD_CONF)) {
        return 0;
    }
    for (unsigned i = 0; i < append->n_entries; i++) {
        if (append->entries[i].type == RAFT_CHANGE) {
            uint64_t one = ops_lsn_of(group, append->prev_log_index + 1 + i);
            lsn = one > lsn ? one : lsn;
        }
    }
    return lsn;
}
