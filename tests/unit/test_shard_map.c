#include "common/cluster/shard_map.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "common/base/reader.h"
#include "tests/support/test.h"

enum { NODES = 4, SHARDS = 8 };

static void map_make(struct shard_map *map)
{
    shard_map_init(map);
    memcpy(map->cluster, "0123456789abcdef", 16);
    map->version = 9;
    map->replicas = 3;
    map->shards_wanted = SHARDS;
    map->meta = (struct shard_desc){.id = SHARD_META, .ver = 1, .conf_ver = 4, .birth_max = 1};
    map->meta.replica_count = 1;
    map->meta.replicas[0] = (struct replica_desc){.id = 1, .node = 1};
    map->node_count = NODES;
    map->nodes = calloc(NODES, sizeof(*map->nodes));
    for (uint64_t i = 0; i < NODES; i++) {
        map->nodes[i] = (struct node_desc){.id = 1 + 2 * i, .incarnation = 100 + i};
        snprintf(map->nodes[i].address, NODE_ADDRESS_SIZE_MAX, "10.0.0.%d:6000", (int)i);
        snprintf(map->nodes[i].zone, NODE_ZONE_SIZE_MAX, "%s", i == 0 ? "" : "z1");
    }
    map->nodes[2].state = NODE_GONE;
    map->shard_count = SHARDS;
    map->shards = calloc(SHARDS, sizeof(*map->shards));
    for (uint64_t i = 0; i < SHARDS; i++) {
        struct shard_desc *shard = &map->shards[i];
        *shard = (struct shard_desc){.id = 20 - i, .ver = 1, .conf_ver = 1, .birth_max = 50};
        shard->start = i << 61;
        shard->last = shard->start + ((UINT64_C(1) << 61) - 1);
        shard->replica_count = 3;
        for (uint64_t j = 0; j < 3; j++) {
            shard->replicas[j] =
                (struct replica_desc){.id = 10 + i * 3 + j, .node = 1 + 2 * ((i + j) % NODES)};
        }
    }
}

TEST(shard_map_find, knows_the_shard_of_every_token)
{
    struct shard_map map;
    map_make(&map);
    CHECK(shard_map_check(&map) == STATUS_OK);
    CHECK_EQ(shard_map_find(&map, 0)->id, 20);
    CHECK_EQ(shard_map_find(&map, (UINT64_C(1) << 61) - 1)->id, 20);
    CHECK_EQ(shard_map_find(&map, UINT64_C(1) << 61)->id, 19);
    CHECK_EQ(shard_map_find(&map, UINT64_MAX)->id, 13);
    struct rand rand;
    rand_init(&rand, 3);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t token = rand_u64(&rand);
        const struct shard_desc *shard = shard_map_find(&map, token);
        CHECK(shard->start <= token && token <= shard->last);
    }
    shard_map_deinit(&map);
    CHECK(shard_map_find(&map, 5) == NULL);
}

TEST(shard_map_shard, finds_by_id_and_the_meta_group_too)
{
    struct shard_map map;
    map_make(&map);
    CHECK(shard_map_shard(&map, 17) == &map.shards[3]);
    CHECK(shard_map_shard(&map, 21) == NULL);
    CHECK(shard_map_shard(&map, SHARD_META) == &map.meta);
    CHECK(shard_map_node(&map, 5) == &map.nodes[2]);
    CHECK(shard_map_node(&map, 1) == &map.nodes[0]);
    CHECK(shard_map_node(&map, 7) == &map.nodes[3]);
    CHECK(shard_map_node(&map, 0) == NULL);
    CHECK(shard_map_node(&map, 4) == NULL);
    CHECK(shard_map_node(&map, 8) == NULL);
    CHECK(shard_map_replica_on(&map.shards[0], 3) == &map.shards[0].replicas[1]);
    CHECK(shard_map_replica_on(&map.shards[0], 7) == NULL);
    shard_map_deinit(&map);
    CHECK(shard_map_shard(&map, SHARD_META) == NULL);
}

static void check_same(const struct shard_map *a, const struct shard_map *b)
{
    CHECK(memcmp(a->cluster, b->cluster, 16) == 0);
    CHECK_EQ(a->version, b->version);
    CHECK_EQ(a->replicas, b->replicas);
    CHECK_EQ(a->shards_wanted, b->shards_wanted);
    CHECK_EQ(a->node_count, b->node_count);
    CHECK_EQ(a->shard_count, b->shard_count);
    CHECK_EQ(a->meta.conf_ver, b->meta.conf_ver);
    CHECK_EQ(a->meta.replicas[0].node, b->meta.replicas[0].node);
    for (size_t i = 0; i < a->node_count; i++) {
        CHECK_EQ(a->nodes[i].id, b->nodes[i].id);
        CHECK_EQ(a->nodes[i].incarnation, b->nodes[i].incarnation);
        CHECK_EQ(a->nodes[i].state, b->nodes[i].state);
        CHECK_BYTES(slice_str(a->nodes[i].address), b->nodes[i].address);
        CHECK_BYTES(slice_str(a->nodes[i].zone), b->nodes[i].zone);
    }
    for (size_t i = 0; i < a->shard_count; i++) {
        CHECK_EQ(a->shards[i].id, b->shards[i].id);
        CHECK_EQ(a->shards[i].start, b->shards[i].start);
        CHECK_EQ(a->shards[i].last, b->shards[i].last);
        CHECK_EQ(a->shards[i].ver, b->shards[i].ver);
        CHECK_EQ(a->shards[i].birth_max, b->shards[i].birth_max);
        CHECK_EQ(a->shards[i].replica_count, b->shards[i].replica_count);
        for (unsigned j = 0; j < a->shards[i].replica_count; j++) {
            CHECK_EQ(a->shards[i].replicas[j].id, b->shards[i].replicas[j].id);
            CHECK_EQ(a->shards[i].replicas[j].node, b->shards[i].replicas[j].node);
        }
    }
}

