#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/map.h"
#include "replication/raft/guard.h"
#include "server/node.h"
#include "server/worker_private.h"
#include "tests/sim/sim.h"
#include "tests/support/disk_sim.h"
#include "tests/support/store_memory.h"

/* One node process: the composition root that server.c is for the real one, with one loop. A crash
 * drops everything on the floor, as the operating system would; the memory is not freed. */

struct sim_node {
    struct sim *sim;
    struct sim_actor *actor;
    unsigned index;
    unsigned generation; /* Of the disk. */
    char dir[64];
    char address[32];
    struct store *store;
    struct wal *wal;
    struct identity identity;
    uint64_t incarnation;
    struct node *node;
    struct worker *worker;
    struct map peers;    /* id -> struct sim_conn, dialled. */
    struct map visitors; /* number -> struct sim_conn, accepted. */
    uint64_t accepted;
    struct buf nowhere;
    bool log_due;
    uint64_t log_max_ns;
    bool rejoin; /* The directory is new: --join. */
};

static void tick(void *arg);

/* ---- the worker's surroundings ---- */

static struct buf *out_node(void *ctx, uint64_t id)
{
    struct sim_node *node = ctx;
    struct sim_conn *conn = map_get(&node->peers, id);
    return conn == NULL ? NULL : sim_out(conn, node->actor);
}

static struct buf *out_link(void *ctx, uint64_t number)
{
    struct sim_node *node = ctx;
    struct sim_conn *conn = map_get(&node->visitors, number);
    if (conn != NULL && (conn->accepted != number || !conn->up)) {
        buf_clear(&node->nowhere); /* Its end was not noticed yet. */
        return &node->nowhere;
    }
    return conn == NULL ? NULL : sim_out(conn, node->actor);
}

static unsigned node_loops(void *ctx, uint64_t id)
{
    return out_node(ctx, id) == NULL ? 0 : 1;
}

static void run_mail(void *arg)
{
    struct worker_mail *mail = arg;
    struct worker *to = mail->to;
    mail->run(to, mail);
}

struct mail_event {
    struct sim_node *node;
    struct worker_mail *mail;
};

static void on_mail(void *arg)
{
    struct mail_event event = *(struct mail_event *)arg;
    free(arg);
    event.mail->to = event.node->worker;
    run_mail(event.mail);
    sim_turn(event.node->actor);
}

static void post(void *ctx, unsigned loop, struct worker_mail *mail)
{
    struct sim_node *node = ctx;
    assert(loop == 0);
    struct mail_event *event = malloc(sizeof(*event));
    assert(event != NULL);
    *event = (struct mail_event){.node = node, .mail = mail};
    sim_after(node->sim, node->actor, 1000, on_mail, event);
}

struct work_event {
    struct sim_node *node;
    struct job *job;
};

static void on_job(void *arg)
{
    struct work_event event = *(struct work_event *)arg;
    free(arg);
    /* The work happens at some moment between the order and its end: here, at the end. */
    event.job->run(event.job);
    event.job->done(event.job);
    sim_turn(event.node->actor);
}

static void run_job(void *ctx, struct job *job)
{
    struct sim_node *node = ctx;
    struct work_event *event = malloc(sizeof(*event));
    assert(event != NULL);
    *event = (struct work_event){.node = node, .job = job};
    sim_after(node->sim, node->actor, sim_random_ns(node->sim, SIM_MS / 10, 8 * SIM_MS), on_job,
              event);
}

static void turn_again(void *arg)
{
    struct sim_node *node = arg;
    sim_turn(node->actor);
}

static void again(void *ctx)
{
    struct sim_node *node = ctx;
    sim_after(node->sim, node->actor, 1000, turn_again, node);
}

static void meta_changed(void *ctx)
{
    struct sim_node *node = ctx;
    node_meta_changed(node->node);
}

static void admin(void *ctx, struct worker_op *op)
{
    struct sim_node *node = ctx;
    node_admin(node->node, op);
}

static void removed(void *ctx, uint64_t shard, uint64_t replica)
{
    struct sim_node *node = ctx;
    node_removed(node->node, shard, replica);
}

static void ranged(void *ctx, const struct agent_range *ranges, size_t count)
{
    struct sim_node *node = ctx;
    node_ranged(node->node, ranges, count);
}

static void merged(void *ctx, uint64_t shard, uint64_t replica)
{
    struct sim_node *node = ctx;
    node_merged(node->node, shard, replica);
}

static void born(void *ctx, uint64_t shard, uint64_t replica)
{
    struct sim_node *node = ctx;
    node_born(node->node, shard, replica);
}

static void measured(void *ctx, struct worker_load *load)
{
    struct sim_node *node = ctx;
    node_measured(node->node, load);
}

