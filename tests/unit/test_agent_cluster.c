#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/rand.h"
#include "common/proto/resp.h"
#include "server/control/agent.h"
#include "server/control/meta_machine.h"
#include "tests/support/test.h"

/* Agents of several nodes and the real machine of the meta group, with a network that loses and
 * delays, nodes that crash, forget what was not written, move, and lose their disks. The groups
 * themselves are not here: any live node with a replica of the meta group may be its leader, and
 * its log is one store. */

enum {
    NODES = 6,
    LINKS_MAX = 32,
    EVENTS_MAX = 4096,
    REPLICAS_MAX = 128,
    STEP_MS = 20,
    SHARDS = 8,
};

enum event_kind { EVENT_REQUEST, EVENT_REPLY, EVENT_MAP, EVENT_APPLIED, EVENT_SAVED };

struct event {
    uint64_t at_ms;
    enum event_kind kind;
    size_t from, to;
    unsigned life_from, life_to; /* A message to a process that is gone is lost. */
    uint64_t id;
    enum status status;
    uint8_t *bytes;
    size_t len;
};

struct world_link {
    uint64_t peer; /* 0: free. */
    char address[NODE_ADDRESS_SIZE_MAX];
    bool up;
    size_t to;
    unsigned life_to;
};

struct world_replica {
    uint64_t shard, replica;
};

struct world_node {
    struct world *world;
    size_t index;
    struct agent *agent; /* NULL: not running. */
    unsigned life;       /* Grows with every start. */
    unsigned moves;
    char address[NODE_ADDRESS_SIZE_MAX];
    struct world_link links[LINKS_MAX];
    /* On disk: */
    struct identity identity;
    struct identity saving;
    struct buf map;
    struct world_replica replicas[REPLICAS_MAX];
    size_t replica_count;
};

struct world {
    struct rand rand;
    uint64_t now_ms;
    unsigned loss; /* Percent. */
    size_t leader; /* Of the meta group, NODES: none. */
    char path[64];
    struct store *store;
    struct txn *txn;
    struct world_node nodes[NODES];
    struct event events[EVENTS_MAX];
    size_t event_count;
    uint64_t disks;
};

static void post(struct world *world, struct event event, struct slice bytes)
{
    bool network =
        event.kind == EVENT_REQUEST || event.kind == EVENT_REPLY || event.kind == EVENT_MAP;
    if (network && event.from != event.to && rand_below(&world->rand, 100) < world->loss) {
        return;
    }
    CHECK(world->event_count < EVENTS_MAX);
    event.at_ms = world->now_ms + 1 + rand_below(&world->rand, 60);
    event.life_from = world->nodes[event.from].life;
    event.life_to = world->nodes[event.to].life;
    event.bytes = malloc(bytes.len + 1);
    CHECK(event.bytes != NULL);
    if (bytes.len > 0) {
        memcpy(event.bytes, bytes.data, bytes.len);
    }
    event.len = bytes.len;
    world->events[world->event_count++] = event;
}

static struct world_link *link_to(struct world_node *node, uint64_t peer, bool make)
{
    struct world_link *empty = NULL;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (node->links[i].peer == peer) {
            return &node->links[i];
        }
        empty = empty == NULL && node->links[i].peer == 0 ? &node->links[i] : empty;
    }
    CHECK(!make || empty != NULL);
    if (make) {
        *empty = (struct world_link){.peer = peer};
    }
    return make ? empty : NULL;
}

static void on_connect(void *ctx, uint64_t peer, const char *address)
{
    struct world_link *link = link_to(ctx, peer, true);
    snprintf(link->address, sizeof(link->address), "%s", address);
}

static void on_disconnect(void *ctx, uint64_t peer)
{
    struct world_link *link = link_to(ctx, peer, false);
    CHECK(link != NULL);
    *link = (struct world_link){0};
}

/* Where a message to the peer goes; NODES: nowhere. */
static size_t target_of(struct world_node *node, uint64_t peer)
{
    if (peer == node->identity.node) {
        return node->index;
    }
    struct world_link *link = link_to(node, peer, false);
    return link != NULL && link->up ? link->to : NODES;
}

