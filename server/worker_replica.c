#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "server/control/meta_machine.h"
#include "server/worker_private.h"

/* The replicas of a worker: opened at start, made and removed as the map says, their membership
 * kept as the map wants it. */

enum {
    SECOND_MS = 1000,
    LOOK_MS = 100,        /* Between looks at a group that is short of voters, */
    QUICK_MS = 10000,     /* for so long after the last change; then it is a second again. */
    VOTER_LAG_MAX = 1000, /* Entries that a replica which counts may be behind. */
};

struct removal {
    struct list link;
    uint64_t shard;
    uint64_t replica;
    uint64_t lsn; /* Of the drop in the log. */
    bool merged;
};

/* One flush for everything that waits to be durable. */
struct durable {
    struct job job;
    struct worker *worker;
    struct list births;
    struct list removals;
    struct list marks;
    struct list absorbed;
    enum status status;
};

static enum status data_plan(const struct machine_plan_input *input,
                             struct buf *planned,
                             struct buf *reply)
{
    return machine_plan(input, planned, reply);
}

static const struct shard_machine data_machine = {.divides = true,
                                                  .plan = data_plan,
                                                  .apply = machine_apply,
                                                  .advance = machine_advance,
                                                  .advance_wanted = machine_advance_wanted,
                                                  .read = machine_read,
                                                  .ready = machine_ready};

static enum status meta_plan(const struct machine_plan_input *input,
                             struct buf *planned,
                             struct buf *reply)
{
    return meta_machine_plan(input->args, input->now_ms, planned, reply);
}

static enum status meta_apply(struct txn *txn,
                              struct machine_state *state,
                              const struct machine_apply_input *input,
                              struct buf *reply)
{
    (void)state;
    bool changed = false;
    return meta_machine_apply(txn, input->planned, reply, &changed);
}

static enum status meta_advance(struct txn *txn,
                                struct machine_state *state,
                                struct machine_scope scope,
                                uint64_t now_ms,
                                struct buf *events)
{
    (void)txn;
    (void)scope;
    (void)events;
    state->time_ms = now_ms;
    return STATUS_OK;
}

static bool meta_advance_wanted(struct txn *txn,
                                const struct machine_state *state,
                                struct machine_scope scope,
                                uint64_t now_ms)
{
    (void)txn;
    (void)state;
    (void)scope;
    (void)now_ms;
    return false;
}

static enum status meta_read(struct txn *txn,
                             const struct machine_state *state,
                             const struct machine_read_input *input,
                             struct buf *reply)
{
    (void)state;
    return meta_machine_read(txn, input->args, reply);
}

static const struct shard_machine meta_machine = {.plan = meta_plan,
                                                  .apply = meta_apply,
                                                  .advance = meta_advance,
                                                  .advance_wanted = meta_advance_wanted,
                                                  .read = meta_read};

static void on_step(struct proposal *proposal, enum status status)
{
    struct slot *slot = list_entry(proposal, struct slot, step);
    struct worker *worker = slot->worker;
    slot->stepping = false;
    reconcile_done(&slot->reconcile, status, clock_now_ms());
    replica_look_soon(slot);
    /* While leadership was being handed over nothing could be proposed: what was gathered waits. */
    if (list_empty(&slot->woken)) {
        list_push_back(&worker->woken, &slot->woken);
        worker->env.again(worker->env.ctx);
    }
}

