#include "server/control/job_plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "server/control/job_check.h"
#include "server/control/placement.h"
#include "tests/support/test.h"

/* A map of `shards` equal shards with three replicas, placed on the first `placed` of the nodes,
 * whose zones are the letters. */
static void make_map(struct shard_map *map, const char *zones, size_t placed, size_t shards)
{
    size_t nodes = strlen(zones);
    struct placement_node at[16];
    uint64_t rows[64 * 3];
    char names[16][2] = {{0}};
    CHECK(nodes <= 16 && shards <= 64);
    shard_map_init(map);
    map->replicas = 3;
    map->node_count = nodes;
    map->nodes = calloc(nodes, sizeof(*map->nodes));
    map->shard_count = shards;
    map->shards = calloc(shards, sizeof(*map->shards));
    CHECK(map->nodes != NULL && map->shards != NULL);
    for (size_t i = 0; i < nodes; i++) {
        map->nodes[i] = (struct node_desc){.id = i + 1, .incarnation = 1};
        map->nodes[i].zone[0] = zones[i];
        names[i][0] = zones[i];
        at[i] = (struct placement_node){.id = i + 1, .zone = names[i]};
    }
    struct placement_input input = {.nodes = at, .node_count = placed};
    input.shards = shards;
    input.replicas = 3;
    CHECK(placement_make(&input, rows) == STATUS_OK);
    uint64_t width = UINT64_MAX / shards + 1;
    for (size_t i = 0; i < shards; i++) {
        struct shard_desc *shard = &map->shards[i];
        *shard = (struct shard_desc){.id = i + 2, .ver = 1, .conf_ver = 1, .replica_count = 3};
        shard->start = i * width;
        shard->last = i + 1 == shards ? UINT64_MAX : shard->start + width - 1;
        for (unsigned j = 0; j < 3; j++) {
            shard->replicas[j] =
                (struct replica_desc){.id = 10 + i * 3 + j, .node = rows[i * 3 + j]};
        }
    }
    map->meta = (struct shard_desc){.id = SHARD_META, .ver = 1, .conf_ver = 1, .replica_count = 3};
    for (unsigned j = 0; j < 3; j++) {
        map->meta.replicas[j] = (struct replica_desc){.id = 1 + j, .node = j + 1};
    }
    CHECK(shard_map_check(map) == STATUS_OK);
}

struct spread {
    uint64_t replicas_max, replicas_min, leads_max, leads_min;
};

static struct spread spread_of(const struct shard_map *map)
{
    struct spread spread = {0, UINT64_MAX, 0, UINT64_MAX};
    for (size_t n = 0; n < map->node_count; n++) {
        uint64_t id = map->nodes[n].id;
        uint64_t replicas = shard_map_replica_on(&map->meta, id) != NULL;
        uint64_t leads = 0;
        for (size_t i = 0; i < map->shard_count; i++) {
            replicas += shard_map_replica_on(&map->shards[i], id) != NULL;
            leads += map->shards[i].replicas[0].node == id;
        }
        spread.replicas_max = replicas > spread.replicas_max ? replicas : spread.replicas_max;
        spread.replicas_min = replicas < spread.replicas_min ? replicas : spread.replicas_min;
        spread.leads_max = leads > spread.leads_max ? leads : spread.leads_max;
        spread.leads_min = leads < spread.leads_min ? leads : spread.leads_min;
    }
    return spread;
}

/* Does what the plan says, one after the other, each of which must be allowed. */
static void carry_out(struct shard_map *map, const struct job_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct job_spec spec = specs[i];
        char text[JOB_FAULT_SIZE];
        CHECK(job_check(map, &spec, text) == NULL);
        struct shard_desc *shard = &map->meta;
        for (size_t j = 0; j < map->shard_count; j++) {
            shard = map->shards[j].id == spec.shard ? &map->shards[j] : shard;
        }
        unsigned at = 0;
        uint64_t node = spec.kind == JOB_MOVE ? spec.from : spec.to;
        while (shard->replicas[at].node != node) {
            at++;
        }
        if (spec.kind == JOB_MOVE) {
            shard->replicas[at].node = spec.to;
        } else {
            struct replica_desc first = shard->replicas[0];
            shard->replicas[0] = shard->replicas[at];
            shard->replicas[at] = first;
        }
    }
}

TEST(job_plan_rebalance, gives_a_new_node_its_share_and_moves_no_more)
{
    struct shard_map map;
    struct job_spec specs[256];
    make_map(&map, "aaaa", 3, 32);
    struct job_plan_view view = {.map = &map};
    size_t count = job_plan_rebalance(&view, specs, 256);
    size_t moves = 0;
    for (size_t i = 0; i < count; i++) {
        moves += specs[i].kind == JOB_MOVE;
        CHECK(specs[i].kind == JOB_TRANSFER || specs[i].to == 4);
    }
    CHECK_EQ(moves, (32 * 3 + 3) / 4); /* Its share, and not one more. */
    carry_out(&map, specs, count);
    struct spread spread = spread_of(&map);
    CHECK(spread.replicas_max - spread.replicas_min <= 1);
    CHECK(spread.leads_max - spread.leads_min <= 1);
    CHECK_EQ(job_plan_rebalance(&view, specs, 256), 0);
    shard_map_deinit(&map);
}

