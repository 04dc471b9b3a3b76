#include "server/control/placement.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/test.h"

enum { NODES_MAX = 64, REPLICAS_MAX = 5 };

struct scene {
    struct placement_node nodes[NODES_MAX];
    struct placement_input input;
    uint64_t *out;
    size_t replicas[NODES_MAX]; /* By node index. */
    size_t leads[NODES_MAX];
};

static const char *const zone_names[] = {"a", "b", "c", "d", "e", "f"};

/* Node ids are 1, 4, 7...: gaps, as after losses. zones 0: all in the zone "". */
static void scene_init(struct scene *scene, size_t nodes, size_t zones)
{
    *scene = (struct scene){0};
    for (size_t i = 0; i < nodes; i++) {
        scene->nodes[i].id = 1 + 3 * i;
        scene->nodes[i].zone = zones == 0 ? "" : zone_names[i % zones];
    }
    scene->input.nodes = scene->nodes;
    scene->input.node_count = nodes;
}

static void place(struct scene *scene, size_t shards, unsigned replicas, uint64_t seed)
{
    scene->input.shards = shards;
    scene->input.replicas = replicas;
    scene->input.seed = seed;
    free(scene->out);
    scene->out = calloc(shards * replicas, sizeof(uint64_t));
    CHECK(placement_make(&scene->input, scene->out) == STATUS_OK);
    memset(scene->replicas, 0, sizeof(scene->replicas));
    memset(scene->leads, 0, sizeof(scene->leads));
    for (size_t i = 0; i < shards * replicas; i++) {
        uint64_t id = scene->out[i];
        CHECK(id % 3 == 1 && (id - 1) / 3 < scene->input.node_count);
        scene->replicas[(id - 1) / 3]++;
        scene->leads[(id - 1) / 3] += i % replicas == 0;
        for (size_t j = i / replicas * replicas; j < i; j++) {
            CHECK(scene->out[j] != id);
        }
    }
}

static size_t spread(const size_t *counts, size_t count)
{
    size_t low = SIZE_MAX;
    size_t high = 0;
    for (size_t i = 0; i < count; i++) {
        low = counts[i] < low ? counts[i] : low;
        high = counts[i] > high ? counts[i] : high;
    }
    return high - low;
}

/* The most replicas that one shard has in one zone. */
static size_t zone_crowd(const struct scene *scene)
{
    size_t most = 0;
    unsigned replicas = scene->input.replicas;
    for (size_t i = 0; i < scene->input.shards * replicas; i++) {
        const char *zone = scene->nodes[(scene->out[i] - 1) / 3].zone;
        size_t count = 0;
        for (size_t j = i / replicas * replicas; j < (i / replicas + 1) * replicas; j++) {
            count += strcmp(scene->nodes[(scene->out[j] - 1) / 3].zone, zone) == 0;
        }
        most = count > most ? count : most;
    }
    return most;
}

TEST(placement_make, is_even_for_any_number_of_nodes)
{
    static const size_t shards[] = {1, 8, 32, 64, 256};
    static const unsigned replicas[] = {1, 2, 3, 5};
    for (size_t nodes = 1; nodes <= 24; nodes++) {
        struct scene scene;
        scene_init(&scene, nodes, 0);
        for (size_t i = 0; i < 20; i++) {
            if (nodes < replicas[i % 4]) {
                continue;
            }
            place(&scene, shards[i / 4], replicas[i % 4], nodes * 100 + i);
            if (spread(scene.replicas, nodes) > 1 || spread(scene.leads, nodes) > 1) {
                fprintf(stderr, "nodes %zu shards %zu replicas %u\n", nodes, shards[i / 4],
                        replicas[i % 4]);
                CHECK(false);
            }
        }
        free(scene.out);
    }
}

TEST(placement_make, uses_a_zone_once_when_there_are_enough)
{
    for (size_t nodes = 3; nodes <= 18; nodes++) {
        struct scene scene;
        scene_init(&scene, nodes, 3);
        place(&scene, 64, 3, nodes);
        CHECK_EQ(zone_crowd(&scene), 1);
        if (nodes % 3 == 0) { /* Zones of equal size: as even as without zones. */
            CHECK(spread(scene.replicas, nodes) <= 1);
            CHECK(spread(scene.leads, nodes) <= 1);
        }
        free(scene.out);
    }
}

TEST(placement_make, is_even_inside_zones_of_different_size)
{
    struct scene scene;
    scene_init(&scene, 8, 0);
    const char *zones[] = {"a", "a", "a", "a", "b", "b", "b", "c"};
    for (size_t i = 0; i < 8; i++) {
        scene.nodes[i].zone = zones[i];
    }
    place(&scene, 128, 3, 5);
    CHECK_EQ(zone_crowd(&scene), 1);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(scene.replicas[i], 32);
    }
    CHECK(spread(scene.replicas + 4, 3) <= 1);
    CHECK_EQ(scene.replicas[7], 128);
    CHECK(spread(scene.leads, 8) <= 1); /* 16 each: every node is in enough rows. */
    free(scene.out);
}

