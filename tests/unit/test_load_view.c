#include "server/control/load_view.h"

#include <stdlib.h>

#include "common/proto/resp.h"
#include "tests/support/test.h"

enum { NOW_MS = 100000 };

struct rig {
    struct load_table table;
    struct shard_map map;
    struct buf reply;
    struct load_view view;
};

static void take(struct rig *rig, uint64_t node, const struct shard_load *loads, uint32_t count)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    struct node_load head = {
        .node = node, .loops = 2, .cpu = 500000, .busiest = 400000, .ops = 7, .up_ms = 9000};
    load_report_begin(&head, count, &out);
    for (uint32_t i = 0; i < count; i++) {
        shard_load_encode(&loads[i], &out);
    }
    CHECK_EQ(load_table_take(&rig->table, buf_slice(&out), NOW_MS), STATUS_OK);
    buf_deinit(&out);
}

static void begin(struct rig *rig)
{
    *rig = (struct rig){0};
    load_table_init(&rig->table);
    shard_map_init(&rig->map);
    rig->map.node_count = 2;
    rig->map.nodes = calloc(2, sizeof(*rig->map.nodes));
    CHECK(rig->map.nodes != NULL);
    rig->map.nodes[0].id = 1;
    rig->map.nodes[1].id = 2;
    buf_init(&rig->reply, 1 << 20);
    rig->view = (struct load_view){
        .table = &rig->table, .map = &rig->map, .mode = BALANCER_ADVISE, .now_ms = NOW_MS};
    struct shard_load loads[2] = {
        {.shard = 5, .ver = 1, .last = 99, .ops = 100, .slow_ops = 100, .cpu = 1000},
        {.shard = 6,
         .ver = 1,
         .start = 100,
         .last = UINT64_MAX,
         .ops = 2000,
         .slow_ops = 1500,
         .cpu = 90000,
         .verdict = SPLIT_ONE_KEY,
         .key_count = 1}};
    loads[1].hot[0] =
        (struct key_load){.token = 100, .share = 900, .writes = 800, .key_size = 3, .key_len = 3};
    memcpy(loads[1].hot[0].key, "hot", 3);
    take(rig, 1, loads, 2);
    load_table_tick(&rig->table, NOW_MS);
}

static void end(struct rig *rig)
{
    load_table_deinit(&rig->table);
    shard_map_deinit(&rig->map);
    buf_deinit(&rig->reply);
}

static bool ask(struct rig *rig, const char *what, const char *count)
{
    struct slice argv[] = {slice_str("sherd"), slice_str(what),
                           slice_str(count == NULL ? "" : count)};
    struct args args = {.argv = argv, .argc = count == NULL ? 2 : 3};
    buf_clear(&rig->reply);
    return load_view_answer(&rig->view, &args, &rig->reply);
}

static bool says(const struct rig *rig, const char *text)
{
    return memmem(rig->reply.data, rig->reply.len, text, strlen(text)) != NULL;
}

TEST(load_view_answer, tells_the_load_of_the_nodes)
{
    struct rig rig;
    begin(&rig);
    CHECK(ask(&rig, "LOAD", NULL));
    CHECK(says(&rig, "$6\r\nadvise\r\n"));
    CHECK(says(&rig, "use_percent\r\n:25\r\n")); /* Half a processor of two. */
    CHECK(says(&rig, "busiest_percent\r\n:40\r\n"));
    CHECK(says(&rig, "heard\r\n#t\r\n") && says(&rig, "heard\r\n#f\r\n"));
    end(&rig);
}

TEST(load_view_answer, names_the_hottest_first)
{
    struct rig rig;
    begin(&rig);
    CHECK(ask(&rig, "hot", NULL));
    CHECK(says(&rig, "shards\r\n*2\r\n%13\r\n$5\r\nshard\r\n:6\r\n"));
    CHECK(says(&rig, "of_node_percent\r\n:98\r\n"));
    CHECK(says(&rig, "one key is half of the load or more"));
    CHECK(says(&rig, "keys\r\n*1\r\n%10\r\n$3\r\nkey\r\n$3\r\nhot\r\n"));
    CHECK(says(&rig, "ops\r\n:1800\r\n"));
    CHECK(says(&rig, "writes_percent\r\n:88\r\n"));
    CHECK(says(&rig, "mostly writes"));
    CHECK(ask(&rig, "hot", "1"));
    CHECK(says(&rig, "shards\r\n*1\r\n"));
    end(&rig);
}

TEST(load_view_answer, shows_the_ring)
{
    struct rig rig;
    begin(&rig);
    CHECK(ask(&rig, "heat", "5"));
    CHECK(says(&rig, "columns\r\n:64\r\n"));
    CHECK(says(&rig, "rows\r\n*1\r\n"));
    CHECK(says(&rig, "ago_ms\r\n:0\r\n"));
    end(&rig);
}

TEST(load_view_answer, refuses_wrong_counts_and_leaves_other_words_alone)
{
    struct rig rig;
    begin(&rig);
    static const char *const bad[] = {"0", "-1", "x", "1001", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(ask(&rig, "hot", bad[i]));
        CHECK_EQ(rig.reply.data[0], '-');
    }
    CHECK(ask(&rig, "load", "1"));
    CHECK_EQ(rig.reply.data[0], '-');
    CHECK(!ask(&rig, "jobs", NULL));
    CHECK_EQ(rig.reply.len, 0);
    end(&rig);
}