static void open_slot(struct worker *worker,
                      const struct shard_state *state,
                      enum shard_start start)
{
    uint64_t id = state->desc.id;
    struct slot *slot = calloc(1, sizeof(*slot));
    assert(slot != NULL);
    slot->worker = worker;
    slot->step.on_done = on_step;
    list_init(&slot->woken);
    list_init(&slot->touched);
    list_init(&slot->waiting);
    list_init(&slot->counting);
    list_init(&slot->merging);
    struct slot *before = map_put(&worker->slots, id, slot);
    assert(before == NULL);
    const struct shard_machine *machine = id == SHARD_META ? &meta_machine : &data_machine;
    enum status status = shard_open(&worker->shard_env, machine, state, start, &slot->shard);
    if (status != STATUS_OK) {
        log_error("shard.unusable",
                  "shard=%llu replica=%llu reason=\"%s\" action=\"this node stops; its log and its "
                  "store contradict each other: start it with an empty --data and --join\"",
                  (unsigned long long)id, (unsigned long long)state->replica, status_text(status));
        abort();
    }
    slot->desc = shard_map_shard(&worker->map, id);
    if (slot->desc != NULL) {
        shard_want(slot->shard, slot->desc);
    }
    merge_opened(worker, slot);
    log_debug("shard.open", "shard=%llu replica=%llu index=%llu", (unsigned long long)id,
              (unsigned long long)state->replica, (unsigned long long)state->group.index);
}

void replica_open(struct worker *worker, const struct shard_state *state, bool campaign)
{
    open_slot(worker, state, campaign ? SHARD_STANDS : SHARD_GOES_ON);
}

void replica_open_reborn(struct worker *worker, const struct shard_state *state)
{
    open_slot(worker, state, SHARD_REBORN);
    assert(worker->rebirths > 0);
    worker->rebirths--;
    worker->env.born(worker->env.ctx, state->desc.id, state->replica);
}

/* A group's log begins before anything is applied: a state beyond its birth without a log has lost
 * what this replica acknowledged and whom it voted for. */
static enum status check_log(const struct worker *worker, const struct shard_state *state)
{
    struct wal_group found;
    if (state->group.index <= GROUP_BIRTH_INDEX ||
        wal_find_group(worker->options.wal, state->desc.id, &found)) {
        return STATUS_OK;
    }
    log_error("shard.log_lost", "shard=%llu replica=%llu index=%llu",
              (unsigned long long)state->desc.id, (unsigned long long)state->replica,
              (unsigned long long)state->group.index);
    return STATUS_CORRUPT;
}

static enum status open_row(struct worker *worker, struct slice value)
{
    struct shard_state state;
    enum status status = shard_state_decode(value, &state);
    if (status == STATUS_OK && worker_loop_of(worker, state.desc.id) == worker->options.loop) {
        status = check_log(worker, &state);
        status = status == STATUS_OK ? snapshot_resume(worker, &state) : status;
        if (status == STATUS_OK) {
            /* Alone in its group it need not wait for anyone. */
            replica_open(worker, &state, state.group.conf.count == 1);
        }
    }
    return status;
}

/* Copies them: opening replicas writes to the txn, which an open iterator forbids. */
static void copy_row(void *arg, struct slice value)
{
    struct buf *rows = arg;
    buf_append_bytes(rows, value);
}

/* A group of the log without a replica: a removal that a crash cut short, or the store has lost
 * its rows. */
static enum status match_log(struct worker *worker)
{
    struct wal_group found;
    size_t at = 0;
    while (wal_next_group(worker->options.wal, &at, &found)) {
        if (worker_loop_of(worker, found.id) != worker->options.loop ||
            worker_slot(worker, found.id) != NULL) {
            continue;
        }
        if (replica_tombstone(worker, found.id) == 0) {
            log_error("shard.rows_lost", "shard=%llu last_index=%llu", (unsigned long long)found.id,
                      (unsigned long long)found.last_index);
            return STATUS_CORRUPT;
        }
        (void)wal_port_drop(worker->port, found.id);
    }
    return STATUS_OK;
}

enum status worker_open(struct worker *worker)
{
    if (worker->options.loop == 0) {
        transfer_sweep(worker->transfer);
    }
    struct buf rows;
    buf_init(&rows, 1 << 30);
    enum status status = replica_each_row(worker, copy_row, &rows);
    struct reader in = reader_of(buf_slice(&rows));
    while (status == STATUS_OK && in.rest.len > 0) {
        status = open_row(worker, reader_bytes(&in, 1 << 16));
    }
    buf_deinit(&rows);
    status = status == STATUS_OK ? match_log(worker) : status;
    if (status != STATUS_OK) {
        log_error("store.unreadable", "reason=\"%s\" action=\"%s\"", status_text(status),
                  status == STATUS_NEWER_FORMAT ? "run the version that wrote this directory"
                                                : "replace this node: empty --data and --join");
    }
    return status;
}

