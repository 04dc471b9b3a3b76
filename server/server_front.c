#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/reader.h"
#include "common/cluster/cluster_view.h"
#include "common/cluster/errand.h"
#include "common/cluster/token.h"
#include "common/cluster/transaction_home.h"
#include "common/proto/resp.h"
#include "server/server_private.h"

/* Clients that speak RESP to the node itself: commands on one shard that this node leads. Routers
 * do the rest. */

enum { HOPS_MAX = 4, FOLLOW_MS = 1500 /* An election of a child takes less. */ };

struct client_op {
    struct worker_op op;
    struct lane *lane;
    struct request *request;
    uint64_t expires_ms;
    uint64_t until_ms;  /* It may wait; 0: it does not. */
    uint64_t number;    /* Of one that may wait. */
    unsigned hops;      /* Shards that said that it was not theirs. */
    uint64_t follow_ms; /* Until when the last of them is given time to find its child's leader. */
    struct list link;   /* In lane->followers. */
};

static void fail_not_leader(struct client_op *self, struct slice hint_bytes)
{
    struct lane *lane = self->lane;
    struct reader in = reader_of(hint_bytes);
    struct leader_hint hint;
    bool read = leader_hint_decode(&in, &hint);
    const struct node_desc *desc =
        read ? shard_map_node(worker_routes(lane->worker), hint.node) : NULL;
    char text[256];
    if (desc == NULL) {
        (void)snprintf(text, sizeof(text),
                       "NOTLEADER shard %llu is led by another node; connect to a sherd-router, "
                       "which finds it",
                       (unsigned long long)self->op.shard);
    } else {
        (void)snprintf(text, sizeof(text),
                       "NOTLEADER shard %llu is led by node %llu at %s; connect there, or to a "
                       "sherd-router",
                       (unsigned long long)self->op.shard, (unsigned long long)hint.node,
                       desc->address);
    }
    request_fail(self->request, text);
}

static void fail(struct client_op *self, enum status status)
{
    char text[256];
    const char *code = "ERR";
    if (status_class(status) == STATUS_CLASS_OUTCOME_UNKNOWN && self->op.op.write) {
        code = "UNKNOWN the outcome of this write is not known:";
    } else if (status_class(status) == STATUS_CLASS_RETRY_LATER) {
        code = "TRYAGAIN";
    } else if (status_class(status) == STATUS_CLASS_RETRY_ELSEWHERE) {
        code = "NOTLEADER connect to a sherd-router:";
    }
    (void)snprintf(text, sizeof(text), "%s %s", code, status_text(status));
    request_fail(self->request, text);
}

/* The shard that holds every key of the command, or NULL with the reason. */
static const struct shard_desc *shard_of(const struct lane *lane,
                                         const struct request *request,
                                         const char **reason)
{
    const struct shard_desc *found = NULL;
    /* Without keys it is about a whole database; a co-located one lies on one shard. */
    bool database = request->db != 0 && request->command->id != CMD_flushall &&
                    !command_has_keys(request->command);
    for (size_t nth = 0;; nth++) {
        size_t at = command_key_at(request->command, request->args, nth);
        if (at == 0 && (nth > 0 || !database)) {
            break;
        }
        struct slice key = at == 0 ? slice_of(NULL, 0) : request->args.argv[at];
        uint64_t token = token_of(request->db, key);
        const struct shard_desc *shard = shard_map_find(worker_routes(lane->worker), token);
        if (shard == NULL) {
            *reason = "CLUSTERDOWN the shards are not placed yet";
            return NULL;
        }
        if (found != NULL && found->id != shard->id) {
            *reason =
                "CROSSSLOT Keys in request don't hash to the same shard; connect to a "
                "sherd-router, or give them one hash tag {...}";
            return NULL;
        }
        found = shard;
    }
    const struct shard_map *map = worker_routes(lane->worker);
    if (found == NULL && map->shard_count == 1) {
        return &map->shards[0];
    }
    if (found == NULL) {
        *reason = "ERR this command spans all shards: connect to a sherd-router";
    }
    return found;
}

