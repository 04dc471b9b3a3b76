#include "server/control/meta_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/rand.h"
#include "common/proto/resp.h"
#include "server/control/meta_entry.h"
#include "tests/support/test.h"

/* Scripts of commands against the rows of a real store. */

static const char cluster_id[] = "0123456789abcdef";
static const char no_cluster[16];

struct scene {
    char path[64];
    struct store *store;
    struct txn *txn;
    struct buf planned;
    struct buf reply;
    struct shard_map map;
    bool changed;
    struct meta_joined joined;
    char text[256];
};

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){0};
    snprintf(scene->path, sizeof(scene->path), "/tmp/test_meta_machine.XXXXXX");
    CHECK(mkdtemp(scene->path) != NULL);
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK(store_open(scene->path, &options, &scene->store) == STATUS_OK);
    scene->txn = txn_new(scene->store);
    buf_init(&scene->planned, 1 << 16);
    buf_init(&scene->reply, 64 << 20);
    shard_map_init(&scene->map);
}

static void scene_deinit(struct scene *scene)
{
    char command[128];
    txn_free(scene->txn);
    store_close(scene->store);
    buf_deinit(&scene->planned);
    buf_deinit(&scene->reply);
    shard_map_deinit(&scene->map);
    snprintf(command, sizeof(command), "rm -rf %s", scene->path);
    CHECK(system(command) == 0);
}

/* Plans, applies, commits, reads the reply, loads the map and checks that the version went up by
 * one if and only if something changed. */
static enum status run(struct scene *scene, struct args args)
{
    uint64_t before = scene->map.version;
    buf_clear(&scene->planned);
    buf_clear(&scene->reply);
    scene->changed = false;
    if (meta_machine_plan(args, 1000, &scene->planned, &scene->reply) == STATUS_OK) {
        CHECK(meta_machine_apply(scene->txn, buf_slice(&scene->planned), &scene->reply,
                                 &scene->changed) == STATUS_OK);
        CHECK(txn_empty(scene->txn) == !scene->changed);
        CHECK(txn_commit(scene->txn) == STATUS_OK);
    }
    CHECK(meta_machine_load(scene->txn, &scene->map) == STATUS_OK);
    CHECK_EQ(scene->map.version, before + scene->changed);
    CHECK(shard_map_check(&scene->map) == STATUS_OK);
    return meta_machine_read_joined(buf_slice(&scene->reply), &scene->joined, scene->text,
                                    sizeof(scene->text));
}

static enum status init(struct scene *scene, const char *cluster, int replicas, int shards)
{
    char numbers[2][16];
    snprintf(numbers[0], sizeof(numbers[0]), "%d", replicas);
    snprintf(numbers[1], sizeof(numbers[1]), "%d", shards);
    struct slice argv[] = {slice_str("META.INIT"), slice_of(cluster, 16), slice_str(numbers[0]),
                           slice_str(numbers[1]),  slice_str("1"),        slice_str("h:1"),
                           slice_str("z1"),        slice_str("1001"),     slice_str("501")};
    return run(scene, (struct args){.argv = argv, .argc = 9});
}

struct joiner {
    int node;
    const char *cluster;
    const char *address;
    const char *zone;
    int incarnation;
    int disk;
};

static enum status join(struct scene *scene, struct joiner joiner)
{
    char numbers[3][16];
    snprintf(numbers[0], sizeof(numbers[0]), "%d", joiner.node);
    snprintf(numbers[1], sizeof(numbers[1]), "%d", joiner.incarnation);
    snprintf(numbers[2], sizeof(numbers[2]), "%d", joiner.disk);
    struct slice argv[] = {slice_str("meta.join"),       slice_str(numbers[0]),
                           slice_of(joiner.cluster, 16), slice_str(joiner.address),
                           slice_str(joiner.zone),       slice_str(numbers[1]),
                           slice_str(numbers[2])};
    return run(scene, (struct args){.argv = argv, .argc = 7});
}

