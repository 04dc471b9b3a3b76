#include "server/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/log.h"
#include "server/preflight.h"
#include "server/server_private.h"

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    PATH_SIZE_MAX = 4096,
    SILENT_MAX = 1024,
    LEAVE_MS = 1000, /* To give leadership away at the end. */
    STOP_TURNS = 8,
};

static int complain(int code, const char *text)
{
    fprintf(stderr, "sherd-node: %s\n", text);
    return code;
}

/* ---- what the worker and the node ask of their surroundings ---- */

static void on_mail(struct mail *mail)
{
    struct worker_mail *self = list_entry(mail, struct worker_mail, mail);
    self->run(self->to, self);
}

void server_post(struct server *server, unsigned loop, struct worker_mail *mail)
{
    assert(loop < server->loops);
    struct lane *lane = &server->lanes[loop];
    mail->to = lane->worker;
    mail->mail.run = on_mail;
    mailbox_post(lane->loop, &mail->mail);
}

static void worker_post(void *ctx, unsigned loop, struct worker_mail *mail)
{
    struct lane *lane = ctx;
    server_post(lane->server, loop, mail);
}

static void node_post(void *ctx, unsigned loop, struct worker_mail *mail)
{
    server_post(ctx, loop, mail);
}

struct pool_job {
    struct work work;
    struct job *job;
};

static void on_work(struct work *work)
{
    struct pool_job *self = list_entry(work, struct pool_job, work);
    self->job->run(self->job);
}

static void on_work_done(struct work *work)
{
    struct pool_job *self = list_entry(work, struct pool_job, work);
    struct job *job = self->job;
    free(self);
    job->done(job);
}

static void submit(struct lane *lane, struct job *job)
{
    struct pool_job *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->job = job;
    self->work.run = on_work;
    self->work.done = on_work_done;
    pool_submit(lane->server->pool, lane->loop, &self->work);
}

static void lane_run(void *ctx, struct job *job)
{
    submit(ctx, job);
}

static void node_run(void *ctx, struct job *job)
{
    struct server *server = ctx;
    submit(&server->lanes[0], job);
}

static void lane_again(void *ctx)
{
    struct lane *lane = ctx;
    loop_again(lane->loop);
}

static void lane_admin(void *ctx, struct worker_op *op)
{
    struct lane *lane = ctx;
    node_admin(lane->server->node, op);
}

static void lane_meta_changed(void *ctx)
{
    struct lane *lane = ctx;
    node_meta_changed(lane->server->node);
}

static void lane_removed(void *ctx, uint64_t shard, uint64_t replica)
{
    struct lane *lane = ctx;
    node_removed(lane->server->node, shard, replica);
}

static void lane_ranged(void *ctx, const struct agent_range *ranges, size_t count)
{
    struct lane *lane = ctx;
    node_ranged(lane->server->node, ranges, count);
}

static void lane_merged(void *ctx, uint64_t shard, uint64_t replica)
{
    struct lane *lane = ctx;
    node_merged(lane->server->node, shard, replica);
}

static void lane_born(void *ctx, uint64_t shard, uint64_t replica)
{
    struct lane *lane = ctx;
    node_born(lane->server->node, shard, replica);
}

static void lane_measured(void *ctx, struct worker_load *load)
{
    struct lane *lane = ctx;
    node_measured(lane->server->node, load);
}

static bool lane_refuse_writes(void *ctx, bool grows)
{
    struct lane *lane = ctx;
    return node_refuses_writes(lane->server->node, grows);
}

static void on_awake(struct mail *mail)
{
    struct lane *lane = list_entry(mail, struct lane, wake);
    /* The turn that follows looks at what is durable; what comes later posts again. */
    atomic_store(&lane->waking, false);
}

static void on_wal_wake(void *arg)
{
    struct lane *lane = arg;
    if (!atomic_exchange(&lane->waking, true)) {
        mailbox_post(lane->loop, &lane->wake);
    }
}

static void on_turn(void *arg)
{
    struct lane *lane = arg;
    if (lane->worker != NULL) {
        worker_turn(lane->worker);
    }
}

static void stop(struct server *server, int code)
{
    if (!server->stopping) {
        server->stopping = true;
        server->exit_code = code;
        loop_stop(server->lanes[0].loop);
    }
}