/* NULL: answered. */
static const struct shard_desc *shard_of_batch(const struct lane *lane, struct request *request)
{
    const struct shard_map *map = worker_routes(lane->worker);
    if (map->shard_count == 0) {
        request_fail(request, "CLUSTERDOWN the shards are not placed yet");
        return NULL;
    }
    struct buf error;
    buf_init(&error, 1 << 16);
    size_t position = 0;
    enum status status = transaction_home(request->args, map, &position, &error);
    if (status != STATUS_OK) {
        buf_append_u8(&error, '\0');
        request_fail(request, (const char *)error.data);
    }
    buf_deinit(&error);
    return status == STATUS_OK ? &map->shards[position] : NULL;
}

/* NULL: answered. */
static const struct shard_desc *home_of(const struct lane *lane, struct request *request)
{
    if (request->command->id == CMD_batch) {
        return shard_of_batch(lane, request);
    }
    const char *reason = NULL;
    const struct shard_desc *shard = shard_of(lane, request, &reason);
    if (shard == NULL) {
        request_fail(request, reason);
    }
    return shard;
}

static void deliver(struct worker_op *op, enum status status, struct slice reply);

static void submit(struct client_op *self, uint64_t shard)
{
    struct lane *lane = self->lane;
    struct request *request = self->request;
    self->op = (struct worker_op){
        .origin = lane->worker, .shard = shard, .request_id = self->number, .deliver = deliver};
    self->op.op.command = request->command;
    self->op.op.write = (request->command->flags & CMD_WRITE) != 0;
    self->op.op.db = request->db;
    self->op.op.replica = request->replica && !self->op.op.write && request_solo(request);
    self->op.op.bound_ms = request->bound_ms;
    self->op.op.args = request->args;
    self->op.op.expires_ms = self->expires_ms;
    self->op.op.sought = true; /* Only routers ask other shards. */
    if (self->until_ms != 0) {
        self->op.op.wait.wanted = true;
        self->op.op.wait.until_ms = self->until_ms;
        request->user = self;
    }
    worker_submit(lane->worker, &self->op);
}

/* The keys are another shard's by now, and which one is known here. */
static bool follow(struct client_op *self, enum status status)
{
    bool elsewhere = status == STATUS_NOT_OWNER || status == STATUS_NO_SHARD;
    if (!elsewhere || self->hops == HOPS_MAX || self->lane->closing) {
        return false;
    }
    uint64_t before = self->op.shard;
    const struct shard_desc *shard = home_of(self->lane, self->request);
    if (shard == NULL) {
        free(self); /* Answered. */
        return true;
    }
    if (shard->id == before) {
        return false;
    }
    self->hops++;
    self->follow_ms = clock_now_ms() + FOLLOW_MS;
    submit(self, shard->id);
    return true;
}

/* It was split off, and this node is to have a replica. */
static bool is_child_here(const struct client_op *self)
{
    const struct lane *lane = self->lane;
    const struct shard_desc *desc = shard_map_shard(worker_routes(lane->worker), self->op.shard);
    return desc != NULL && desc->parent != 0 &&
           shard_map_replica_on(desc, lane->server->identity.node) != NULL;
}

/* A child that nobody leads yet, or that is not open here yet. */
static bool wait_for_leader(struct client_op *self, enum status status, struct slice hint_bytes)
{
    struct reader in = reader_of(hint_bytes);
    struct leader_hint hint;
    bool nobody =
        status == STATUS_NOT_LEADER && (!leader_hint_decode(&in, &hint) || hint.node == 0);
    if (self->lane->closing || clock_now_ms() >= self->follow_ms ||
        (!nobody && status != STATUS_NO_SHARD) || !is_child_here(self)) {
        return false;
    }
    list_push_back(&self->lane->followers, &self->link);
    return true;
}