/* Node n, new: address h:n, zone zn, disk 500+n. */
static enum status join_new(struct scene *scene, int n)
{
    char address[16];
    char zone[16];
    snprintf(address, sizeof(address), "h:%d", n);
    snprintf(zone, sizeof(zone), "z%d", n);
    return join(scene, (struct joiner){.cluster = no_cluster,
                                       .address = address,
                                       .zone = zone,
                                       .incarnation = 1000 + n,
                                       .disk = 500 + n});
}

static void three_nodes(struct scene *scene, int shards)
{
    scene_init(scene);
    CHECK(init(scene, cluster_id, 3, shards) == STATUS_OK);
    CHECK(join_new(scene, 2) == STATUS_OK);
    CHECK(join_new(scene, 3) == STATUS_OK);
}

/* Every replica id in the map is used once, and none is as high as `limit`. */
static void check_replica_ids(const struct shard_map *map)
{
    size_t count = 0;
    uint64_t *ids = calloc((map->shard_count + 1) * SHARD_REPLICAS_MAX, sizeof(*ids));
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = i == 0 ? &map->meta : &map->shards[i - 1];
        for (unsigned j = 0; j < shard->replica_count; j++) {
            for (size_t k = 0; k < count; k++) {
                CHECK(ids[k] != shard->replicas[j].id);
            }
            ids[count++] = shard->replicas[j].id;
        }
    }
    free(ids);
}

TEST(meta_machine_apply, creates_the_cluster_with_its_first_node)
{
    struct scene scene;
    scene_init(&scene);
    CHECK_EQ(scene.map.version, 0);
    CHECK(init(&scene, cluster_id, 3, 32) == STATUS_OK);
    CHECK(scene.changed);
    CHECK_EQ(scene.joined.node, 1);
    CHECK_EQ(scene.joined.version, 1);
    CHECK(memcmp(scene.joined.cluster, cluster_id, 16) == 0);
    CHECK(memcmp(scene.map.cluster, cluster_id, 16) == 0);
    CHECK_EQ(scene.map.replicas, 3);
    CHECK_EQ(scene.map.shards_wanted, 32);
    CHECK_EQ(scene.map.shard_count, 0);
    CHECK_EQ(scene.map.node_count, 1);
    CHECK_BYTES(slice_str(scene.map.nodes[0].address), "h:1");
    struct shard_desc born;
    meta_machine_birth(&born);
    CHECK_EQ(scene.map.meta.replica_count, 1);
    CHECK_EQ(scene.map.meta.replicas[0].id, born.replicas[0].id);
    CHECK_EQ(scene.map.meta.replicas[0].node, born.replicas[0].node);
    CHECK_EQ(scene.map.meta.birth_max, born.birth_max);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, init_may_be_repeated_but_not_for_another_cluster)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(init(&scene, cluster_id, 3, 32) == STATUS_OK);
    CHECK(init(&scene, cluster_id, 3, 32) == STATUS_OK);
    CHECK(!scene.changed);
    CHECK_EQ(scene.joined.node, 1);
    CHECK(init(&scene, "another cluster!", 3, 32) == STATUS_WRONG_CLUSTER);
    CHECK(!scene.changed);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, a_join_before_the_cluster_is_told_to_wait)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(join_new(&scene, 2) == STATUS_AGAIN);
    CHECK(!scene.changed);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, places_all_shards_when_the_last_node_needed_joins)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(init(&scene, cluster_id, 3, 32) == STATUS_OK);
    CHECK(join_new(&scene, 2) == STATUS_OK);
    CHECK_EQ(scene.joined.node, 2);
    CHECK_EQ(scene.map.shard_count, 0);
    CHECK_EQ(scene.map.meta.replica_count, 1); /* Two would fail sooner than one. */
    CHECK(join_new(&scene, 3) == STATUS_OK);
    CHECK_EQ(scene.map.shard_count, 32);
    CHECK_EQ(scene.map.meta.replica_count, 3);
    CHECK_EQ(scene.map.meta.conf_ver, 2);
    CHECK_EQ(scene.map.meta.birth_max, 1);
    CHECK_EQ(scene.map.version, 3);
    size_t leads[4] = {0};
    for (size_t i = 0; i < 32; i++) {
        const struct shard_desc *shard = &scene.map.shards[i];
        CHECK_EQ(shard->start, (uint64_t)i << 59);
        CHECK_EQ(shard->conf_ver, 1);
        CHECK_EQ(shard->replica_count, 3);
        leads[shard->replicas[0].node]++;
        for (unsigned j = 0; j < 3; j++) {
            CHECK(shard->replicas[j].id <= shard->birth_max);
        }
    }
    CHECK(leads[1] >= 10 && leads[2] >= 10 && leads[3] >= 10);
    check_replica_ids(&scene.map);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, one_replica_makes_a_cluster_of_one_node)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(init(&scene, cluster_id, 1, 1) == STATUS_OK);
    CHECK_EQ(scene.map.version, 1);
    CHECK_EQ(scene.map.shard_count, 1);
    CHECK(scene.map.shards[0].start == 0 && scene.map.shards[0].last == UINT64_MAX);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, five_replicas_get_a_meta_group_of_five)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(init(&scene, cluster_id, 5, 8) == STATUS_OK);
    const unsigned meta[] = {0, 0, 1, 3, 3, 5, 5};
    for (int n = 2; n <= 6; n++) {
        CHECK(join_new(&scene, n) == STATUS_OK);
        CHECK_EQ(scene.map.meta.replica_count, meta[n]);
        CHECK_EQ(scene.map.shard_count, n < 5 ? 0 : 8);
    }
    scene_deinit(&scene);
}