static void on_request(void *ctx, uint64_t peer, const struct frame_request *request)
{
    struct world_node *node = ctx;
    struct buf bytes;
    size_t to = target_of(node, peer);
    CHECK_EQ(request->shard, SHARD_META);
    if (to == NODES) {
        return;
    }
    buf_init(&bytes, 4096);
    frame_write_request(&bytes, request);
    post(node->world,
         (struct event){.kind = EVENT_REQUEST, .from = node->index, .to = to, .id = request->id},
         buf_slice(&bytes));
    buf_deinit(&bytes);
}

static void on_subscribe(void *ctx, uint64_t peer, uint64_t version)
{
    struct world_node *node = ctx;
    size_t to = target_of(node, peer);
    struct agent *other = to == NODES ? NULL : node->world->nodes[to].agent;
    if (other != NULL && agent_map(other)->version > version) {
        post(node->world, (struct event){.kind = EVENT_MAP, .from = to, .to = node->index},
             agent_map_bytes(other));
    }
}

static void on_save_identity(void *ctx, const struct identity *identity)
{
    struct world_node *node = ctx;
    node->saving = *identity;
    post(node->world, (struct event){.kind = EVENT_SAVED, .from = node->index, .to = node->index},
         slice_of(NULL, 0));
}

static void on_save_map(void *ctx, struct slice encoded)
{
    struct world_node *node = ctx;
    if (rand_below(&node->world->rand, 2) == 0) { /* Else it is lost at a crash. */
        buf_clear(&node->map);
        buf_append_slice(&node->map, encoded);
    }
}

static void on_joined(void *ctx, const struct identity *identity)
{
    struct world_node *node = ctx;
    CHECK_EQ(identity->node, node->identity.node);
}

/* Passed on to all that are linked to this node. */
static void on_map_changed(void *ctx, const struct shard_map *map, struct slice encoded)
{
    struct world_node *node = ctx;
    CHECK(map->version > 0);
    for (size_t i = 0; i < NODES; i++) {
        struct world_node *other = &node->world->nodes[i];
        for (size_t j = 0; other->agent != NULL && j < LINKS_MAX; j++) {
            if (other->links[j].peer != 0 && other->links[j].up &&
                other->links[j].to == node->index) {
                post(node->world, (struct event){.kind = EVENT_MAP, .from = node->index, .to = i},
                     encoded);
            }
        }
    }
}

static void on_push_map(void *ctx, uint64_t peer, struct slice encoded)
{
    struct world_node *node = ctx;
    size_t to = target_of(node, peer);
    if (to != NODES && node->world->nodes[to].agent != NULL) {
        post(node->world, (struct event){.kind = EVENT_MAP, .from = node->index, .to = to},
             encoded);
    }
}

static void on_addresses_changed(void *ctx)
{
    (void)ctx; /* The links of this world are the agent's own. */
}

static void on_replica_create(void *ctx,
                              const struct shard_desc *desc,
                              uint64_t replica,
                              bool birth)
{
    struct world_node *node = ctx;
    CHECK(!birth || replica <= desc->birth_max);
    for (size_t i = 0; i < node->replica_count; i++) {
        CHECK(node->replicas[i].shard != desc->id);
    }
    CHECK(node->replica_count < REPLICAS_MAX);
    node->replicas[node->replica_count++] = (struct world_replica){desc->id, replica};
}

static void on_replica_remove(void *ctx, uint64_t shard, uint64_t replica)
{
    (void)ctx, (void)shard, (void)replica;
    CHECK(false); /* No shard is ever taken from a live node here. */
}

static void on_failed(void *ctx, enum status status, const char *text)
{
    struct world_node *node = ctx;
    fprintf(stderr, "node %zu: %s: %s\n", node->index, status_text(status), text);
    CHECK(false);
}

