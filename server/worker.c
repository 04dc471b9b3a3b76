#include "server/worker.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/control/meta_machine.h"
#include "server/worker_private.h"

enum {
    SCRATCH_SIZE_MAX = 1 << 30,
    TURN_ROUNDS_MAX = 8,
    COMMIT_ROWS = 4096,    /* So many rows wait in the txn at most, */
    COMMIT_SIZE = 4 << 20, /* or so many bytes, or so long. */
    COMMIT_MS = 200,
    CHOKED_SIZE = 64 << 20,
    SCRIPT_MEMORY_DEFAULT = 64 << 20,
    SCRIPT_TIME_MS_DEFAULT = 5000,
    SCRIPT_SLICE_MS = 4, /* On the loop; what takes longer goes to the pool. */
    SCRIPT_SLICE_STEPS = 400 * 1000,
    TRANSACTION_SLICES = 50,
};

static void host_send(void *ctx, uint64_t node, unsigned loop, struct slice batch)
{
    struct worker *worker = ctx;
    struct buf *out = worker->env.out_node(worker->env.ctx, node);
    if (out == NULL) {
        return; /* Raft lives with lost messages; the host hears of lost connections. */
    }
    size_t offset = frame_begin(out, FRAME_PEER, (uint8_t)loop);
    buf_append_slice(out, batch);
    frame_end(out, offset);
}

static unsigned host_loops(void *ctx, uint64_t node)
{
    struct worker *worker = ctx;
    return worker->env.node_loops(worker->env.ctx, node);
}

static void on_wake(void *ctx, struct shard *shard)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot_of(worker, shard);
    if (list_empty(&slot->woken)) {
        list_push_back(&worker->woken, &slot->woken);
    }
}

static void on_touched(void *ctx, struct shard *shard)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot_of(worker, shard);
    if (list_empty(&slot->touched)) {
        list_push_back(&worker->touched, &slot->touched);
    }
    if (shard_id(shard) == SHARD_META) {
        worker->commit_due = true; /* Others are told of a new map once it is in the store. */
    }
}

static bool on_refuse_writes(void *ctx, bool grows)
{
    struct worker *worker = ctx;
    return worker->env.refuse_writes(worker->env.ctx, grows);
}

static struct buf *transfer_out(void *ctx, uint64_t node)
{
    struct worker *worker = ctx;
    return worker->env.out_node(worker->env.ctx, node);
}

static void transfer_run(void *ctx, struct job *job)
{
    struct worker *worker = ctx;
    worker->env.run(worker->env.ctx, job);
}

static void make_host(struct worker *worker)
{
    const struct worker_options *options = &worker->options;
    struct host_env env = {.ctx = worker, .send = host_send, .loops = host_loops};
    struct host_options host = {.node = options->node,
                                .loop = options->loop,
                                .incarnation = options->incarnation,
                                .seed = rand_u64(&worker->rand),
                                .election_ms = options->election_ms,
                                .heartbeat_ms = options->heartbeat_ms,
                                .quiesce_ms = options->quiesce_ms,
                                .lease_reads = options->lease_reads,
                                .entry_bytes_max = 16 << 20};
    worker->port = wal_port_open(options->wal, options->wal_wake, options->wal_wake_arg);
    worker->host = host_new(&host, &env, options->wal, worker->port);
}

static void make_transfer(struct worker *worker)
{
    size_t size = strlen(worker->options.dir) + 8;
    worker->snap_dir = malloc(size);
    assert(worker->snap_dir != NULL);
    (void)snprintf(worker->snap_dir, size, "%s/snap", worker->options.dir);
    struct transfer_options options = {.dir = worker->snap_dir,
                                       .throttle = worker->options.throttle != NULL
                                                       ? worker->options.throttle
                                                       : &worker->unlimited,
                                       .store = worker->options.store,
                                       .seed = rand_u64(&worker->rand)};
    struct transfer_env env = {.ctx = worker,
                               .out = transfer_out,
                               .run = transfer_run,
                               .on_sent = snapshot_sent,
                               .is_current = snapshot_is_current};
    throttle_init(&worker->unlimited, 0);
    worker->transfer = transfer_new(&options, &env);
}

