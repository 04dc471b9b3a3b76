#include "server/control/steward.h"

#include <stdio.h>

#include "server/control/meta_order.h"
#include "tests/support/steward_rig.h"
#include "tests/support/test.h"

TEST(steward_tick, moves_a_replica)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaaa", 1);
    const struct shard_desc *shard = &world.map.shards[0];
    uint64_t from = shard->replicas[0].node;
    uint64_t id = steward_rig_add(
        &world, (struct job_spec){.kind = JOB_MOVE, .shard = shard->id, .from = from, .to = 4});
    steward_rig_ticks(&world, 100);
    CHECK(steward_rig_job(&world, id)->state == JOB_DONE);
    CHECK(shard_map_replica_on(&world.map.shards[0], from) == NULL);
    steward_rig_check_settled(&world);
    struct steward_counts counts;
    steward_count(world.steward, &counts);
    CHECK(counts.done == 1 && counts.running == 0 && counts.bytes == 20);
    steward_rig_deinit(&world);
}

TEST(steward_tick, gives_up_a_node_that_went_away_and_leaves_all_as_it_was)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaaa", 2);
    struct shard_desc shard = world.map.shards[0];
    uint64_t id = steward_rig_add(
        &world, (struct job_spec){
                    .kind = JOB_MOVE, .shard = shard.id, .from = shard.replicas[0].node, .to = 4});
    while (steward_rig_job(&world, id)->step == 0) {
        steward_rig_tick(&world);
    }
    world.up[4] = false;
    steward_rig_ticks(&world, STEWARD_GONE_MS / TICK_MS / 2);
    CHECK(steward_rig_job(&world, id)->state == JOB_RUNNING);
    steward_rig_ticks(&world, STEWARD_GONE_MS / TICK_MS);
    CHECK(steward_rig_job(&world, id)->state == JOB_FAILED &&
          steward_rig_job(&world, id)->result[0] != '\0');
    CHECK(memcmp(world.map.shards[0].replicas, shard.replicas, sizeof(shard.replicas)) == 0);
    steward_rig_deinit(&world);
}

TEST(steward_tick, transfers_leadership_at_once)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaa", 3);
    const struct shard_desc *shard = &world.map.shards[2];
    uint64_t to = shard->replicas[1].node;
    uint64_t shard_id = shard->id;
    uint64_t id = steward_rig_add(
        &world, (struct job_spec){.kind = JOB_TRANSFER, .shard = shard_id, .to = to});
    steward_rig_ticks(&world, 30);
    CHECK(steward_rig_job(&world, id)->state == JOB_DONE &&
          steward_rig_group(&world, shard_id)->leader == to);
    steward_rig_deinit(&world);
}

TEST(steward_tick, drains_within_its_budgets)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaaaa", 4);
    uint64_t id = steward_rig_add(&world, (struct job_spec){.kind = JOB_DRAIN, .from = 2});
    for (unsigned i = 0; i < 1000 && cluster_job_active(steward_rig_job(&world, id)); i++) {
        unsigned in[NODES_MAX + 1] = {0};
        unsigned out = 0;
        steward_rig_tick(&world);
        for (size_t j = 0; j < world.jobs.count; j++) {
            const struct cluster_job *move = &world.jobs.jobs[j];
            bool runs = cluster_job_active(move) && move->spec.kind == JOB_MOVE && move->step > 0;
            in[move->spec.to] += runs;
            out += runs;
            CHECK(in[move->spec.to] <= STEWARD_MOVES_IN_MAX);
        }
        CHECK(out <= STEWARD_MOVES_OUT_MAX);
    }
    CHECK(steward_rig_job(&world, id)->state == JOB_DONE &&
          steward_rig_replicas_on(&world, 2) == 0);
    steward_rig_check_settled(&world);
    steward_rig_deinit(&world);
}

TEST(steward_tick, rebuilds_what_a_dead_node_held_and_only_then)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaaa", 5);
    world.up[1] = false;
    steward_rig_ticks(&world, 200);
    CHECK_EQ(world.jobs.count, 0); /* Not yet. */
    steward_rig_ticks(&world, 1000);
    CHECK(world.jobs.count > 0 && world.jobs.jobs[0].spec.kind == JOB_REBUILD);
    CHECK(world.jobs.jobs[0].state == JOB_DONE && steward_rig_replicas_on(&world, 1) == 0);
    steward_rig_check_settled(&world);
    steward_rig_deinit(&world);
}

TEST(steward_tick, rebuilds_nothing_if_most_nodes_are_away)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaaaaaa", 6);
    for (unsigned i = 1; i <= 4; i++) {
        world.up[i] = false;
    }
    steward_rig_ticks(&world, 1500);
    CHECK_EQ(world.jobs.count, 0);
    steward_rig_deinit(&world);
}

