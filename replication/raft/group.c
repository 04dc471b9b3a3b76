#include "replication/group.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "replication/raft/core_io.h"
#include "replication/raft/core_log.h"
#include "replication/raft/early.h"
#include "replication/raft/group_apply.h"
#include "replication/raft/install.h"
#include "replication/raft/instance.h"
#include "replication/raft/lease.h"
#include "replication/raft/membership.h"
#include "replication/raft/outbox.h"
#include "replication/raft/quiesce.h"
#include "replication/raft/read_index.h"
#include "replication/raft/replica_read.h"
#include "replication/raft/snapshot_feed.h"
#include "replication/raft/stand.h"

enum { GROUP_LOAD_TAIL_MAX = 256, GROUP_RECORD_SIZE_MAX = MESSAGE_MANIFEST_SIZE_MAX + 1024 };

struct loading {
    struct group *group;
    size_t size;
    enum status status;
};

static void on_loaded(void *arg, uint64_t index, const struct wal_entry *entry)
{
    struct loading *loading = arg;
    struct group *group = loading->group;
    struct group_conf conf;
    if (group->load_count == 0) {
        group->load_start = index;
    }
    bool next = index == group->load_start + group->load_count;
    bool type = entry->type >= RAFT_COMMAND && entry->type <= RAFT_CHANGE;
    bool whole = entry->type != RAFT_CHANGE || group_conf_decode_entry(entry->data, &conf);
    if (!next || !type || !whole || entry->term == 0 || loading->status != STATUS_OK) {
        loading->status = STATUS_CORRUPT;
        return;
    }
    if (group->load_count == loading->size) {
        loading->size = loading->size == 0 ? 64 : 2 * loading->size;
        group->load_entries =
            raft_realloc(group->load_entries, loading->size * sizeof *group->load_entries);
        assert(group->load_entries != NULL);
    }
    group->load_entries[group->load_count++] =
        core_io_copy_entry(entry->term, entry->type, entry->data);
}

static void drop_loaded(struct group *group)
{
    for (size_t i = 0; i < group->load_count; i++) {
        raft_free(group->load_entries[i].batch);
    }
    raft_free(group->load_entries);
    group->load_entries = NULL;
    group->load_count = 0;
}

/* Writes the group's beginning: behind the state, with nothing in the log. */
static void begin_log(struct group *group)
{
    struct buf record;
    buf_init(&record, GROUP_RECORD_SIZE_MAX);
    install_encode(&group->state, slice_of(NULL, 0), &record);
    group->meta_lsn = wal_port_reset(group->host->port, group->id, group->state.index,
                                     group->state.term, buf_slice(&record));
    buf_deinit(&record);
    group->load_start = group->state.index + 1;
}

/* What is behind the applied state stays, under the terms that it has. A change of the
 * configuration is of a group that is no more: nothing stands in its place. */
static enum status open_reborn(struct group *group, const struct wal_group *found)
{
    static const uint8_t nothing[8] = {0}; /* What the library puts into a barrier. */
    struct loading loading = {.group = group, .status = STATUS_OK};
    group->term_stored = found->term > found->base_term ? found->term : found->base_term;
    group->vote_stored = 0;
    if (found->base_index > group->state.index) {
        return STATUS_CORRUPT;
    }
    if (found->last_index > group->state.index) {
        enum status status =
            wal_load(group->host->wal, group->id, group->state.index + 1, on_loaded, &loading);
        status = status == STATUS_OK ? loading.status : status;
        if (status != STATUS_OK || group->load_start != group->state.index + 1) {
            drop_loaded(group);
            return status == STATUS_OK ? STATUS_CORRUPT : status;
        }
    }
    begin_log(group);
    for (size_t i = 0; i < group->load_count; i++) {
        struct raft_entry *entry = &group->load_entries[i];
        if (entry->type == RAFT_CHANGE) {
            uint64_t term = entry->term;
            raft_free(entry->batch);
            *entry = core_io_copy_entry(term, RAFT_BARRIER, slice_of(nothing, sizeof(nothing)));
        }
    }
    core_io_store_entries(group, group->load_start, group->load_entries, group->load_count);
    core_io_store_vote(group, group->term_stored, 0);
    return STATUS_OK;
}

static void open_new(struct group *group)
{
    begin_log(group);
    if (group->state.term > 0) {
        core_io_store_vote(group, group->state.term, 0);
    }
}

/* Does the log go with the state? */
static bool check_loaded(const struct group *group, const struct wal_group *found)
{
    const struct group_state *state = &group->state;
    if (group->load_count == 0) {
        return true;
    }
    uint64_t last = group->load_start + group->load_count - 1;
    assert(last >= state->index);
    if (group->load_start > state->index + 1) {
        return false;
    }
    if (group->load_start <= state->index) {
        const struct raft_entry *entry = &group->load_entries[state->index - group->load_start];
        if (entry->term != state->term) {
            return false;
        }
    }
    return group->load_entries[group->load_count - 1].term <= found->term;
}