static struct trial_limits script_limits(const struct worker_options *options)
{
    uint64_t memory = options->script_memory_max;
    uint64_t time_ms = options->script_time_ms_max;
    return (struct trial_limits){.memory_max = memory == 0 ? SCRIPT_MEMORY_DEFAULT : memory,
                                 .time_ms_max = time_ms == 0 ? SCRIPT_TIME_MS_DEFAULT : time_ms,
                                 .slice_ms_max = SCRIPT_SLICE_MS,
                                 .slice_steps_max = SCRIPT_SLICE_STEPS,
                                 .transaction_slices = TRANSACTION_SLICES};
}

struct worker *worker_new(const struct worker_options *options, const struct worker_env *env)
{
    assert(options->node != 0);
    assert(options->loop < options->loops);
    struct worker *worker = calloc(1, sizeof(*worker));
    assert(worker != NULL);
    worker->env = *env;
    worker->options = *options;
    rand_init(&worker->rand, options->seed);
    buf_init(&worker->entry, SCRATCH_SIZE_MAX);
    buf_init(&worker->planned, SCRATCH_SIZE_MAX);
    buf_init(&worker->reply, SCRATCH_SIZE_MAX);
    buf_init(&worker->events, SCRATCH_SIZE_MAX);
    buf_init(&worker->map_bytes, SCRATCH_SIZE_MAX);
    map_init(&worker->slots);
    map_init(&worker->leaders);
    map_init(&worker->refusals);
    hub_init(&worker->hub);
    map_init(&worker->gates);
    map_init(&worker->waits);
    map_init(&worker->heard);
    map_init(&worker->leavers);
    shard_map_init(&worker->map);
    shard_map_init(&worker->routes);
    struct list *lists[] = {&worker->woken,       &worker->touched,     &worker->slow_waiting,
                            &worker->births,      &worker->installs,    &worker->removals,
                            &worker->subscribers, &worker->ops_free,    &worker->wanted,
                            &worker->drops,       &worker->slow_queues, &worker->outgoing,
                            &worker->waiting,     &worker->held,        &worker->counting,
                            &worker->merging,     &worker->absorbed,    &worker->early};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        list_init(lists[i]);
    }
    make_host(worker);
    make_transfer(worker);
    worker->txn = txn_new(options->store);
    struct trial_limits limits = script_limits(options);
    worker->trial = trial_new(&limits);
    worker->shard_env = (struct shard_env){
        .ctx = worker,
        .trial = worker->trial,
        .script_limits = limits,
        .desk = &worker->desk,
        .host = worker->host,
        .txn = worker->txn,
        .entry = &worker->entry,
        .planned = &worker->planned,
        .reply = &worker->reply,
        .events = &worker->events,
        .happened = worker_hub_happened,
        .rand = &worker->rand,
        .wake = on_wake,
        .touched = on_touched,
        .on_role = board_role,
        .read_slow = slow_begin,
        .crowded = slow_crowded,
        .parked = op_parked,
        .waiters = &worker->waiters,
        .waiters_max = options->waiters_max == 0 ? SIZE_MAX : options->waiters_max,
        .refuse_writes = on_refuse_writes,
        .may_bear = change_may_bear,
        .divided = change_divided,
        .unfit = merge_unfit,
        .frozen = merge_frozen,
        .absorbed = merge_absorbed,
        .snapshot_wanted = snapshot_wanted,
        .snapshot_install = snapshot_install,
        .snapshot_ready = snapshot_ready};
    return worker;
}

void worker_quit(struct worker *worker)
{
    assert(!worker_busy(worker));
    slow_close(worker);
    part_close(worker);
    worker->quit = true;
    backup_close(worker);
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        replica_drop(worker, slot);
    }
}

void worker_close(struct worker *worker)
{
    worker_quit(worker);
    map_deinit(&worker->slots);
    worker_free_waiting(worker);
    transfer_free(worker->transfer);
    host_free(worker->host);
    wal_port_close(worker->port);
    /* What was applied and not committed is applied again from the log at the next start. */
    trial_free(worker->trial);
    txn_free(worker->txn);
    board_free(worker);
    hub_deinit(&worker->hub);
    slow_gate_free_all(worker);
    shard_map_deinit(&worker->map);
    shard_map_deinit(&worker->routes);
    buf_deinit(&worker->entry);
    buf_deinit(&worker->planned);
    buf_deinit(&worker->reply);
    buf_deinit(&worker->events);
    buf_deinit(&worker->map_bytes);
    free(worker->snap_dir);
    free(worker);
}

