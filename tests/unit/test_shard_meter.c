#include "server/shard/shard_meter.h"

#include "common/base/rand.h"
#include "tests/support/test.h"

enum { SECOND = 1000 };

static void hit(struct shard_meter *meter, uint64_t token, const char *key)
{
    shard_meter_op(meter, false, 10);
    shard_meter_hit(meter, &(struct meter_hit){.token = token, .key = slice_str(key), .size = 10});
}

/* A thousand reads a second of even tokens, each second 50 ms of processor. */
static uint64_t run(struct shard_meter *meter, uint64_t now_ms, int seconds)
{
    struct rand rand;
    rand_init(&rand, 3);
    uint64_t span = meter->heat.last - meter->heat.start;
    for (int second = 0; second < seconds; second++) {
        for (int i = 0; i < 1000; i++) {
            hit(meter, meter->heat.start + rand_below(&rand, span), i % 2 == 0 ? "a" : "b");
        }
        now_ms += SECOND;
        shard_meter_tick(meter, now_ms, 50000, true);
    }
    return now_ms;
}

TEST(shard_meter_tick, comes_to_the_rate_in_a_few_seconds)
{
    struct shard_meter meter;
    shard_meter_init(&meter, 0, UINT64_MAX, 0);
    struct shard_load load = {0};
    (void)run(&meter, 0, 3);
    shard_meter_read(&meter, &load);
    CHECK(load.ops > 550 && load.ops < 1000);
    CHECK(load.slow_ops < load.ops / 4);
    (void)run(&meter, 3 * SECOND, 17);
    shard_meter_read(&meter, &load);
    CHECK(load.ops >= 990 && load.ops <= 1000);
    CHECK(load.cpu >= 49000 && load.cpu <= 50000);
    CHECK_EQ(load.reads, load.ops);
    CHECK_EQ(load.writes, 0);
    CHECK(load.traffic >= 9900 && load.traffic <= 10000);
    shard_meter_deinit(&meter);
}

TEST(shard_meter_tick, forgets_what_is_over)
{
    struct shard_meter meter;
    shard_meter_init(&meter, 0, UINT64_MAX, 0);
    uint64_t now_ms = run(&meter, 0, 20);
    struct shard_load load = {0};
    for (int second = 0; second < 400; second++) {
        now_ms += SECOND;
        shard_meter_tick(&meter, now_ms, 0, false);
    }
    shard_meter_read(&meter, &load);
    CHECK_EQ(load.ops, 0);
    CHECK_EQ(load.slow_ops, 0);
    CHECK_EQ(heat_total(&meter.heat), 0);
    CHECK(meter.top == NULL); /* Nor does it keep the memory. */
    shard_meter_deinit(&meter);
}

TEST(shard_meter_tick, looks_at_keys_only_while_it_is_worth_it)
{
    struct shard_meter meter;
    shard_meter_init(&meter, 0, UINT64_MAX, 0);
    hit(&meter, 1, "a");
    CHECK(meter.top == NULL);
    shard_meter_tick(&meter, SECOND, 0, true);
    CHECK(meter.top != NULL);
    shard_meter_tick(&meter, 2 * SECOND, 0, false);
    CHECK(meter.top != NULL); /* Not in and out with every wave. */
    shard_meter_deinit(&meter);
}

TEST(shard_meter_read, names_the_hot_keys)
{
    struct shard_meter meter;
    shard_meter_init(&meter, 0, UINT64_MAX, 0);
    shard_meter_tick(&meter, 1, 0, true);
    for (uint64_t i = 0; i < 16000; i++) {
        hit(&meter, i % 4 == 0 ? UINT64_MAX / 3 : i * 1000003, i % 4 == 0 ? "hot" : "cold");
    }
    shard_meter_tick(&meter, SECOND, 50000, true);
    struct shard_load load = {0};
    shard_meter_read(&meter, &load);
    CHECK_EQ(load.key_count, 2);
    CHECK_BYTES(slice_of(load.hot[1].key, load.hot[1].key_len), "hot");
    CHECK(load.hot[1].share > 200 && load.hot[1].share < 300);
    CHECK_EQ(load.hot[1].token, UINT64_MAX / 3);
    shard_meter_deinit(&meter);
}

/* I11: what the two parts have is what the one had. */
TEST(shard_meter_split, conserves_what_was_measured)
{
    struct rand rand;
    rand_init(&rand, 11);
    for (int round = 0; round < 50; round++) {
        struct shard_meter parent;
        struct shard_meter child;
        shard_meter_init(&parent, 0, UINT64_MAX, 0);
        shard_meter_init(&child, 5, 6, 0);
        (void)run(&parent, 0, 5);
        hit(&parent, 1, "x");
        struct shard_load before = {0};
        shard_meter_read(&parent, &before);
        uint64_t token = 1 + rand_below(&rand, UINT64_MAX - 1);
        shard_meter_split(&parent, &child, token);
        struct shard_load left = {0};
        struct shard_load right = {0};
        shard_meter_read(&parent, &left);
        shard_meter_read(&child, &right);
        CHECK_EQ(left.last, token - 1);
        CHECK_EQ(right.start, token);
        CHECK_EQ(right.last, UINT64_MAX);
        CHECK(left.ops + right.ops + 1 >= before.ops && left.ops + right.ops <= before.ops + 1);
        CHECK(left.cpu + right.cpu + 1 >= before.cpu && left.cpu + right.cpu <= before.cpu + 1);
        CHECK_EQ(parent.now.ops + child.now.ops, 1);
        /* And where it lies is known of both. */
        double share = (double)(UINT64_MAX - token) / (double)UINT64_MAX;
        double off = (double)right.ops - share * (double)before.ops;
        CHECK(off < 40 && off > -40);
        struct shard_meter whole = parent;
        whole.top = NULL;
        shard_meter_absorb(&whole, &child, 0, UINT64_MAX);
        struct shard_load after = {0};
        shard_meter_read(&whole, &after);
        CHECK(after.ops + 1 >= before.ops && after.ops <= before.ops + 1);
        shard_meter_deinit(&parent);
        shard_meter_deinit(&child);
    }
}
