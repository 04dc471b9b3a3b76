#include "router/usage.h"

#include <stdlib.h>

#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "tests/support/test.h"

static bool leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    (void)ctx;
    *hint = (struct leader_hint){.shard = shard, .term = 1, .node = 4};
    return shard == 9;
}

TEST(usage_read, adds_up_what_shards_say)
{
    struct usage usage = {0};
    const char *reply =
        "*3\r\n*6\r\n:2\r\n:0\r\n:10\r\n:3\r\n:1000\r\n:7\r\n"
        "*6\r\n:3\r\n:0\r\n:5\r\n:0\r\n:500\r\n:1\r\n"
        "*6\r\n:3\r\n:15\r\n:1\r\n:1\r\n:20\r\n:0\r\n";
    CHECK(usage_read(slice_str(reply), &usage));
    CHECK_EQ(usage.databases[0].keys, 15);
    CHECK_EQ(usage.databases[0].expires, 3);
    CHECK_EQ(usage.databases[0].bytes, 1500);
    CHECK_EQ(usage.databases[0].ops_per_second, 8);
    CHECK_EQ(usage.databases[15].keys, 1);
    CHECK_EQ(usage.databases[1].keys, 0);
}

TEST(usage_read, refuses_what_is_none)
{
    static const char *const bad[] = {
        "-CLUSTERDOWN no\r\n",
        ":1\r\n",
        "*-1\r\n",
        "*1\r\n*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
        "*1\r\n*6\r\n:1\r\n:16\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
        "*1\r\n*6\r\n:1\r\n:0\r\n:-1\r\n:1\r\n:1\r\n:1\r\n",
        "*1\r\n*6\r\n:1\r\n:0\r\n:1\r\n:1\r\n",
        "*0\r\n+OK\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct usage usage = {.databases[2].keys = 77};
        CHECK(!usage_read(slice_str(bad[i]), &usage));
        CHECK_EQ(usage.databases[2].keys, 77);
    }
}

TEST(usage_write, says_where_a_database_lies)
{
    struct shard_map map;
    shard_map_init(&map);
    map.node_count = 1;
    map.nodes = calloc(1, sizeof(*map.nodes));
    map.shard_count = 1;
    map.shards = calloc(1, sizeof(*map.shards));
    CHECK(map.nodes != NULL && map.shards != NULL);
    map.nodes[0].id = 4;
    memcpy(map.nodes[0].address, "h:1", 4);
    map.shards[0] = (struct shard_desc){.id = 9, .last = UINT64_MAX};
    struct cluster_view view = {.map = &map, .role = "router", .leader = leader};
    struct usage usage = {.databases[3] = {.keys = 2, .bytes = 5}};
    struct buf out;
    buf_init(&out, 1 << 16);
    usage_write(&usage, &view, &out);
    size_t size = 0;
    CHECK_EQ(resp_value_size(buf_slice(&out), out.len, &size), STATUS_OK);
    CHECK_EQ(size, out.len);
    static const char want[] =
        "%10\r\n$2\r\ndb\r\n:3\r\n$4\r\nkeys\r\n:2\r\n$7\r\nexpires\r\n:0\r\n$5\r\nbytes\r\n"
        ":5\r\n$14\r\nops_per_second\r\n:0\r\n$9\r\ncolocated\r\n#t\r\n$6\r\nshards\r\n:1\r\n"
        "$5\r\nshard\r\n:9\r\n$6\r\nleader\r\n:4\r\n$14\r\nleader_address\r\n$3\r\nh:1\r\n";
    CHECK(memmem(out.data, out.len, want, sizeof(want) - 1) != NULL);
    buf_deinit(&out);
    shard_map_deinit(&map);
}