TEST(job_plan_rebalance, changes_nothing_that_is_even)
{
    struct shard_map map;
    struct job_spec specs[64];
    make_map(&map, "abc", 3, 16);
    struct job_plan_view view = {.map = &map};
    CHECK_EQ(job_plan_rebalance(&view, specs, 64), 0);
    shard_map_deinit(&map);
}

static bool not_four(void *ctx, uint64_t node)
{
    (void)ctx;
    return node != 4;
}

TEST(job_plan_rebalance, leaves_out_nodes_that_do_not_answer_or_drain)
{
    struct shard_map map;
    struct job_spec specs[64];
    make_map(&map, "aaaaa", 3, 16);
    map.nodes[4].state = NODE_DRAINING;
    struct job_plan_view view = {.map = &map, .is_up = not_four};
    CHECK_EQ(job_plan_rebalance(&view, specs, 64), 0);
    shard_map_deinit(&map);
}

TEST(job_plan_rebalance, is_the_same_for_the_same_map)
{
    struct shard_map map;
    struct job_spec first[64];
    struct job_spec second[64];
    make_map(&map, "abcde", 3, 16);
    struct job_plan_view view = {.map = &map};
    size_t count = job_plan_rebalance(&view, first, 64);
    CHECK(count > 0 && job_plan_rebalance(&view, second, 64) == count);
    CHECK_EQ(job_plan_hash(first, count), job_plan_hash(second, count));
    for (size_t i = 0; i < map.shard_count; i++) {
        map.shards[i].conf_ver++;
    }
    count = job_plan_rebalance(&view, second, 64);
    CHECK(job_plan_hash(first, count) != job_plan_hash(second, count));
    shard_map_deinit(&map);
}

TEST(job_plan_rebalance, evens_any_cluster_within_its_zones)
{
    static const char *const zones[] = {"aaaaaa", "abcabc", "aabbc", "abcdefg", "aaab", "aabb"};
    for (unsigned i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        struct shard_map map;
        struct job_spec specs[512];
        make_map(&map, zones[i], 3, 32);
        struct job_plan_view view = {.map = &map};
        size_t count = job_plan_rebalance(&view, specs, 512);
        CHECK(count < 512);
        carry_out(&map, specs, count);
        for (size_t j = 0; j < map.shard_count; j++) {
            uint64_t at[3];
            for (unsigned k = 0; k < 3; k++) {
                at[k] = map.shards[j].replicas[k].node;
            }
            CHECK(job_check_crowd(&map, at, 3) <= 3);
        }
        if (i == 0 || i == 3) { /* Zones that bind nobody. */
            struct spread spread = spread_of(&map);
            CHECK(spread.replicas_max - spread.replicas_min <= 1);
        }
        shard_map_deinit(&map);
    }
}

TEST(job_plan_target, counts_moves_that_are_under_way)
{
    struct shard_map map;
    char text[JOB_PLAN_TEXT_SIZE];
    make_map(&map, "aaaaa", 3, 8);
    struct job_list jobs = {0};
    struct job_plan_view view = {.map = &map, .jobs = &jobs};
    uint64_t first = job_plan_target(&view, &map.shards[0], 1, text);
    CHECK(first == 4 || first == 5);
    struct cluster_job job = {.id = 1, .state = JOB_QUEUED};
    job.spec = (struct job_spec){.kind = JOB_MOVE, .shard = map.shards[1].id, .from = 1};
    job.spec.to = first;
    job_list_add(&jobs, &job);
    CHECK_EQ(job_plan_target(&view, &map.shards[0], 1, text), 9 - first);
    job_list_deinit(&jobs);
    shard_map_deinit(&map);
}

TEST(job_plan_target, says_why_there_is_none)
{
    struct shard_map map;
    char text[JOB_PLAN_TEXT_SIZE];
    make_map(&map, "abcb", 3, 4);
    struct job_plan_view view = {.map = &map};
    const struct shard_desc *shard = &map.shards[0];
    uint64_t in_b = shard_map_replica_on(shard, 2) != NULL ? 2 : 4;
    CHECK_EQ(job_plan_target(&view, shard, in_b, text), 6 - in_b);
    CHECK_EQ(job_plan_target(&view, shard, 1, text), 0);
    CHECK(strstr(text, "zone") != NULL);
    shard_map_deinit(&map);
}
