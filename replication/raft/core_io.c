#include "replication/raft/core_io.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "replication/raft/core_log.h"
#include "replication/raft/guard_clamp.h"
#include "replication/raft/guard_conf.h"
#include "replication/raft/guard_hint.h"
#include "replication/raft/guard_prev.h"
#include "replication/raft/guard_solo.h"
#include "replication/raft/install.h"
#include "replication/raft/instance.h"
#include "replication/raft/lease.h"
#include "replication/raft/ops.h"
#include "replication/raft/outbox.h"
#include "replication/raft/snapshot_feed.h"
#include "replication/raft/tail.h"

enum { APPEND_BATCH = 256, PROBE_REPEAT_BYTES = 16 << 10, PROBE_REPEAT_HEARTBEATS = 10 };

static struct group *of(const struct raft_io *io)
{
    struct group *group;
    CAST_OBJ(group, io->impl, GROUP_MAGIC);
    return group;
}

static int on_init(struct raft_io *io, raft_id id, const char *address)
{
    assert(of(io)->replica == id);
    assert(strcmp(of(io)->address, address) == 0);
    return 0;
}

static void on_close(struct raft_io *io, raft_io_close_cb cb)
{
    core_io_closed(of(io));
    cb(io);
}

static int on_bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    (void)io;
    (void)conf;
    assert(false); /* Groups start from a synthetic snapshot. */
    return RAFT_CANTBOOTSTRAP;
}

struct raft_entry core_io_copy_entry(uint64_t term, uint8_t type, struct slice data)
{
    struct raft_entry entry = {.term = term, .type = type};
    entry.buf.len = data.len;
    entry.buf.base = raft_malloc(data.len + 1);
    assert(entry.buf.base != NULL);
    if (data.len > 0) {
        memcpy(entry.buf.base, data.data, data.len);
    }
    entry.batch = entry.buf.base;
    return entry;
}

static struct raft_snapshot *make_snapshot(const struct group_state *state)
{
    struct raft_snapshot *snapshot = raft_calloc(1, sizeof *snapshot);
    assert(snapshot != NULL);
    snapshot->index = state->index;
    snapshot->term = state->term;
    snapshot->configuration_index = state->conf_index;
    group_conf_to_raft(&state->conf, &snapshot->configuration);
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    assert(snapshot->bufs != NULL);
    snapshot->n_bufs = 1;
    snapshot->bufs[0].len = 1;
    snapshot->bufs[0].base = raft_calloc(1, 1);
    assert(snapshot->bufs[0].base != NULL);
    return snapshot;
}

/* The configuration in force once the entries are loaded. */
static struct group_conf conf_in_force(const struct group *group)
{
    struct group_conf conf = group->state.conf;
    for (size_t i = group->load_count; i > 0; i--) {
        const struct raft_entry *entry = &group->load_entries[i - 1];
        if (entry->type == RAFT_CHANGE) {
            bool whole = group_conf_decode_entry(slice_of(entry->buf.base, entry->buf.len), &conf);
            assert(whole);
            break;
        }
    }
    return conf;
}

static int on_load(struct raft_io *io,
                   raft_term *term,
                   raft_id *voted_for,
                   struct raft_snapshot **snapshot,
                   raft_index *start_index,
                   struct raft_entry *entries[],
                   size_t *n_entries)
{
    struct group *group = of(io);
    struct group_conf conf = conf_in_force(group);
    uint64_t new_term = group->term_stored;
    uint64_t new_vote = group->vote_stored;
    if (guard_solo_load(group, &conf, &new_term, &new_vote)) {
        core_io_store_vote(group, new_term, new_vote);
    }
    *term = new_term;
    *voted_for = new_vote;
    *snapshot = group->state.index == 0 ? NULL : make_snapshot(&group->state);
    *start_index = group->load_start;
    *entries = group->load_entries;
    *n_entries = group->load_count;
    group->next_index = group->load_start + group->load_count;
    assert(group->next_index > group->state.index);
    group->load_entries = NULL;
    group->load_count = 0;
    return 0;
}

static int on_start(struct raft_io *io,
                    unsigned msecs,
                    raft_io_tick_cb tick,
                    raft_io_recv_cb receive)
{
    struct group *group = of(io);
    (void)msecs;
    group->tick = tick;
    group->receive = receive;
    return 0;
}

void core_io_store_vote(struct group *group, uint64_t term, uint64_t vote)
{
    struct host *host = group->host;
    assert(term >= group->term_stored);
    group->term_stored = term;
    group->vote_stored = vote;
    group->meta_lsn = wal_port_vote(host->port, group->id, term, vote);
    instance_mark_storing(group);
}

static int on_set_term(struct raft_io *io, raft_term term)
{
    struct group *group = of(io);
    assert(term > group->term_stored);
    core_io_store_vote(group, term, 0);
    return 0;
}

static int on_set_vote(struct raft_io *io, raft_id vote)
{
    struct group *group = of(io);
    core_io_store_vote(group, group->term_stored, vote);
    return 0;
}