void server_front_tick(struct lane *lane)
{
    struct list due;
    list_init(&due);
    for (struct list *at; (at = list_pop_front(&lane->followers)) != NULL;) {
        list_push_back(&due, at);
    }
    for (struct list *at; (at = list_pop_front(&due)) != NULL;) {
        struct client_op *self = list_entry(at, struct client_op, link);
        if (lane->closing || lane->worker == NULL) {
            request_fail(self->request, "LOADING this node is stopping");
            free(self);
        } else {
            submit(self, self->op.shard);
        }
    }
}

static void deliver(struct worker_op *op, enum status status, struct slice reply)
{
    struct client_op *self = list_entry(op, struct client_op, op);
    self->request->user = NULL;
    if (follow(self, status) || wait_for_leader(self, status, reply)) {
        return;
    }
    if (status == STATUS_OK) {
        request_finish(self->request, reply);
    } else if (status == STATUS_NOT_LEADER && reply.len > 0) {
        fail_not_leader(self, reply);
    } else {
        fail(self, status);
    }
    free(self);
}

/* Others wait for that shard's leader already: behind them, not before. */
static bool wait_behind(struct client_op *self, uint64_t shard)
{
    for (struct list *at = self->lane->followers.next; at != &self->lane->followers;
         at = at->next) {
        if (list_entry(at, struct client_op, link)->op.shard == shard) {
            self->op.shard = shard;
            list_push_back(&self->lane->followers, &self->link);
            return true;
        }
    }
    return false;
}

static void execute(void *arg, struct request *request)
{
    struct server *server = arg;
    struct lane *lane = &server->lanes[request->loop];
    if (lane->worker == NULL || lane->closing) {
        request_fail(request, lane->closing ? "LOADING this node is stopping"
                                            : "LOADING this node has not joined its cluster yet");
        return;
    }
    const struct shard_desc *shard = home_of(lane, request);
    if (shard == NULL) {
        return;
    }
    struct client_op *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    uint64_t now_ms = clock_now_ms();
    self->lane = lane;
    self->request = request;
    self->follow_ms = now_ms + FOLLOW_MS;
    self->expires_ms = now_ms + (uint64_t)config_number(server->config, CONFIG_request_deadline_ms);
    if (request->wait_ms != 0 && machine_waits(request->command)) {
        bool ever = request->wait_ms > UINT64_MAX - now_ms;
        self->until_ms = ever ? UINT64_MAX : now_ms + request->wait_ms;
        self->number = ++lane->waits;
    }
    if (!wait_behind(self, shard->id)) {
        submit(self, shard->id);
    }
}

static void cancel(void *arg, struct request *request)
{
    struct server *server = arg;
    struct lane *lane = &server->lanes[request->loop];
    const struct client_op *self = request->user;
    if (self != NULL && lane->worker != NULL) {
        worker_cancel(lane->worker, self->op.shard, self->op.request_id);
    }
}

static bool view_leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    struct lane *lane = ctx;
    return worker_leader(lane->worker, shard, hint);
}

static bool view_up(void *ctx, uint64_t node)
{
    struct lane *lane = ctx;
    return node == lane->server->identity.node || server_node_loops(lane, node) > 0;
}

struct client_inquiry {
    struct node_inquiry inquiry;
    struct request *request;
};

static void on_inquired(struct node_inquiry *inquiry)
{
    struct client_inquiry *self = list_entry(inquiry, struct client_inquiry, inquiry);
    request_finish(self->request, buf_slice(&inquiry->reply));
    buf_deinit(&inquiry->reply);
    free(self);
}

/* What only the node that leads the meta group can answer. */
static void inquire(struct lane *lane, struct request *request)
{
    struct server *server = lane->server;
    struct client_inquiry *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->request = request;
    self->inquiry.loop = lane->index;
    self->inquiry.args = request->args;
    self->inquiry.done = on_inquired;
    self->inquiry.deadline_ms = (uint32_t)config_number(server->config, CONFIG_request_deadline_ms);
    buf_init(&self->inquiry.reply, 1 << 30);
    node_inquire(server->node, &self->inquiry);
}