void worker_create(struct worker *worker,
                   const struct shard_desc *desc,
                   uint64_t replica,
                   bool birth)
{
    assert(worker_loop_of(worker, desc->id) == worker->options.loop);
    if (change_hold(worker, desc, replica)) {
        return;
    }
    assert(worker_slot(worker, desc->id) == NULL);
    struct birth *fresh = calloc(1, sizeof(*fresh));
    assert(fresh != NULL);
    if (birth) {
        shard_state_birth(desc, replica, &fresh->state);
    } else {
        shard_state_empty(desc, replica, &fresh->state);
    }
    fresh->campaign = birth && desc->replicas[0].id == replica;
    struct buf key;
    struct buf value;
    buf_init(&key, 16);
    buf_init(&value, 4096);
    shard_state_key(desc->id, &key);
    shard_state_encode(&fresh->state, &value);
    txn_put(worker->txn, STORE_LOCAL, buf_slice(&key), buf_slice(&value));
    buf_deinit(&key);
    buf_deinit(&value);
    list_push_back(&worker->births, &fresh->link);
    worker->env.again(worker->env.ctx);
}

void replica_drop(struct worker *worker, struct slot *slot)
{
    uint64_t id = shard_id(slot->shard);
    transfer_cancel(worker->transfer, id);
    backup_forget(worker, id);
    hub_drop(&worker->hub, id);
    shard_close(slot->shard);
    list_remove(&slot->woken);
    list_remove(&slot->touched);
    list_remove(&slot->waiting);
    list_remove(&slot->counting);
    list_remove(&slot->merging);
    (void)map_remove(&worker->slots, id);
    free(slot);
}

/* Once nothing on the pool looks at it any more. */
static void remove_now(struct worker *worker, struct slot *slot)
{
    struct shard_state state = *shard_state(slot->shard);
    struct removal *removal = calloc(1, sizeof(*removal));
    assert(removal != NULL);
    removal->shard = state.desc.id;
    removal->replica = state.replica;
    log_info("shard.remove", "shard=%llu replica=%llu", (unsigned long long)removal->shard,
             (unsigned long long)removal->replica);
    bool absorbed = slot->absorbed;
    bool orphaned = slot->orphaned;
    replica_drop(worker, slot);
    transfer_forget(worker->transfer, removal->shard, removal->replica);
    removal->merged = absorbed || orphaned;
    if (absorbed) { /* Its rows are another's, and that is durable. */
        change_forget(worker, &state.desc);
        removal->lsn = wal_port_drop(worker->port, removal->shard);
        list_push_back(&worker->drops, &removal->link);
        worker->env.again(worker->env.ctx);
        return;
    }
    replica_delete_rows(worker, &state);
    list_push_back(&worker->removals, &removal->link);
    worker->env.again(worker->env.ctx);
}

static bool removable(const struct slot *slot)
{
    return slot->removing && !slot->installing && shard_quiet(slot->shard);
}

/* Its first state is on its way to the disk still: whoever asked waits to hear that it is gone. */
static void remove_when_open(struct worker *worker, uint64_t shard, uint64_t replica)
{
    struct removal *removal = calloc(1, sizeof(*removal));
    assert(removal != NULL);
    removal->shard = shard;
    removal->replica = replica;
    list_push_back(&worker->early, &removal->link);
}

/* The removals of the shard that came before it was open. */
static void remove_early(struct worker *worker, uint64_t shard)
{
    struct list *next = NULL;
    for (struct list *at = worker->early.next; at != &worker->early; at = next) {
        next = at->next;
        struct removal *removal = list_entry(at, struct removal, link);
        if (removal->shard == shard) {
            uint64_t replica = removal->replica;
            list_remove(&removal->link);
            free(removal);
            worker_remove(worker, shard, replica);
            return;
        }
    }
}

