#include "router/route.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/cluster/token.h"
#include "tests/support/test.h"

enum { SHARDS = 4, ARGS_MAX = 64 };

struct bench {
    struct route route;
    struct shard_map map;
    struct buf error;
    struct slice argv[ARGS_MAX];
    char texts[ARGS_MAX][32];
};

/* Four shards of a quarter of the ring each, ids 10..13. */
static void bench_init(struct bench *bench)
{
    *bench = (struct bench){0};
    route_init(&bench->route);
    buf_init(&bench->error, 4096);
    shard_map_init(&bench->map);
    bench->map.shard_count = SHARDS;
    bench->map.shards = calloc(SHARDS, sizeof(*bench->map.shards));
    CHECK(bench->map.shards != NULL);
    for (uint64_t i = 0; i < SHARDS; i++) {
        bench->map.shards[i] = (struct shard_desc){
            .id = 10 + i, .start = i << 62, .last = (i << 62) | (UINT64_MAX >> 2)};
    }
}

static void bench_deinit(struct bench *bench)
{
    shard_map_deinit(&bench->map);
    route_deinit(&bench->route);
    buf_deinit(&bench->error);
}

/* The nth key k<number> whose token is in that quarter. */
static struct slice key_on(struct bench *bench, size_t at, uint64_t quarter, int nth)
{
    for (int i = 0;; i++) {
        (void)snprintf(bench->texts[at], sizeof(bench->texts[at]), "k%d", i);
        struct slice key = slice_str(bench->texts[at]);
        if (token_of_key(key) >> 62 == quarter && nth-- == 0) {
            return key;
        }
    }
}

static enum status plan(struct bench *bench, const char *name, size_t argc, uint8_t db)
{
    bench->argv[0] = slice_str(name);
    struct args args = {.argv = bench->argv, .argc = argc};
    const struct command *command = command_find(bench->argv[0]);
    CHECK(command != NULL);
    return route_plan(&bench->route, command, &args, db, &bench->map, &bench->error);
}

static bool error_has(const struct bench *bench, const char *part)
{
    return bench->error.len > 0 &&
           memmem(bench->error.data, bench->error.len, part, strlen(part)) != NULL;
}

TEST(route_plan, sends_a_key_to_the_shard_of_its_token)
{
    struct bench bench;
    bench_init(&bench);
    for (uint64_t quarter = 0; quarter < SHARDS; quarter++) {
        bench.argv[1] = key_on(&bench, 1, quarter, 0);
        CHECK_EQ(plan(&bench, "get", 2, 0), STATUS_OK);
        CHECK_EQ(bench.route.shape, ROUTE_ONE);
        CHECK_EQ(bench.route.shard, quarter);
    }
    bench_deinit(&bench);
}

TEST(route_plan, waits_for_a_map_with_shards)
{
    struct bench bench;
    bench_init(&bench);
    bench.map.shard_count = 0;
    bench.argv[1] = slice_str("a");
    CHECK_EQ(plan(&bench, "get", 2, 0), STATUS_NO_SHARD);
    bench_deinit(&bench);
}

TEST(route_plan, spreads_keys_in_their_order)
{
    struct bench bench;
    bench_init(&bench);
    bench.argv[1] = key_on(&bench, 1, 2, 0);
    bench.argv[2] = key_on(&bench, 2, 0, 0);
    bench.argv[3] = key_on(&bench, 3, 2, 1);
    bench.argv[4] = key_on(&bench, 4, 0, 0); /* The same as the second. */
    bench.argv[5] = key_on(&bench, 5, 3, 0);
    CHECK_EQ(plan(&bench, "mget", 6, 0), STATUS_OK);
    const struct route *route = &bench.route;
    CHECK_EQ(route->shape, ROUTE_SPREAD);
    CHECK_EQ(route->share_count, 3);
    CHECK_EQ(route->shares[0].shard, 2);
    CHECK_EQ(route->shares[1].shard, 0);
    CHECK_EQ(route->shares[2].shard, 3);
    const uint32_t want[] = {1, 3, 2, 4, 5};
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ(route->keys[i], want[i]);
    }
    CHECK_EQ(route->shares[1].key_from, 2);
    CHECK_EQ(route->shares[1].key_count, 2);
    bench_deinit(&bench);
}