TEST(meta_machine_apply, a_join_repeated_is_the_same_node)
{
    struct scene scene;
    three_nodes(&scene, 8);
    CHECK(join_new(&scene, 2) == STATUS_OK); /* Its reply was lost. */
    CHECK_EQ(scene.joined.node, 2);
    CHECK(!scene.changed);
    /* It crashed before it wrote down who it is, and starts anew. */
    CHECK(join(&scene, (struct joiner){.cluster = no_cluster,
                                       .address = "h:2",
                                       .zone = "z2",
                                       .incarnation = 7,
                                       .disk = 502}) == STATUS_OK);
    CHECK_EQ(scene.joined.node, 2);
    CHECK_EQ(scene.map.node_count, 3);
    CHECK_EQ(scene.map.nodes[1].incarnation, 7);
    CHECK_EQ(scene.map.nodes[1].state, NODE_UP);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, a_node_may_come_back_at_another_address)
{
    struct scene scene;
    three_nodes(&scene, 8);
    struct shard_desc before = scene.map.shards[0];
    CHECK(join(&scene, (struct joiner){.node = 2,
                                       .cluster = cluster_id,
                                       .address = "elsewhere:9",
                                       .zone = "z9",
                                       .incarnation = 8,
                                       .disk = 502}) == STATUS_OK);
    CHECK_EQ(scene.joined.node, 2);
    CHECK(scene.changed);
    CHECK_BYTES(slice_str(scene.map.nodes[1].address), "elsewhere:9");
    CHECK_BYTES(slice_str(scene.map.nodes[1].zone), "z9");
    CHECK_EQ(scene.map.shards[0].conf_ver, before.conf_ver);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, a_node_with_its_data_takes_over_an_address)
{
    struct scene scene;
    three_nodes(&scene, 8);
    struct joiner two = {.node = 2, .cluster = cluster_id, .address = "h:3", .zone = "z2"};
    two.incarnation = 8;
    two.disk = 502;
    CHECK(join(&scene, two) == STATUS_OK);
    CHECK_BYTES(slice_str(scene.map.nodes[1].address), "h:3");
    CHECK_BYTES(slice_str(scene.map.nodes[2].address), "");
    CHECK_EQ(scene.map.nodes[2].state, NODE_UP);
    struct joiner three = {.node = 3, .cluster = cluster_id, .address = "h:2", .zone = "z3"};
    three.incarnation = 9;
    three.disk = 503;
    CHECK(join(&scene, three) == STATUS_OK);
    CHECK_BYTES(slice_str(scene.map.nodes[1].address), "h:3");
    CHECK_BYTES(slice_str(scene.map.nodes[2].address), "h:2");
    scene_deinit(&scene);
}