static void sherd(void *arg, struct request *request)
{
    struct server *server = arg;
    struct lane *lane = &server->lanes[request->loop];
    if (lane->worker == NULL) {
        request_fail(request, "LOADING this node has not joined its cluster yet");
        return;
    }
    if (request->args.argc > 2 && command_word(request->args.argv[1], "backup")) {
        server_backup(lane, request);
        return;
    }
    if (request->args.argc > 2 && command_word(request->args.argv[1], "replica")) {
        server_recover(lane, request);
        return;
    }
    if (request->args.argc == 2 && command_word(request->args.argv[1], "databases")) {
        request_fail(request, "ERR a node knows what its own shards have only; ask a sherd-router");
        return;
    }
    if (request->args.argc == 2 && command_word(request->args.argv[1], "transfers")) {
        server_transfers(server, request);
        return;
    }
    struct cluster_view view = {.map = worker_routes(lane->worker),
                                .role = "node",
                                .leader = view_leader,
                                .node_up = view_up,
                                .ctx = lane};
    struct buf reply;
    buf_init(&reply, 1 << 30);
    bool known = cluster_view_answer(&view, &request->args, request->db, &reply);
    if (!known && request->args.argc >= 2 && request->args.argc <= ERRAND_ARGC_MAX &&
        !lane->closing) {
        inquire(lane, request);
    } else {
        if (!known) {
            resp_write_error(&reply, "ERR wrong number of arguments for 'sherd' command");
        }
        request_finish(request, buf_slice(&reply));
    }
    buf_deinit(&reply);
}

static void info(void *arg, unsigned loop, struct buf *out)
{
    struct server *server = arg;
    struct lane *lane = &server->lanes[loop];
    if (lane->worker == NULL) {
        buf_append_text(out, "node_id:0\r\njoined:0\r\n");
        return;
    }
    struct worker_stats stats;
    worker_stats(lane->worker, &stats);
    buf_append_format(out, "node_id:%llu\r\nmap_version:%llu\r\n",
                      (unsigned long long)server->identity.node,
                      (unsigned long long)worker_map(lane->worker)->version);
    buf_append_format(out, "loop_shards:%llu\r\nloop_shards_led:%llu\r\n",
                      (unsigned long long)stats.shards, (unsigned long long)stats.leaders);
    buf_append_format(out, "loop_shards_quiesced:%llu\r\nloop_elections:%llu\r\n",
                      (unsigned long long)stats.host.quiesced,
                      (unsigned long long)stats.host.elections);
}

static bool keyspace(void *arg, unsigned loop, struct front_keyspace *keyspace)
{
    struct server *server = arg;
    struct lane *lane = &server->lanes[loop];
    if (lane->worker == NULL) {
        return false;
    }
    *keyspace = (struct front_keyspace){0};
    size_t at = 0;
    for (struct shard *shard; (shard = worker_next_shard(lane->worker, &at)) != NULL;) {
        if (shard_leads(shard)) {
            const struct machine_state *state = &shard_state(shard)->machine;
            for (unsigned db = 0; db < FRONT_DATABASES; db++) {
                keyspace->keys[db] += state->keys[db];
                keyspace->expires[db] += state->expires[db];
            }
        }
    }
    return true;
}

static unsigned replicas(void *arg)
{
    struct server *server = arg;
    unsigned wanted = 0;
    if (server->lanes[0].worker != NULL) {
        wanted = worker_map(server->lanes[0].worker)->replicas;
    }
    return wanted / 2;
}

static bool loading(void *arg)
{
    struct server *server = arg;
    return server->lanes[0].worker == NULL;
}

static void config_changed(void *arg, enum config_id id)
{
    struct server *server = arg;
    if (id == CONFIG_snapshot_bytes_per_second) {
        throttle_set(&server->throttle, (uint64_t)config_number(server->config, id));
    }
}

const struct front_env server_front_env = {.execute = execute,
                                           .cancel = cancel,
                                           .sherd = sherd,
                                           .info = info,
                                           .keyspace = keyspace,
                                           .config_changed = config_changed,
                                           .replicas = replicas,
                                           .loading = loading};