TEST(shard_map_decode, gives_back_what_was_encoded)
{
    struct shard_map map;
    struct shard_map copy;
    struct shard_map back;
    struct buf bytes;
    map_make(&map);
    buf_init(&bytes, 1 << 20);
    shard_map_init(&copy);
    shard_map_init(&back);
    shard_map_copy(&copy, &map);
    check_same(&map, &copy);
    shard_map_encode(&copy, &bytes);
    CHECK(shard_map_decode(buf_slice(&bytes), &back) == STATUS_OK);
    check_same(&map, &back);
    shard_map_deinit(&map);
    shard_map_copy(&back, &map); /* An empty one. */
    CHECK_EQ(back.node_count, 0);
    shard_map_deinit(&copy);
    shard_map_deinit(&back);
    buf_deinit(&bytes);
}

TEST(shard_map_decode, refuses_every_truncation_and_keeps_the_old_map)
{
    struct shard_map map;
    struct shard_map back;
    struct buf bytes;
    map_make(&map);
    shard_map_init(&back);
    back.version = 77;
    buf_init(&bytes, 1 << 20);
    shard_map_encode(&map, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        CHECK(shard_map_decode(slice_of(bytes.data, len), &back) == STATUS_CORRUPT);
    }
    buf_append_u8(&bytes, 0);
    CHECK(shard_map_decode(buf_slice(&bytes), &back) == STATUS_CORRUPT);
    CHECK_EQ(back.version, 77);
    shard_map_deinit(&map);
    buf_deinit(&bytes);
}

TEST(shard_map_decode, refuses_counts_before_it_takes_memory)
{
    struct shard_map map;
    struct shard_map back;
    struct buf bytes;
    map_make(&map);
    shard_map_init(&back);
    buf_init(&bytes, 1 << 20);
    shard_map_encode(&map, &bytes);
    size_t node_count_at = 1 + 16 + 8 + 1 + 4 + (6 * 8 + 1 + 16);
    buf_put_u32(&bytes, node_count_at, UINT32_MAX);
    CHECK(shard_map_decode(buf_slice(&bytes), &back) == STATUS_CORRUPT);
    buf_put_u32(&bytes, node_count_at, MAP_NODES_MAX + 1);
    CHECK(shard_map_decode(buf_slice(&bytes), &back) == STATUS_CORRUPT);
    buf_put_u32(&bytes, node_count_at, NODES);
    CHECK(shard_map_decode(buf_slice(&bytes), &back) == STATUS_OK);
    shard_map_deinit(&map);
    shard_map_deinit(&back);
    buf_deinit(&bytes);
}

/* Spoils one thing of a good map. */
static void check_refused(void (*spoil)(struct shard_map *map))
{
    struct shard_map map;
    map_make(&map);
    CHECK(shard_map_check(&map) == STATUS_OK);
    spoil(&map);
    CHECK(shard_map_check(&map) == STATUS_CORRUPT);
    shard_map_deinit(&map);
}

static void spoil_gap(struct shard_map *map)
{
    map->shards[3].last--;
}

static void spoil_overlap(struct shard_map *map)
{
    map->shards[3].last++;
}

static void spoil_begin(struct shard_map *map)
{
    map->shards[0].start = 1;
}

static void spoil_end(struct shard_map *map)
{
    map->shard_count--;
}

static void spoil_order(struct shard_map *map)
{
    struct shard_desc first = map->shards[0];
    map->shards[0] = map->shards[1];
    map->shards[1] = first;
}

static void spoil_twice(struct shard_map *map)
{
    map->shard_count = 2; /* Each of them covers the whole ring. */
    for (unsigned i = 0; i < 2; i++) {
        map->shards[i].start = 0;
        map->shards[i].last = UINT64_MAX;
    }
}

static void spoil_shard_id(struct shard_map *map)
{
    map->shards[2].id = SHARD_META;
}

static void spoil_meta_id(struct shard_map *map)
{
    map->meta.id = 3;
}

static void spoil_replica_id(struct shard_map *map)
{
    map->shards[2].replicas[1].id = 0;
}

static void spoil_replica_count(struct shard_map *map)
{
    map->shards[2].replica_count = 0;
}