/* Loop 0, while leaving: ends the process when nothing is led any more, or time is up. */
static void leave(struct server *server)
{
    size_t led = 0;
    for (unsigned i = 0; i < server->loops; i++) {
        led += atomic_load(&server->lanes[i].led);
    }
    if (led == 0 || clock_now_ms() >= server->leave_by_ms) {
        stop(server, 0);
    }
}

static void on_tick(void *arg)
{
    struct lane *lane = arg;
    struct server *server = lane->server;
    bool leaving = atomic_load(&server->leaving);
    if (lane->worker != NULL) {
        worker_tick(lane->worker);
        server_metrics_sample(lane);
        server_front_tick(lane);
    }
    if (leaving) {
        atomic_store(&lane->led, lane->worker == NULL ? 0 : worker_hand_over(lane->worker));
    }
    if (lane->index == 0) {
        node_tick(server->node);
        if (leaving) {
            leave(server);
        }
    }
}

static void on_session(void *arg, struct conn *conn)
{
    struct lane *lane = arg;
    session_open(front_part(lane->server->front, lane->index), conn);
}

/* ---- start ---- */

static enum status open_port(struct server *server,
                             struct lane *lane,
                             const char *address,
                             char *error)
{
    struct port_options options = {.address = address,
                                   .shared = lane->index > 0,
                                   .silent_max = SILENT_MAX,
                                   .link = {.hello = &server->hello,
                                            .handler = &server_visitor_handler,
                                            .arg = lane,
                                            .output_max = LINK_OUTPUT_SIZE_MAX / 4},
                                   .on_session = on_session,
                                   .arg = lane};
    return port_open(lane->loop, &options, &lane->port, error);
}

static void make_worker(struct server *server, struct lane *lane)
{
    size_t waiters_max = (size_t)config_number(server->config, CONFIG_blocked_clients_max);
    waiters_max = (waiters_max + server->loops - 1) / server->loops;
    struct worker_options options = {
        .node = server->identity.node,
        .loop = lane->index,
        .loops = server->loops,
        .incarnation = server->hello.incarnation,
        .seed = rand_u64(&server->rand),
        .dir = server->dir,
        .store = server->store,
        .wal = server->wal,
        .wal_wake = on_wal_wake,
        .wal_wake_arg = lane,
        .election_ms = (uint32_t)config_number(server->config, CONFIG_election_timeout_ms),
        .heartbeat_ms = (uint32_t)config_number(server->config, CONFIG_heartbeat_ms),
        .quiesce_ms = (uint32_t)config_number(server->config, CONFIG_quiesce_ms),
        .throttle = &server->throttle,
        .waiters_max = waiters_max,
        .script_memory_max = (uint64_t)config_number(server->config, CONFIG_script_memory_max),
        .script_time_ms_max = (uint64_t)config_number(server->config, CONFIG_script_time_max),
        .lease_reads = strcmp(config_text(server->config, CONFIG_read_mode), "lease") == 0};
    struct worker_env env = {.ctx = lane,
                             .out_node = server_out_node,
                             .out_link = server_out_link,
                             .link_pending = server_link_pending,
                             .node_loops = server_node_loops,
                             .post = worker_post,
                             .run = lane_run,
                             .again = lane_again,
                             .meta_changed = lane_meta_changed,
                             .born = lane_born,
                             .merged = lane_merged,
                             .ranged = lane_ranged,
                             .admin = lane_admin,
                             .removed = lane_removed,
                             .refuse_writes = lane_refuse_writes,
                             .measured = lane_measured};
    lane->worker = worker_new(&options, &env);
}

static void lane_main(void *arg)
{
    struct lane *lane = arg;
    loop_run(lane->loop);
}

/* The node knows who it is: everything that needs an identity begins. Loop 0. */
static enum status start_workers(struct server *server)
{
    server->identity = *node_identity(server->node);
    server->hello.node = server->identity.node;
    memcpy(server->hello.cluster, server->identity.cluster, sizeof(server->hello.cluster));
    struct worker *workers[SERVER_LOOPS_MAX] = {0};
    enum status status = STATUS_OK;
    for (unsigned i = 0; status == STATUS_OK && i < server->loops; i++) {
        make_worker(server, &server->lanes[i]);
        workers[i] = server->lanes[i].worker;
        status = worker_open(workers[i]);
    }
    if (status != STATUS_OK) {
        return status;
    }
    /* Connections that were made before this node had an id: they say HELLO anew. */
    size_t at = 0;
    for (struct peer *peer; (peer = map_next(&server->lanes[0].peers, &at)) != NULL;) {
        link_reset(peer->link, STATUS_OK);
    }
    wal_start(server->wal);
    node_start(server->node, workers);
    for (unsigned i = 1; i < server->loops; i++) {
        struct lane *lane = &server->lanes[i];
        char error[LISTENER_ERROR_SIZE] = "";
        status = open_port(server, lane, server->address, error);
        if (status != STATUS_OK) {
            log_error("node.port", "loop=%u reason=\"%s\"", i, error);
            return status;
        }
        loop_timer_start(lane->loop, &lane->tick, WORKER_TICK_MS, WORKER_TICK_MS, on_tick, lane);
        lane->threaded = true;
        thread_start(&lane->thread, "sherd-loop", lane_main, lane);
    }
    log_info("node.joined", "node=%llu loops=%u", (unsigned long long)server->identity.node,
             server->loops);
    return STATUS_OK;
}

