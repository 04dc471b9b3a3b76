#include "server/control/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/proto/resp.h"
#include "tests/support/test.h"

/* One agent against a script. What it asks of its env is written down as text, a line per call, and
 * taken apart again by the tests. */

enum { LOG_SIZE_MAX = 1 << 16 };

static const uint8_t cluster_a[16] = "AAAAAAAAAAAAAAA";
static const uint8_t cluster_b[16] = "BBBBBBBBBBBBBBB";

struct scene {
    struct agent *agent;
    struct agent_env env;
    struct agent_options options;
    struct buf log;
    uint64_t now_ms;
    uint64_t request; /* Id of the newest request. */
    uint64_t request_peer;
    struct identity saved;
    struct shard_map map;
};

static void on_connect(void *ctx, uint64_t peer, const char *address)
{
    struct scene *scene = ctx;
    buf_append_format(&scene->log, "connect %s%" PRIu64 " %s\n", agent_is_seed(peer) ? "seed" : "",
                      agent_is_seed(peer) ? peer & 15 : peer, address);
}

static void on_disconnect(void *ctx, uint64_t peer)
{
    struct scene *scene = ctx;
    buf_append_format(&scene->log, "disconnect %s%" PRIu64 "\n", agent_is_seed(peer) ? "seed" : "",
                      agent_is_seed(peer) ? peer & 15 : peer);
}

static void on_request(void *ctx, uint64_t peer, const struct frame_request *request)
{
    struct scene *scene = ctx;
    struct slice name = request->args.argv[0];
    CHECK(agent_owns_request(request->id));
    CHECK(request->id != scene->request);
    CHECK(request->deadline_ms > 0 && request->session == 0);
    scene->request = request->id;
    scene->request_peer = peer;
    buf_append_format(&scene->log, "request %s%" PRIu64 " shard %" PRIu64 " %.*s\n",
                      agent_is_seed(peer) ? "seed" : "", agent_is_seed(peer) ? peer & 15 : peer,
                      request->shard, (int)name.len, (const char *)name.data);
}

static void on_subscribe(void *ctx, uint64_t peer, uint64_t version)
{
    struct scene *scene = ctx;
    buf_append_format(&scene->log, "subscribe %s%" PRIu64 " %" PRIu64 "\n",
                      agent_is_seed(peer) ? "seed" : "", agent_is_seed(peer) ? peer & 15 : peer,
                      version);
}

static void on_save_identity(void *ctx, const struct identity *identity)
{
    struct scene *scene = ctx;
    scene->saved = *identity;
    buf_append_format(&scene->log, "save_identity %" PRIu64 "\n", identity->node);
}

static void on_save_map(void *ctx, struct slice encoded)
{
    struct scene *scene = ctx;
    CHECK(encoded.len > 0);
    buf_append_text(&scene->log, "save_map\n");
}

static void on_joined(void *ctx, const struct identity *identity)
{
    struct scene *scene = ctx;
    buf_append_format(&scene->log, "joined %" PRIu64 "\n", identity->node);
}

static void on_map_changed(void *ctx, const struct shard_map *map, struct slice encoded)
{
    struct scene *scene = ctx;
    CHECK(slice_equal(encoded, agent_map_bytes(scene->agent)));
    CHECK(map == agent_map(scene->agent));
    buf_append_format(&scene->log, "map %" PRIu64 "\n", map->version);
}

static void on_replica_create(void *ctx,
                              const struct shard_desc *desc,
                              uint64_t replica,
                              bool birth)
{
    struct scene *scene = ctx;
    buf_append_format(&scene->log, "create %" PRIu64 " %" PRIu64 "%s\n", desc->id, replica,
                      birth ? " birth" : "");
}

static void on_replica_remove(void *ctx, uint64_t shard, uint64_t replica)
{
    struct scene *scene = ctx;
    buf_append_format(&scene->log, "remove %" PRIu64 " %" PRIu64 "\n", shard, replica);
}

static void on_failed(void *ctx, enum status status, const char *text)
{
    struct scene *scene = ctx;
    CHECK(text[0] != '\0');
    buf_append_format(&scene->log, "failed %s\n", status_text(status));
}

