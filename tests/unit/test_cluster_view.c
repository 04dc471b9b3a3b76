#include "common/cluster/cluster_view.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "tests/support/test.h"

enum { OUT_SIZE_MAX = 1 << 20 };

struct bench {
    struct shard_map map;
    struct cluster_view view;
    struct buf out;
};

/* Node 1 leads shard 2 in term 4, with so many voters as tests say; shard 3 has no leader. Node 2
 * is down. The meta group is led by the node that tests say, with one voter. */
static uint64_t voters;
static uint64_t meta_leader;

static bool leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    (void)ctx;
    *hint = (struct leader_hint){.shard = shard, .term = 4, .node = 1, .voters = voters};
    if (shard == SHARD_META) {
        *hint = (struct leader_hint){.shard = shard, .term = 9, .node = meta_leader, .voters = 1};
    }
    return shard == 2 || shard == SHARD_META;
}

static bool node_up(void *ctx, uint64_t node)
{
    (void)ctx;
    return node == 1;
}

static void bench_init(struct bench *bench)
{
    *bench = (struct bench){0};
    voters = 2;
    meta_leader = 1;
    struct shard_map *map = &bench->map;
    shard_map_init(map);
    map->cluster[0] = 0xAB;
    map->version = 12;
    map->replicas = 2;
    map->node_count = 2;
    map->nodes = calloc(2, sizeof(*map->nodes));
    map->shard_count = 2;
    map->shards = calloc(2, sizeof(*map->shards));
    CHECK(map->nodes != NULL && map->shards != NULL);
    for (uint64_t i = 0; i < 2; i++) {
        map->nodes[i].id = i + 1;
        (void)snprintf(map->nodes[i].address, NODE_ADDRESS_SIZE_MAX, "10.0.0.%d:7000", (int)i + 1);
        (void)snprintf(map->nodes[i].zone, NODE_ZONE_SIZE_MAX, "z%d", (int)i + 1);
        map->shards[i] = (struct shard_desc){.id = i + 2, .ver = 1, .conf_ver = 1};
        map->shards[i].start = i << 63;
        map->shards[i].last = (i << 63) | (UINT64_MAX >> 1);
        map->shards[i].replica_count = 2;
        map->shards[i].replicas[0] = (struct replica_desc){.id = 20 + i, .node = 1};
        map->shards[i].replicas[1] = (struct replica_desc){.id = 30 + i, .node = 2};
    }
    map->meta = (struct shard_desc){
        .id = SHARD_META, .conf_ver = 7, .replica_count = 1, .replicas = {{.id = 1, .node = 2}}};
    bench->view =
        (struct cluster_view){.map = map, .role = "router", .leader = leader, .node_up = node_up};
    buf_init(&bench->out, OUT_SIZE_MAX);
}

static void bench_deinit(struct bench *bench)
{
    shard_map_deinit(&bench->map);
    buf_deinit(&bench->out);
}

static bool ask(struct bench *bench, const char *a, const char *b, const char *c)
{
    struct slice argv[4] = {slice_str("sherd"), slice_str(a == NULL ? "" : a),
                            slice_str(b == NULL ? "" : b), slice_str(c == NULL ? "" : c)};
    size_t argc = c != NULL ? 4 : b != NULL ? 3 : a != NULL ? 2 : 1;
    struct args args = {.argv = argv, .argc = argc};
    buf_clear(&bench->out);
    bool known = cluster_view_answer(&bench->view, &args, 0, &bench->out);
    size_t size = 0;
    if (known) {
        CHECK_EQ(resp_value_size(buf_slice(&bench->out), OUT_SIZE_MAX, &size), STATUS_OK);
        CHECK_EQ(size, bench->out.len);
    }
    return known;
}

static bool has(const struct bench *bench, const char *part)
{
    return memmem(bench->out.data, bench->out.len, part, strlen(part)) != NULL;
}

TEST(cluster_view_answer, status_counts_what_is_up_and_led)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(ask(&bench, "STATUS", NULL, NULL));
    CHECK(has(&bench, "$32\r\nab000000000000000000000000000000\r\n"));
    CHECK(has(&bench, "map_version\r\n:12\r\n"));
    CHECK(has(&bench, "nodes\r\n:2\r\n$8\r\nnodes_up\r\n:1\r\n"));
    CHECK(has(&bench, "shards\r\n:2\r\n$10\r\nshards_led\r\n:1\r\n"));
    CHECK_EQ(cluster_view_led(&bench.view), 1);
    CHECK(has(&bench, "meta_leader\r\n:1\r\n"));
    CHECK(has(&bench, "meta_voters\r\n:1\r\n"));
    CHECK(has(&bench, "meta_replicas\r\n:1\r\n"));
    meta_leader = 2; /* Was: it is down. */
    CHECK(ask(&bench, "STATUS", NULL, NULL));
    CHECK(has(&bench, "meta_leader\r\n:0\r\n"));
    CHECK(has(&bench, "meta_voters\r\n:0\r\n"));
    bench_deinit(&bench);
}