void worker_remove(struct worker *worker, uint64_t shard, uint64_t replica)
{
    struct slot *slot = worker_slot(worker, shard);
    bool held = change_drop_held(worker, shard, replica);
    if (slot == NULL || shard_state(slot->shard)->replica != replica) {
        if (held) {
            worker->env.removed(worker->env.ctx, shard, replica);
        } else if (slot == NULL) {
            remove_when_open(worker, shard, replica);
        }
        return;
    }
    slot->removing = true;
    if (removable(slot)) {
        remove_now(worker, slot);
    }
}

static void run_flush(struct job *job)
{
    struct durable *durable = list_entry(job, struct durable, job);
    durable->status = store_flush(durable->worker->options.store);
}

static void on_flushed(struct job *job)
{
    struct durable *durable = list_entry(job, struct durable, job);
    struct worker *worker = durable->worker;
    worker->jobs--;
    if (durable->status != STATUS_OK) {
        log_error("store.failed", "reason=\"%s\" action=\"this node stops; check its disk\"",
                  status_text(durable->status));
        abort();
    }
    for (struct list *at; (at = list_pop_front(&durable->births)) != NULL;) {
        struct birth *fresh = list_entry(at, struct birth, link);
        if (fresh->reborn && fresh->lsn > wal_port_durable(worker->port)) {
            list_push_back(&worker->births, &fresh->link); /* Once more. */
            continue;
        }
        if (fresh->reborn) {
            replica_open_reborn(worker, &fresh->state);
        } else if (fresh->split) {
            change_open(worker, &fresh->state, fresh->campaign, fresh->meter);
        } else {
            replica_open(worker, &fresh->state, fresh->campaign);
            remove_early(worker, fresh->state.desc.id);
        }
        free(fresh);
    }
    for (struct list *at; (at = list_pop_front(&durable->removals)) != NULL;) {
        struct removal *removal = list_entry(at, struct removal, link);
        removal->lsn = wal_port_drop(worker->port, removal->shard);
        list_push_back(&worker->drops, &removal->link);
    }
    for (struct list *at; (at = list_pop_front(&durable->marks)) != NULL;) {
        struct merge_mark *mark = list_entry(at, struct merge_mark, link);
        merge_durable(worker, mark);
        free(mark);
    }
    for (struct list *at; (at = list_pop_front(&durable->absorbed)) != NULL;) {
        merge_end(worker, list_entry(at, struct absorbed, link));
    }
    free(durable);
    worker->env.again(worker->env.ctx);
}

/* A replica that is made after one that was removed must not find its log: removed() waits. */
void replica_after_sync(struct worker *worker)
{
    while (!list_empty(&worker->drops)) {
        struct removal *removal = list_entry(worker->drops.next, struct removal, link);
        if (removal->lsn > wal_port_durable(worker->port)) {
            return;
        }
        list_remove(&removal->link);
        if (removal->merged) {
            worker->env.merged(worker->env.ctx, removal->shard, removal->replica);
        } else {
            worker->env.removed(worker->env.ctx, removal->shard, removal->replica);
        }
        free(removal);
    }
}

static void move(struct list *from, struct list *to)
{
    list_init(to);
    for (struct list *at; (at = list_pop_front(from)) != NULL;) {
        list_push_back(to, at);
    }
}

void replica_after_commit(struct worker *worker)
{
    bool none = list_empty(&worker->births) && list_empty(&worker->removals) &&
                list_empty(&worker->absorbed);
    if (none && !worker->flush_wanted) {
        return;
    }
    struct durable *durable = calloc(1, sizeof(*durable));
    assert(durable != NULL);
    durable->worker = worker;
    durable->job = (struct job){.run = run_flush, .done = on_flushed};
    move(&worker->births, &durable->births);
    move(&worker->removals, &durable->removals);
    move(&worker->absorbed, &durable->absorbed);
    list_init(&durable->marks);
    merge_note_durable(worker, &durable->marks);
    worker->flush_wanted = false;
    worker->jobs++;
    worker->env.run(worker->env.ctx, &durable->job);
}