static const char *const seed_list[] = {"h:1", "h:2"};

/* A node of the given id (0: fresh) that was started with --join h:1,h:2 and is at h:9. */
static void scene_init(struct scene *scene, uint64_t node)
{
    *scene = (struct scene){.now_ms = 1000};
    buf_init(&scene->log, LOG_SIZE_MAX);
    scene->env = (struct agent_env){.ctx = scene,
                                    .connect = on_connect,
                                    .disconnect = on_disconnect,
                                    .request = on_request,
                                    .subscribe = on_subscribe,
                                    .save_identity = on_save_identity,
                                    .save_map = on_save_map,
                                    .joined = on_joined,
                                    .map_changed = on_map_changed,
                                    .replica_create = on_replica_create,
                                    .replica_remove = on_replica_remove,
                                    .failed = on_failed};
    scene->options = (struct agent_options){.address = "h:9",
                                            .zone = "",
                                            .incarnation = 99,
                                            .seeds = seed_list,
                                            .seed_count = 2,
                                            .random = 1};
    scene->options.identity.disk = 5;
    scene->options.identity.node = node;
    if (node != 0) {
        memcpy(scene->options.identity.cluster, cluster_a, 16);
    }
    shard_map_init(&scene->map);
}

static void begin(struct scene *scene)
{
    scene->agent = agent_new(&scene->options, &scene->env);
}

static void scene_deinit(struct scene *scene)
{
    agent_free(scene->agent);
    buf_deinit(&scene->log);
    shard_map_deinit(&scene->map);
}

static void tick(struct scene *scene, uint64_t ms)
{
    uint64_t until = scene->now_ms + ms;
    do {
        uint64_t step =
            until - scene->now_ms < AGENT_TICK_MS ? until - scene->now_ms : AGENT_TICK_MS;
        scene->now_ms += step;
        agent_tick(scene->agent, scene->now_ms);
    } while (scene->now_ms < until);
}

/* Lets time pass until the next request: the one before has run out by then. */
static void await_request(struct scene *scene)
{
    uint64_t before = scene->request;
    for (unsigned i = 0; i < 1000 && scene->request == before; i++) {
        tick(scene, AGENT_TICK_MS);
    }
    CHECK(scene->request != before);
}

/* How often the line is in the log. */
static size_t said(const struct scene *scene, const char *line)
{
    size_t count = 0;
    size_t len = strlen(line);
    const char *text = (const char *)scene->log.data;
    for (size_t i = 0; i + len < scene->log.len; i++) {
        bool begins = i == 0 || text[i - 1] == '\n';
        count += begins && memcmp(text + i, line, len) == 0 && text[i + len] == '\n';
    }
    return count;
}

/* True if a line begins with the word. */
static bool said_any(const struct scene *scene, const char *word)
{
    size_t len = strlen(word);
    const char *text = (const char *)scene->log.data;
    for (size_t i = 0; i + len < scene->log.len; i++) {
        if ((i == 0 || text[i - 1] == '\n') && memcmp(text + i, word, len) == 0) {
            return true;
        }
    }
    return false;
}

static void forget(struct scene *scene)
{
    buf_clear(&scene->log);
}

static enum status link_up(struct scene *scene,
                           uint64_t peer,
                           uint64_t node,
                           const uint8_t *cluster)
{
    struct frame_hello hello = {.version = FRAME_VERSION, .role = FRAME_ROLE_NODE, .loops = 1};
    hello.node = node;
    hello.incarnation = 7;
    if (cluster != NULL) {
        memcpy(hello.cluster, cluster, 16);
    }
    return agent_link_up(scene->agent, peer, &hello);
}

static void reply_joined(struct scene *scene, int64_t node, const uint8_t *cluster, int64_t version)
{
    struct buf reply;
    buf_init(&reply, 1024);
    resp_write_array(&reply, 3);
    resp_write_int(&reply, node);
    resp_write_bulk(&reply, slice_of(cluster, 16));
    resp_write_int(&reply, version);
    agent_reply(scene->agent, scene->request, STATUS_OK, buf_slice(&reply));
    buf_deinit(&reply);
}