void core_io_truncate(struct group *group, uint64_t index)
{
    struct op op = {.kind = OP_TRUNCATE, .first = index};
    assert(index > group->state.index);
    op.lsn = wal_port_truncate(group->host->port, group->id, index);
    group->meta_lsn = op.lsn;
    group->next_index = index;
    ops_push(group, &op);
}

static int on_truncate(struct raft_io *io, raft_index index)
{
    core_io_truncate(of(io), index);
    return 0;
}

static uint64_t write_entries(struct group *group,
                              uint64_t first,
                              const struct raft_entry *entries,
                              unsigned n)
{
    struct wal_entry batch[APPEND_BATCH];
    uint64_t lsn = 0;
    for (unsigned at = 0; at < n;) {
        unsigned count = 0;
        for (; count < APPEND_BATCH && at + count < n; count++) {
            const struct raft_entry *entry = &entries[at + count];
            batch[count].term = entry->term;
            batch[count].type = (uint8_t)entry->type;
            batch[count].data = slice_of(entry->buf.base, entry->buf.len);
        }
        lsn = wal_port_append(group->host->port, group->id, first + at, batch, count);
        at += count;
    }
    return lsn;
}

void core_io_store_entries(struct group *group,
                           uint64_t first,
                           const struct raft_entry *entries,
                           size_t count)
{
    if (count > 0) {
        (void)write_entries(group, first, entries, (unsigned)count);
    }
}

static int on_append(struct raft_io *io,
                     struct raft_io_append *req,
                     const struct raft_entry entries[],
                     unsigned n,
                     raft_io_append_cb cb)
{
    struct group *group = of(io);
    struct op op = {.kind = OP_APPEND, .count = n, .append = req};
    assert(n > 0);
    req->cb = cb;
    guard_clamp_accept(group);
    op.first = group->next_index;
    op.lsn = write_entries(group, group->next_index, entries, n);
    group->next_index += n;
    tail_add(group, entries, n);
    ops_push(group, &op);
    return 0;
}

static int on_snapshot_put(struct raft_io *io,
                           unsigned trailing,
                           struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot,
                           raft_io_snapshot_put_cb cb)
{
    struct group *group = of(io);
    req->cb = cb;
    if (trailing == 0) {
        install_start(group, req, snapshot);
    } else {
        tail_put(group, req);
    }
    return 0;
}

static int on_snapshot_get(struct raft_io *io,
                           struct raft_io_snapshot_get *req,
                           raft_io_snapshot_get_cb cb)
{
    req->cb = cb;
    snapshot_feed_start(of(io), req);
    return 0;
}

static raft_time on_time(struct raft_io *io)
{
    uint64_t frozen_ms = of(io)->host->frozen_ms;
    return frozen_ms != 0 ? frozen_ms : clock_now_ms();
}

static int on_random(struct raft_io *io, int min, int max)
{
    assert(max >= min);
    return min + (int)rand_below(&of(io)->host->rand, (uint64_t)(max - min) + 1);
}

static void note_sent(struct group *group, struct raft_io_send *req, raft_io_send_cb cb)
{
    if (cb == NULL) {
        return; /* The request is part of a raft_transfer, which may be gone (canonical c6cfe58). */
    }
    req->cb = cb;
    if (group->sent_count == group->sent_size) {
        group->sent_size = group->sent_size == 0 ? 8 : 2 * group->sent_size;
        group->sent = realloc(group->sent, group->sent_size * sizeof *group->sent);
        assert(group->sent != NULL);
    }
    group->sent[group->sent_count++] = (struct sent){.request = req, .cb = cb};
}

/* A probe is repeated every heartbeat with all its entries; while the first copy is under way, the
 * repeat goes without. */
static bool is_repeat(struct group *group, const struct raft_message *message)
{
    const struct raft_append_entries *append = &message->append_entries;
    const struct raft *raft = &group->raft;
    struct contact *contact = lease_contact(group, message->server_id);
    size_t bytes = 0;
    if (contact == NULL || append->n_entries == 0) {
        return false;
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        bool it = raft->configuration.servers[i].id == message->server_id;
        if (it && raft->leader_state.progress[i].state != PROGRESS_PROBE) {
            contact->probe_ms = 0;
            return false;
        }
    }
    for (unsigned i = 0; i < append->n_entries && bytes < PROBE_REPEAT_BYTES; i++) {
        bytes += append->entries[i].buf.len;
    }
    uint64_t now_ms = clock_now_ms();
    uint64_t patience_ms = PROBE_REPEAT_HEARTBEATS * (uint64_t)raft->heartbeat_timeout;
    if (bytes >= PROBE_REPEAT_BYTES && contact->probe_ms != 0 &&
        contact->probe_prev == append->prev_log_index && now_ms - contact->probe_ms < patience_ms) {
        return true;
    }
    contact->probe_prev = append->prev_log_index;
    contact->probe_ms = now_ms;
    return false;
}