bool worker_busy(const struct worker *worker)
{
    return worker->jobs > 0 || transfer_busy(worker->transfer) ||
           !list_empty(&worker->slow_waiting);
}

struct slot *worker_slot(struct worker *worker, uint64_t shard)
{
    return map_get(&worker->slots, shard);
}

struct slot *worker_slot_of(struct worker *worker, const struct shard *shard)
{
    struct slot *slot = map_get(&worker->slots, shard_id(shard));
    assert(slot != NULL);
    return slot;
}

struct shard *worker_shard(struct worker *worker, uint64_t shard)
{
    struct slot *slot = worker_slot(worker, shard);
    return slot == NULL ? NULL : slot->shard;
}

struct shard *worker_next_shard(struct worker *worker, size_t *at)
{
    struct slot *slot = map_next(&worker->slots, at);
    return slot == NULL ? NULL : slot->shard;
}

bool worker_installing(struct worker *worker, uint64_t shard)
{
    struct slot *slot = worker_slot(worker, shard);
    return slot != NULL && slot->installing;
}

unsigned worker_loop_of(const struct worker *worker, uint64_t shard)
{
    return (unsigned)(shard % worker->options.loops);
}

struct txn *worker_txn(struct worker *worker)
{
    return worker->txn;
}

const struct shard_map *worker_map(const struct worker *worker)
{
    return &worker->map;
}

const struct shard_map *worker_routes(const struct worker *worker)
{
    return &worker->routes;
}

static void turn_shards(struct worker *worker)
{
    /* Only those that are woken now: a shard whose group has no room is woken again when it has. */
    struct list due;
    list_init(&due);
    for (struct list *at; (at = list_pop_front(&worker->woken)) != NULL;) {
        list_push_back(&due, at);
    }
    for (struct list *at; (at = list_pop_front(&due)) != NULL;) {
        shard_turn(list_entry(at, struct slot, woken)->shard);
    }
}

/* What was applied may wait in the txn, where reads of this loop see it: after a crash the log
 * applies it again. Waiting makes one row of many writes of the same key, the state rows above all.
 * Whoever needs the store itself to be up to date makes the commit due. */
static bool commit_is_due(const struct worker *worker)
{
    size_t size = 0;
    size_t rows = txn_pending(worker->txn, &size);
    if (worker->stalled) {
        return false; /* Again at the next tick. */
    }
    return worker->commit_due || rows >= COMMIT_ROWS || size >= COMMIT_SIZE ||
           !list_empty(&worker->slow_waiting) || !list_empty(&worker->births) ||
           !list_empty(&worker->removals) || !list_empty(&worker->installs) ||
           !list_empty(&worker->wanted) || !list_empty(&worker->absorbed);
}

/* False while the engine stalls. */
static bool commit(struct worker *worker)
{
    for (struct list *at; (at = list_pop_front(&worker->touched)) != NULL;) {
        struct slot *slot = list_entry(at, struct slot, touched);
        worker->meta_due = worker->meta_due || shard_id(slot->shard) == SHARD_META;
        if (!slot->sealed) {
            shard_store_state(slot->shard);
        }
    }
    if (!txn_empty(worker->txn)) {
        enum status status = txn_commit(worker->txn);
        if (status == STATUS_BUSY) {
            worker->stats.commit_stalls++;
            worker->stalled = true;
            return false;
        }
        if (status != STATUS_OK) {
            log_error("store.failed", "reason=\"%s\" action=\"this node stops; check its disk\"",
                      status_text(status));
            abort();
        }
        worker->stats.commits++;
    }
    if (worker->meta_due) {
        worker->meta_due = false;
        worker->env.meta_changed(worker->env.ctx);
    }
    return true;
}

/* The engine takes nothing and much waits for it: nothing more is applied, which the other nodes
 * feel as a slow one. */
static bool choked(const struct worker *worker)
{
    size_t size = 0;
    (void)txn_pending(worker->txn, &size);
    return worker->stalled && size > CHOKED_SIZE;
}

void worker_turn(struct worker *worker)
{
    part_turn(worker);
    if (choked(worker)) {
        return;
    }
    for (int round = 0; round < TURN_ROUNDS_MAX; round++) {
        if (!worker->overloaded) {
            turn_shards(worker);
        }
        host_turn(worker->host);
        if (worker->overloaded || list_empty(&worker->woken)) {
            break;
        }
    }
    replica_after_sync(worker);
    backup_turn(worker);
    if (commit_is_due(worker) && commit(worker)) {
        worker->commit_due = false;
        change_after_commit(worker);
        merge_after_commit(worker);
        slow_after_commit(worker);
        snapshot_after_commit(worker);
        replica_after_commit(worker);
        backup_after_commit(worker);
    }
}