TEST(meta_machine_apply, an_empty_node_takes_the_place_of_the_one_at_its_address)
{
    struct scene scene;
    three_nodes(&scene, 8);
    struct shard_map before;
    shard_map_init(&before);
    shard_map_copy(&before, &scene.map);
    struct joiner wiped = {.cluster = no_cluster, .address = "h:3", .zone = "z3"};
    wiped.incarnation = 9;
    wiped.disk = 999;
    CHECK(join(&scene, wiped) == STATUS_OK);
    CHECK_EQ(scene.joined.node, 4);
    CHECK_EQ(scene.map.nodes[2].state, NODE_GONE);
    CHECK_EQ(scene.map.node_count, 4);
    for (size_t i = 0; i < 8; i++) {
        const struct shard_desc *shard = &scene.map.shards[i];
        const struct shard_desc *old = &before.shards[i];
        CHECK_EQ(shard->conf_ver, 2);
        CHECK_EQ(shard->birth_max, old->birth_max);
        CHECK(shard_map_replica_on(shard, 3) == NULL);
        CHECK(shard_map_replica_on(shard, 4)->id > shard->birth_max);
        for (unsigned j = 0; j < 3; j++) {
            CHECK_EQ(shard->replicas[j].node,
                     old->replicas[j].node == 3 ? 4 : old->replicas[j].node);
        }
    }
    CHECK(shard_map_replica_on(&scene.map.meta, 3) == NULL);
    CHECK(shard_map_replica_on(&scene.map.meta, 4) != NULL);
    check_replica_ids(&scene.map);

    /* The old directory turns up again. */
    struct joiner old = {.node = 3, .cluster = cluster_id, .address = "h:7", .zone = "z3"};
    old.incarnation = 10;
    old.disk = 503;
    CHECK(join(&scene, old) == STATUS_CONFLICT);
    CHECK(strstr(scene.text, "GONE node 3") == scene.text);
    CHECK(!scene.changed);
    old.node = 0;
    old.cluster = no_cluster;
    CHECK(join(&scene, old) == STATUS_CONFLICT);
    shard_map_deinit(&before);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, does_not_give_up_the_only_copy)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(init(&scene, cluster_id, 1, 4) == STATUS_OK);
    CHECK(join_new(&scene, 2) == STATUS_OK);
    struct joiner wiped = {.cluster = no_cluster, .address = "h:1", .zone = ""};
    wiped.incarnation = 9;
    wiped.disk = 999;
    CHECK(join(&scene, wiped) == STATUS_CONFLICT);
    CHECK(!scene.changed);
    CHECK_EQ(scene.map.nodes[0].state, NODE_UP);
    wiped.address = "h:2"; /* Nothing was on that one. */
    CHECK(join(&scene, wiped) == STATUS_OK);
    CHECK_EQ(scene.map.nodes[1].state, NODE_GONE);
    scene_deinit(&scene);
}

TEST(meta_machine_apply, refuses_the_copy_the_stranger_and_the_unknown)
{
    struct scene scene;
    three_nodes(&scene, 8);
    struct joiner two = {.node = 2, .cluster = cluster_id, .address = "h:2", .zone = ""};
    two.incarnation = 8;
    two.disk = 777;
    CHECK(join(&scene, two) == STATUS_CONFLICT);
    CHECK(strstr(scene.text, "copy of the data directory") != NULL);
    two.disk = 502;
    two.cluster = "another cluster!";
    CHECK(join(&scene, two) == STATUS_WRONG_CLUSTER);
    two.cluster = cluster_id;
    two.node = 9;
    CHECK(join(&scene, two) == STATUS_CONFLICT);
    CHECK_EQ(scene.map.version, 3);
    scene_deinit(&scene);
}