static void on_joined(void *ctx, const struct identity *identity)
{
    (void)identity;
    struct server *server = ctx;
    if (start_workers(server) != STATUS_OK) {
        stop(server, EXIT_FAILED);
    }
}

static void on_connect(void *ctx, uint64_t peer, const char *address)
{
    struct server *server = ctx;
    server_peer_connect(&server->lanes[0], peer, address);
}

static void on_disconnect(void *ctx, uint64_t peer)
{
    struct server *server = ctx;
    server_peer_disconnect(&server->lanes[0], peer);
}

static struct buf *on_out_peer(void *ctx, uint64_t peer)
{
    struct server *server = ctx;
    return server_out_node(&server->lanes[0], peer);
}

struct follow_mail {
    struct mail mail;
    struct lane *lane;
    struct shard_map map;
};

static void on_follow(struct mail *mail)
{
    struct follow_mail *follow = list_entry(mail, struct follow_mail, mail);
    server_peer_follow(follow->lane, &follow->map);
    shard_map_deinit(&follow->map);
    free(follow);
}

static void on_map_changed(void *ctx, const struct shard_map *map)
{
    struct server *server = ctx;
    for (unsigned i = 1; i < server->loops; i++) {
        struct follow_mail *follow = calloc(1, sizeof(*follow));
        assert(follow != NULL);
        follow->mail.run = on_follow;
        follow->lane = &server->lanes[i];
        shard_map_init(&follow->map);
        shard_map_copy(&follow->map, map);
        for (size_t k = 0; k < follow->map.node_count; k++) {
            struct node_desc *node = &follow->map.nodes[k];
            (void)snprintf(node->address, sizeof(node->address), "%s",
                           node_address(server->node, node->id));
        }
        mailbox_post(server->lanes[i].loop, &follow->mail);
    }
}

static void on_failed(void *ctx, enum status status, const char *text)
{
    (void)status;
    struct server *server = ctx;
    (void)complain(EXIT_FAILED, text);
    stop(server, EXIT_FAILED);
}

static void on_signal(void *arg, int number)
{
    struct server *server = arg;
    log_info("node.stop", "signal=%d", number);
    if (atomic_exchange(&server->leaving, true)) {
        stop(server, 0); /* Asked twice: at once. */
        return;
    }
    server->leave_by_ms = clock_now_ms() + LEAVE_MS;
    for (unsigned i = 0; i < server->loops; i++) {
        atomic_store(&server->lanes[i].led, 1); /* Until its loop has looked. */
    }
}

/* "a,b,c" -> pointers into a copy. */
static unsigned split_list(char *text, const char **out, unsigned max)
{
    unsigned count = 0;
    for (char *at = text; at != NULL && *at != '\0' && count < max;) {
        char *comma = strchr(at, ',');
        if (comma != NULL) {
            *comma++ = '\0';
        }
        out[count++] = at;
        at = comma;
    }
    return count;
}