static void tick_waiting(struct worker *worker, uint64_t now_ms)
{
    struct list *next = NULL;
    for (struct list *at = worker->waiting.next; at != &worker->waiting; at = next) {
        next = at->next;
        struct slot *slot = list_entry(at, struct slot, waiting);
        shard_wait_tick(slot->shard, now_ms);
        if (shard_waiting(slot->shard) == 0) {
            list_remove(&slot->waiting);
        }
    }
}

static void tick_counting(struct worker *worker)
{
    struct list *next = NULL;
    for (struct list *at = worker->counting.next; at != &worker->counting; at = next) {
        next = at->next;
        struct slot *slot = list_entry(at, struct slot, counting);
        shard_count_tick(slot->shard, clock_wall_ms());
        if (!shard_counting(slot->shard)) {
            list_remove(&slot->counting);
        }
    }
}

void worker_tick(struct worker *worker)
{
    uint64_t now_ms = clock_now_ms();
    worker->overloaded = store_overloaded(worker->options.store);
    worker->stalled = false;
    if (now_ms - worker->commit_ms >= COMMIT_MS) {
        worker->commit_ms = now_ms;
        worker->commit_due = !txn_empty(worker->txn) || !list_empty(&worker->touched);
        txn_rest(worker->txn);
    }
    tick_waiting(worker, now_ms);
    tick_counting(worker);
    merge_tick(worker, now_ms);
    host_tick(worker->host);
    transfer_tick(worker->transfer);
    slow_tick(worker);
    replica_tick(worker, now_ms);
    load_tick(worker, now_ms);
    backup_tick(worker, now_ms);
}

void worker_node_changed(struct worker *worker, uint64_t node, bool connected)
{
    if (connected) {
        (void)map_remove(&worker->leavers, node); /* It was started again. */
    }
    worker->look_all = true;
    host_peer_changed(worker->host, node, connected);
}

static void run_forget(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    struct reader in = reader_of(slice_of(bytes->bytes, bytes->len));
    uint64_t link = reader_u64(&in);
    op_forget(to, (unsigned)bytes->node, link);
    struct hub_link gone = {.loop = (unsigned)bytes->node, .number = link};
    hub_forget(&to->hub, &gone);
    free(bytes);
}

void worker_link_down(struct worker *worker, uint64_t link)
{
    board_forget(worker, link);
    slow_gate_close(worker, link);
    op_forget(worker, worker->options.loop, link);
    struct hub_link gone = {.loop = worker->options.loop, .number = link};
    hub_forget(&worker->hub, &gone);
    struct buf bytes;
    buf_init(&bytes, 8);
    buf_append_u64(&bytes, link);
    for (unsigned loop = 0; loop < worker->options.loops; loop++) {
        if (loop != worker->options.loop) {
            worker_post_bytes(worker, loop, worker->options.loop, buf_slice(&bytes), run_forget);
        }
    }
    buf_deinit(&bytes);
}

void worker_post_bytes(struct worker *worker,
                       unsigned loop,
                       uint64_t node,
                       struct slice bytes,
                       void (*run)(struct worker *to, struct worker_mail *mail))
{
    struct bytes_mail *mail = malloc(sizeof(*mail) + bytes.len);
    assert(mail != NULL);
    mail->mail.run = run;
    mail->node = node;
    mail->len = bytes.len;
    memcpy(mail->bytes, bytes.data, bytes.len);
    worker->env.post(worker->env.ctx, loop, &mail->mail);
}

static void run_peer(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    enum status status = host_receive(to->host, bytes->node, slice_of(bytes->bytes, bytes->len));
    if (status != STATUS_OK) {
        log_warn("peer.malformed", "node=%llu", (unsigned long long)bytes->node);
    }
    free(bytes);
}

