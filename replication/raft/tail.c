#include "replication/raft/tail.h"

#include <limits.h>

#include "replication/raft/core_log.h"
#include "replication/raft/guard_conf.h"
#include "replication/raft/instance.h"
#include "replication/raft/snapshot_feed.h"

enum {
    TAIL_ENTRY_OVERHEAD = 128, /* Slots, reference counts, malloc. */
    TAIL_ENTRIES_MAX = 8192,
    TAIL_ENTRIES_MIN = 1, /* 0 would mean to the library that a snapshot is installed. */
    TAIL_PATIENCE = 8,    /* So many times the bound while a snapshot is on its way. */
    TAIL_HOST_SHARE = 16, /* So many full tails per host. */
    TAIL_BYTES_MIN = 4 << 10,
};

static uint64_t size_of(const struct raft_entry *entry)
{
    return entry->buf.len + TAIL_ENTRY_OVERHEAD;
}

static uint64_t bound_of(const struct group *group)
{
    const struct host *host = group->host;
    uint64_t bound = host->options.entry_bytes_max;
    uint64_t total = bound * TAIL_HOST_SHARE;
    if (host->tail_bytes > total && host->groups.count > 0) {
        bound = total / host->groups.count;
    }
    return bound < TAIL_BYTES_MIN ? TAIL_BYTES_MIN : bound;
}

static bool is_over(const struct group *group, uint64_t times)
{
    uint64_t count = core_log_last(&group->raft) - core_log_first(&group->raft) + 1;
    return group->tail_bytes > times * bound_of(group) || count > times * TAIL_ENTRIES_MAX;
}

void tail_set_idle(struct group *group)
{
    raft_set_snapshot_threshold(&group->raft, UINT_MAX);
    raft_set_snapshot_trailing(&group->raft, TAIL_ENTRIES_MIN);
}

void tail_add(struct group *group, const struct raft_entry *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t size = size_of(&entries[i]);
        group->tail_bytes += size;
        group->host->tail_bytes += size;
    }
    if (is_over(group, 1) && group->tail_bytes >= group->tail_next) {
        raft_set_snapshot_threshold(&group->raft, 1);
    }
}

/* Not again before the tail has grown by a good part. */
static void rest(struct group *group)
{
    raft_set_snapshot_threshold(&group->raft, UINT_MAX);
    group->tail_next = group->tail_bytes + bound_of(group) / 8;
}

void tail_forget(struct group *group)
{
    assert(group->host->tail_bytes >= group->tail_bytes);
    group->host->tail_bytes -= group->tail_bytes;
    group->tail_bytes = 0;
}

void tail_recount(struct group *group)
{
    const struct raft *raft = &group->raft;
    uint64_t bytes = 0;
    for (uint64_t i = core_log_first(raft); i <= core_log_last(raft); i++) {
        bytes += size_of(core_log_entry(raft, i));
    }
    tail_forget(group);
    group->tail_bytes = bytes;
    group->host->tail_bytes += bytes;
}

/* How many applied entries stay: half of the bound, and what members that answer still need, as
 * long as that is not much. */
static unsigned trailing_of(const struct group *group)
{
    const struct raft *raft = &group->raft;
    uint64_t first = core_log_first(raft);
    uint64_t index = raft->last_applied;
    uint64_t bytes = 0;
    while (index > first && raft->last_applied - index < TAIL_ENTRIES_MAX / 2) {
        bytes += size_of(core_log_entry(raft, index));
        if (bytes > bound_of(group) / 2) {
            break;
        }
        index--;
    }
    for (unsigned i = 0; raft->state == RAFT_LEADER && i < raft->configuration.n; i++) {
        const struct raft_progress *progress = &raft->leader_state.progress[i];
        bool waits = progress->recent_recv && progress->match_index > 0 &&
                     progress->state != PROGRESS_SNAPSHOT;
        if (waits && progress->match_index < index && !is_over(group, TAIL_PATIENCE)) {
            index = progress->match_index;
        }
    }
    uint64_t count = raft->last_applied - index + 1;
    return count < TAIL_ENTRIES_MIN ? TAIL_ENTRIES_MIN : (unsigned)count;
}

static int on_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    (void)fsm; /* Applied from the log afterwards, see group_apply. */
    (void)buf;
    *result = NULL;
    return 0;
}

static int on_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct group *group;
    CAST_OBJ(group, fsm->data, GROUP_MAGIC);
    bool patient = snapshot_feed_active(group) && !is_over(group, TAIL_PATIENCE);
    if (guard_conf_unsettled(group) || patient) {
        rest(group);
        return RAFT_BUSY;
    }
    raft_set_snapshot_trailing(&group->raft, trailing_of(group));
    *bufs = raft_malloc(sizeof **bufs);
    assert(*bufs != NULL);
    (*bufs)[0].base = raft_calloc(1, 1);
    (*bufs)[0].len = 1;
    assert((*bufs)[0].base != NULL);
    *n_bufs = 1;
    return 0;
}

static int on_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct group *group;
    CAST_OBJ(group, fsm->data, GROUP_MAGIC);
    raft_free(buf->base);
    guard_conf_restored(group);
    return 0;
}

void tail_init_fsm(struct group *group)
{
    group->fsm = (struct raft_fsm){
        .version = 1,
        .data = group,
        .apply = on_apply,
        .snapshot = on_snapshot,
        .restore = on_restore,
    };
}

void tail_put(struct group *group, struct raft_io_snapshot_put *request)
{
    assert(!group->compacting);
    group->compacting = true;
    group->compact_request = request;
    instance_mark_dirty(group);
}

void tail_finish(struct group *group)
{
    if (!group->compacting) {
        return;
    }
    assert(group->state.index == group->raft.last_applied);
    group->compacting = false;
    instance_enter(group);
    group->compact_request->cb(group->compact_request, 0);
    instance_leave(group);
    tail_recount(group);
    rest(group);
}