static void make_node(struct server *server)
{
    char *seeds_text = strdup(config_text(server->config, CONFIG_join));
    assert(seeds_text != NULL);
    const char *seeds[AGENT_SEEDS_MAX];
    unsigned seed_count = split_list(seeds_text, seeds, AGENT_SEEDS_MAX);
    uint64_t segment = (uint64_t)config_number(server->config, CONFIG_wal_segment_size);
    struct node_options options = {
        .dir = server->dir,
        .identity = server->identity,
        .address = server->advertise,
        .zone = config_text(server->config, CONFIG_zone),
        .incarnation = server->hello.incarnation,
        .seeds = seeds,
        .seed_count = seed_count,
        .seed = rand_u64(&server->rand),
        .loops = server->loops,
        .store = server->store,
        .wal = server->wal,
        .flush_bytes = 2 * segment,
        .free_space_min = (uint64_t)config_number(server->config, CONFIG_free_space_min),
        .rebuild_after_ms = (uint64_t)config_number(server->config, CONFIG_rebuild_after_ms)};
    struct node_env env = {.ctx = server,
                           .connect = on_connect,
                           .disconnect = on_disconnect,
                           .out_peer = on_out_peer,
                           .post = node_post,
                           .run = node_run,
                           .joined = on_joined,
                           .map_changed = on_map_changed,
                           .failed = on_failed};
    server->node = node_new(&options, &env);
    free(seeds_text);
}

static void on_file(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
}

/* A node that is part of a cluster and has lost its store or its log would come back as a voter who
 * has forgotten what it acknowledged. */
static int check_data(const struct server *server)
{
    char path[PATH_SIZE_MAX];
    char text[PATH_SIZE_MAX + 256];
    (void)snprintf(path, sizeof(path), "%s/store/CURRENT", server->dir);
    bool store = disk_exists(path);
    (void)snprintf(path, sizeof(path), "%s/log", server->dir);
    bool log = false;
    if (disk_list(path, on_file, &log) != STATUS_OK) {
        log = false;
    }
    if (store && log) {
        return 0;
    }
    (void)snprintf(text, sizeof(text),
                   "%s: the %s of node %llu is gone: put it back, or start this node with an empty "
                   "--data directory and --join, so that the others give it its data anew",
                   server->dir, store ? "log" : "store", (unsigned long long)server->identity.node);
    return complain(EXIT_FAILED, text);
}

static int open_identity(struct server *server)
{
    struct identity_request request = {
        .folder = server->dir,
        .bootstrap = config_number(server->config, CONFIG_bootstrap) != 0,
        .join = config_text(server->config, CONFIG_join)[0] != '\0',
        .replicas = (unsigned)config_number(server->config, CONFIG_replicas),
        .shards = (unsigned)config_number(server->config, CONFIG_shards)};
    rand_os(request.random, sizeof(request.random));
    char text[IDENTITY_TEXT_SIZE_MAX] = "";
    enum status status = identity_open(&request, &server->identity, &server->lock, text);
    if (status != STATUS_OK) {
        return complain(status == STATUS_BAD_ARGUMENT ? EXIT_USAGE : EXIT_FAILED, text);
    }
    memcpy(server->hello.cluster, server->identity.cluster, sizeof(server->hello.cluster));
    server->hello.node = server->identity.node;
    server->marked = identity_is_marked(server->dir, &server->identity);
    return server->marked ? check_data(server) : 0;
}

/* A directory of one cluster is not to be opened for another. */
static int ask_seeds(struct server *server)
{
    if (identity_cluster_is_zero(server->identity.cluster)) {
        return 0;
    }
    char *seeds_text = strdup(config_text(server->config, CONFIG_join));
    assert(seeds_text != NULL);
    const char *seeds[AGENT_SEEDS_MAX];
    struct preflight preflight = {.identity = &server->identity,
                                  .seeds = seeds,
                                  .seed_count = split_list(seeds_text, seeds, AGENT_SEEDS_MAX),
                                  .own = {server->address, server->advertise}};
    char text[IDENTITY_TEXT_SIZE_MAX] = "";
    enum status status = preflight.seed_count == 0 ? STATUS_OK : preflight_run(&preflight, text);
    free(seeds_text);
    return status == STATUS_OK ? 0 : complain(EXIT_FAILED, text);
}

static int open_data(struct server *server)
{
    char path[PATH_SIZE_MAX];
    char text[PATH_SIZE_MAX + 256];
    struct store_options store = {
        .cache_size = (uint64_t)config_number(server->config, CONFIG_cache_size),
        .memtable_size = (uint64_t)config_number(server->config, CONFIG_memtable_size),
        .threads = 2};
    (void)snprintf(path, sizeof(path), "%s/store", server->dir);
    enum status status = store_open(path, &store, &server->store);
    if (status == STATUS_OK) {
        struct wal_options wal = {
            .segment_size = (uint64_t)config_number(server->config, CONFIG_wal_segment_size),
            .spares_max = 4};
        (void)snprintf(path, sizeof(path), "%s/log", server->dir);
        status = wal_open(path, &wal, &server->wal);
    }
    if (status == STATUS_OK && !server->marked) {
        (void)snprintf(path, sizeof(path), "%s/format", server->dir);
        status = identity_mark(server->dir);
    }
    if (status == STATUS_OK) {
        return 0;
    }
    (void)snprintf(text, sizeof(text), "cannot use %s: %s; the log lines above say more", path,
                   status_text(status));
    return complain(EXIT_FAILED, text);
}