static enum status open_found(struct group *group, const struct wal_group *found)
{
    const struct group_state *state = &group->state;
    struct loading loading = {.group = group, .status = STATUS_OK};
    if (found->base_index > state->index) {
        log_error("group.install_pending", "group=%llu base=%llu applied=%llu",
                  (unsigned long long)group->id, (unsigned long long)found->base_index,
                  (unsigned long long)state->index);
        return STATUS_CORRUPT;
    }
    group->term_stored = found->term > found->base_term ? found->term : found->base_term;
    group->vote_stored = group->term_stored == found->term ? found->vote : 0;
    /* A log that ends before the state has nothing that is still needed. */
    if (found->first_index <= found->last_index && found->last_index >= state->index) {
        uint64_t from = state->index > GROUP_LOAD_TAIL_MAX ? state->index - GROUP_LOAD_TAIL_MAX : 1;
        from = from > found->first_index ? from : found->first_index;
        enum status status = wal_load(group->host->wal, group->id, from, on_loaded, &loading);
        if (status != STATUS_OK || loading.status != STATUS_OK) {
            drop_loaded(group);
            return status != STATUS_OK ? status : loading.status;
        }
    }
    struct wal_group known = *found;
    known.term = group->term_stored;
    if (!check_loaded(group, &known)) {
        log_error("group.log_contradicts_state", "group=%llu applied=%llu first=%llu last=%llu",
                  (unsigned long long)group->id, (unsigned long long)state->index,
                  (unsigned long long)found->first_index, (unsigned long long)found->last_index);
        drop_loaded(group);
        return STATUS_CORRUPT;
    }
    if (group->load_count == 0 && state->index > found->base_index) { /* All compacted away. */
        begin_log(group);
    }
    if (group->load_count == 0) {
        group->load_start = state->index + 1;
    }
    return STATUS_OK;
}

static struct group *make(struct host *host, const struct group_options *options)
{
    struct group *group = calloc(1, sizeof *group);
    const struct group_conf *conf = &options->state.conf;
    const struct group_member *self = group_conf_find(conf, options->replica);
    assert(group != NULL);
    assert(options->replica > 0 && options->replica >> GROUP_REPLICA_MAX_BITS == 0);
    assert(self == NULL || self->node == host->options.node);
    group->magic = GROUP_MAGIC;
    group->host = host;
    group->id = options->id;
    group->replica = options->replica;
    group->ctx = options->ctx;
    group->machine = options->machine;
    group->state = options->state;
    group_conf_address(options->replica, host->options.node, group->address);
    list_init(&group->awake);
    list_init(&group->storing);
    list_init(&group->dirty);
    list_init(&group->asking);
    list_init(&group->replica_read.ticked);
    list_init(&group->sleeper);
    group->ops_end = &group->ops;
    group->parked_end = &group->parked;
    group->pending_end = &group->pending;
    group->done_end = &group->done;
    group->active_ms = clock_now_ms();
    group->load_start = 1;
    return group;
}

enum status group_open(struct host *host, const struct group_options *options, struct group **out)
{
    struct wal_group found;
    assert(map_get(&host->groups, options->id) == NULL);
    struct group *group = make(host, options);
    if (wal_find_group(host->wal, options->id, &found)) {
        enum status status =
            options->reborn ? open_reborn(group, &found) : open_found(group, &found);
        if (status != STATUS_OK) {
            free(group);
            return status;
        }
        lease_restart(group); /* It may have promised something before. */
    } else {
        open_new(group);
    }
    map_put(&host->groups, group->id, group);
    host->stats.groups++;
    list_push_back(&host->awake, &group->awake);
    instance_open(group);
    if (options->campaign) {
        stand_now(group);
    }
    instance_mark_dirty(group);
    instance_mark_storing(group);
    *out = group;
    early_deliver(host, group);
    return STATUS_OK;
}

bool group_pending_install(struct host *host,
                           uint64_t id,
                           uint64_t applied_index,
                           struct group_state *state,
                           struct slice *manifest)
{
    struct wal_group found;
    if (!wal_find_group(host->wal, id, &found) || found.base_index <= applied_index) {
        return false;
    }
    return install_decode(found.base_data, state, manifest) && state->index == found.base_index;
}