static void start(struct world *world, size_t index)
{
    static const char *const seeds[] = {"h0:1", "h1:1", "h2:1"};
    struct world_node *node = &world->nodes[index];
    struct shard_map map;
    struct agent_env env = {.ctx = node,
                            .connect = on_connect,
                            .disconnect = on_disconnect,
                            .request = on_request,
                            .subscribe = on_subscribe,
                            .push_map = on_push_map,
                            .addresses_changed = on_addresses_changed,
                            .save_identity = on_save_identity,
                            .save_map = on_save_map,
                            .joined = on_joined,
                            .map_changed = on_map_changed,
                            .replica_create = on_replica_create,
                            .replica_remove = on_replica_remove,
                            .failed = on_failed};
    CHECK(node->agent == NULL);
    shard_map_init(&map);
    if (node->map.len > 0) {
        CHECK(shard_map_decode(buf_slice(&node->map), &map) == STATUS_OK);
    }
    node->life++;
    memset(node->links, 0, sizeof(node->links));
    struct agent_options options = {.identity = node->identity,
                                    .address = node->address,
                                    .zone = "",
                                    .incarnation = rand_u64(&world->rand),
                                    .random = rand_u64(&world->rand),
                                    .seeds = seeds,
                                    .seed_count = 3,
                                    .map = &map};
    node->agent = agent_new(&options, &env);
    for (size_t i = 0; i < node->replica_count; i++) {
        agent_replica_opened(node->agent, node->replicas[i].shard, node->replicas[i].replica);
    }
    shard_map_deinit(&map);
}

static void stop(struct world *world, size_t index)
{
    struct world_node *node = &world->nodes[index];
    agent_free(node->agent);
    node->agent = NULL;
    node->life++;
    world->leader = world->leader == index ? NODES : world->leader;
}

static void make_disk(struct world *world, size_t index)
{
    struct world_node *node = &world->nodes[index];
    node->identity = (struct identity){.disk = ++world->disks};
    node->replica_count = 0;
    buf_clear(&node->map);
    if (world->disks == 1) {
        memset(node->identity.cluster, 0x5a, sizeof(node->identity.cluster));
        node->identity.node = IDENTITY_NODE_FIRST;
        node->identity.bootstrap = true;
        node->identity.replicas = 3;
        node->identity.shards = SHARDS;
    }
}

static struct world *world_new(uint64_t seed)
{
    struct world *world = calloc(1, sizeof(*world));
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK(world != NULL);
    rand_init(&world->rand, seed);
    world->leader = NODES;
    world->now_ms = 1000;
    world->loss = 30;
    snprintf(world->path, sizeof(world->path), "/tmp/test_agent_cluster.XXXXXX");
    CHECK(mkdtemp(world->path) != NULL);
    CHECK(store_open(world->path, &options, &world->store) == STATUS_OK);
    world->txn = txn_new(world->store);
    for (size_t i = 0; i < NODES; i++) {
        struct world_node *node = &world->nodes[i];
        node->world = world;
        node->index = i;
        buf_init(&node->map, 1 << 20);
        snprintf(node->address, sizeof(node->address), "h%zu:1", i);
        make_disk(world, i);
    }
    return world;
}

static void world_free(struct world *world)
{
    char command[128];
    for (size_t i = 0; i < NODES; i++) {
        if (world->nodes[i].agent != NULL) {
            agent_free(world->nodes[i].agent);
        }
        buf_deinit(&world->nodes[i].map);
    }
    for (size_t i = 0; i < world->event_count; i++) {
        free(world->events[i].bytes);
    }
    txn_free(world->txn);
    store_close(world->store);
    snprintf(command, sizeof(command), "rm -rf %s", world->path);
    CHECK(system(command) == 0);
    free(world);
}

static bool has_meta(const struct world_node *node)
{
    for (size_t i = 0; node->agent != NULL && i < node->replica_count; i++) {
        if (node->replicas[i].shard == SHARD_META) {
            return true;
        }
    }
    return false;
}

/* The leader of the meta group applies a command and learns the new map; the others learn it later.
 */
static void apply_meta(struct world *world, struct args args, struct buf *reply)
{
    struct buf planned;
    struct shard_map map;
    bool changed = false;
    buf_init(&planned, 4096);
    shard_map_init(&map);
    CHECK(meta_machine_plan(args, 1000, &planned, reply) == STATUS_OK);
    CHECK(meta_machine_apply(world->txn, buf_slice(&planned), reply, &changed) == STATUS_OK);
    CHECK(txn_commit(world->txn) == STATUS_OK);
    CHECK(meta_machine_load(world->txn, &map) == STATUS_OK);
    if (changed) {
        struct buf bytes;
        buf_init(&bytes, 1 << 20);
        shard_map_encode(&map, &bytes);
        for (size_t i = 0; i < NODES; i++) {
            if (has_meta(&world->nodes[i])) {
                post(world, (struct event){.kind = EVENT_APPLIED, .from = i, .to = i},
                     buf_slice(&bytes));
            }
        }
        buf_deinit(&bytes);
    }
    shard_map_deinit(&map);
    buf_deinit(&planned);
}