static void send_append(struct group *group,
                        struct message *out,
                        const struct raft_message *message)
{
    struct raft_append_entries append = message->append_entries;
    uint64_t node = group_conf_node(message->server_address);
    if (is_repeat(group, message)) {
        append.n_entries = 0;
    }
    if (append.leader_commit > append.prev_log_index + append.n_entries) {
        append.leader_commit = append.prev_log_index + append.n_entries;
    }
    uint64_t lsn = guard_conf_lsn(group, &append);
    out->kind = MESSAGE_APPEND;
    out->term = append.term;
    out->append.prev_index = append.prev_log_index;
    out->append.prev_term = append.prev_log_term;
    out->append.commit = append.leader_commit;
    out->append.sent_ns = clock_now_ns();
    out->append.count = 0;
    out->append.entries = slice_of(NULL, 0);
    lsn = lsn > group->meta_lsn ? lsn : group->meta_lsn;
    outbox_send_append(group, node, lsn, out, &append);
}

static void fill_append_result(struct group *group,
                               struct message *out,
                               const struct raft_message *message)
{
    const struct raft_append_entries_result *result = &message->append_entries_result;
    out->kind = MESSAGE_APPEND_RESULT;
    out->term = result->term;
    out->append_result.rejected = result->rejected;
    out->append_result.last_index = result->last_log_index;
    if (result->rejected == 0) {
        guard_clamp_accept(group);
        out->append_result.last_index = guard_clamp_index(group, result->last_log_index);
    } else {
        out->append_result.last_index =
            guard_hint_index(group, result->rejected, result->last_log_index);
    }
    lease_heard(group);
    out->append_result.echo_ns = lease_echo(group, message->server_id, result->term);
}

static void fill_vote(struct message *out, const struct raft_message *message)
{
    const struct raft_request_vote *vote = &message->request_vote;
    out->kind = MESSAGE_VOTE;
    out->term = vote->term;
    out->vote.last_index = vote->last_log_index;
    out->vote.last_term = vote->last_log_term;
    out->vote.disrupt = vote->disrupt_leader;
    out->vote.pre_vote = vote->pre_vote;
}

static void fill_install(struct message *out, const struct raft_message *message)
{
    const struct raft_install_snapshot *install = &message->install_snapshot;
    out->kind = MESSAGE_INSTALL;
    out->term = install->term;
    out->install.state.index = install->last_index;
    out->install.state.term = install->last_term;
    out->install.state.conf_index = install->conf_index;
    group_conf_from_raft(&install->conf, &out->install.state.conf);
    out->install.manifest = slice_of(install->data.base, install->data.len);
}

static void fill_timeout_now(struct group *group,
                             struct message *out,
                             const struct raft_message *message)
{
    out->kind = MESSAGE_TIMEOUT_NOW;
    out->term = message->timeout_now.term;
    out->timeout_now.last_index = message->timeout_now.last_log_index;
    out->timeout_now.last_term = message->timeout_now.last_log_term;
    lease_suspend(group, message->server_id);
}

static void encode_and_send(struct group *group, const struct raft_message *message)
{
    struct message out = {.group = group->id, .from = group->replica, .to = message->server_id};
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES: send_append(group, &out, message); return;
    case RAFT_IO_APPEND_ENTRIES_RESULT: fill_append_result(group, &out, message); break;
    case RAFT_IO_REQUEST_VOTE: fill_vote(&out, message); break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        out.kind = MESSAGE_VOTE_RESULT;
        out.term = guard_prev_term(group, &message->request_vote_result);
        out.vote_result.granted = message->request_vote_result.vote_granted;
        out.vote_result.pre_vote = message->request_vote_result.pre_vote == raft_tribool_true;
        break;
    case RAFT_IO_INSTALL_SNAPSHOT:
        fill_install(&out, message);
        snapshot_feed_sent(group, message->server_id);
        break;
    case RAFT_IO_TIMEOUT_NOW: fill_timeout_now(group, &out, message); break;
    default: assert(false);
    }
    outbox_send(group, group_conf_node(message->server_address), group->meta_lsn, &out);
}

static int on_send(struct raft_io *io,
                   struct raft_io_send *req,
                   const struct raft_message *message,
                   raft_io_send_cb cb)
{
    struct group *group = of(io);
    note_sent(group, req, cb);
    /* A node that answers while it knows no leader sends to nobody (recv_append_entries.c). */
    if (group->closing || message->server_id == 0 || message->server_address == NULL) {
        return 0;
    }
    encode_and_send(group, message);
    return 0;
}

void core_io_init(struct group *group)
{
    group->io = (struct raft_io){
        .version = 1,
        .impl = group,
        .init = on_init,
        .close = on_close,
        .load = on_load,
        .start = on_start,
        .bootstrap = on_bootstrap,
        .recover = on_bootstrap,
        .set_term = on_set_term,
        .set_vote = on_set_vote,
        .send = on_send,
        .append = on_append,
        .truncate = on_truncate,
        .snapshot_put = on_snapshot_put,
        .snapshot_get = on_snapshot_get,
        .time = on_time,
        .random = on_random,
    };
}
