#include "replication/raft/inbox.h"

#include "common/base/clock.h"
#include "replication/raft/guard_barrier.h"
#include "replication/raft/guard_clamp.h"
#include "replication/raft/guard_conf.h"
#include "replication/raft/guard_hint.h"
#include "replication/raft/guard_snap.h"
#include "replication/raft/guard_store.h"
#include "replication/raft/guard_trim.h"
#include "replication/raft/guard_vote.h"
#include "replication/raft/guard_xfer.h"
#include "replication/raft/install.h"
#include "replication/raft/instance.h"
#include "replication/raft/lease.h"
#include "replication/raft/ops.h"
#include "replication/raft/quiesce.h"
#include "replication/raft/read_index.h"
#include "replication/raft/replica_read.h"
#include "replication/raft/snapshot_feed.h"

/* The library wants one array, and all entries in one batch of at least one byte. */
static void make_entries(const struct message_append *in, struct raft_append_entries *out)
{
    struct reader entries = reader_of(in->entries);
    struct message_entry entry;
    size_t size = 1;
    size_t at = 0;
    out->entries = NULL;
    out->n_entries = in->count;
    if (in->count == 0) {
        return;
    }
    while (message_next_entry(&entries, &entry)) {
        size += entry.data.len;
    }
    uint8_t *batch = raft_malloc(size);
    out->entries = raft_malloc(in->count * sizeof *out->entries);
    assert(batch != NULL && out->entries != NULL);
    entries = reader_of(in->entries);
    for (uint32_t i = 0; i < in->count; i++) {
        bool more = message_next_entry(&entries, &entry);
        assert(more);
        struct raft_entry *to = &out->entries[i];
        *to = (struct raft_entry){.term = entry.term, .type = entry.type, .batch = batch};
        to->buf.base = batch + at;
        to->buf.len = entry.data.len;
        if (entry.data.len > 0) {
            memcpy(batch + at, entry.data.data, entry.data.len);
        }
        at += entry.data.len;
    }
}

static void drop_entries(struct raft_append_entries *append)
{
    if (append->n_entries > 0) {
        raft_free(append->entries[0].batch);
        raft_free(append->entries);
    }
}

static void deliver_append(struct group *group,
                           const struct message *in,
                           struct raft_message *message)
{
    struct raft_append_entries *append = &message->append_entries;
    if (!guard_trim_admits(group, &in->append)) {
        return;
    }
    message->type = RAFT_IO_APPEND_ENTRIES;
    append->term = in->term;
    append->prev_log_index = in->append.prev_index;
    append->prev_log_term = in->append.prev_term;
    append->leader_commit = in->append.commit;
    make_entries(&in->append, append);
    if (in->append.count > 0) {
        group->active_ms = clock_now_ms();
    }
    if (in->term >= group->raft.current_term && in->append.commit > group->commit_seen) {
        group->commit_seen = in->append.commit;
    }
    guard_trim_message(group, append);
    if (guard_store_defers(group, append)) {
        drop_entries(append);
        return;
    }
    guard_conf_before_append(group, append);
    guard_clamp_begin(group, message);
    lease_hear(group, in->from, in->term, in->append.sent_ns);
    instance_receive(group, message);
}

static void deliver_append_result(struct group *group,
                                  const struct message *in,
                                  struct raft_message *message)
{
    struct raft *raft = &group->raft;
    struct raft_append_entries_result *result = &message->append_entries_result;
    message->type = RAFT_IO_APPEND_ENTRIES_RESULT;
    result->term = in->term;
    result->rejected = in->append_result.rejected;
    result->last_log_index = in->append_result.last_index;
    if (raft->state == RAFT_LEADER && in->term == raft->current_term) {
        lease_echoed(group, in->from, in->append_result.echo_ns);
        if (result->rejected != 0 && snapshot_feed_ignores(group, in->from)) {
            return;
        }
        guard_hint_retry(group, message);
        if (guard_barrier_keeps(group, message)) {
            return;
        }
        if (result->rejected == 0) {
            ops_run_acked(group, in->from, result->last_log_index);
        }
    }
    instance_receive(group, message);
}