static void reply_error(struct scene *scene, const char *text)
{
    struct buf reply;
    buf_init(&reply, 1024);
    resp_write_error(&reply, text);
    agent_reply(scene->agent, scene->request, STATUS_OK, buf_slice(&reply));
    buf_deinit(&reply);
}

static void reply_not_leader(struct scene *scene, uint64_t node)
{
    struct buf reply;
    buf_init(&reply, 1024);
    buf_append_u64(&reply, SHARD_META);
    buf_append_u64(&reply, 3);
    buf_append_u64(&reply, node);
    agent_reply(scene->agent, scene->request, STATUS_NOT_LEADER, buf_slice(&reply));
    buf_deinit(&reply);
}

static void reply_conf(struct scene *scene, uint64_t a, uint64_t b, uint64_t c)
{
    struct group_conf conf = {.count = 3};
    struct buf reply;
    buf_init(&reply, 1024);
    conf.members[0].replica = a;
    conf.members[1].replica = b;
    conf.members[2].replica = c;
    agent_write_conf(&conf, &reply);
    agent_reply(scene->agent, scene->request, STATUS_OK, buf_slice(&reply));
    buf_deinit(&reply);
}

/* Nodes 1 to 4 at h:1.. and this one, 9, at h:9; the meta group on 1, 2, 3; two shards of which the
 * first is on 3, 4, 9 (replicas 13, 14, 19) and the second on 1, 2, 3. */
static void make_map(struct shard_map *map, const uint8_t *cluster, uint64_t version)
{
    const uint64_t ids[] = {1, 2, 3, 4, 9};
    shard_map_deinit(map);
    memcpy(map->cluster, cluster, 16);
    map->version = version;
    map->replicas = 3;
    map->shards_wanted = 2;
    map->node_count = 5;
    map->nodes = calloc(5, sizeof(*map->nodes));
    for (size_t i = 0; i < 5; i++) {
        map->nodes[i] = (struct node_desc){.id = ids[i], .incarnation = ids[i] == 9 ? 99 : 1};
        snprintf(map->nodes[i].address, NODE_ADDRESS_SIZE_MAX, "h:%" PRIu64, ids[i]);
    }
    map->shard_count = 2;
    map->shards = calloc(2, sizeof(*map->shards));
    const uint64_t start[] = {0, 0, UINT64_C(1) << 63};
    const uint64_t on[3][3] = {{1, 2, 3}, {3, 4, 9}, {1, 2, 3}};
    for (uint64_t i = 0; i < 3; i++) {
        struct shard_desc *shard = i == 0 ? &map->meta : &map->shards[i - 1];
        *shard =
            (struct shard_desc){.id = 1 + i, .ver = 1, .conf_ver = 1, .birth_max = 10 + 10 * i};
        shard->start = start[i];
        shard->last = i == 1 ? (UINT64_C(1) << 63) - 1 : UINT64_MAX;
        shard->replica_count = 3;
        for (uint64_t j = 0; j < 3; j++) {
            shard->replicas[j] = (struct replica_desc){.id = 10 * i + on[i][j], .node = on[i][j]};
        }
    }
    CHECK(shard_map_check(map) == STATUS_OK);
}

static enum status give_map(struct scene *scene)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    shard_map_encode(&scene->map, &bytes);
    enum status status = agent_receive_map(scene->agent, buf_slice(&bytes));
    buf_deinit(&bytes);
    return status;
}