static void serve(struct world *world, const struct event *event)
{
    struct slice argv[META_ARGC_MAX];
    struct frame frame;
    struct frame_request request;
    struct buf reply;
    size_t size_used = 0;
    struct event answer = {.kind = EVENT_REPLY, .from = event->to, .to = event->from};
    answer.id = event->id;
    CHECK(frame_parse(slice_of(event->bytes, event->len), 4096, &frame, &size_used) == STATUS_OK);
    CHECK(frame_read_request(frame.body, &request, argv, META_ARGC_MAX) == STATUS_OK);
    buf_init(&reply, 1 << 16);
    if (!has_meta(&world->nodes[event->to])) {
        answer.status = STATUS_NO_SHARD;
    } else if (world->leader != event->to) {
        uint64_t hint = world->leader == NODES ? 0 : world->nodes[world->leader].identity.node;
        answer.status = STATUS_NOT_LEADER;
        struct leader_hint named = {.shard = SHARD_META, .term = 1, .node = hint};
        leader_hint_encode(&named, &reply);
    } else {
        apply_meta(world, request.args, &reply);
    }
    post(world, answer, buf_slice(&reply));
    buf_deinit(&reply);
}

static void deliver(struct world *world, struct event *event)
{
    struct world_node *node = &world->nodes[event->to];
    struct slice bytes = slice_of(event->bytes, event->len);
    struct shard_map map;
    if (node->agent == NULL || node->life != event->life_to) {
        return;
    }
    switch (event->kind) {
    case EVENT_REQUEST: serve(world, event); break;
    case EVENT_REPLY: agent_reply(node->agent, event->id, event->status, bytes); break;
    case EVENT_MAP: CHECK(agent_receive_map(node->agent, bytes) == STATUS_OK); break;
    case EVENT_APPLIED:
        shard_map_init(&map);
        CHECK(shard_map_decode(bytes, &map) == STATUS_OK);
        agent_apply_map(node->agent, &map);
        shard_map_deinit(&map);
        break;
    case EVENT_SAVED:
        node->identity = node->saving;
        agent_identity_saved(node->agent, STATUS_OK);
        break;
    }
}

static size_t at_address(const struct world *world, const char *address)
{
    size_t i = 0;
    while (i < NODES &&
           (world->nodes[i].agent == NULL || strcmp(world->nodes[i].address, address) != 0)) {
        i++;
    }
    return i;
}

/* Breaks links to who is gone, and makes those that can be made. */
static void work_link(struct world *world, struct world_node *node, struct world_link *link)
{
    const struct world_node *target = &world->nodes[link->to];
    if (link->up && (target->agent == NULL || target->life != link->life_to)) {
        link->up = false;
        agent_link_down(node->agent, link->peer);
        return;
    }
    size_t to = at_address(world, link->address);
    if (link->up || to == NODES || to == node->index || rand_below(&world->rand, 10) > 0) {
        return;
    }
    const struct identity *identity = &world->nodes[to].identity;
    struct frame_hello hello = {.version = FRAME_VERSION, .role = FRAME_ROLE_NODE, .loops = 1};
    memcpy(hello.cluster, identity->cluster, sizeof(hello.cluster));
    hello.node = identity->node;
    hello.incarnation = 1 + to;
    uint64_t peer = link->peer;
    link->up = true;
    link->to = to;
    link->life_to = world->nodes[to].life;
    if (agent_link_up(node->agent, peer, &hello) != STATUS_OK) {
        struct world_link *again = link_to(node, peer, false);
        if (again != NULL) {
            again->up = false;
        }
    }
}

static void elect(struct world *world)
{
    if (rand_below(&world->rand, 25) > 0) {
        return;
    }
    size_t candidate = rand_below(&world->rand, NODES);
    if (has_meta(&world->nodes[candidate])) {
        world->leader = candidate;
    }
}

static void step(struct world *world)
{
    world->now_ms += STEP_MS;
    elect(world);
    for (size_t i = 0; i < world->event_count;) {
        if (world->events[i].at_ms > world->now_ms) {
            i++;
            continue;
        }
        struct event event = world->events[i];
        world->events[i] = world->events[--world->event_count];
        deliver(world, &event);
        free(event.bytes);
    }
    for (size_t i = 0; i < NODES; i++) {
        struct world_node *node = &world->nodes[i];
        for (size_t j = 0; node->agent != NULL && j < LINKS_MAX; j++) {
            if (node->links[j].peer != 0) {
                work_link(world, node, &node->links[j]);
            }
        }
        if (node->agent != NULL) {
            agent_tick(node->agent, world->now_ms);
        }
    }
}