TEST(cluster_view_answer, status_does_not_count_nodes_that_are_gone)
{
    struct bench bench;
    bench_init(&bench);
    bench.map.nodes[1].state = NODE_GONE;
    CHECK(ask(&bench, "STATUS", NULL, NULL));
    CHECK(has(&bench, "nodes\r\n:1\r\n$8\r\nnodes_up\r\n:1\r\n"));
    bench_deinit(&bench);
}

TEST(cluster_view_answer, status_counts_shards_with_too_few_voters)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(ask(&bench, "STATUS", NULL, NULL));
    CHECK(has(&bench, "shards_short\r\n:1\r\n")); /* The one without a leader. */
    voters = 1;
    CHECK(ask(&bench, "STATUS", NULL, NULL));
    CHECK(has(&bench, "shards_short\r\n:2\r\n"));
    CHECK_EQ(cluster_view_short(&bench.view), 2);
    bench_deinit(&bench);
}

TEST(cluster_view_answer, nodes_says_who_leads_how_much)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(ask(&bench, "nodes", NULL, NULL));
    CHECK(has(&bench, "up\r\n#t\r\n$5\r\nleads\r\n:1\r\n$8\r\nreplicas\r\n:2\r\n"));
    CHECK(has(&bench, "up\r\n#f\r\n$5\r\nleads\r\n:0\r\n$8\r\nreplicas\r\n:2\r\n"));
    CHECK(has(&bench, "10.0.0.2:7000"));
    bench_deinit(&bench);
}

TEST(cluster_view_answer, shards_shows_ranges_and_replicas)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(ask(&bench, "Shards", NULL, NULL));
    CHECK(has(&bench, "start\r\n$16\r\n8000000000000000\r\n$4\r\nlast\r\n$16\r\nffffffffffffffff"));
    CHECK(has(&bench, "leader\r\n:1\r\n$4\r\nterm\r\n:4\r\n"));
    CHECK(has(&bench, "voters\r\n:2\r\n"));
    CHECK(has(&bench, "leader\r\n:0\r\n"));
    CHECK(has(&bench, "*3\r\n%11\r\n$2\r\nid\r\n:1\r\n$5\r\nstart\r\n$1\r\n-\r\n"));
    CHECK(has(&bench, "*2\r\n$4\r\n20@1\r\n$4\r\n30@2\r\n"));
    bench_deinit(&bench);
}

TEST(cluster_view_answer, explain_says_where_a_key_lives)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(ask(&bench, "explain", "a{tag}b", NULL));
    char token[64];
    (void)snprintf(token, sizeof(token), "token\r\n$16\r\n%016llx\r\n",
                   (unsigned long long)token_of_key(slice_str("tag")));
    CHECK(has(&bench, "tag\r\n$3\r\ntag\r\n"));
    CHECK(has(&bench, token));
    CHECK(ask(&bench, "explain", "a", "5"));
    (void)snprintf(token, sizeof(token), "token\r\n$16\r\n%016llx\r\n",
                   (unsigned long long)token_of(5, slice_str("a")));
    CHECK(has(&bench, token));
    CHECK(ask(&bench, "explain", "a", "16"));
    CHECK(has(&bench, "-ERR DB index is out of range"));
    bench.map.shard_count = 0;
    CHECK(ask(&bench, "explain", "a", NULL));
    CHECK(has(&bench, "-CLUSTERDOWN "));
    bench_deinit(&bench);
}

TEST(cluster_view_answer, map_is_the_encoded_map)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(ask(&bench, "map", NULL, NULL));
    struct resp_value value;
    CHECK_EQ(resp_value_read(buf_slice(&bench.out), &value), STATUS_OK);
    struct shard_map copy;
    shard_map_init(&copy);
    CHECK_EQ(shard_map_decode(value.bytes, &copy), STATUS_OK);
    CHECK_EQ(copy.version, 12);
    CHECK_EQ(copy.shards[1].replicas[1].id, 31);
    shard_map_deinit(&copy);
    bench_deinit(&bench);
}

TEST(cluster_view_answer, refuses_what_it_does_not_know)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(!ask(&bench, NULL, NULL, NULL));
    CHECK(!ask(&bench, "other", NULL, NULL));
    CHECK_EQ(bench.out.len, 0);
    CHECK(ask(&bench, "status", "more", NULL));
    CHECK(has(&bench, "-ERR wrong number of arguments for 'sherd|status' command"));
    CHECK(ask(&bench, "explain", NULL, NULL));
    CHECK(has(&bench, "-ERR wrong number of arguments"));
    bench_deinit(&bench);
}