TEST(agent_tick, a_fresh_node_joins_through_a_seed)
{
    struct scene scene;
    scene_init(&scene, 0);
    begin(&scene);
    tick(&scene, 100);
    CHECK_EQ(said(&scene, "connect seed0 h:1"), 1);
    CHECK_EQ(said(&scene, "connect seed1 h:2"), 1);
    CHECK(!said_any(&scene, "request"));
    CHECK(link_up(&scene, agent_seed_peer(0), 1, cluster_a) == STATUS_OK);
    CHECK_EQ(said(&scene, "subscribe seed0 0"), 1);
    CHECK_EQ(said(&scene, "request seed0 shard 1 META.JOIN"), 1);
    make_map(&scene.map, cluster_a, 5);
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK_EQ(said(&scene, "map 5"), 1);
    CHECK_EQ(said(&scene, "connect 1 h:1"), 1); /* The meta group's nodes. */
    CHECK_EQ(said(&scene, "connect 3 h:3"), 1);
    CHECK_EQ(said(&scene, "connect 4 h:4"), 0);
    CHECK(!said_any(&scene, "save_map")); /* Nothing to disk before it is known whose it is. */
    reply_joined(&scene, 9, cluster_a, 5);
    CHECK_EQ(said(&scene, "save_identity 9"), 1);
    CHECK(memcmp(scene.saved.cluster, cluster_a, 16) == 0 && scene.saved.disk == 5);
    CHECK(!agent_is_joined(scene.agent));
    CHECK(!said_any(&scene, "create"));
    agent_identity_saved(scene.agent, STATUS_OK);
    CHECK(agent_is_joined(scene.agent));
    CHECK_EQ(said(&scene, "joined 9"), 1);
    CHECK_EQ(said(&scene, "save_map"), 1);
    CHECK_EQ(said(&scene, "create 2 19 birth"), 1);
    CHECK_EQ(said(&scene, "connect 4 h:4"), 1); /* It shares a shard. */
    CHECK_EQ(said(&scene, "disconnect seed0"), 1);
    forget(&scene);
    tick(&scene, 60000);
    CHECK(!said_any(&scene, "create") && !said_any(&scene, "connect 4"));
    CHECK(!said_any(&scene, "request") && !said_any(&scene, "failed"));
    scene_deinit(&scene);
}

TEST(agent_reply, follows_the_hint_and_keeps_asking)
{
    struct scene scene;
    scene_init(&scene, 0);
    begin(&scene);
    tick(&scene, 100);
    CHECK(link_up(&scene, agent_seed_peer(1), 2, cluster_a) == STATUS_OK);
    make_map(&scene.map, cluster_a, 5);
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK(link_up(&scene, 3, 3, cluster_a) == STATUS_OK);
    reply_not_leader(&scene, 3);
    tick(&scene, 200);
    CHECK_EQ(scene.request_peer, 3);
    agent_reply(scene.agent, scene.request, STATUS_NO_SHARD, slice_of(NULL, 0));
    agent_reply(scene.agent, scene.request, STATUS_OK, slice_str("late and wrong"));
    tick(&scene, 500);
    reply_not_leader(&scene, 77); /* Nobody knows that one. */
    tick(&scene, 1000);
    reply_error(&scene, "TRYAGAIN the cluster is being created");
    tick(&scene, 1000);
    agent_reply(scene.agent, scene.request, STATUS_OK, slice_str("garbage"));
    forget(&scene);
    tick(&scene, 30000); /* No answer at all: both are asked, again and again. */
    CHECK(said(&scene, "request seed1 shard 1 META.JOIN") > 2);
    CHECK(said(&scene, "request 3 shard 1 META.JOIN") > 2);
    await_request(&scene);
    reply_joined(&scene, 9, cluster_a, 5);
    CHECK_EQ(said(&scene, "save_identity 9"), 1);
    scene_deinit(&scene);
}

TEST(agent_tick, the_first_node_begins_the_meta_group)
{
    struct scene scene;
    scene_init(&scene, 1);
    scene.options.identity.bootstrap = true;
    scene.options.identity.replicas = 3;
    scene.options.identity.shards = 32;
    scene.options.seed_count = 0;
    begin(&scene);
    CHECK(!said_any(&scene, "create"));
    tick(&scene, 100);
    CHECK_EQ(said(&scene, "create 1 1 birth"), 1);
    CHECK_EQ(said(&scene, "request 1 shard 1 META.INIT"), 1); /* To itself. */
    reply_not_leader(&scene, 0);
    tick(&scene, 100);
    CHECK_EQ(said(&scene, "request 1 shard 1 META.INIT"), 2);
    reply_joined(&scene, 1, cluster_a, 1);
    CHECK(agent_is_joined(scene.agent));
    CHECK(!said_any(&scene, "save_identity") && !said_any(&scene, "joined"));
    tick(&scene, 10000);
    CHECK_EQ(said(&scene, "create 1 1 birth"), 1);
    CHECK_EQ(said(&scene, "request 1 shard 1 META.INIT"), 2);
    scene_deinit(&scene);
}