static int open_front(struct server *server)
{
    struct lane *lane = &server->lanes[0];
    char error[LISTENER_ERROR_SIZE] = "";
    struct front_options options = {.config = server->config,
                                    .metrics = server->metrics,
                                    .env = &server_front_env,
                                    .arg = server,
                                    .loops = server->loops,
                                    .program = "sherd-node"};
    server->front = front_new(&options);
    for (unsigned i = 0; i < server->loops; i++) {
        front_attach(server->front, i, server->lanes[i].loop);
    }
    const char *listen = config_text(server->config, CONFIG_listen);
    enum status status = open_port(server, lane, listen, error);
    if (status == STATUS_OK) {
        port_address(lane->port, server->address);
        front_set_port(server->front, port_number(lane->port));
        status = server_http_open(server, error);
    }
    if (status != STATUS_OK) {
        return complain(status == STATUS_BAD_ARGUMENT ? EXIT_USAGE : EXIT_FAILED, error);
    }
    const char *advertise = config_text(server->config, CONFIG_advertise);
    if (strlen(advertise) >= sizeof(server->advertise) ||
        strlen(server->address) >= sizeof(server->advertise)) {
        return complain(EXIT_USAGE, "--advertise is too long");
    }
    (void)snprintf(server->advertise, sizeof(server->advertise), "%s",
                   advertise[0] != '\0' ? advertise : server->address);
    return 0;
}

static void make_lanes(struct server *server)
{
    for (unsigned i = 0; i < server->loops; i++) {
        struct lane *lane = &server->lanes[i];
        lane->server = server;
        lane->index = i;
        lane->loop = loop_new(i);
        lane->wake.run = on_awake;
        map_init(&lane->peers);
        map_init(&lane->visitors);
        list_init(&lane->followers);
        loop_timer_init(&lane->tick);
        loop_set_turn(lane->loop, on_turn, lane);
    }
}

/* ---- stop ---- */

static bool busy(const struct server *server)
{
    if (server->node != NULL && node_busy(server->node)) {
        return true;
    }
    for (unsigned i = 0; i < server->loops; i++) {
        if (server->lanes[i].worker != NULL && worker_busy(server->lanes[i].worker)) {
            return true;
        }
    }
    return false;
}

static void end_threads(struct server *server)
{
    for (unsigned i = 1; i < server->loops; i++) {
        if (server->lanes[i].threaded) {
            loop_stop(server->lanes[i].loop);
            thread_join(&server->lanes[i].thread);
        }
    }
    for (unsigned i = 0; i < server->loops; i++) {
        loop_timer_stop(&server->lanes[i].tick);
    }
}

/* Lets all loops run, on this thread, until no job is left, and some turns at least. */
static void step_all(struct server *server, int turns)
{
    for (int turn = 0; turn < turns || busy(server); turn++) {
        for (unsigned i = 0; i < server->loops; i++) {
            loop_step(server->lanes[i].loop, turn < turns ? 0 : 1);
        }
    }
}

static void close_workers(struct server *server)
{
    for (unsigned i = 0; i < server->loops; i++) {
        server->lanes[i].closing = true;
        server_front_tick(&server->lanes[i]);
    }
    step_all(server, 1);
    for (unsigned i = 0; i < server->loops; i++) {
        if (server->lanes[i].worker != NULL) {
            worker_quit(server->lanes[i].worker);
        }
    }
    /* Mail between loops, and what it leads to: no chain of it is longer. */
    step_all(server, STOP_TURNS);
    for (unsigned i = 0; i < server->loops; i++) {
        struct lane *lane = &server->lanes[i];
        struct worker *worker = lane->worker;
        if (worker != NULL) {
            worker_close(worker);
            lane->worker = NULL;
        }
    }
}

