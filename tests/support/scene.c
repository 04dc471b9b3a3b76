#include "tests/support/scene.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/proto/resp.h"
#include "tests/support/test.h"

enum { LOG_SIZE_MAX = 1 << 16 };

const uint8_t scene_cluster_a[16] = "AAAAAAAAAAAAAAA";
const uint8_t scene_cluster_b[16] = "BBBBBBBBBBBBBBB";

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

static void on_push_map(void *ctx, uint64_t peer, struct slice encoded)
{
    struct scene *scene = ctx;
    CHECK(slice_equal(encoded, agent_map_bytes(scene->agent)));
    buf_append_format(&scene->log, "push %" PRIu64 "\n", peer);
}

static void on_addresses_changed(void *ctx)
{
    struct scene *scene = ctx;
    buf_append_text(&scene->log, "addresses\n");
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
void scene_init(struct scene *scene, uint64_t node)
{
    *scene = (struct scene){.now_ms = 1000};
    buf_init(&scene->log, LOG_SIZE_MAX);
    scene->env = (struct agent_env){.ctx = scene,
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
    scene->options = (struct agent_options){.address = "h:9",
                                            .zone = "",
                                            .incarnation = 99,
                                            .seeds = seed_list,
                                            .seed_count = 2,
                                            .random = 1};
    scene->options.identity.disk = 5;
    scene->options.identity.node = node;
    if (node != 0) {
        memcpy(scene->options.identity.cluster, scene_cluster_a, 16);
    }
    shard_map_init(&scene->map);
}

void scene_begin(struct scene *scene)
{
    scene->agent = agent_new(&scene->options, &scene->env);
}

void scene_deinit(struct scene *scene)
{
    agent_free(scene->agent);
    buf_deinit(&scene->log);
    shard_map_deinit(&scene->map);
}

void scene_tick(struct scene *scene, uint64_t ms)
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
void scene_await_request(struct scene *scene)
{
    uint64_t before = scene->request;
    for (unsigned i = 0; i < 1000 && scene->request == before; i++) {
        scene_tick(scene, AGENT_TICK_MS);
    }
    CHECK(scene->request != before);
}

/* How often the line is in the log. */
size_t scene_said(const struct scene *scene, const char *line)
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
bool scene_said_any(const struct scene *scene, const char *word)
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

void scene_forget(struct scene *scene)
{
    buf_clear(&scene->log);
}

enum status scene_link_up(struct scene *scene, uint64_t peer, uint64_t node, const uint8_t *cluster)
{
    struct frame_hello hello = {.version = FRAME_VERSION, .role = FRAME_ROLE_NODE, .loops = 1};
    hello.node = node;
    hello.incarnation = 7;
    if (cluster != NULL) {
        memcpy(hello.cluster, cluster, 16);
    }
    return agent_link_up(scene->agent, peer, &hello);
}

void scene_reply_joined(struct scene *scene, int64_t node, const uint8_t *cluster, int64_t version)
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

void scene_reply_error(struct scene *scene, const char *text)
{
    struct buf reply;
    buf_init(&reply, 1024);
    resp_write_error(&reply, text);
    agent_reply(scene->agent, scene->request, STATUS_OK, buf_slice(&reply));
    buf_deinit(&reply);
}

void scene_reply_not_leader(struct scene *scene, uint64_t node)
{
    struct buf reply;
    buf_init(&reply, 1024);
    struct leader_hint hint = {.shard = SHARD_META, .term = 3, .node = node};
    leader_hint_encode(&hint, &reply);
    agent_reply(scene->agent, scene->request, STATUS_NOT_LEADER, buf_slice(&reply));
    buf_deinit(&reply);
}

void scene_reply_conf(struct scene *scene, uint64_t a, uint64_t b, uint64_t c)
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
void scene_make_map(struct shard_map *map, const uint8_t *cluster, uint64_t version)
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

enum status scene_give_map(struct scene *scene)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    shard_map_encode(&scene->map, &bytes);
    enum status status = agent_receive_map(scene->agent, buf_slice(&bytes));
    buf_deinit(&bytes);
    return status;
}

void scene_restart(struct scene *scene)
{
    scene_init(scene, 9);
    scene_make_map(&scene->map, scene_cluster_a, 5);
    scene->options.map = &scene->map;
    scene_begin(scene);
    agent_replica_opened(scene->agent, 2, 19);
    scene_tick(scene, 100);
}

void scene_confirm(struct scene *scene, int64_t version)
{
    CHECK(scene_link_up(scene, 1, 1, scene_cluster_a) == STATUS_OK);
    scene_reply_joined(scene, 9, scene_cluster_a, version);
    CHECK(agent_is_joined(scene->agent));
}
