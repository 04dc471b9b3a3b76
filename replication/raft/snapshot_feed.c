#include "replication/raft/snapshot_feed.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "replication/raft/core_log.h"
#include "replication/raft/instance.h"
#include "replication/raft/outbox.h"

enum { FEED_BACKOFF_MS = 500, FEED_REPEAT_MS = 3000 };

static struct raft_progress *progress_of(struct group *group, uint64_t replica)
{
    struct raft *raft = &group->raft;
    if (raft->state != RAFT_LEADER) {
        return NULL;
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].id == replica) {
            return &raft->leader_state.progress[i];
        }
    }
    return NULL;
}

static struct feed *find(struct group *group, uint64_t replica)
{
    struct feed *feed = group->feeds;
    while (feed != NULL && feed->replica != replica) {
        feed = feed->next;
    }
    return feed;
}

/* replication.c:133 of 0.15.0: what the request is part of. The contract does not say for whom a
 * snapshot is wanted. */
struct send_install_snapshot {
    struct raft *raft;
    struct raft_io_snapshot_get get;
    struct raft_io_send send;
    struct raft_snapshot *snapshot;
    raft_id server_id;
};

static uint64_t whose(struct group *group, const struct raft_io_snapshot_get *request)
{
    const struct send_install_snapshot *around = request->data;
    assert(&around->get == request && around->raft == &group->raft);
    const struct raft_progress *progress = progress_of(group, around->server_id);
    assert(progress != NULL && progress->state == PROGRESS_SNAPSHOT);
    return around->server_id;
}

static void remove_feed(struct group *group, struct feed *feed)
{
    struct feed **link = &group->feeds;
    assert(feed->request == NULL);
    while (*link != feed) {
        link = &(*link)->next;
    }
    *link = feed->next;
    buf_deinit(&feed->manifest);
    free(feed);
}

void snapshot_feed_start(struct group *group, struct raft_io_snapshot_get *request)
{
    assert(group->raft.state == RAFT_LEADER);
    uint64_t replica = whose(group, request);
    struct feed *feed = find(group, replica);
    if (feed != NULL && feed->request != NULL) {
        /* A stale rejection made the library begin anew: nobody waits for the first any more. */
        feed->replica = 0;
        feed->token = 0;
        feed->wanted_told = true;
        feed->made = true;
        feed->status = STATUS_CONFLICT;
        feed = NULL;
    }
    if (feed != NULL) { /* One that failed and left its backoff. */
        buf_deinit(&feed->manifest);
    } else {
        feed = calloc(1, sizeof *feed);
        assert(feed != NULL);
        feed->replica = replica;
        feed->next = group->feeds;
        group->feeds = feed;
    }
    feed->token = ++group->host->next_token;
    feed->request = request;
    feed->wanted_told = false;
    feed->made = false;
    feed->sent_ms = 0;
    buf_init(&feed->manifest, MESSAGE_MANIFEST_SIZE_MAX);
    instance_mark_dirty(group);
}

void snapshot_feed_sent(struct group *group, uint64_t replica)
{
    struct feed *feed = find(group, replica);
    assert(feed != NULL);
    feed->sent_ms = clock_now_ms();
}

void snapshot_feed_made(struct group *group,
                        uint64_t token,
                        enum status status,
                        const struct group_state *state,
                        struct slice manifest)
{
    for (struct feed *feed = group->feeds; feed != NULL; feed = feed->next) {
        if (feed->token != token || feed->made) {
            continue;
        }
        assert(feed->wanted_told);
        feed->made = true;
        feed->status = status;
        if (status == STATUS_OK) {
            assert(state->index <= group->state.index || group->raft.state != RAFT_LEADER);
            assert(manifest.len <= MESSAGE_MANIFEST_SIZE_MAX);
            feed->state = *state;
            buf_append_slice(&feed->manifest, manifest);
        }
        instance_mark_dirty(group);
        return;
    }
}

static void to_probe(struct group *group, uint64_t replica)
{
    struct raft_progress *progress = progress_of(group, replica);
    if (progress != NULL && progress->state == PROGRESS_SNAPSHOT) {
        progress->state = PROGRESS_PROBE; /* As progressAbortSnapshot(). */
        progress->snapshot_index = 0;
    }
}

/* Answers the library's request with nothing and sends the member back to PROBE. The feed stays as
 * a memory of the failure until its backoff is over. */
static void fail(struct group *group, struct feed *feed)
{
    struct raft_io_snapshot_get *request = feed->request;
    uint64_t replica = feed->replica;
    feed->request = NULL;
    feed->sent_ms = 0;
    feed->made = false;
    feed->token = 0;
    feed->not_before_ms = clock_now_ms() + FEED_BACKOFF_MS;
    if (request != NULL) {
        instance_enter(group);
        request->cb(request, NULL, RAFT_IOERR);
        instance_leave(group);
    }
    to_probe(group, replica);
}

static struct raft_snapshot *make_snapshot(const struct feed *feed)
{
    struct raft_snapshot *snapshot = raft_calloc(1, sizeof *snapshot);
    assert(snapshot != NULL);
    snapshot->index = feed->state.index;
    snapshot->term = feed->state.term;
    snapshot->configuration_index = feed->state.conf_index;
    group_conf_to_raft(&feed->state.conf, &snapshot->configuration);
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    assert(snapshot->bufs != NULL);
    snapshot->n_bufs = 1;
    snapshot->bufs[0].len = feed->manifest.len;
    snapshot->bufs[0].base = raft_malloc(feed->manifest.len + 1);
    assert(snapshot->bufs[0].base != NULL);
    if (feed->manifest.len > 0) {
        memcpy(snapshot->bufs[0].base, feed->manifest.data, feed->manifest.len);
    }
    return snapshot;
}

