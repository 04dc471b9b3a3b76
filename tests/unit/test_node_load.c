#include "server/node_load.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/support/test.h"

static struct worker_load *load_of(unsigned loop, uint64_t first_shard, size_t count)
{
    struct worker_load *load = calloc(1, sizeof(*load) + count * sizeof(load->shards[0]));
    CHECK(load != NULL);
    load->loop = loop;
    load->cpu = 1000 * (loop + 1);
    load->replicas = count + 1;
    load->count = count;
    for (size_t i = 0; i < count; i++) {
        load->shards[i] = (struct shard_load){.shard = first_shard + i, .ver = 1, .last = 9};
    }
    return load;
}

static struct node_load_desk *desk_of(uint64_t node)
{
    struct node_load_options options = {.node = node, .incarnation = node + 100, .loops = 2};
    return node_load_new(&options);
}

TEST(node_load_tick, brings_the_loads_of_all_loops_to_the_leader)
{
    struct node_load_desk *leader = desk_of(1);
    struct node_load_desk *other = desk_of(2);
    uint64_t now_ms = clock_now_ms();
    node_load_measured(leader, load_of(0, 10, 2));
    node_load_measured(other, load_of(0, 20, 3));
    node_load_measured(other, load_of(1, 30, 1));
    node_load_measured(other, load_of(1, 31, 1)); /* Newer than the one before. */
    struct buf wire;
    buf_init(&wire, 1 << 20);
    node_load_tick(leader, 1, NULL, 0, now_ms);
    node_load_tick(other, 1, &wire, 555, now_ms);
    struct frame frame;
    size_t used = 0;
    CHECK_EQ(frame_parse(buf_slice(&wire), 1 << 20, &frame, &used), STATUS_OK);
    CHECK_EQ(frame.type, FRAME_LOAD);
    CHECK_EQ(node_load_receive(leader, frame.body), STATUS_OK);
    const struct load_table *table = node_load_table(leader);
    CHECK_EQ(table->shards.count, 6);
    CHECK_EQ(load_table_shard(table, 22, now_ms)->node, 2);
    CHECK_EQ(load_table_shard(table, 31, now_ms)->node, 2);
    CHECK(load_table_shard(table, 30, now_ms) == NULL);
    CHECK_EQ(load_table_node(table, 2, now_ms)->load.cpu, 3000);
    CHECK_EQ(load_table_node(table, 2, now_ms)->load.busiest, 2000);
    CHECK_EQ(load_table_node(table, 2, now_ms)->load.replicas, 6);
    CHECK_EQ(load_table_node(table, 2, now_ms)->load.disk_free, 555);
    node_load_tick(leader, 1, NULL, 0, now_ms - 5); /* Its time was taken before the report came. */
    CHECK_EQ(load_table_shard(table, 22, now_ms - 5)->node, 2);
    CHECK_EQ(node_load_receive(leader, slice_str("?")), STATUS_PROTOCOL);
    buf_deinit(&wire);
    node_load_free(leader);
    node_load_free(other);
}

TEST(node_load_tick, begins_with_nothing_when_the_leader_changes)
{
    struct node_load_desk *desk = desk_of(1);
    uint64_t now_ms = clock_now_ms();
    node_load_measured(desk, load_of(0, 10, 2));
    node_load_tick(desk, 1, NULL, 0, now_ms);
    CHECK_EQ(node_load_leading_ms(desk), now_ms);
    CHECK_EQ(node_load_table(desk)->shards.count, 2);
    node_load_tick(desk, 3, NULL, 0, now_ms + 1000); /* Another leads, and is not reached. */
    CHECK_EQ(node_load_leading_ms(desk), 0);
    CHECK_EQ(node_load_table(desk)->shards.count, 0);
    node_load_free(desk);
}