TEST(placement_make, fills_no_zone_more_than_it_must)
{
    struct scene scene;
    scene_init(&scene, 6, 2);
    place(&scene, 32, 3, 1);
    CHECK_EQ(zone_crowd(&scene), 2); /* Two zones, three copies. */
    CHECK(spread(scene.replicas, 6) <= 1);
    place(&scene, 32, 5, 1);
    CHECK_EQ(zone_crowd(&scene), 3);
    free(scene.out);

    scene_init(&scene, 5, 0);
    scene.nodes[4].zone = "far"; /* Four nodes here, one there: it takes one copy of each. */
    place(&scene, 32, 3, 1);
    CHECK_EQ(zone_crowd(&scene), 2);
    CHECK_EQ(scene.replicas[4], 32);
    free(scene.out);
}

TEST(placement_make, gives_the_same_for_the_same_and_another_for_another_seed)
{
    struct scene one;
    struct scene two;
    scene_init(&one, 7, 0);
    scene_init(&two, 7, 0);
    place(&one, 32, 3, 42);
    place(&two, 32, 3, 42);
    CHECK(memcmp(one.out, two.out, 96 * sizeof(uint64_t)) == 0);
    place(&two, 32, 3, 43);
    CHECK(memcmp(one.out, two.out, 96 * sizeof(uint64_t)) != 0);
    free(one.out);
    free(two.out);
}

/* How many of the first's replicas are not where the second has them. */
static size_t moved(const struct scene *from, const struct scene *to)
{
    size_t count = 0;
    unsigned replicas = from->input.replicas;
    for (size_t i = 0; i < from->input.shards * replicas; i++) {
        bool there = false;
        for (size_t j = i / replicas * replicas; j < (i / replicas + 1) * replicas; j++) {
            there = there || to->out[j] == from->out[i];
        }
        count += !there;
    }
    return count;
}

TEST(placement_make, one_node_more_changes_little)
{
    for (size_t nodes = 4; nodes < 24; nodes++) {
        struct scene small;
        struct scene large;
        scene_init(&small, nodes, 0);
        scene_init(&large, nodes + 1, 0);
        place(&small, 256, 3, 9);
        place(&large, 256, 3, 9);
        size_t must = 256 * 3 / (nodes + 1);
        CHECK(moved(&small, &large) >= must - 1);
        CHECK(moved(&small, &large) < 2 * must); /* Dealing anew would move nearly all. */
        free(small.out);
        free(large.out);
    }
}

TEST(placement_make, refuses_what_cannot_be)
{
    struct scene scene;
    uint64_t out[REPLICAS_MAX];
    scene_init(&scene, 2, 0);
    scene.input.shards = 1;
    scene.input.replicas = 3;
    CHECK(placement_make(&scene.input, out) == STATUS_BAD_ARGUMENT);
    scene.input.replicas = 0;
    CHECK(placement_make(&scene.input, out) == STATUS_BAD_ARGUMENT);
    scene.input.replicas = 2;
    scene.input.shards = 0;
    CHECK(placement_make(&scene.input, out) == STATUS_BAD_ARGUMENT);
}

TEST(placement_make, holds_at_thousands_of_shards)
{
    struct scene scene;
    scene_init(&scene, 48, 6);
    place(&scene, 8192, 3, 77);
    CHECK_EQ(zone_crowd(&scene), 1);
    CHECK(spread(scene.replicas, 48) <= 1);
    CHECK(spread(scene.leads, 48) <= 1);
    free(scene.out);
}

TEST(placement_choose, prefers_the_emptier_zone_then_the_emptier_node)
{
    const struct placement_node nodes[] = {
        {.id = 1, .zone = "a", .load = 0},  {.id = 2, .zone = "a", .load = 1},
        {.id = 3, .zone = "b", .load = 9},  {.id = 4, .zone = "b", .load = 7},
        {.id = 5, .zone = "c", .load = 50},
    };
    const uint64_t a[] = {1};
    const uint64_t ac[] = {1, 5};
    const uint64_t abc[] = {1, 4, 5};
    const uint64_t all[] = {1, 2, 3, 4, 5};
    CHECK_EQ(placement_choose(nodes, 5, a, 1, 1), 4);
    CHECK_EQ(placement_choose(nodes, 5, ac, 2, 1), 4);
    CHECK_EQ(placement_choose(nodes, 5, abc, 3, 1), 2);
    CHECK_EQ(placement_choose(nodes, 5, all, 5, 1), 0);
    CHECK_EQ(placement_choose(nodes, 0, NULL, 0, 1), 0);
}

TEST(placement_choose, spreads_equals_by_shard)
{
    struct placement_node nodes[4];
    bool chosen[5] = {false};
    for (uint64_t i = 0; i < 4; i++) {
        nodes[i] = (struct placement_node){.id = i + 1, .zone = ""};
    }
    for (uint64_t shard = 0; shard < 64; shard++) {
        chosen[placement_choose(nodes, 4, NULL, 0, shard)] = true;
    }
    CHECK(!chosen[0] && chosen[1] && chosen[2] && chosen[3] && chosen[4]);
}