static void close_all(struct server *server)
{
    /* What belongs to a loop is touched on its thread, or when there is none. */
    end_threads(server);
    for (unsigned i = 0; i < server->loops; i++) {
        if (server->lanes[i].port != NULL) {
            port_close(server->lanes[i].port);
        }
    }
    if (server->http != NULL) {
        http_close(server->http);
    }
    close_workers(server);
    for (unsigned i = 0; i < server->loops; i++) {
        server_peer_free_all(&server->lanes[i]);
    }
    if (server->node != NULL) {
        node_free(server->node);
    }
    if (server->pool != NULL) {
        pool_free(server->pool);
    }
    for (unsigned i = 0; i < server->loops; i++) {
        loop_free(server->lanes[i].loop);
        map_deinit(&server->lanes[i].visitors);
    }
    if (server->wal != NULL) {
        wal_close(server->wal);
    }
    if (server->store != NULL) {
        if (store_flush(server->store) != STATUS_OK) {
            log_warn("store.unflushed", "action=\"the log replays it at the next start\"");
        }
        store_close(server->store);
    }
    if (server->front != NULL) {
        front_free(server->front);
    }
    metrics_free(server->metrics);
    if (server->lock != NULL) {
        lockfile_close(server->lock);
    }
}

/* What goes into the cluster map has bounds there. */
static int check_texts(const struct server *server)
{
    if (strlen(config_text(server->config, CONFIG_zone)) >= NODE_ZONE_SIZE_MAX) {
        return complain(EXIT_USAGE, "--zone is too long: at most 31 bytes");
    }
    unsigned count = 0;
    for (const char *at = config_text(server->config, CONFIG_join); *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (len == 0 || len >= NODE_ADDRESS_SIZE_MAX || ++count > AGENT_SEEDS_MAX) {
            return complain(EXIT_USAGE,
                            "--join takes 1 to 16 addresses ADDR:PORT, separated by "
                            "commas, each of at most 63 bytes");
        }
        at += len + (at[len] == ',');
    }
    return 0;
}

static int start(struct server *server)
{
    int code = check_texts(server);
    code = code != 0 ? code : open_front(server);
    code = code != 0 ? code : open_identity(server);
    code = code != 0 ? code : ask_seeds(server);
    code = code != 0 ? code : open_data(server);
    if (code != 0) {
        return code;
    }
    throttle_init(&server->throttle,
                  (uint64_t)config_number(server->config, CONFIG_snapshot_bytes_per_second));
    server->pool = pool_new((unsigned)config_number(server->config, CONFIG_pool_threads));
    make_node(server);
    if (server->identity.node != 0 && start_workers(server) != STATUS_OK) {
        return complain(EXIT_FAILED, "cannot open the replicas; the log lines above say more");
    }
    struct lane *lane = &server->lanes[0];
    loop_timer_start(lane->loop, &lane->tick, 1, WORKER_TICK_MS, on_tick, lane);
    loop_on_signal(lane->loop, SIGTERM, on_signal, server);
    loop_on_signal(lane->loop, SIGINT, on_signal, server);
    log_info("node.start", "listen=%s advertise=%s data=\"%s\" node=%llu pid=%d", server->address,
             server->advertise, server->dir, (unsigned long long)server->identity.node,
             (int)getpid());
    return 0;
}

int server_run(struct config *config)
{
    const char *dir = config_text(config, CONFIG_data);
    if (dir[0] == '\0') {
        return complain(EXIT_USAGE, "--data DIR is missing: say where this node keeps its data");
    }
    struct server *server = calloc(1, sizeof(*server));
    assert(server != NULL);
    server->config = config;
    server->dir = strdup(dir);
    assert(server->dir != NULL);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t loops = config_number(config, CONFIG_loops);
    loops = loops > 0 ? loops : cores > 0 ? cores : 1;
    server->loops = loops > SERVER_LOOPS_MAX ? SERVER_LOOPS_MAX : (unsigned)loops;
    uint64_t seed = 0;
    rand_os(&seed, sizeof(seed));
    rand_init(&server->rand, seed);
    server->hello = (struct frame_hello){.version = FRAME_VERSION,
                                         .role = FRAME_ROLE_NODE,
                                         .loops = (uint8_t)server->loops,
                                         .incarnation = rand_u64(&server->rand) | 1};
    server->metrics = metrics_new(METRIC_NODE, server->loops);
    make_lanes(server);
    int code = start(server);
    if (code == 0) {
        loop_run(server->lanes[0].loop);
        code = server->exit_code;
    }
    close_all(server);
    log_info("node.stopped", "code=%d", code);
    free(server->dir);
    free(server);
    return code;
}