static enum status receive_bulk(struct worker *worker, uint64_t node, struct slice body)
{
    struct reader in = reader_of(body);
    if (reader_u8(&in) == NOTE_BULK) {
        merge_receive(worker, body);
        return STATUS_OK;
    }
    uint64_t shard = reader_u64(&in);
    uint64_t replica = reader_u64(&in);
    if (in.failed) {
        return STATUS_PROTOCOL;
    }
    struct slot *slot = worker_slot(worker, shard);
    bool takes = slot != NULL && !slot->removing && shard_state(slot->shard)->replica == replica;
    if (takes) {
        /* The files of a snapshot that was accepted stay until it is installed: a crash makes the
         * installation go on from them. Another leader offers its own again in a moment. */
        struct group_info info;
        group_info(shard_group(slot->shard), &info);
        takes = !info.installing;
    }
    return transfer_receive(worker->transfer, node, body, takes);
}

static void run_bulk(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    if (receive_bulk(to, bytes->node, slice_of(bytes->bytes, bytes->len)) != STATUS_OK) {
        log_warn("bulk.malformed", "node=%llu", (unsigned long long)bytes->node);
    }
    free(bytes);
}

static enum status take_peer(struct worker *worker, uint64_t node, const struct frame *frame)
{
    if (frame->loop >= worker->options.loops) {
        return STATUS_PROTOCOL;
    }
    if (frame->loop == worker->options.loop) {
        return host_receive(worker->host, node, frame->body);
    }
    worker_post_bytes(worker, frame->loop, node, frame->body, run_peer);
    return STATUS_OK;
}

static enum status take_bulk(struct worker *worker, uint64_t node, const struct frame *frame)
{
    struct reader in = reader_of(frame->body);
    (void)reader_u8(&in);
    uint64_t shard = reader_u64(&in);
    if (in.failed) {
        return STATUS_PROTOCOL;
    }
    unsigned loop = worker_loop_of(worker, shard);
    if (loop == worker->options.loop) {
        return receive_bulk(worker, node, frame->body);
    }
    worker_post_bytes(worker, loop, node, frame->body, run_bulk);
    return STATUS_OK;
}

enum status worker_frame(struct worker *worker,
                         uint64_t link,
                         uint64_t node,
                         const struct frame *frame)
{
    struct reader in = reader_of(frame->body);
    switch (frame->type) {
    case FRAME_REQUEST: return op_request(worker, link, frame->body);
    case FRAME_CANCEL: return op_cancel(worker, link, frame->body);
    case FRAME_SUBSCRIBE: {
        uint64_t version = reader_u64(&in);
        if (!reader_done(&in)) {
            return STATUS_PROTOCOL;
        }
        board_subscribe(worker, link, version);
        return STATUS_OK;
    }
    case FRAME_PEER: return node == 0 ? STATUS_PROTOCOL : take_peer(worker, node, frame);
    case FRAME_BULK: return node == 0 ? STATUS_PROTOCOL : take_bulk(worker, node, frame);
    case FRAME_HELLO:
    case FRAME_REFUSED:
    case FRAME_REPLY:
    case FRAME_PART:
    case FRAME_MESSAGE:
    case FRAME_PARKED:
    case FRAME_MAP:
    case FRAME_LEADERS:
    case FRAME_DESCS:
    case FRAME_LOAD:
    case FRAME_TYPE_COUNT: break;
    }
    return STATUS_PROTOCOL;
}

void worker_flush_mark(struct worker *worker)
{
    /* What is applied but still in the txn is not in the store yet. */
    if (!commit(worker)) {
        return;
    }
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        shard_flush_mark(slot->shard);
    }
}

void worker_flushed(struct worker *worker)
{
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        shard_flushed(slot->shard);
    }
}

void worker_stats(struct worker *worker, struct worker_stats *stats)
{
    *stats = worker->stats;
    host_stats(worker->host, &stats->host);
    stats->transfer = *transfer_stats(worker->transfer);
    trial_stats(worker->trial, &stats->scripts);
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        const struct shard_stats *shard = shard_stats(slot->shard);
        stats->shards++;
        stats->leaders += shard_leads(slot->shard);
        stats->shards_short += shard_leads(slot->shard) && slot->short_of;
        stats->shard.writes += shard->writes;
        stats->shard.reads += shard->reads;
        stats->shard.slow_reads += shard->slow_reads;
        stats->shard.entries += shard->entries;
        stats->shard.not_leader += shard->not_leader;
        stats->shard.refused += shard->refused;
        stats->shard.replica_reads += shard->replica_reads;
        stats->shard.replica_bounded += shard->replica_bounded;
        stats->shard.replica_stale += shard->replica_stale;
        stats->shard.replica_refused += shard->replica_refused;
        stats->waiting += shard_waiting(slot->shard);
    }
}
