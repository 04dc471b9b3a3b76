#include "common/cluster/shard_load.h"

#include "tests/support/test.h"

static struct shard_load warm(void)
{
    struct shard_load load = {.shard = 7,
                              .ver = 3,
                              .start = 100,
                              .last = 900,
                              .bytes = 4096,
                              .keys = 12,
                              .ops = 1000,
                              .reads = 800,
                              .writes = 200,
                              .absent = 40,
                              .traffic = 123456,
                              .cpu = 9000,
                              .follower_cpu = 700,
                              .slow_ops = 950,
                              .slow_cpu = 8800,
                              .verdict = SPLIT_GOOD,
                              .split_token = 512,
                              .split_left = 480,
                              .cut_count = 2,
                              .cuts = {{300, 130}, {512, 480}},
                              .hot_token = 300,
                              .hot_share = 120,
                              .key_count = 2};
    load.heat[0] = 600;
    load.heat[SHARD_LOAD_HEAT - 1] = 400;
    load.hot[0] = (struct key_load){
        .token = 300, .share = 120, .writes = 20, .absent = 1, .key_size = 3, .key_len = 3};
    memcpy(load.hot[0].key, "abc", 3);
    load.hot[1] = (struct key_load){.token = 301, .share = 20, .db = 4};
    return load;
}

static const struct node_load node = {.node = 2,
                                      .incarnation = 77,
                                      .up_ms = 60000,
                                      .loops = 4,
                                      .cpu = 1500000,
                                      .busiest = 700000,
                                      .ops = 1000,
                                      .replicas = 32,
                                      .disk_free = 1 << 30};

TEST(load_report, comes_back_as_it_was_written)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    struct shard_load idle = {.shard = 8, .ver = 1, .start = 901, .last = 1000, .keys = 5};
    struct shard_load busy = warm();
    load_report_begin(&node, 2, &out);
    shard_load_encode(&busy, &out);
    shard_load_encode(&idle, &out);
    struct load_report report;
    CHECK_EQ(load_report_open(buf_slice(&out), &report), STATUS_OK);
    CHECK_EQ(report.node.node, 2);
    CHECK_EQ(report.node.busiest, 700000);
    CHECK_EQ(report.node.disk_free, 1 << 30);
    struct shard_load load;
    CHECK(load_report_next(&report, &load));
    CHECK_EQ(load.shard, 7);
    CHECK_EQ(load.split_token, 512);
    CHECK_EQ(load.cut_count, 2);
    CHECK_EQ(load.cuts[0].left, 130);
    CHECK_EQ(load.heat[SHARD_LOAD_HEAT - 1], 400);
    CHECK_EQ(load.key_count, 2);
    CHECK_BYTES(slice_of(load.hot[0].key, load.hot[0].key_len), "abc");
    CHECK_EQ(load.hot[1].db, 4);
    CHECK(load_report_next(&report, &load));
    CHECK_EQ(load.shard, 8);
    CHECK_EQ(load.keys, 5);
    CHECK_EQ(load.ops, 0);
    CHECK(!load_report_next(&report, &load));
    buf_deinit(&out);
}

TEST(load_report_open, refuses_every_beginning_of_a_report)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    struct shard_load busy = warm();
    load_report_begin(&node, 1, &out);
    shard_load_encode(&busy, &out);
    struct load_report report;
    for (size_t len = 0; len < out.len; len++) {
        CHECK_EQ(load_report_open(slice_of(out.data, len), &report), STATUS_PROTOCOL);
    }
    buf_append_u8(&out, 0);
    CHECK_EQ(load_report_open(buf_slice(&out), &report), STATUS_PROTOCOL);
    buf_deinit(&out);
}

static void refuse(const struct node_load *head, const struct shard_load *load)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    load_report_begin(head, 1, &out);
    shard_load_encode(load, &out);
    struct load_report report;
    CHECK_EQ(load_report_open(buf_slice(&out), &report), STATUS_PROTOCOL);
    buf_deinit(&out);
}

TEST(load_report_open, refuses_what_cannot_be)
{
    struct shard_load load = warm();
    load.last = load.start - 1;
    refuse(&node, &load);
    load = warm();
    load.split_token = load.start; /* Nothing would be left on the left. */
    refuse(&node, &load);
    load = warm();
    load.split_token = load.last + 1;
    refuse(&node, &load);
    load = warm();
    load.cuts[1].token = load.cuts[0].token; /* Not rising. */
    refuse(&node, &load);
    load = warm();
    load.hot_share = 1001;
    refuse(&node, &load);
    load = warm();
    load.hot[0].key_size = 2; /* Shorter than what is there of it. */
    refuse(&node, &load);
    load = warm();
    struct node_load nobody = {0};
    refuse(&nobody, &load);
}