static bool refuse_writes(void *ctx, bool grows)
{
    struct sim_node *node = ctx;
    return node_refuses_writes(node->node, grows);
}

static void wal_wake(void *arg)
{
    (void)arg; /* The turn follows in log_step(). */
}

static void log_step(void *arg)
{
    struct sim_node *node = arg;
    node->log_due = false;
    (void)wal_step(node->wal);
    sim_turn(node->actor);
}

void sim_node_calm(struct sim_node *node)
{
    if (node->node != NULL) {
        node_hold_balancer(node->node, true);
    }
}

void sim_node_turn(struct sim_node *node)
{
    if (node->worker != NULL) {
        worker_turn(node->worker);
    }
    struct wal_stats before;
    wal_stats(node->wal, &before);
    if (!node->log_due && node->worker != NULL) {
        node->log_due = true;
        uint64_t latency = sim_random_ns(node->sim, SIM_MS / 20, node->log_max_ns);
        if (node->sim->faulty && sim_chance(node->sim, 1)) {
            latency += sim_random_ns(node->sim, 0, 900 * SIM_MS);
        }
        sim_after(node->sim, node->actor, latency, log_step, node);
    }
}

/* ---- the node's surroundings ---- */

static void on_peer_up(void *arg, struct sim_conn *conn, const struct frame_hello *hello)
{
    struct sim_node *node = arg;
    if (node_link_up(node->node, conn->id, hello) != STATUS_OK) {
        sim_break(conn);
        return;
    }
    if (!agent_is_seed(conn->id) && node->worker != NULL) {
        worker_node_changed(node->worker, conn->id, true);
    }
}

static void on_peer_frame(void *arg, struct sim_conn *conn, const struct frame *frame)
{
    struct sim_node *node = arg;
    if (node_frame(node->node, frame) != STATUS_OK) {
        sim_break(conn);
    }
}

static void on_peer_down(void *arg, struct sim_conn *conn)
{
    struct sim_node *node = arg;
    node_link_down(node->node, conn->id);
    if (!agent_is_seed(conn->id) && node->worker != NULL) {
        worker_node_changed(node->worker, conn->id, false);
    }
}

static void on_visitor_frame(void *arg, struct sim_conn *conn, const struct frame *frame)
{
    struct sim_node *node = arg;
    if (node->worker == NULL) {
        sim_break(conn); /* As server_link.c does. */
        return;
    }
    assert(map_get(&node->visitors, conn->accepted) == conn);
    uint64_t from = (uint64_t)(uintptr_t)conn->tag;
    bool told = frame->type == FRAME_MAP || frame->type == FRAME_LOAD;
    enum status status = told && from != 0
                             ? node_frame(node->node, frame)
                             : worker_frame(node->worker, conn->accepted, from, frame);
    if (status != STATUS_OK && from == 0) {
        sim_break(conn); /* Said before its sender had an id. */
    } else if (status != STATUS_OK) {
        sim_fail(node->sim, "frame type %d from a sound sender was refused: %s", (int)frame->type,
                 status_text(status));
    }
}

struct late_down {
    struct sim_node *node;
    uint64_t number;
};

static void run_late_down(void *arg)
{
    struct late_down *down = arg;
    (void)map_remove(&down->node->visitors, down->number);
    if (down->node->worker != NULL) {
        worker_link_down(down->node->worker, down->number);
    }
    free(down);
}

/* The end of a connection may be noticed late here, when there is a new one already. */
static void on_visitor_down(void *arg, struct sim_conn *conn)
{
    struct sim_node *node = arg;
    struct sim *sim = node->sim;
    struct late_down *down = calloc(1, sizeof(*down));
    assert(down != NULL);
    *down = (struct late_down){.node = node, .number = conn->accepted};
    if (conn->tag == NULL && sim->faulty && sim_chance(sim, 300)) {
        uint64_t delay_ns = sim_random_ns(sim, SIM_MS, 3000 * SIM_MS);
        sim_after(sim, node->actor, delay_ns, run_late_down, down);
        return;
    }
    run_late_down(down);
}

void sim_node_accept(struct sim_node *node, struct sim_conn *conn, const struct frame_hello *hello)
{
    conn->ends[1] =
        (struct sim_end){.on_frame = on_visitor_frame, .on_down = on_visitor_down, .arg = node};
    conn->tag = (void *)(uintptr_t)(hello->role == FRAME_ROLE_NODE ? hello->node : 0);
    conn->accepted = ++node->accepted;
    (void)map_put(&node->visitors, conn->accepted, conn);
}