static void deliver_vote(struct group *group,
                         const struct message *in,
                         struct raft_message *message)
{
    struct raft_request_vote *vote = &message->request_vote;
    struct guard_vote guard;
    message->type = RAFT_IO_REQUEST_VOTE;
    vote->term = in->term;
    vote->candidate_id = in->from;
    vote->last_log_index = in->vote.last_index;
    vote->last_log_term = in->vote.last_term;
    vote->disrupt_leader = in->vote.disrupt;
    vote->pre_vote = in->vote.pre_vote;
    if (clock_now_ms() < group->blackout_until_ms && !vote->disrupt_leader) {
        return; /* Keeps a promise of the time before the restart. */
    }
    if (guard_snap_blocks(group) || guard_xfer_drops(group, message)) {
        return;
    }
    guard_vote_begin(group, &guard);
    instance_enter(group);
    group->in_receive = true;
    group->receive(&group->io, message);
    group->in_receive = false;
    guard_vote_end(group, &guard);
    instance_leave(group);
}

static void deliver_install(struct group *group,
                            const struct message *in,
                            struct raft_message *message,
                            uint64_t from_node)
{
    struct raft_install_snapshot *install = &message->install_snapshot;
    if (!install_admit(group, in, from_node)) {
        return;
    }
    message->type = RAFT_IO_INSTALL_SNAPSHOT;
    install->term = in->term;
    install->last_index = in->install.state.index;
    install->last_term = in->install.state.term;
    install->conf_index = in->install.state.conf_index;
    group_conf_to_raft(&in->install.state.conf, &install->conf);
    install->data.len = in->install.manifest.len;
    install->data.base = raft_malloc(in->install.manifest.len + 1);
    assert(install->data.base != NULL);
    if (install->data.len > 0) {
        memcpy(install->data.base, in->install.manifest.data, install->data.len);
    }
    guard_clamp_begin(group, message);
    group->heard_ns = 0; /* Carries no stamp. */
    instance_receive(group, message);
}

static void deliver_timeout_now(struct group *group,
                                const struct message *in,
                                struct raft_message *message)
{
    if (guard_store_blocks(group) || guard_snap_blocks(group)) {
        return;
    }
    message->type = RAFT_IO_TIMEOUT_NOW;
    message->timeout_now.term = in->term;
    message->timeout_now.last_log_index = in->timeout_now.last_index;
    message->timeout_now.last_log_term = in->timeout_now.last_term;
    instance_receive(group, message);
}

static void deliver_vote_result(struct group *group,
                                const struct message *in,
                                struct raft_message *message)
{
    message->type = RAFT_IO_REQUEST_VOTE_RESULT;
    message->request_vote_result.term = in->term;
    message->request_vote_result.vote_granted = in->vote_result.granted;
    message->request_vote_result.pre_vote =
        in->vote_result.pre_vote ? raft_tribool_true : raft_tribool_false;
    instance_receive(group, message);
}

static bool wakes(enum message_kind kind)
{
    return kind != MESSAGE_QUIESCE && kind != MESSAGE_CONFIRM && kind != MESSAGE_CONFIRM_RESULT &&
           kind != MESSAGE_APPEND_RESULT && kind != MESSAGE_ASK_POINT && kind != MESSAGE_READ_POINT;
}

void inbox_deliver(struct group *group, const struct message *in, struct lane *lane)
{
    struct raft_message message = {.server_id = in->from};
    char address[GROUP_ADDRESS_SIZE];
    uint64_t node = lane->peer->node;
    if (group->broken || group->closed || in->to != group->replica) {
        return;
    }
    if (group->quiesced && wakes(in->kind)) {
        quiesce_wake(group);
    }
    group_conf_address(in->from, node, address);
    message.server_address = address;
    switch (in->kind) {
    case MESSAGE_APPEND: deliver_append(group, in, &message); return;
    case MESSAGE_APPEND_RESULT: deliver_append_result(group, in, &message); return;
    case MESSAGE_VOTE: deliver_vote(group, in, &message); return;
    case MESSAGE_VOTE_RESULT: deliver_vote_result(group, in, &message); return;
    case MESSAGE_INSTALL: deliver_install(group, in, &message, node); return;
    case MESSAGE_TIMEOUT_NOW: deliver_timeout_now(group, in, &message); return;
    case MESSAGE_CONFIRM: read_index_on_confirm(group, in, node); return;
    case MESSAGE_CONFIRM_RESULT: read_index_on_result(group, in); return;
    case MESSAGE_ASK_POINT: replica_read_on_ask(group, in, node); return;
    case MESSAGE_READ_POINT: replica_read_on_point(group, in, lane); return;
    case MESSAGE_QUIESCE: quiesce_on_message(group, in, lane); return;
    case MESSAGE_WAKE: return;
    case MESSAGE_NO_INSTALL:
        if (in->term == group->raft.current_term) {
            snapshot_feed_refused(group, in->from, in->point.index);
        }
        return;
    }
}