TEST(route_plan, leaves_keys_of_one_shard_together)
{
    struct bench bench;
    bench_init(&bench);
    bench.argv[1] = key_on(&bench, 1, 1, 0);
    bench.argv[2] = slice_str("v");
    bench.argv[3] = key_on(&bench, 3, 1, 1);
    bench.argv[4] = slice_str("v");
    CHECK_EQ(plan(&bench, "mset", 5, 0), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_ONE);
    CHECK_EQ(bench.route.shard, 1);
    CHECK_EQ(plan(&bench, "msetnx", 5, 0), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_ONE);
    bench_deinit(&bench);
}

TEST(route_plan, refuses_a_key_without_its_value_when_spread)
{
    struct bench bench;
    bench_init(&bench);
    bench.argv[1] = key_on(&bench, 1, 1, 0);
    bench.argv[2] = slice_str("v");
    bench.argv[3] = key_on(&bench, 3, 2, 0);
    CHECK_EQ(plan(&bench, "mset", 4, 0), STATUS_BAD_ARGUMENT);
    CHECK_BYTES(buf_slice(&bench.error), "ERR wrong number of arguments for 'mset' command");
    bench_deinit(&bench);
}

TEST(route_plan, names_both_keys_that_lie_apart)
{
    struct bench bench;
    bench_init(&bench);
    bench.argv[1] = key_on(&bench, 1, 1, 0);
    bench.argv[2] = key_on(&bench, 2, 3, 0);
    CHECK_EQ(plan(&bench, "rename", 3, 0), STATUS_CONFLICT);
    CHECK(error_has(&bench, "CROSSSLOT Keys in request don't hash to the same slot"));
    CHECK(error_has(&bench, bench.texts[1]));
    CHECK(error_has(&bench, bench.texts[2]));
    CHECK(error_has(&bench, "shard 11"));
    CHECK(error_has(&bench, "shard 13"));
    CHECK(error_has(&bench, "hash tag"));
    bench_deinit(&bench);
}

TEST(route_plan, shows_bytes_of_keys_harmlessly)
{
    struct bench bench;
    bench_init(&bench);
    uint8_t wild[200];
    memset(wild, '\n', sizeof(wild));
    bench.argv[1] = slice_of(wild, sizeof(wild));
    uint64_t quarter = token_of_key(bench.argv[1]) >> 62;
    bench.argv[2] = key_on(&bench, 2, (quarter + 1) % SHARDS, 0);
    CHECK_EQ(plan(&bench, "rename", 3, 0), STATUS_CONFLICT);
    CHECK(error_has(&bench, "\\x0a\\x0a"));
    CHECK(!error_has(&bench, "\n"));
    CHECK(bench.error.len < 600);
    bench_deinit(&bench);
}

TEST(route_plan, copy_looks_at_the_other_database)
{
    struct bench bench;
    bench_init(&bench);
    uint64_t quarter = token_of(5, slice_str("")) >> 62;
    bench.argv[1] = key_on(&bench, 1, (quarter + 1) % SHARDS, 0);
    bench.argv[2] = key_on(&bench, 2, (quarter + 1) % SHARDS, 1);
    bench.argv[3] = slice_str("DB");
    bench.argv[4] = slice_str("5");
    CHECK_EQ(plan(&bench, "copy", 5, 0), STATUS_CONFLICT);
    bench.argv[4] = slice_str("0");
    CHECK_EQ(plan(&bench, "copy", 5, 0), STATUS_OK);
    bench_deinit(&bench);
}

TEST(route_plan, moves_a_key_only_between_databases_of_one_shard)
{
    struct bench bench;
    bench_init(&bench);
    uint64_t quarter = token_of(5, slice_str("")) >> 62;
    bench.argv[2] = slice_str("5");
    bench.argv[1] = key_on(&bench, 1, quarter, 0);
    CHECK_EQ(plan(&bench, "move", 3, 0), STATUS_OK);
    CHECK_EQ(bench.route.shard, quarter);
    bench.argv[1] = key_on(&bench, 1, (quarter + 1) % SHARDS, 0);
    CHECK_EQ(plan(&bench, "move", 3, 0), STATUS_CONFLICT);
    CHECK(error_has(&bench, "of database 0 is on shard"));
    CHECK(error_has(&bench, "of database 5 on shard"));
    CHECK(error_has(&bench, bench.texts[1]));
    bench.argv[2] = slice_str("x"); /* The machine's to refuse. */
    CHECK_EQ(plan(&bench, "move", 3, 0), STATUS_OK);
    bench_deinit(&bench);
}