TEST(agent_tick, the_first_node_does_not_begin_twice)
{
    struct scene scene;
    scene_init(&scene, 1);
    scene.options.identity.bootstrap = true;
    scene.options.identity.replicas = 3;
    scene.options.identity.shards = 32;
    begin(&scene);
    agent_replica_opened(scene.agent, SHARD_META, 1);
    tick(&scene, 100);
    CHECK(!said_any(&scene, "create"));
    CHECK_EQ(said(&scene, "request 1 shard 1 META.INIT"), 1);
    scene_deinit(&scene);
}

/* Node 9 restarts with its directory and the map of the last time. */
static void restart(struct scene *scene)
{
    scene_init(scene, 9);
    make_map(&scene->map, cluster_a, 5);
    scene->options.map = &scene->map;
    begin(scene);
    agent_replica_opened(scene->agent, 2, 19);
    tick(scene, 100);
}

TEST(agent_tick, a_restarted_node_serves_alone_and_joins_when_it_can)
{
    struct scene scene;
    restart(&scene);
    CHECK_EQ(agent_map(scene.agent)->version, 5);
    CHECK_EQ(said(&scene, "connect 1 h:1"), 1);
    CHECK_EQ(said(&scene, "connect 4 h:4"), 1);
    CHECK_EQ(said(&scene, "connect seed0 h:1"), 1);
    tick(&scene, 600000); /* Nobody is there for ten minutes. */
    CHECK(!said_any(&scene, "create") && !said_any(&scene, "remove"));
    CHECK(!said_any(&scene, "failed") && !said_any(&scene, "request"));
    CHECK(link_up(&scene, 2, 2, cluster_a) == STATUS_OK);
    CHECK_EQ(said(&scene, "subscribe 2 5"), 1);
    CHECK_EQ(said(&scene, "request 2 shard 1 META.JOIN"), 1);
    reply_joined(&scene, 9, cluster_a, 6);
    CHECK(agent_is_joined(scene.agent));
    CHECK(!said_any(&scene, "save_identity"));
    scene_deinit(&scene);
}

TEST(agent_receive_map, moves_links_to_new_addresses_and_never_goes_back)
{
    struct scene scene;
    restart(&scene);
    make_map(&scene.map, cluster_a, 6);
    snprintf(scene.map.nodes[3].address, NODE_ADDRESS_SIZE_MAX, "moved:4");
    scene.map.nodes[1].address[0] = '\0'; /* Where 2 is nobody knows now. */
    forget(&scene);
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK_EQ(said(&scene, "connect 4 moved:4"), 1);
    CHECK_EQ(said(&scene, "disconnect 2"), 1);
    CHECK(!said_any(&scene, "connect 3"));
    CHECK_EQ(said(&scene, "save_map"), 1);
    forget(&scene);
    CHECK(give_map(&scene) == STATUS_OK); /* The same again. */
    scene.map.version = 4;
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene.log.len, 0);
    CHECK_EQ(agent_map(scene.agent)->version, 6);
    scene_deinit(&scene);
}

TEST(agent_receive_map, refuses_garbage_and_the_map_of_another_cluster)
{
    struct scene scene;
    restart(&scene);
    forget(&scene);
    CHECK(agent_receive_map(scene.agent, slice_str("garbage")) == STATUS_CORRUPT);
    make_map(&scene.map, cluster_b, 50);
    CHECK(give_map(&scene) == STATUS_WRONG_CLUSTER);
    make_map(&scene.map, cluster_a, 0);
    CHECK(give_map(&scene) == STATUS_CORRUPT);
    CHECK_EQ(scene.log.len, 0);
    scene_deinit(&scene);
}