TEST(meta_machine_plan, refuses_bad_arguments)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(init(&scene, cluster_id, 2, 32) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, cluster_id, 4, 32) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, cluster_id, 7, 32) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, cluster_id, 0, 32) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, cluster_id, 3, 0) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, cluster_id, 3, 33) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, cluster_id, 3, MAP_SHARDS_MAX * 2) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, cluster_id, 3, -1) == STATUS_BAD_ARGUMENT);
    CHECK(init(&scene, no_cluster, 3, 32) == STATUS_BAD_ARGUMENT);
    struct joiner joiner = {.cluster = no_cluster, .address = "h:1", .zone = ""};
    joiner.incarnation = 1;
    CHECK(join(&scene, joiner) == STATUS_BAD_ARGUMENT); /* No disk id. */
    joiner.disk = 1;
    joiner.node = 3; /* A node without a cluster. */
    CHECK(join(&scene, joiner) == STATUS_BAD_ARGUMENT);
    joiner.node = 0;
    joiner.zone = "a zone with spaces";
    CHECK(join(&scene, joiner) == STATUS_BAD_ARGUMENT);
    joiner.zone = "a-zone-whose-name-is-much-too-long";
    CHECK(join(&scene, joiner) == STATUS_BAD_ARGUMENT);
    struct slice name = slice_str("META.DROP");
    CHECK(run(&scene, (struct args){.argv = &name, .argc = 1}) == STATUS_BAD_ARGUMENT);
    name = slice_str("META.JOIN");
    CHECK(run(&scene, (struct args){.argv = &name, .argc = 1}) == STATUS_BAD_ARGUMENT);
    CHECK_EQ(scene.map.version, 0);
    scene_deinit(&scene);
}

