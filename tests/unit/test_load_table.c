#include "server/control/load_table.h"

#include "tests/support/test.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static struct shard_load shard(uint64_t id, uint64_t ver, uint64_t cpu)
{
    return (struct shard_load){
        .shard = id, .ver = ver, .last = UINT64_MAX, .ops = cpu / 10, .slow_ops = 1, .cpu = cpu};
}

static void report(struct load_table *table,
                   uint64_t node,
                   const struct shard_load *loads,
                   uint32_t count,
                   uint64_t now_ms)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    struct node_load head = {.node = node, .loops = 2};
    load_report_begin(&head, count, &out);
    for (uint32_t i = 0; i < count; i++) {
        shard_load_encode(&loads[i], &out);
    }
    CHECK_EQ(load_table_take(table, buf_slice(&out), now_ms), STATUS_OK);
    buf_deinit(&out);
}

TEST(load_table_take, knows_who_said_what_for_a_while)
{
    struct load_table table;
    load_table_init(&table);
    struct shard_load loads[2] = {shard(2, 1, 100), shard(3, 1, 200)};
    report(&table, 7, loads, 2, SECOND);
    CHECK_EQ(load_table_shard(&table, 3, SECOND)->load.cpu, 200);
    CHECK_EQ(load_table_shard(&table, 3, SECOND)->node, 7);
    CHECK(load_table_shard(&table, 4, SECOND) == NULL);
    CHECK_EQ(load_table_node(&table, 7, SECOND)->load.loops, 2);
    CHECK(load_table_node(&table, 7, SECOND + LOAD_HEARD_MS) == NULL);
    CHECK(load_table_shard(&table, 3, SECOND + LOAD_HEARD_MS) == NULL);
    /* It leads shard 3 no longer. */
    report(&table, 7, loads, 1, 2 * SECOND);
    CHECK(load_table_shard(&table, 2, 2 * SECOND) != NULL);
    CHECK(load_table_shard(&table, 3, 2 * SECOND) == NULL);
    CHECK(load_table_changing(&table, 3, 2 * SECOND));
    CHECK(!load_table_changing(&table, 3, SECOND + LOAD_CHANGE_MS));
    CHECK(!load_table_changing(&table, 4, SECOND));
    load_table_deinit(&table);
}

TEST(load_table_take, follows_the_leader)
{
    struct load_table table;
    load_table_init(&table);
    struct shard_load old = shard(2, 4, 100);
    struct shard_load fresh = shard(2, 5, 900);
    report(&table, 7, &old, 1, SECOND);
    report(&table, 8, &fresh, 1, SECOND + 1);
    CHECK_EQ(load_table_shard(&table, 2, SECOND + 1)->node, 8);
    /* One that has not noticed yet, and knows an older range. */
    report(&table, 7, &old, 1, SECOND + 2);
    CHECK_EQ(load_table_shard(&table, 2, SECOND + 2)->node, 8);
    CHECK_EQ(load_table_shard(&table, 2, SECOND + 2)->load.cpu, 900);
    load_table_deinit(&table);
}

TEST(load_table_take, refuses_what_is_malformed)
{
    struct load_table table;
    load_table_init(&table);
    CHECK_EQ(load_table_take(&table, slice_str("no report"), SECOND), STATUS_PROTOCOL);
    CHECK_EQ(table.nodes.count, 0);
    load_table_deinit(&table);
}

TEST(load_table_peak, remembers_half_an_hour)
{
    struct load_table table;
    load_table_init(&table);
    uint64_t now_ms = 100 * MINUTE;
    struct shard_load load = shard(2, 1, 5000);
    report(&table, 7, &load, 1, now_ms);
    load.cpu = 10;
    for (int minute = 1; minute < LOAD_PEAKS; minute++) {
        now_ms += MINUTE;
        report(&table, 7, &load, 1, now_ms);
        CHECK_EQ(load_table_peak(load_table_shard(&table, 2, now_ms)), 5000);
    }
    now_ms += MINUTE;
    report(&table, 7, &load, 1, now_ms);
    CHECK_EQ(load_table_peak(load_table_shard(&table, 2, now_ms)), 10);
    load_table_deinit(&table);
}

TEST(load_table_tick, keeps_the_history_of_the_ring)
{
    struct load_table table;
    load_table_init(&table);
    struct shard_load halves[2] = {shard(2, 1, 0), shard(3, 1, 0)};
    halves[0].last = UINT64_MAX / 2;
    halves[1].start = UINT64_MAX / 2 + 1;
    halves[0].ops = 3200;
    for (size_t i = 0; i < SHARD_LOAD_HEAT; i++) {
        halves[0].heat[i] = i == 0 ? 1000 : 0;
    }
    report(&table, 7, halves, 2, MINUTE);
    load_table_tick(&table, MINUTE);
    const struct load_heat_row *row = load_table_heat(&table, 0);
    CHECK(row != NULL && load_table_heat(&table, 1) == NULL);
    /* A sixteenth of half of the ring is two of its 64 parts. */
    CHECK(row->ops[0] > 1590 && row->ops[0] < 1610);
    CHECK(row->ops[1] > 1590 && row->ops[1] < 1610);
    CHECK(row->ops[2] < 10 && row->ops[63] < 10);
    for (int i = 1; i < LOAD_HEAT_ROWS + 5; i++) {
        load_table_tick(&table, MINUTE + (uint64_t)i * LOAD_HEAT_ROW_MS);
    }
    CHECK(load_table_heat(&table, LOAD_HEAT_ROWS - 1) != NULL);
    CHECK(load_table_heat(&table, LOAD_HEAT_ROWS) == NULL);
    CHECK_EQ(table.shards.count, 0); /* Nothing was heard of them for long. */
    load_table_deinit(&table);
}