void sim_node_hello(struct sim_node *node, struct frame_hello *hello)
{
    *hello = (struct frame_hello){.version = FRAME_VERSION,
                                  .role = FRAME_ROLE_NODE,
                                  .loops = 1,
                                  .node = node->identity.node,
                                  .incarnation = node->incarnation};
    memcpy(hello->cluster, node->identity.cluster, sizeof(hello->cluster));
}

static void on_connect(void *ctx, uint64_t peer, const char *address)
{
    struct sim_node *node = ctx;
    struct sim_conn *conn = map_get(&node->peers, peer);
    if (conn != NULL && conn->to == sim_actor_at(node->sim, address)) {
        return;
    }
    if (conn != NULL) {
        sim_hang_up(conn);
    }
    struct sim_end end = {
        .on_up = on_peer_up, .on_frame = on_peer_frame, .on_down = on_peer_down, .arg = node};
    (void)map_put(&node->peers, peer, sim_dial(node->actor, address, peer, &end));
}

static void on_disconnect(void *ctx, uint64_t peer)
{
    struct sim_node *node = ctx;
    struct sim_conn *conn = map_remove(&node->peers, peer);
    if (conn == NULL) {
        return;
    }
    if (conn->up && !agent_is_seed(peer) && node->worker != NULL) {
        worker_node_changed(node->worker, peer, false);
    }
    sim_hang_up(conn);
}

static void break_peers(void *arg)
{
    struct sim_node *node = arg;
    size_t at = 0;
    for (struct sim_conn *conn; (conn = map_next(&node->peers, &at)) != NULL;) {
        sim_break(conn);
    }
}

static void start_worker(struct sim_node *node)
{
    node->identity = *node_identity(node->node);
    struct worker_options options = {.node = node->identity.node,
                                     .loop = 0,
                                     .loops = 1,
                                     .incarnation = node->incarnation,
                                     .seed = rand_u64(&node->sim->rand),
                                     .dir = node->dir,
                                     .store = node->store,
                                     .wal = node->wal,
                                     .wal_wake = wal_wake,
                                     .wal_wake_arg = node,
                                     .election_ms = 600,
                                     .heartbeat_ms = 100,
                                     .quiesce_ms = 1500,
                                     .lease_reads = true};
    struct worker_env env = {.ctx = node,
                             .out_node = out_node,
                             .out_link = out_link,
                             .node_loops = node_loops,
                             .post = post,
                             .run = run_job,
                             .again = again,
                             .meta_changed = meta_changed,
                             .born = born,
                             .merged = merged,
                             .ranged = ranged,
                             .admin = admin,
                             .removed = removed,
                             .refuse_writes = refuse_writes,
                             .measured = measured};
    node->worker = worker_new(&options, &env);
    if (node->sim->options.stale) {
        guard_disable(node->worker->host, GUARD_POINT);
    }
    enum status status = worker_open(node->worker);
    if (status != STATUS_OK) {
        sim_fail(node->sim, "node %u cannot open its replicas: %s", node->index + 1,
                 status_text(status));
    }
    /* Connections that were made before the node had an id say HELLO anew. */
    sim_after(node->sim, node->actor, 1, break_peers, node);
    node_start(node->node, &node->worker);
}

static void on_joined(void *ctx, const struct identity *identity)
{
    (void)identity;
    start_worker(ctx);
}

static void on_map_changed(void *ctx, const struct shard_map *map)
{
    (void)ctx;
    (void)map;
}

static void on_failed(void *ctx, enum status status, const char *text)
{
    struct sim_node *node = ctx;
    sim_fail(node->sim, "node %u gave up: %s: %s", node->index + 1, status_text(status), text);
}

static void tick(void *arg)
{
    struct sim_node *node = arg;
    if (node->worker != NULL) {
        worker_tick(node->worker);
    }
    node_tick(node->node);
    sim_turn(node->actor);
    sim_after(node->sim, node->actor, WORKER_TICK_MS * SIM_MS, tick, node);
}

static void open_data(struct sim_node *node)
{
    char path[128];
    struct store_options store = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    (void)snprintf(path, sizeof(path), "%s/store", node->dir);
    enum status status = store_open(path, &store, &node->store);
    if (status == STATUS_OK) {
        struct wal_options wal = {.segment_size = 64 << 10, .spares_max = 2};
        (void)snprintf(path, sizeof(path), "%s/log", node->dir);
        status = wal_open(path, &wal, &node->wal);
    }
    if (status != STATUS_OK) {
        sim_fail(node->sim, "node %u cannot open its data: %s", node->index + 1,
                 status_text(status));
    }
}

