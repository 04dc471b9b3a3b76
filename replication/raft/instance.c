#include "replication/raft/instance.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "replication/raft/core_io.h"
#include "replication/raft/core_log.h"
#include "replication/raft/guard_barrier.h"
#include "replication/raft/guard_conf.h"
#include "replication/raft/guard_snap.h"
#include "replication/raft/guard_solo.h"
#include "replication/raft/guard_store.h"
#include "replication/raft/lease.h"
#include "replication/raft/ops.h"
#include "replication/raft/outbox.h"
#include "replication/raft/snapshot_feed.h"
#include "replication/raft/stand.h"
#include "replication/raft/tail.h"

/* Longer than any snapshot takes: the end of a transfer is seen by other means. */
enum { INSTALL_TIMEOUT_MS = 24 * 3600 * 1000, CATCH_UP_ROUND_MS = 60 * 1000 };

static void mute(struct raft_tracer *tracer, const char *file, int line, const char *message)
{
    (void)tracer;
    (void)file;
    (void)line;
    (void)message;
}

void instance_mark_dirty(struct group *group)
{
    if (list_empty(&group->dirty)) {
        list_push_back(&group->host->dirty, &group->dirty);
    }
}

void instance_mark_storing(struct group *group)
{
    if (list_empty(&group->storing)) {
        list_push_back(&group->host->storing, &group->storing);
    }
}

void instance_open(struct group *group)
{
    struct raft *raft = &group->raft;
    const struct host_options *options = &group->host->options;
    core_io_init(group);
    tail_init_fsm(group);
    int rv = raft_init(raft, &group->io, &group->fsm, group->replica, group->address);
    assert(rv == 0);
    /* The library's own tracer has static buffers and obeys the environment. */
    group->tracer = (struct raft_tracer){.enabled = false, .emit = mute};
    raft->tracer = &group->tracer;
    raft->data = group;
    raft_set_pre_vote(raft, true);
    raft_set_election_timeout(raft, options->election_ms);
    raft_set_heartbeat_timeout(raft, options->heartbeat_ms);
    raft_set_install_snapshot_timeout(raft, INSTALL_TIMEOUT_MS);
    raft_set_max_catch_up_round_duration(raft, CATCH_UP_ROUND_MS);
    tail_set_idle(group);
    group->seen_state = RAFT_FOLLOWER;
    group->seen_term = 0;
    group->seen_leader = 0;
    group->verified = 0;
    group->verified_term = 0;
    instance_enter(group);
    rv = raft_start(raft);
    assert(rv == 0);
    guard_conf_start(group);
    instance_leave(group);
}

static void finish_sends(struct group *group)
{
    for (size_t i = 0; i < group->sent_count; i++) {
        struct sent sent = group->sent[i];
        sent.cb(sent.request, 0);
    }
    group->sent_count = 0;
}

static void on_closed(struct raft *raft)
{
    struct group *group = raft->data;
    assert(group->magic == GROUP_MAGIC);
    group->closing = false;
}

/* Both requests for snapshots end without a result; the library frees what it gave. */
static void finish_snapshots(struct group *group)
{
    struct install *install = &group->install;
    if (install->stage != INSTALL_NONE) {
        struct raft_buffer *bufs = install->bufs;
        install->stage = INSTALL_NONE;
        install->request->cb(install->request, 0);
        raft_free(bufs); /* installSnapshotCb() leaks it when unavailable. */
        buf_deinit(&install->manifest);
    }
    snapshot_feed_finish(group);
    if (group->compacting) {
        group->compacting = false;
        group->compact_request->cb(group->compact_request, RAFT_CANCELED);
    }
}

void core_io_closed(struct group *group)
{
    ops_finish(group);
    finish_snapshots(group);
    finish_sends(group);
}

void instance_close(struct group *group)
{
    assert(!group->in_library && !group->closing);
    group->in_library = true;
    group->closing = true;
    raft_close(&group->raft, on_closed);
    assert(!group->closing);
    group->in_library = false;
    outbox_clear(group);
    tail_forget(group);
}

/* Copies the entries below `end`, for load() of the next instance. */
static void keep_entries(struct group *group, uint64_t end)
{
    const struct raft *raft = &group->raft;
    uint64_t first = core_log_first(raft);
    size_t count = end > first ? (size_t)(end - first) : 0;
    group->load_start = first;
    group->load_count = count;
    group->load_entries = count == 0 ? NULL : raft_malloc(count * sizeof *group->load_entries);
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = core_log_entry(raft, first + i);
        group->load_entries[i] = core_io_copy_entry(entry->term, (uint8_t)entry->type,
                                                    slice_of(entry->buf.base, entry->buf.len));
    }
}

void instance_bounce(struct group *group)
{
    assert(group->ops == NULL && group->install.stage == INSTALL_NONE);
    uint64_t end = core_log_last(&group->raft) + 1;
    log_warn("group.restart", "group=%llu replica=%llu applied=%llu", (unsigned long long)group->id,
             (unsigned long long)group->replica, (unsigned long long)group->state.index);
    if (group->cut > group->state.index && group->cut < end) {
        end = group->cut;
        core_io_truncate(group, end);
    }
    group->cut = 0;
    keep_entries(group, end);
    instance_close(group);
    lease_restart(group);
    group->broken = false;
    instance_open(group);
}

void instance_enter(struct group *group)
{
    assert(group->magic == GROUP_MAGIC);
    assert(!group->in_library);
    group->in_library = true;
}

static void lose_leadership(struct group *group)
{
    group->barrier_index = 0;
    group->announced = false;
    snapshot_feed_forget(group);
}

/* What changed in the call? */
static void watch(struct group *group)
{
    struct raft *raft = &group->raft;
    bool was_leader = group->seen_state == RAFT_LEADER;
    bool is_leader = raft->state == RAFT_LEADER;
    bool same_term = group->seen_term == raft->current_term;
    group->seen_state = raft->state;
    group->seen_term = raft->current_term;
    instance_mark_dirty(group);
    if (was_leader && !(is_leader && same_term)) {
        lose_leadership(group);
    }
    if (raft->state == RAFT_UNAVAILABLE) {
        group->broken = true;
        return;
    }
    if (is_leader && !(was_leader && same_term)) {
        lease_new_term(group);
        group->host->stats.elections++;
        guard_barrier_start(group);
    }
    stand_watch(group);
}

void instance_leave(struct group *group)
{
    assert(group->in_library);
    finish_sends(group);
    group->in_library = false;
    watch(group);
}

void instance_receive(struct group *group, struct raft_message *message)
{
    instance_enter(group);
    group->in_receive = true;
    group->receive(&group->io, message);
    lease_heard(group);
    group->heard_ns = 0;
    group->in_receive = false;
    instance_leave(group);
}

void instance_tick(struct group *group, uint64_t now_ms)
{
    if (guard_store_blocks(group) || guard_snap_blocks(group)) {
        return;
    }
    guard_barrier_start(group);
    if (stand_yields(group, now_ms)) {
        return;
    }
    group->host->frozen_ms = now_ms;
    stand_again(group, now_ms);
    guard_solo_before_tick(group, now_ms);
    instance_enter(group);
    group->tick(&group->io);
    group->host->frozen_ms = 0;
    instance_leave(group);
}