static void spoil_replica_node(struct shard_map *map)
{
    map->shards[2].replicas[1].node = 2;
}

static void spoil_same_node(struct shard_map *map)
{
    map->shards[2].replicas[1].node = map->shards[2].replicas[0].node;
}

static void spoil_node_order(struct shard_map *map)
{
    map->nodes[1].id = 1;
}

TEST(shard_map_check, refuses_what_a_map_cannot_be)
{
    check_refused(spoil_gap);
    check_refused(spoil_overlap);
    check_refused(spoil_begin);
    check_refused(spoil_end);
    check_refused(spoil_order);
    check_refused(spoil_twice);
    check_refused(spoil_shard_id);
    check_refused(spoil_meta_id);
    check_refused(spoil_replica_id);
    check_refused(spoil_replica_count);
    check_refused(spoil_replica_node);
    check_refused(spoil_same_node);
    check_refused(spoil_node_order);
}

TEST(shard_map_check, takes_a_map_without_shards)
{
    struct shard_map map;
    map_make(&map);
    map.shard_count = 0;
    CHECK(shard_map_check(&map) == STATUS_OK);
    shard_map_deinit(&map);
    CHECK(shard_map_check(&map) == STATUS_OK);
}

TEST(shard_desc_decode, gives_back_the_parent_and_reads_what_has_none)
{
    struct shard_map map;
    map_make(&map);
    struct shard_desc *desc = &map.shards[3];
    struct shard_desc back;
    struct buf bytes;
    buf_init(&bytes, 1 << 10);
    shard_desc_encode(desc, &bytes);
    size_t size = bytes.len;
    CHECK_EQ(bytes.data[48], 3); /* As it was before there were parents. */
    desc->parent = 20;
    desc->ver = 2;
    buf_clear(&bytes);
    shard_desc_encode(desc, &bytes);
    CHECK_EQ(bytes.len, size + 8);
    struct reader in = reader_of(buf_slice(&bytes));
    CHECK(shard_desc_decode(&in, &back) && reader_done(&in));
    CHECK_EQ(back.parent, 20);
    CHECK_EQ(back.replica_count, 3);
    CHECK(back.replicas[2].id == desc->replicas[2].id && back.ver == 2);
    for (size_t len = 0; len < bytes.len; len++) {
        in = reader_of(slice_of(bytes.data, len));
        CHECK(!shard_desc_decode(&in, &back));
    }
    little_put_u64(bytes.data + size, 0); /* That nobody is the parent is said by its absence. */
    in = reader_of(buf_slice(&bytes));
    CHECK(!shard_desc_decode(&in, &back));
    buf_deinit(&bytes);
    shard_map_deinit(&map);
}

TEST(node_desc_decode, refuses_texts_that_do_not_fit)
{
    struct node_desc node = {.id = 1};
    struct node_desc back;
    struct buf bytes;
    buf_init(&bytes, 1 << 10);
    memset(node.address, 'a', NODE_ADDRESS_SIZE_MAX - 1);
    memset(node.zone, 'z', NODE_ZONE_SIZE_MAX - 1);
    node_desc_encode(&node, &bytes);
    struct reader in = reader_of(buf_slice(&bytes));
    CHECK(node_desc_decode(&in, &back) && reader_done(&in));
    CHECK_BYTES(slice_str(back.address), node.address);

    buf_put_u32(&bytes, 17, NODE_ADDRESS_SIZE_MAX); /* One byte more than there is room for. */
    in = reader_of(buf_slice(&bytes));
    CHECK(!node_desc_decode(&in, &back));
    buf_put_u32(&bytes, 17, NODE_ADDRESS_SIZE_MAX - 1);
    bytes.data[21 + 5] = 0; /* A NUL inside the text. */
    in = reader_of(buf_slice(&bytes));
    CHECK(!node_desc_decode(&in, &back));
    bytes.data[21 + 5] = 'a';
    bytes.data[16] = NODE_GONE + 1;
    in = reader_of(buf_slice(&bytes));
    CHECK(!node_desc_decode(&in, &back));
    buf_deinit(&bytes);
}

TEST(leader_hint_decode, gives_back_what_was_encoded_and_nothing_of_less)
{
    struct leader_hint hint = {.shard = 7, .term = 1ull << 40, .node = 3, .voters = 2};
    struct leader_hint copy = {0};
    struct buf bytes;
    buf_init(&bytes, 64);
    leader_hint_encode(&hint, &bytes);
    CHECK_EQ(bytes.len, LEADER_HINT_SIZE);
    struct reader in = reader_of(buf_slice(&bytes));
    CHECK(leader_hint_decode(&in, &copy) && reader_done(&in));
    CHECK(copy.shard == 7 && copy.term == 1ull << 40 && copy.node == 3 && copy.voters == 2);
    for (size_t len = 0; len < bytes.len; len++) {
        in = reader_of(slice_of(bytes.data, len));
        CHECK(!leader_hint_decode(&in, &copy));
    }
    buf_deinit(&bytes);
}