void worker_free_waiting(struct worker *worker)
{
    for (struct list *at; (at = list_pop_front(&worker->births)) != NULL;) {
        struct birth *fresh = list_entry(at, struct birth, link);
        load_drop(fresh->meter);
        free(fresh);
    }
    for (struct list *at; (at = list_pop_front(&worker->early)) != NULL;) {
        free(list_entry(at, struct removal, link));
    }
    for (struct list *at; (at = list_pop_front(&worker->removals)) != NULL;) {
        free(list_entry(at, struct removal, link));
    }
    for (struct list *at; (at = list_pop_front(&worker->drops)) != NULL;) {
        free(list_entry(at, struct removal, link));
    }
    change_free(worker);
    for (struct list *at; (at = list_pop_front(&worker->absorbed)) != NULL;) {
        free(list_entry(at, struct absorbed, link));
    }
    snapshot_free_waiting(worker);
    op_free_waiting(worker);
    while (!list_empty(&worker->subscribers)) {
        struct subscriber *subscriber =
            list_entry(worker->subscribers.next, struct subscriber, link);
        board_forget(worker, subscriber->number);
    }
}

/* Of the members whose nodes are connected to this loop and mean to stay. */
unsigned replica_connected(struct worker *worker, const struct group_info *info)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < info->conf.count; i++) {
        uint64_t node = info->conf.members[i].node;
        bool connected =
            node == worker->options.node ||
            (worker->env.node_loops(worker->env.ctx, node) > 0 && !board_is_leaving(worker, node));
        bits |= (unsigned)connected << i;
    }
    return bits;
}

static enum status begin_step(struct slot *slot, const struct reconcile_step *step)
{
    struct group *group = shard_group(slot->shard);
    switch (step->kind) {
    case RECONCILE_NONE: return STATUS_OK;
    case RECONCILE_ADD: return group_add(group, step->replica, step->node, &slot->step);
    case RECONCILE_ASSIGN: return group_assign(group, step->replica, step->role, &slot->step);
    case RECONCILE_TRANSFER: return group_transfer(group, step->replica, &slot->step);
    case RECONCILE_REMOVE: return group_remove(group, step->replica, &slot->step);
    }
    return STATUS_BAD_ARGUMENT;
}

static void reconcile(struct slot *slot, const struct reconcile_input *input)
{
    struct reconcile_step step = reconcile_next(&slot->reconcile, input);
    if (step.kind == RECONCILE_NONE) {
        return;
    }
    log_info("shard.member", "shard=%llu step=%d replica=%llu node=%llu role=%d",
             (unsigned long long)input->desc->id, (int)step.kind, (unsigned long long)step.replica,
             (unsigned long long)step.node, (int)step.role);
    slot->stepping = true;
    enum status status = begin_step(slot, &step);
    if (status != STATUS_OK) {
        slot->stepping = false;
        reconcile_done(&slot->reconcile, status, input->now_ms);
    }
}

/* See struct leader_hint. */
static uint64_t count_voters(const struct reconcile_input *input)
{
    const struct group_info *info = input->info;
    uint64_t good = 0;
    uint64_t unwanted = 0;
    for (unsigned i = 0; i < info->conf.count; i++) {
        const struct group_member *member = &info->conf.members[i];
        if (member->role != MEMBER_VOTER) {
            continue;
        }
        bool self = member->replica == info->replica;
        bool near = self || info->match[i] + VOTER_LAG_MAX >= info->last_index;
        if (!reconcile_wants(input->desc, member->replica)) {
            unwanted++;
        } else if (near && (input->connected >> i & 1) != 0) {
            good++;
        }
    }
    return good > unwanted ? good - unwanted : 0;
}

/* Alone, and younger than all that the map has: reborn, and the map has not heard of it. What it
 * wants is of a group that is no more. */