void group_close(struct group *group)
{
    struct host *host = group->host;
    assert(!group->closed && !group->in_library);
    quiesce_release(group);
    outbox_release(group);
    host->stats.quiesced -= group->quiesced;
    host->stats.leaders -= group->told_role == GROUP_LEADER;
    host->stats.groups--;
    map_remove(&host->groups, group->id);
    group->closed = true;
    membership_fail(group, STATUS_CLOSED);
    group_apply_fail(group, STATUS_CLOSED);
    instance_close(group);
    group_apply_reap(group);
    assert(group->pending == NULL);
    group->callbacks++;
    group_apply_run(group);
    read_index_fail(group, STATUS_CLOSED);
    replica_read_fail(group, true, STATUS_CLOSED);
    group->callbacks--;
    list_remove(&group->awake);
    list_remove(&group->storing);
    list_remove(&group->dirty);
    list_remove(&group->asking);
    list_remove(&group->replica_read.ticked);
    list_remove(&group->sleeper);
    free(group->sent);
    group->sent = NULL;
    if (group->callbacks == 0) {
        free(group);
    }
}

bool group_can_propose(const struct group *group)
{
    return group_apply_has_room(group);
}

enum status group_propose(struct group *group, struct slice entry, struct proposal *proposal)
{
    if (group->closed) {
        return STATUS_CLOSED;
    }
    if (!group->announced || group->broken || group->raft.state != RAFT_LEADER) {
        quiesce_demand(group);
        return STATUS_NOT_LEADER;
    }
    if (entry.len > GROUP_ENTRY_SIZE_MAX) {
        return STATUS_TOO_BIG;
    }
    if (!group_apply_has_room(group)) {
        return STATUS_BUSY;
    }
    quiesce_wake(group);
    return group_apply_propose(group, entry, proposal);
}

enum status group_read(struct group *group, struct group_read *read)
{
    if (group->closed) {
        return STATUS_CLOSED;
    }
    if (!group->announced || group->broken || group->raft.state != RAFT_LEADER) {
        quiesce_demand(group);
        return STATUS_NOT_LEADER;
    }
    enum status status = read_index_begin(group, read);
    if (status == STATUS_AGAIN && group->quiesced && list_empty(&group->awake)) {
        group->active_ms = clock_now_ms();
        list_push_back(&group->host->awake, &group->awake); /* To ask again if answers get lost. */
    }
    return status;
}

enum status group_read_replica(struct group *group, struct group_read *read)
{
    if (group->closed) {
        return STATUS_CLOSED;
    }
    if (group->announced || group->raft.state == RAFT_LEADER) {
        return group_read(group, read);
    }
    enum status status = group->broken ? STATUS_NOT_LEADER : replica_read_begin(group, read);
    if (status == STATUS_NOT_LEADER) {
        quiesce_demand(group);
    }
    return status;
}

void group_freshness(struct group *group, bool warm, struct group_freshness *freshness)
{
    const struct replica_read *own = &group->replica_read;
    bool leads = group->announced || group->raft.state == RAFT_LEADER;
    bool usable = !leads && !group->closed && !group->broken && group->state.index > 0 &&
                  group->install.stage == INSTALL_NONE;
    if (usable && warm) {
        replica_read_warm(group);
    }
    *freshness =
        (struct group_freshness){.since_ns = usable ? own->fresh_ns : 0, .stamp = own->stamp};
}

void group_snapshot_made(struct group *group,
                         uint64_t token,
                         enum status status,
                         const struct group_state *state,
                         struct slice manifest)
{
    snapshot_feed_made(group, token, status, state, manifest);
}

void group_snapshot_installed(struct group *group)
{
    assert(group->install.stage == INSTALL_TOLD);
    group->install.stage = INSTALL_DONE;
    instance_mark_dirty(group);
}

void group_flushed(struct group *group, uint64_t index)
{
    uint64_t bound = index < group->state.index ? index : group->state.index;
    assert(!group->closed);
    if (bound > 0) {
        wal_port_compact(group->host->port, group->id, bound);
    }
}

void group_info(const struct group *group, struct group_info *info)
{
    const struct raft *raft = &group->raft;
    *info = (struct group_info){
        .id = group->id,
        .replica = group->replica,
        .role = group->told_role,
        .term = raft->current_term,
        .leader_node = group->told_leader,
        .commit_index = raft->commit_index,
        .applied_index = group->state.index,
        .last_index = core_log_last(raft),
        .last_term = core_log_term(raft, core_log_last(raft)),
        .quiesced = group->quiesced,
        .lease = lease_valid(group),
        .installing = group->install.stage != INSTALL_NONE,
    };
    group_conf_from_raft(&raft->configuration, &info->conf);
    for (unsigned i = 0; raft->state == RAFT_LEADER && i < raft->configuration.n; i++) {
        info->match[i] = raft->leader_state.progress[i].match_index;
    }
}