TEST(agent_receive_map, only_the_first_descriptor_gives_birth)
{
    struct scene scene;
    restart(&scene);
    make_map(&scene.map, cluster_a, 6);
    scene.map.shards[1].replicas[2] = (struct replica_desc){.id = 40, .node = 9};
    scene.map.shards[1].conf_ver = 2;
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK_EQ(said(&scene, "create 3 40"), 1); /* Waits for a snapshot. */
    scene_deinit(&scene);

    /* A member by birth that slept until after the members were changed does not know with whom it
     * was to begin: it waits for a snapshot too. */
    scene_init(&scene, 9);
    make_map(&scene.map, cluster_a, 5);
    scene.map.shards[0].replicas[0] = (struct replica_desc){.id = 41, .node = 1};
    scene.map.shards[0].conf_ver = 2;
    scene.options.map = &scene.map;
    begin(&scene);
    tick(&scene, 100);
    CHECK_EQ(said(&scene, "create 2 19"), 1);
    scene_deinit(&scene);
}

static void confirm(struct scene *scene, int64_t version)
{
    CHECK(link_up(scene, 1, 1, cluster_a) == STATUS_OK);
    reply_joined(scene, 9, cluster_a, version);
    CHECK(agent_is_joined(scene->agent));
}

/* A map in which shard 2 is no longer on node 9. */
static void take_away(struct scene *scene, uint64_t version)
{
    make_map(&scene->map, cluster_a, version);
    scene->map.shards[0].replicas[2] = (struct replica_desc){.id = 31, .node = 1};
    scene->map.shards[0].conf_ver = 2;
    CHECK(give_map(scene) == STATUS_OK);
}

TEST(agent_reply, removes_a_replica_only_when_its_group_has_let_it_go)
{
    struct scene scene;
    restart(&scene);
    confirm(&scene, 6);
    CHECK(link_up(&scene, 4, 4, cluster_a) == STATUS_OK);
    take_away(&scene, 7);
    CHECK(!said_any(&scene, "remove"));
    tick(&scene, 1000);
    CHECK(said_any(&scene, "request 4 shard 2 GROUP.CONF") ||
          said_any(&scene, "request 1 shard 2 GROUP.CONF"));
    reply_conf(&scene, 13, 14, 19); /* Still a member. */
    await_request(&scene);
    reply_error(&scene, "ERR something else");
    await_request(&scene);
    reply_not_leader(&scene, 4);
    await_request(&scene);
    CHECK_EQ(scene.request_peer, 4);
    await_request(&scene); /* No answer. */
    CHECK(!said_any(&scene, "remove"));
    reply_conf(&scene, 31, 13, 14);
    CHECK_EQ(said(&scene, "remove 2 19"), 1);
    tick(&scene, 120000);
    CHECK_EQ(said(&scene, "remove 2 19"), 1);
    agent_replica_removed(scene.agent, 2, 19);
    tick(&scene, 1000);
    CHECK(!said_any(&scene, "create"));
    make_map(&scene.map, cluster_a, 8); /* Back, under its old id: dead for good. */
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK(!said_any(&scene, "create"));
    scene.map.version = 9;
    scene.map.shards[0].replicas[2].id = 44;
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK_EQ(said(&scene, "create 2 44"), 1);
    scene_deinit(&scene);
}

TEST(agent_tick, a_map_that_may_be_old_takes_nothing_away)
{
    struct scene scene;
    restart(&scene);
    CHECK(link_up(&scene, 4, 4, cluster_a) == STATUS_OK);
    take_away(&scene, 6); /* Not confirmed: what it saw before its restart may be newer. */
    tick(&scene, 10000);
    CHECK(!said_any(&scene, "request 4 shard 2"));
    CHECK(link_up(&scene, 1, 1, cluster_a) == STATUS_OK);
    await_request(&scene);
    reply_joined(&scene, 9, cluster_a, 8); /* There is a newer one. */
    CHECK(agent_is_joined(scene.agent));
    tick(&scene, 10000);
    CHECK(!said_any(&scene, "request 4 shard 2") && !said_any(&scene, "request 1 shard 2"));
    take_away(&scene, 8);
    tick(&scene, 10000);
    CHECK(said_any(&scene, "request 4 shard 2") || said_any(&scene, "request 1 shard 2"));
    scene_deinit(&scene);
}