static bool explain(struct bench *bench, uint8_t db, const char *line)
{
    struct slice argv[16] = {slice_str("sherd"), slice_str("explain"), slice_str("command")};
    size_t argc = 3;
    for (const char *at = line; *at != '\0';) {
        size_t len = strcspn(at, " ");
        argv[argc++] = slice_of(at, len);
        at += len + (at[len] == ' ' ? 1 : 0);
    }
    struct args args = {.argv = argv, .argc = argc};
    buf_clear(&bench->out);
    CHECK(cluster_view_answer(&bench->view, &args, db, &bench->out));
    size_t size = 0;
    CHECK_EQ(resp_value_size(buf_slice(&bench->out), OUT_SIZE_MAX, &size), STATUS_OK);
    CHECK_EQ(size, bench->out.len);
    return bench->out.data[0] == '%';
}

/* Keys of the lower and of the upper half of the ring. */
static const char *key_of(unsigned half)
{
    static char keys[2][16];
    for (unsigned i = 0;; i++) {
        (void)snprintf(keys[half], sizeof(keys[half]), "k%u", i);
        if (token_of_key(slice_str(keys[half])) >> 63 == half) {
            return keys[half];
        }
    }
}

TEST(cluster_view_answer, says_what_would_become_of_a_command)
{
    struct bench bench;
    bench_init(&bench);
    char line[64];
    (void)snprintf(line, sizeof(line), "get %s", key_of(0));
    CHECK(explain(&bench, 0, line));
    CHECK(has(&bench, "way\r\n$9\r\none shard\r\n"));
    CHECK(has(&bench, "shards\r\n*1\r\n"));
    CHECK(has(&bench, "leader_address\r\n$13\r\n10.0.0.1:7000\r\n"));
    CHECK(has(&bench, "leader_zone\r\n$2\r\nz1\r\n"));
    (void)snprintf(line, sizeof(line), "mget %s %s %s", key_of(0), key_of(1), key_of(0));
    CHECK(explain(&bench, 0, line));
    CHECK(has(&bench, "way\r\n$6\r\nshares\r\n"));
    CHECK(has(&bench, "shards\r\n*2\r\n"));
    CHECK(has(&bench, "keys\r\n*2\r\n") && has(&bench, "keys\r\n*1\r\n"));
    (void)snprintf(line, sizeof(line), "rename %s %s", key_of(0), key_of(1));
    CHECK(explain(&bench, 0, line));
    CHECK(has(&bench, "way\r\n$7\r\nrefused\r\n") && has(&bench, "CROSSSLOT"));
    CHECK(explain(&bench, 3, line)); /* There all keys are together. */
    CHECK(has(&bench, "way\r\n$9\r\none shard\r\n"));
    CHECK(explain(&bench, 0, "dbsize"));
    CHECK(has(&bench, "way\r\n$10\r\nall shards\r\n") && has(&bench, "shards\r\n*2\r\n"));
    CHECK(explain(&bench, 1, "dbsize"));
    CHECK(has(&bench, "way\r\n$9\r\none shard\r\n") && has(&bench, "keys\r\n*0\r\n"));
    CHECK(explain(&bench, 0, "randomkey"));
    CHECK(has(&bench, "way\r\n$9\r\nany shard\r\n"));
    CHECK(explain(&bench, 0, "ping"));
    CHECK(has(&bench, "way\r\n$4\r\nhere\r\n") && has(&bench, "shards\r\n*0\r\n"));
    CHECK(!explain(&bench, 0, "get") && has(&bench, "wrong number of arguments for 'get'"));
    CHECK(!explain(&bench, 0, "batch x y") && has(&bench, "no such command"));
    CHECK(!explain(&bench, 0, "nonsense x"));
    CHECK(ask(&bench, "EXPLAIN", "command", "3")); /* The key of that name. */
    CHECK(has(&bench, "$3\r\nkey\r\n$7\r\ncommand\r\n"));
    bench_deinit(&bench);
}

TEST(cluster_view_answer, shards_have_parents_and_states)
{
    struct bench bench;
    bench_init(&bench);
    bench.map.shards[1].parent = 2;
    CHECK(ask(&bench, "SHARDS", NULL, NULL));
    CHECK(has(&bench, "parent\r\n:2\r\n$5\r\nstate\r\n$9\r\nno leader\r\n"));
    CHECK(has(&bench, "parent\r\n:0\r\n$5\r\nstate\r\n$2\r\nok\r\n"));
    voters = 1;
    CHECK(ask(&bench, "SHARDS", NULL, NULL));
    CHECK(has(&bench, "parent\r\n:0\r\n$5\r\nstate\r\n$5\r\nshort\r\n"));
    bench_deinit(&bench);
}