TEST(steward_tick, a_node_that_comes_back_ends_its_rebuilding)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaaa", 7);
    world.up[1] = false;
    while (world.jobs.count < 3) {
        steward_rig_tick(&world);
    }
    world.up[1] = true;
    steward_rig_ticks(&world, 300);
    CHECK(world.jobs.jobs[0].state == JOB_CANCELLED && steward_rig_active(&world) == 0);
    steward_rig_check_settled(&world);
    steward_rig_deinit(&world);
}

TEST(steward_tick, splits_and_merges)
{
    struct steward_rig world;
    steward_rig_init(&world, "aaa", 8);
    uint64_t shard = world.map.shards[1].id;
    uint64_t id = steward_rig_add(&world, (struct job_spec){.kind = JOB_SPLIT, .shard = shard});
    steward_rig_ticks(&world, 60);
    CHECK(steward_rig_job(&world, id)->state == JOB_DONE && world.map.shard_count == 5);
    id = steward_rig_add(&world, (struct job_spec){.kind = JOB_MERGE,
                                                   .shard = steward_rig_job(&world, id)->child,
                                                   .other = shard});
    steward_rig_ticks(&world, 60);
    CHECK(steward_rig_job(&world, id)->state == JOB_DONE && world.map.shard_count == 4);
    world.refuses_splits = true;
    id = steward_rig_add(&world, (struct job_spec){.kind = JOB_SPLIT, .shard = shard});
    steward_rig_ticks(&world, 60);
    CHECK(steward_rig_job(&world, id)->state == JOB_FAILED);
    CHECK(strstr(steward_rig_job(&world, id)->result, "it cannot be") != NULL);
    steward_rig_deinit(&world);
}

/* ---- at random ---- */

static void any_job(struct steward_rig *world)
{
    struct rand *rand = &world->rand;
    size_t at = rand_below(rand, world->map.shard_count + 1);
    const struct shard_desc *shard =
        at < world->map.shard_count ? &world->map.shards[at] : &world->map.meta;
    struct job_spec spec = {.shard = shard->id};
    spec.from = shard->replicas[rand_below(rand, shard->replica_count)].node;
    spec.to = 1 + rand_below(rand, world->map.node_count);
    switch (rand_below(rand, 8)) {
    case 0: spec.kind = JOB_DRAIN; break;
    case 1: spec.kind = world->map.shard_count < 20 ? JOB_SPLIT : JOB_TRANSFER; break;
    case 2:
        spec.kind = JOB_MERGE;
        spec.other = world->map.shards[rand_below(rand, world->map.shard_count)].id;
        break;
    case 3: spec.kind = JOB_TRANSFER; break;
    default: spec.kind = JOB_MOVE; break;
    }
    (void)steward_rig_add(world, spec);
}

static void undrain_all(struct steward_rig *world)
{
    for (size_t i = 0; i < world->map.node_count; i++) {
        struct buf bytes;
        struct buf reply;
        buf_init(&bytes, META_ORDER_SIZE_MAX);
        buf_init(&reply, 1 << 20);
        struct meta_order order = {
            .op = META_NODE, .id = world->map.nodes[i].id, .what = META_UNDRAIN};
        meta_order_encode(&order, &bytes);
        struct slice argv[] = {slice_str("META.ORDER"), buf_slice(&bytes)};
        steward_rig_run(world, (struct args){.argv = argv, .argc = 2}, &reply);
        buf_deinit(&bytes);
        buf_deinit(&reply);
    }
}

static void disturb(struct steward_rig *world)
{
    struct rand *rand = &world->rand;
    uint64_t node = 1 + rand_below(rand, world->map.node_count);
    switch (rand_below(rand, 60)) {
    case 0: /* Another node leads the meta group. */
        steward_rig_drop_asks(world);
        steward_free(world->steward);
        steward_rig_new_steward(world);
        break;
    case 1: world->up[node] = false; break;
    case 2:
    case 3: world->up[node] = true; break;
    case 4: undrain_all(world); break;
    case 5:
    case 6:
    case 7:
        if (steward_rig_active(world) < 12) {
            any_job(world);
        }
        break;
    default: break;
    }
}

TEST(steward_tick, every_job_ends_whoever_leads_and_whatever_is_lost)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct steward_rig world;
        steward_rig_init(&world, seed % 2 == 0 ? "abcabc" : "aaaaa", seed);
        world.lost_permille = 100;
        for (unsigned i = 0; i < 1500; i++) {
            disturb(&world);
            steward_rig_tick(&world);
        }
        world.lost_permille = 0;
        for (unsigned i = 1; i <= NODES_MAX; i++) {
            world.up[i] = true;
        }
        for (unsigned i = 0; i < 4000 && steward_rig_active(&world) > 0; i++) {
            steward_rig_tick(&world);
        }
        if (steward_rig_active(&world) > 0) {
            fprintf(stderr, "seed %llu: a job does not end\n", (unsigned long long)seed);
        }
        CHECK_EQ(steward_rig_active(&world), 0);
        steward_rig_ticks(&world, 50);
        steward_rig_check_settled(&world);
        CHECK(world.jobs.count > 20);
        steward_rig_deinit(&world);
    }
}