static bool ahead_of(const struct shard_desc *desc, const struct group_info *info)
{
    bool alone = info->conf.count == 1 && info->conf.members[0].replica == info->replica;
    for (unsigned i = 0; alone && i < desc->replica_count; i++) {
        alone = desc->replicas[i].id < info->replica;
    }
    return alone;
}

/* Looks at the members of a group that is led here: tells how many vote, takes the next step. */
static void look(struct worker *worker, struct slot *slot, uint64_t now_ms)
{
    const struct shard_desc *desc = slot->desc;
    slot->look = false;
    if (desc == NULL) {
        return;
    }
    struct group_info info;
    group_info(shard_group(slot->shard), &info);
    struct reconcile_input input = {.desc = desc,
                                    .info = &info,
                                    .connected = replica_connected(worker, &info),
                                    .now_ms = now_ms};
    uint64_t voters = count_voters(&input);
    slot->short_of = voters < desc->replica_count;
    board_voters(worker, slot, voters);
    bool fixed = shard_frozen(slot->shard) || shard_changing(slot->shard);
    if (!slot->stepping && !worker->leaving && !fixed && !ahead_of(desc, &info)) {
        reconcile(slot, &input);
    }
}

/* The connected voter with the longest log; 0 if there is none. */
static uint64_t heir(struct worker *worker, const struct group_info *info)
{
    unsigned connected = replica_connected(worker, info);
    uint64_t replica = 0;
    uint64_t match = 0;
    for (unsigned i = 0; i < info->conf.count; i++) {
        const struct group_member *member = &info->conf.members[i];
        bool fit = member->role == MEMBER_VOTER && member->node != worker->options.node &&
                   (connected >> i & 1) != 0;
        if (fit && (replica == 0 || info->match[i] > match)) {
            replica = member->replica;
            match = info->match[i];
        }
    }
    return replica;
}

size_t worker_hand_over(struct worker *worker)
{
    if (!worker->leaving) {
        worker->leaving = true;
        board_leave(worker);
    }
    size_t left = 0;
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        if (!shard_leads(slot->shard)) {
            continue;
        }
        struct group_info info;
        group_info(shard_group(slot->shard), &info);
        uint64_t replica = heir(worker, &info);
        left += replica != 0;
        if (replica != 0 && !slot->stepping) {
            slot->stepping =
                group_transfer(shard_group(slot->shard), replica, &slot->step) == STATUS_OK;
        }
    }
    return left;
}

void replica_look_soon(struct slot *slot)
{
    slot->look = true;
    slot->worker->look = true;
}

/* Its shard is gone, and nobody here takes over its rows. */
static bool is_orphaned(struct worker *worker, struct slot *slot)
{
    return shard_frozen(slot->shard) ? merge_orphaned(worker, slot)
                                     : change_left_behind(worker, slot);
}

void replica_tick(struct worker *worker, uint64_t now_ms)
{
    bool second = now_ms - worker->second_ms >= SECOND_MS;
    bool changed = worker->look || worker->look_all;
    worker->quick_ms = changed ? now_ms + QUICK_MS : worker->quick_ms;
    bool again = now_ms < worker->quick_ms && now_ms - worker->look_ms >= LOOK_MS;
    bool all = second || worker->look_all;
    change_tick(worker, second);
    if (!all && !again && !worker->look) {
        return;
    }
    worker->second_ms = second ? now_ms : worker->second_ms;
    worker->look_ms = again ? now_ms : worker->look_ms;
    worker->look = false;
    worker->look_all = false;
    uint64_t wall_ms = clock_wall_ms();
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        if (second && is_orphaned(worker, slot)) {
            slot->orphaned = true;
            slot->removing = true;
        }
        if (removable(slot)) {
            remove_now(worker, slot);
            continue;
        }
        if (!shard_leads(slot->shard)) {
            continue;
        }
        if (second) {
            shard_tick(slot->shard, wall_ms);
        }
        if (shard_counting(slot->shard) && list_empty(&slot->counting)) {
            list_push_back(&worker->counting, &slot->counting);
        }
        if (all || slot->look || (again && slot->short_of)) {
            look(worker, slot, now_ms);
        }
    }
}