static void pass(struct world *world, uint64_t ms)
{
    for (uint64_t until = world->now_ms + ms; world->now_ms < until;) {
        step(world);
    }
}

/* Everything is as the map says, and the map is the newest. */
static bool settled(struct world *world)
{
    struct shard_map map;
    bool good = true;
    shard_map_init(&map);
    CHECK(meta_machine_load(world->txn, &map) == STATUS_OK);
    good = map.shard_count == SHARDS && map.meta.replica_count == 3;
    for (size_t i = 0; good && i < NODES; i++) {
        const struct world_node *node = &world->nodes[i];
        size_t wanted = shard_map_replica_on(&map.meta, node->identity.node) != NULL;
        for (size_t j = 0; j < map.shard_count; j++) {
            wanted += shard_map_replica_on(&map.shards[j], node->identity.node) != NULL;
        }
        good = node->agent != NULL && agent_is_joined(node->agent) &&
               agent_map(node->agent)->version == map.version && node->replica_count == wanted;
        for (size_t j = 0; good && j < node->replica_count; j++) {
            const struct shard_desc *shard = shard_map_shard(&map, node->replicas[j].shard);
            const struct replica_desc *replica = shard_map_replica_on(shard, node->identity.node);
            good = replica != NULL && replica->id == node->replicas[j].replica;
        }
        const struct node_desc *self = shard_map_node(&map, node->identity.node);
        good = good && self != NULL && strcmp(self->address, node->address) == 0;
    }
    shard_map_deinit(&map);
    return good;
}

static void check_settles(struct world *world, uint64_t seed)
{
    world->loss = 0;
    for (unsigned i = 0; i < 60 && !settled(world); i++) {
        pass(world, 1000);
    }
    if (!settled(world)) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        CHECK(false);
    }
}

TEST(agent_tick, forms_a_cluster_through_losses)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *world = world_new(seed);
        for (size_t i = 0; i < NODES; i++) {
            size_t who = (i * 5 + seed) % NODES; /* In any order. */
            start(world, who);
            pass(world, rand_below(&world->rand, 500));
        }
        pass(world, 5000);
        check_settles(world, seed);
        world_free(world);
    }
}

TEST(agent_tick, recovers_from_crashes_and_moves)
{
    for (uint64_t seed = 100; seed < 120; seed++) {
        struct world *world = world_new(seed);
        for (size_t i = 0; i < NODES; i++) {
            start(world, i);
        }
        for (unsigned round = 0; round < 20; round++) {
            pass(world, rand_below(&world->rand, 3000));
            size_t who = rand_below(&world->rand, NODES);
            struct world_node *node = &world->nodes[who];
            stop(world, who);
            pass(world, rand_below(&world->rand, 1000));
            if (who > 2 && rand_below(&world->rand, 3) == 0) { /* Not the seeds. */
                node->moves++;
                snprintf(node->address, sizeof(node->address), "h%zu:%u", who, 1 + node->moves);
            }
            start(world, who);
        }
        check_settles(world, seed);
        world_free(world);
    }
}

TEST(agent_tick, an_empty_disk_is_given_what_was_on_the_lost_one)
{
    for (uint64_t seed = 200; seed < 220; seed++) {
        struct world *world = world_new(seed);
        for (size_t i = 0; i < NODES; i++) {
            start(world, i);
        }
        pass(world, 3000);
        check_settles(world, seed);
        world->loss = 30;
        size_t who = 1 + rand_below(&world->rand, NODES - 1);
        uint64_t before = world->nodes[who].identity.node;
        stop(world, who);
        make_disk(world, who);
        start(world, who);
        pass(world, rand_below(&world->rand, 2000));
        stop(world, who); /* Perhaps before it knew who it is now. */
        start(world, who);
        check_settles(world, seed);
        CHECK(world->nodes[who].identity.node != before);
        CHECK_EQ(agent_map(world->nodes[0].agent)->node_count, NODES + 1);
        world_free(world);
    }
}