static void open_identity(struct sim_node *node)
{
    struct identity_request request = {.folder = node->dir,
                                       .bootstrap = node->index == 0 && !node->rejoin,
                                       .join = node->index != 0 || node->rejoin,
                                       .replicas = 3,
                                       .shards = node->sim->options.shards};
    for (size_t i = 0; i < sizeof(request.random); i++) {
        request.random[i] = (uint8_t)rand_u64(&node->sim->rand);
    }
    char text[IDENTITY_TEXT_SIZE_MAX] = "";
    enum status status = identity_open(&request, &node->identity, NULL, text);
    if (status != STATUS_OK) {
        sim_fail(node->sim, "node %u: %s", node->index + 1, text);
    }
}

static void make_node(struct sim_node *node)
{
    char seeds_text[2][32];
    sim_address(node->index == 0 ? 1 : 0, seeds_text[0]);
    sim_address(node->index == 2 ? 1 : 2, seeds_text[1]);
    const char *seeds[2] = {seeds_text[0], seeds_text[1]};
    bool join = node->index != 0 || node->rejoin;
    struct node_options options = {.dir = node->dir,
                                   .identity = node->identity,
                                   .address = node->address,
                                   .zone = sim_jobs_zone(node->sim, node->index),
                                   .incarnation = node->incarnation,
                                   .seeds = seeds,
                                   .seed_count = !join                          ? 0
                                                 : node->sim->options.nodes > 2 ? 2
                                                                                : 1,
                                   .seed = rand_u64(&node->sim->rand),
                                   .loops = 1,
                                   .store = node->store,
                                   .wal = node->wal,
                                   .flush_bytes = 128 << 10,
                                   .free_space_min = 0,
                                   .rebuild_after_ms = node->sim->options.moves ? 1500 : 0,
                                   .balancer = {.use_min = 0.0001, .haste = 15}};
    struct node_env env = {.ctx = node,
                           .connect = on_connect,
                           .disconnect = on_disconnect,
                           .out_peer = out_node,
                           .post = post,
                           .run = run_job,
                           .joined = on_joined,
                           .map_changed = on_map_changed,
                           .failed = on_failed};
    node->node = node_new(&options, &env);
    node_hold_balancer(node->node, !node->sim->options.balance || node->sim->calm);
}

/* Another disk, another name: what was on the old one never comes back. */
static void name_dir(struct sim_node *node)
{
    (void)snprintf(node->dir, sizeof(node->dir), "/sim/node%u.%04u", node->index + 1,
                   node->generation);
}

void sim_node_make(struct sim *sim, unsigned index)
{
    struct sim_node *node = calloc(1, sizeof(*node));
    assert(node != NULL);
    sim->nodes[index] = node;
    node->sim = sim;
    node->index = index;
    node->actor = &sim->actors[index];
    node->log_max_ns = SIM_MS;
    buf_init(&node->nowhere, 1 << 30);
    name_dir(node);
    sim_address(index, node->address);
}

void sim_node_start(struct sim_node *node)
{
    struct sim_actor *actor = node->actor;
    assert(!actor->alive);
    actor->alive = true;
    actor->paused = false;
    actor->life++;
    sim_enter(actor);
    map_init(&node->peers);
    map_init(&node->visitors);
    node->incarnation = rand_u64(&node->sim->rand) | 1;
    node->log_due = false;
    open_identity(node);
    open_data(node);
    make_node(node);
    if (node->identity.node != 0) {
        start_worker(node);
    }
    sim_after(node->sim, actor, SIM_MS, tick, node);
}

void sim_node_crash(struct sim_node *node)
{
    struct sim *sim = node->sim;
    assert(node->actor->alive);
    sim_trace(sim, "crash of node %u", node->index + 1);
    sim->crashes++;
    node->actor->alive = false;
    node->actor->paused = false;
    list_init(&node->actor->deferred);
    sim_drop_all(node->actor);
    node->worker = NULL;
    node->node = NULL;
    store_memory_crash(node->dir, &sim->rand);
    disk_sim_crash(node->dir, &sim->rand);
}

void sim_node_wipe(struct sim_node *node)
{
    assert(!node->actor->alive);
    sim_trace(node->sim, "disk of node %u replaced", node->index + 1);
    node->sim->wipes++;
    store_memory_wipe(node->dir);
    node->generation++;
    name_dir(node);
    node->rejoin = true;
}

bool sim_node_joined(const struct sim_node *node)
{
    return node->actor->alive && node->worker != NULL && node_is_joined(node->node);
}

struct worker *sim_node_worker(const struct sim_node *node)
{
    return node->actor->alive ? node->worker : NULL;
}

struct store *sim_node_store(const struct sim_node *node)
{
    return node->store;
}

void sim_node_disk(struct sim_node *node, uint64_t latency_max_ns)
{
    node->log_max_ns = latency_max_ns;
}