TEST(agent_replica_tombstoned, is_never_made_again)
{
    struct scene scene;
    scene_init(&scene, 9);
    make_map(&scene.map, cluster_a, 5);
    scene.options.map = &scene.map;
    begin(&scene);
    agent_replica_tombstoned(scene.agent, 2, 19);
    tick(&scene, 1000);
    CHECK(!said_any(&scene, "create"));
    scene_deinit(&scene);
}

TEST(agent_apply_map, is_looked_at_when_all_replicas_are_known)
{
    struct scene scene;
    scene_init(&scene, 9);
    begin(&scene);
    make_map(&scene.map, cluster_a, 5);
    agent_apply_map(scene.agent, &scene.map); /* The meta group's replica is opened first. */
    CHECK_EQ(said(&scene, "map 5"), 1);
    CHECK(!said_any(&scene, "create"));
    agent_replica_opened(scene.agent, 2, 19);
    tick(&scene, 1000);
    CHECK(!said_any(&scene, "create"));
    agent_apply_map(scene.agent, &scene.map);
    CHECK_EQ(said(&scene, "map 5"), 1);
    scene_deinit(&scene);
}

TEST(agent_link_up, tells_the_operator_of_a_wrong_cluster)
{
    struct scene scene;
    restart(&scene);
    CHECK(link_up(&scene, 4, 4, cluster_b) == STATUS_WRONG_CLUSTER);
    CHECK(!said_any(&scene, "failed")); /* A node that took over an address: not our mistake. */
    CHECK(link_up(&scene, agent_seed_peer(0), 1, cluster_b) == STATUS_WRONG_CLUSTER);
    CHECK_EQ(said(&scene, "failed belongs to another cluster"), 1);
    forget(&scene);
    tick(&scene, 10000);
    CHECK_EQ(scene.log.len, 0);
    scene_deinit(&scene);

    restart(&scene);
    agent_link_refused(scene.agent, agent_seed_peer(1), STATUS_BUSY, "too many connections");
    CHECK(!said_any(&scene, "failed"));
    agent_link_refused(scene.agent, agent_seed_peer(1), STATUS_WRONG_CLUSTER, "no");
    CHECK_EQ(said(&scene, "failed belongs to another cluster"), 1);
    scene_deinit(&scene);
}

TEST(agent_link_up, seeds_of_two_clusters_are_a_mistake)
{
    struct scene scene;
    scene_init(&scene, 0);
    begin(&scene);
    tick(&scene, 100);
    make_map(&scene.map, cluster_a, 5);
    CHECK(link_up(&scene, agent_seed_peer(0), 1, cluster_a) == STATUS_OK);
    CHECK(give_map(&scene) == STATUS_OK);
    reply_joined(&scene, 9, cluster_b, 5);
    CHECK_EQ(said(&scene, "failed belongs to another cluster"), 1);
    CHECK(!said_any(&scene, "save_identity"));
    scene_deinit(&scene);
}

TEST(agent_link_up, checks_who_answers)
{
    struct scene scene;
    restart(&scene);
    CHECK(link_up(&scene, 4, 3, cluster_a) == STATUS_CONFLICT);
    CHECK(link_up(&scene, 9, 9, cluster_a) == STATUS_CONFLICT);
    CHECK(link_up(&scene, 4, 4, cluster_a) == STATUS_OK);
    CHECK(link_up(&scene, 77, 77, cluster_a) == STATUS_OK); /* New, not yet in the map. */
    CHECK(link_up(&scene, 0, 0, cluster_a) == STATUS_CONFLICT);
    CHECK(link_up(&scene, agent_seed_peer(1), agent_seed_peer(1), cluster_a) == STATUS_CONFLICT);
    CHECK(link_up(&scene, agent_seed_peer(5), 5, cluster_a) == STATUS_CONFLICT);
    forget(&scene);
    CHECK(link_up(&scene, agent_seed_peer(0), 9, cluster_a) == STATUS_CONFLICT); /* Itself. */
    CHECK_EQ(said(&scene, "disconnect seed0"), 1);
    tick(&scene, 60000);
    CHECK(!said_any(&scene, "connect seed0"));
    scene_deinit(&scene);
}