TEST(route_plan, asks_a_colocated_database_on_its_shard)
{
    struct bench bench;
    bench_init(&bench);
    size_t home = (size_t)(token_of(7, slice_str("")) >> 62);
    bench.argv[1] = slice_str("12345678901234567890");
    static const char *const names[] = {"dbsize", "flushdb", "keys", "randomkey", "scan"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK_EQ(plan(&bench, names[i], 2, 7), STATUS_OK);
        CHECK_EQ(bench.route.shape, ROUTE_ONE);
        CHECK_EQ(bench.route.shard, home);
    }
    CHECK_EQ(plan(&bench, "flushall", 1, 7), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_EVERY);
    CHECK_EQ(plan(&bench, "usage", 1, 7), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_EVERY);
    bench_deinit(&bench);
}

TEST(route_plan, keeps_a_colocated_database_on_one_shard)
{
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < 4; i++) {
        bench.argv[1 + i] = key_on(&bench, 1 + i, i, 0);
    }
    size_t home = (size_t)(token_of(3, slice_str("any")) >> 62);
    CHECK_EQ(plan(&bench, "mget", 5, 3), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_ONE);
    CHECK_EQ(bench.route.shard, home);
    CHECK_EQ(plan(&bench, "rename", 3, 3), STATUS_OK);
    CHECK_EQ(plan(&bench, "dbsize", 1, 3), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_ONE);
    CHECK_EQ(bench.route.shard, home);
    CHECK_EQ(plan(&bench, "flushdb", 1, 3), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_ONE);
    CHECK_EQ(plan(&bench, "flushall", 1, 3), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_EVERY);
    bench.argv[1] = slice_str("12345");
    CHECK_EQ(plan(&bench, "scan", 2, 3), STATUS_OK);
    CHECK_EQ(bench.route.shard, home);
    bench_deinit(&bench);
}

TEST(route_plan, asks_every_shard_for_what_has_no_key)
{
    struct bench bench;
    bench_init(&bench);
    CHECK_EQ(plan(&bench, "dbsize", 1, 0), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_EVERY);
    CHECK_EQ(plan(&bench, "randomkey", 1, 0), STATUS_OK);
    CHECK_EQ(bench.route.shape, ROUTE_ANY);
    bench_deinit(&bench);
}

TEST(route_plan, goes_where_the_cursor_points)
{
    struct bench bench;
    bench_init(&bench);
    const char *cursors[] = {"0", "4611686018427387904", "9223372036854775807",
                             "18446744073709551615"};
    const size_t want[] = {0, 1, 1, 3};
    for (size_t i = 0; i < 4; i++) {
        bench.argv[1] = slice_str(cursors[i]);
        CHECK_EQ(plan(&bench, "scan", 2, 0), STATUS_OK);
        CHECK_EQ(bench.route.shape, ROUTE_ONE);
        CHECK_EQ(bench.route.shard, want[i]);
    }
    const char *bad[] = {"", "-1", "1x", "18446744073709551616", "000000000000000000001"};
    for (size_t i = 0; i < 5; i++) {
        bench.argv[1] = slice_str(bad[i]);
        CHECK_EQ(plan(&bench, "scan", 2, 0), STATUS_BAD_ARGUMENT);
        CHECK_BYTES(buf_slice(&bench.error), "ERR invalid cursor");
    }
    bench_deinit(&bench);
}

TEST(route_regroup, sorts_a_share_after_a_split)
{
    struct bench bench;
    bench_init(&bench);
    bench.argv[1] = key_on(&bench, 1, 3, 0);
    bench.argv[2] = key_on(&bench, 2, 1, 0);
    bench.argv[3] = key_on(&bench, 3, 3, 1);
    struct args args = {.argv = bench.argv, .argc = 4};
    uint32_t keys[] = {1, 2, 3};
    route_regroup(&bench.route, &args, 0, &bench.map, keys, 3);
    CHECK_EQ(bench.route.share_count, 2);
    CHECK_EQ(bench.route.shares[0].shard, 3);
    CHECK_EQ(bench.route.shares[0].key_count, 2);
    CHECK_EQ(bench.route.shares[1].key_from, 2);
    CHECK_EQ(keys[0], 1);
    CHECK_EQ(keys[1], 3);
    CHECK_EQ(keys[2], 2);
    bench_deinit(&bench);
}