static void answer(struct group *group, struct feed *feed)
{
    struct raft_progress *progress = progress_of(group, feed->replica);
    bool wanted = progress != NULL && progress->state == PROGRESS_SNAPSHOT;
    if (feed->status != STATUS_OK || !wanted) {
        fail(group, feed);
        return;
    }
    if (core_log_term(&group->raft, feed->state.index) != feed->state.term) {
        fail(group, feed); /* The log went on without it: what follows is gone. */
        return;
    }
    struct raft_io_snapshot_get *request = feed->request;
    feed->request = NULL;
    progress->snapshot_index = feed->state.index;
    instance_enter(group);
    request->cb(request, make_snapshot(feed), 0);
    instance_leave(group);
}

static void repeat(struct group *group, struct feed *feed, uint64_t now_ms)
{
    const struct raft *raft = &group->raft;
    struct message out = {
        .kind = MESSAGE_INSTALL,
        .group = group->id,
        .from = group->replica,
        .to = feed->replica,
        .term = raft->current_term,
    };
    out.install.state = feed->state;
    out.install.manifest = buf_slice(&feed->manifest);
    feed->sent_ms = now_ms;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->id == feed->replica) {
            outbox_send(group, group_conf_node(server->address), group->meta_lsn, &out);
        }
    }
}

static bool tell(struct group *group, struct feed *feed)
{
    struct group_conf conf;
    group_conf_from_raft(&group->raft.configuration, &conf);
    const struct group_member *member = group_conf_find(&conf, feed->replica);
    feed->wanted_told = true;
    if (member == NULL || group->raft.state != RAFT_LEADER) {
        fail(group, feed);
        return true;
    }
    struct group_member to = *member;
    group->callbacks++;
    group->machine->on_snapshot_wanted(group->ctx, &to, feed->token);
    group->callbacks--;
    return true;
}

/* One step of one feed. True: the list may have changed. */
static bool step(struct group *group, struct feed *feed, uint64_t now_ms)
{
    struct raft_progress *progress = progress_of(group, feed->replica);
    bool snapshot = progress != NULL && progress->state == PROGRESS_SNAPSHOT;
    if (feed->request != NULL) {
        if (feed->made) {
            answer(group, feed);
            return true;
        }
        return !feed->wanted_told && now_ms >= feed->not_before_ms && tell(group, feed);
    }
    if (!snapshot && (now_ms >= feed->not_before_ms + 10 * FEED_BACKOFF_MS || progress == NULL)) {
        remove_feed(group, feed);
        return true;
    }
    if (!snapshot) {
        feed->sent_ms = 0; /* Installed, or given up. */
        feed->made = false;
        return false;
    }
    if (feed->sent_ms != 0 && now_ms - feed->sent_ms >= FEED_REPEAT_MS) {
        repeat(group, feed, now_ms);
    }
    return false;
}

bool snapshot_feed_run(struct group *group, uint64_t now_ms)
{
    bool changed = false;
    for (struct feed *feed = group->feeds; feed != NULL && !group->closed; feed = feed->next) {
        if (step(group, feed, now_ms)) {
            changed = true;
            break; /* The list may be another one now; the caller comes again. */
        }
    }
    return changed;
}

void snapshot_feed_refused(struct group *group, uint64_t replica, uint64_t index)
{
    struct feed *feed = find(group, replica);
    if (feed != NULL && feed->sent_ms != 0 && feed->state.index == index) {
        log_info("group.install_refused", "group=%llu replica=%llu", (unsigned long long)group->id,
                 (unsigned long long)replica);
        fail(group, feed);
    }
}

void snapshot_feed_abort_node(struct group *group, uint64_t node)
{
    const struct raft *raft = &group->raft;
    for (unsigned i = 0; raft->state == RAFT_LEADER && i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        struct feed *feed = find(group, server->id);
        bool sent = feed != NULL && feed->sent_ms != 0;
        if (sent && group_conf_node(server->address) == node) {
            fail(group, feed);
        }
    }
}

bool snapshot_feed_ignores(struct group *group, uint64_t replica)
{
    const struct feed *feed = find(group, replica);
    struct raft_progress *progress = progress_of(group, replica);
    if (progress == NULL || progress->state != PROGRESS_SNAPSHOT || feed == NULL ||
        (feed->request == NULL && feed->sent_ms == 0)) {
        return false;
    }
    progress->recent_recv = true;
    return true;
}

bool snapshot_feed_active(const struct group *group)
{
    for (const struct feed *feed = group->feeds; feed != NULL; feed = feed->next) {
        if (feed->request != NULL || feed->sent_ms != 0) {
            return true;
        }
    }
    return false;
}

void snapshot_feed_forget(struct group *group)
{
    struct feed *feed = group->feeds;
    while (feed != NULL) {
        bool live = feed->request != NULL || feed->sent_ms != 0;
        if (live) {
            fail(group, feed);
        }
        feed = live ? group->feeds : feed->next;
    }
}

void snapshot_feed_finish(struct group *group)
{
    while (group->feeds != NULL) {
        struct feed *feed = group->feeds;
        struct raft_io_snapshot_get *request = feed->request;
        feed->request = NULL;
        if (request != NULL) {
            request->cb(request, NULL, RAFT_CANCELED);
        }
        remove_feed(group, feed);
    }
}