TEST(meta_entry_address_ok, knows_an_address)
{
    static const char *const good[] = {"a:1", "10.0.0.1:65535", "[::1]:6379", "node-1.local:6000"};
    static const char *const bad[] = {"",      ":1",     "a",        "a:",       "a:0",  "a:65536",
                                      "a:1x",  "a b:1",  "::1:6379", "a:-1",     "[]:1", "a:000001",
                                      "a\n:1", "a\"b:1", "a:1:",     "[::1:6379"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK(meta_entry_address_ok(slice_str(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!meta_entry_address_ok(slice_str(bad[i])));
    }
    char text[NODE_ADDRESS_SIZE_MAX + 1];
    memset(text, 'a', sizeof(text));
    memcpy(text + NODE_ADDRESS_SIZE_MAX - 3, ":1", 3);
    CHECK(meta_entry_address_ok(slice_str(text)));
    memset(text, 'a', sizeof(text));
    memcpy(text + NODE_ADDRESS_SIZE_MAX - 2, ":1", 3);
    CHECK(!meta_entry_address_ok(slice_str(text)));
}

TEST(meta_entry_decode, refuses_every_truncation_and_what_plan_would_not_write)
{
    struct meta_entry entry = {.op = META_JOIN, .node = 5, .incarnation = 1, .disk = 2};
    struct meta_entry back;
    struct buf bytes;
    memcpy(entry.cluster, cluster_id, 16);
    snprintf(entry.address, sizeof(entry.address), "h:1");
    buf_init(&bytes, 1 << 10);
    meta_entry_encode(&entry, &bytes);
    CHECK(meta_entry_decode(buf_slice(&bytes), &back) == STATUS_OK);
    CHECK_EQ(back.node, 5);
    for (size_t len = 0; len < bytes.len; len++) {
        CHECK(meta_entry_decode(slice_of(bytes.data, len), &back) == STATUS_CORRUPT);
    }
    bytes.data[18] = 3; /* Replicas in a join. */
    CHECK(meta_entry_decode(buf_slice(&bytes), &back) == STATUS_CORRUPT);
    bytes.data[18] = 0;
    bytes.data[0]++;
    CHECK(meta_entry_decode(buf_slice(&bytes), &back) == STATUS_CORRUPT);
    bytes.data[0]--;
    bytes.data[1] = 3;
    CHECK(meta_entry_decode(buf_slice(&bytes), &back) == STATUS_CORRUPT);
    buf_deinit(&bytes);
}

static struct slice read_map(struct scene *scene, const char *version)
{
    struct slice argv[] = {slice_str("META.MAP"), slice_str(version)};
    struct resp_value value;
    buf_clear(&scene->reply);
    CHECK(meta_machine_read(scene->txn, (struct args){.argv = argv, .argc = 2}, &scene->reply) ==
          STATUS_OK);
    CHECK(resp_value_read(buf_slice(&scene->reply), &value) == STATUS_OK);
    return value.null || value.type != '$' ? slice_of(NULL, 0) : value.bytes;
}

TEST(meta_machine_read, gives_a_newer_map_only)
{
    struct scene scene;
    scene_init(&scene);
    CHECK_EQ(read_map(&scene, "0").len, 0);
    scene_deinit(&scene);
    three_nodes(&scene, 8);
    struct shard_map map;
    shard_map_init(&map);
    CHECK(shard_map_decode(read_map(&scene, "2"), &map) == STATUS_OK);
    CHECK_EQ(map.version, 3);
    CHECK_EQ(map.shard_count, 8);
    CHECK_EQ(read_map(&scene, "3").len, 0);
    CHECK_EQ(read_map(&scene, "4").len, 0);
    CHECK_EQ(read_map(&scene, "x").len, 0);
    CHECK(scene.reply.data[0] == '-');
    shard_map_deinit(&map);
    scene_deinit(&scene);
}

TEST(meta_machine_range, holds_all_rows_and_nothing_else)
{
    struct scene scene;
    three_nodes(&scene, 8);
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    meta_machine_range(STORE_DATA, &from, &to);
    CHECK(from.len == 0 && to.len == 0);
    meta_machine_range(STORE_LOCAL, &from, &to);
    struct store_iter *iter =
        iter_open(scene.txn, STORE_LOCAL, slice_of(NULL, 0), slice_str("\xff"));
    size_t rows = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        struct slice key = iter_key(iter);
        CHECK(key.len >= from.len && memcmp(key.data, from.data, from.len) == 0);
        rows++;
    }
    CHECK(iter_status(iter) == STATUS_OK);
    iter_close(iter);
    CHECK_EQ(rows, 1 + 3 + 1 + 8);
    buf_deinit(&from);
    buf_deinit(&to);
    scene_deinit(&scene);
}

/* Two replicas of the meta group fed with the same random commands are the same at every step, and
 * every map on the way is sound (run() checks that). */
TEST(meta_machine_apply, is_a_function_of_the_log)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct scene a;
        struct scene b;
        struct rand rand;
        printf("  seed %llu\n", (unsigned long long)seed);
        rand_init(&rand, seed);
        scene_init(&a);
        scene_init(&b);
        CHECK(init(&a, cluster_id, 3, 16) == init(&b, cluster_id, 3, 16));
        for (unsigned i = 0; i < 60; i++) {
            char address[16];
            struct joiner joiner = {.cluster = no_cluster, .address = address, .zone = "z"};
            joiner.node = (int)rand_below(&rand, 6);
            joiner.cluster = joiner.node == 0 ? no_cluster : cluster_id;
            joiner.incarnation = 1 + (int)rand_below(&rand, 100);
            joiner.disk = 501 + (int)rand_below(&rand, 12);
            snprintf(address, sizeof(address), "h:%d", 1 + (int)rand_below(&rand, 5));
            CHECK(join(&a, joiner) == join(&b, joiner));
            CHECK(slice_equal(buf_slice(&a.reply), buf_slice(&b.reply)));
            CHECK(slice_equal(read_map(&a, "0"), read_map(&b, "0")));
            check_replica_ids(&a.map);
        }
        CHECK(a.map.version > 3);
        scene_deinit(&a);
        scene_deinit(&b);
    }
}