TEST(agent_tick, a_node_that_was_replaced_stops)
{
    struct scene scene;
    restart(&scene);
    make_map(&scene.map, cluster_a, 6);
    scene.map.nodes[4].state = NODE_GONE;
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK_EQ(said(&scene, "failed contradicts what is already there"), 1);
    scene_deinit(&scene);

    restart(&scene);
    CHECK(link_up(&scene, 1, 1, cluster_a) == STATUS_OK);
    reply_error(&scene, "GONE node 9 lost its place");
    CHECK_EQ(said(&scene, "failed contradicts what is already there"), 1);
    scene_deinit(&scene);
}

TEST(agent_receive_map, joins_again_when_an_old_request_was_late)
{
    struct scene scene;
    restart(&scene);
    confirm(&scene, 6);
    make_map(&scene.map, cluster_a, 7);
    scene.map.nodes[4].incarnation = 55;
    forget(&scene);
    CHECK(give_map(&scene) == STATUS_OK);
    CHECK(!agent_is_joined(scene.agent));
    tick(&scene, 3000);
    CHECK_EQ(said(&scene, "request 1 shard 1 META.JOIN"), 1);
    /* Again and again: that is another process. */
    for (uint64_t version = 8; version < 16 && !said_any(&scene, "failed"); version++) {
        await_request(&scene);
        reply_joined(&scene, 9, cluster_a, (int64_t)version);
        scene.map.version = version;
        CHECK(give_map(&scene) == STATUS_OK);
    }
    CHECK_EQ(said(&scene, "failed contradicts what is already there"), 1);
    scene_deinit(&scene);
}

TEST(agent_tick, asks_for_the_map_again_and_dials_the_seeds_when_alone)
{
    struct scene scene;
    restart(&scene);
    confirm(&scene, 5);
    forget(&scene);
    tick(&scene, 60000);
    CHECK(said(&scene, "subscribe 1 5") >= 5);
    CHECK(!said_any(&scene, "connect seed0"));
    agent_link_down(scene.agent, 1);
    agent_link_down(scene.agent, 1);
    tick(&scene, 10000);
    CHECK_EQ(said(&scene, "connect seed0 h:1"), 1);
    forget(&scene);
    CHECK(link_up(&scene, agent_seed_peer(0), 1, cluster_a) == STATUS_OK);
    CHECK(link_up(&scene, 3, 3, cluster_a) == STATUS_OK);
    tick(&scene, 1000);
    CHECK_EQ(said(&scene, "disconnect seed0"), 1);
    scene_deinit(&scene);
}

TEST(agent_identity_saved, a_disk_that_fails_ends_it)
{
    struct scene scene;
    scene_init(&scene, 0);
    begin(&scene);
    tick(&scene, 100);
    CHECK(link_up(&scene, agent_seed_peer(0), 1, cluster_a) == STATUS_OK);
    reply_joined(&scene, 9, cluster_a, 5);
    agent_identity_saved(scene.agent, STATUS_IO);
    CHECK_EQ(said(&scene, "failed disk or network failure"), 1);
    CHECK(!agent_is_joined(scene.agent));
    CHECK_EQ(agent_identity(scene.agent)->node, 0);
    scene_deinit(&scene);
}

TEST(agent_is_conf_request, knows_its_own)
{
    struct slice argv[] = {slice_str("group.conf"), slice_str("x")};
    CHECK(agent_is_conf_request((struct args){.argv = argv, .argc = 1}));
    CHECK(!agent_is_conf_request((struct args){.argv = argv, .argc = 2}));
    CHECK(!agent_is_conf_request((struct args){.argv = argv + 1, .argc = 1}));
}
