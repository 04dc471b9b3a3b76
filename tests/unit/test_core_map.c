#include <stdio.h>

#include "common/cluster/session_number.h"
#include "router/core.h"
#include "tests/support/script_nodes.h"
#include "tests/support/test.h"

enum { LINE_SIZE = 256 };

static struct core_stats stats_of(const struct script *script)
{
    struct core_stats stats;
    core_stats(script->core, &stats);
    return stats;
}

/* Answers the next request of every node that has one; returns how many. */
static unsigned answer_all(struct script *script, const char *reply)
{
    unsigned count = 0;
    struct script_request request;
    for (uint64_t node = 1; node <= 3; node++) {
        while (script_dials(script, node) && script_take(script, node, &request)) {
            script_answer(script, node, &request, STATUS_OK, reply);
            count++;
        }
    }
    return count;
}

TEST(core_link_up, learns_the_cluster_from_a_seed)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 4, .seeds = true};
    script_open(&script, &setup);
    CHECK(script_dials(&script, 1) && !script_dials(&script, 2));
    struct script_client client;
    script_run(&script, &client, "get a");
    script_up(&script, 1);
    CHECK(script_subscribed(&script, 1));
    CHECK_EQ(client.done, 0);
    script_send_map(&script, 1);
    CHECK_EQ(script.saves, 1);
    CHECK_EQ(core_map(script.core)->version, 10);
    CHECK(script_dials(&script, 2) && script_dials(&script, 3));
    CHECK_EQ(answer_all(&script, "_\r\n"), 1);
    CHECK(script_replied(&client, "_\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_new, works_from_the_saved_map)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 4, .map_saved = true};
    script_open(&script, &setup);
    CHECK_EQ(core_map(script.core)->version, 10);
    CHECK_EQ(script.saves, 0);
    for (uint64_t node = 1; node <= 3; node++) {
        CHECK(script_dials(&script, node));
    }
    script_close(&script);
}

TEST(core_tick, says_clusterdown_without_a_map)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 4, .seeds = true};
    script_open(&script, &setup);
    struct script_client client;
    script_run(&script, &client, "get a");
    script_advance(&script, CORE_DEADLINE_MS_DEFAULT + 1);
    CHECK(script_failed(&client, "CLUSTERDOWN the cluster map is not known"));
    CHECK_EQ(stats_of(&script).inflight, 0);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_frame, ignores_older_and_foreign_maps)
{
    struct script script;
    script_open_led(&script, 4);
    script.map.version = 9;
    script_send_map(&script, 1);
    CHECK_EQ(core_map(script.core)->version, 10);
    CHECK_EQ(script.saves, 0);
    script.map.version = 11;
    script.map.cluster[3] ^= 1;
    struct buf body;
    buf_init(&body, 1 << 20);
    shard_map_encode(&script.map, &body);
    struct frame frame = {.type = FRAME_MAP, .body = buf_slice(&body)};
    CHECK_EQ(core_frame(script.core, 0, &frame), STATUS_PROTOCOL);
    buf_deinit(&body);
    CHECK_EQ(core_map(script.core)->version, 10);
    script_close(&script);
}

TEST(core_link_up, does_not_use_nodes_of_another_cluster)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 1, .map_saved = true};
    script_open(&script, &setup);
    script.map.cluster[0] ^= 1;
    script_up(&script, 1);
    script.map.cluster[0] ^= 1;
    CHECK_EQ(stats_of(&script).nodes_up, 0);
    struct script_client client;
    script_run(&script, &client, "get a");
    struct script_request request;
    CHECK(!script_take(&script, 1, &request));
    script_down(&script, 1);
    script_up(&script, 1); /* Now the right one answers there. */
    CHECK(script_take(&script, 1, &request));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_frame, follows_nodes_that_move_and_go)
{
    struct script script;
    script_open_led(&script, 1);
    script.map.version++;
    (void)snprintf(script.map.nodes[1].address, sizeof(script.map.nodes[1].address), "n22:1");
    script.map.nodes[2].state = NODE_GONE;
    script_send_map(&script, 1);
    CHECK(script_dials(&script, 22));
    CHECK(!script_dials(&script, 2));
    CHECK(!script_dials(&script, 3));
    CHECK(!core_node_up(script.core, 2));
    CHECK(core_node_up(script.core, 1));
    script_close(&script);
}

TEST(core_execute, spreads_and_joins)
{
    struct script script;
    script_open_led(&script, 4);
    char keys[3][SCRIPT_TEXT_SIZE];
    script_key(&script, 3, 0, keys[0]);
    script_key(&script, 0, 0, keys[1]);
    script_key(&script, 3, 1, keys[2]);
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof(line), "mget %s %s %s", keys[0], keys[1], keys[2]);
    struct script_client client;
    script_run(&script, &client, line);
    struct script_request requests[2];
    script_expect(&script, 1, &requests[0]);
    script_expect(&script, 1, &requests[1]);
    size_t upper = requests[0].frame.shard == SHARD_FIRST + 3 ? 0 : 1;
    CHECK_EQ(requests[upper].frame.args.argc, 3);
    CHECK_BYTES(requests[upper].frame.args.argv[0], "mget");
    CHECK_BYTES(requests[upper].frame.args.argv[1], keys[0]);
    CHECK_BYTES(requests[upper].frame.args.argv[2], keys[2]);
    CHECK_EQ(requests[1 - upper].frame.args.argc, 2);
    script_answer(&script, 1, &requests[upper], STATUS_OK, "*2\r\n$1\r\na\r\n$1\r\nc\r\n");
    CHECK_EQ(client.done, 0);
    script_answer(&script, 1, &requests[1 - upper], STATUS_OK, "*1\r\n$1\r\nb\r\n");
    CHECK(script_replied(&client, "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"));
    CHECK_EQ(stats_of(&script).gathers, 1);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, sends_values_along_with_their_keys)
{
    struct script script;
    script_open_led(&script, 2);
    char keys[2][SCRIPT_TEXT_SIZE];
    script_key(&script, 0, 0, keys[0]);
    script_key(&script, 1, 0, keys[1]);
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof(line), "mset %s x %s y", keys[0], keys[1]);
    struct script_client client;
    script_run(&script, &client, line);
    struct script_request request;
    for (int i = 0; i < 2; i++) {
        script_expect(&script, 1, &request);
        CHECK_EQ(request.frame.args.argc, 3);
        bool low = request.frame.shard == SHARD_FIRST;
        CHECK_BYTES(request.frame.args.argv[1], keys[low ? 0 : 1]);
        CHECK_BYTES(request.frame.args.argv[2], low ? "x" : "y");
        script_answer(&script, 1, &request, STATUS_OK, "+OK\r\n");
    }
    CHECK(script_replied(&client, "+OK\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, says_so_when_only_a_part_of_a_write_is_in)
{
    struct script script;
    script_open_led(&script, 2);
    char keys[2][SCRIPT_TEXT_SIZE];
    script_key(&script, 0, 0, keys[0]);
    script_key(&script, 1, 0, keys[1]);
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof(line), "del %s %s", keys[0], keys[1]);
    struct script_client client;
    struct script_request request;
    script_run(&script, &client, line);
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_OK, ":1\r\n");
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_DISK_FULL, "full");
    CHECK(script_failed(&client, "UNKNOWN this write was applied on 1 of 2 shards only: DISKFULL"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_tick, a_missing_part_of_a_read_fails_the_whole)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client client;
    struct script_request request;
    script_run(&script, &client, "dbsize");
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_OK, ":5\r\n");
    script_advance(&script, CORE_DEADLINE_MS_DEFAULT + 1);
    CHECK(script_failed(&client, "TIMEOUT shard ") || script_failed(&client, "CLUSTERDOWN shard "));
    CHECK_EQ(stats_of(&script).queued, 0);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, walks_all_shards_with_one_cursor)
{
    struct script script;
    script_open_led(&script, 4);
    char cursor[SCRIPT_TEXT_SIZE] = "0";
    for (uint64_t i = 0; i < 4; i++) {
        char line[LINE_SIZE];
        (void)snprintf(line, sizeof(line), "scan %s match x* count 5", cursor);
        struct script_client client;
        struct script_request request;
        script_run(&script, &client, line);
        script_expect(&script, 1, &request);
        CHECK_EQ(request.frame.shard, SHARD_FIRST + i);
        CHECK_EQ(request.frame.args.argc, 6);
        CHECK_BYTES(request.frame.args.argv[1], cursor);
        script_answer(&script, 1, &request, STATUS_OK, "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n");
        unsigned len = 0;
        CHECK_EQ(client.done, 1);
        CHECK_EQ(sscanf((const char *)client.reply.data, "*2\r\n$%u\r\n%32[0-9]", &len, cursor), 2);
        CHECK_EQ(len, strlen(cursor));
        script_client_free(&client);
    }
    CHECK_BYTES(slice_str(cursor), "0");
    script_close(&script);
}

TEST(core_execute, looks_for_a_random_key_until_one_is_found)
{
    struct script script;
    script_open_led(&script, 4);
    struct script_client client;
    struct script_request request;
    bool asked[4] = {false};
    script_run(&script, &client, "randomkey");
    for (int i = 0; i < 3; i++) {
        script_expect(&script, 1, &request);
        CHECK(!asked[request.frame.shard - SHARD_FIRST]);
        asked[request.frame.shard - SHARD_FIRST] = true;
        script_answer(&script, 1, &request, STATUS_OK, "_\r\n");
        CHECK_EQ(client.done, 0);
    }
    script_expect(&script, 1, &request);
    CHECK(!asked[request.frame.shard - SHARD_FIRST]);
    script_answer(&script, 1, &request, STATUS_OK, "_\r\n");
    CHECK(script_replied(&client, "_\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, refuses_keys_that_lie_apart)
{
    struct script script;
    script_open_led(&script, 2);
    char keys[2][SCRIPT_TEXT_SIZE];
    script_key(&script, 0, 0, keys[0]);
    script_key(&script, 1, 0, keys[1]);
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof(line), "rename %s %s", keys[0], keys[1]);
    struct script_client client;
    script_run(&script, &client, line);
    CHECK(script_failed(&client, "CROSSSLOT "));
    CHECK_EQ(stats_of(&script).crossslots, 1);
    script_client_free(&client);
    script_close(&script);
}

/* Keys of both halves of shard SHARD_FIRST. */
static void halves(const struct script *script,
                   char low[SCRIPT_TEXT_SIZE],
                   char up[SCRIPT_TEXT_SIZE])
{
    script_key(script, 0, 0, low);
    script_key(script, 1, 0, up);
}

TEST(core_frame, sends_on_what_a_split_took_away)
{
    struct script script;
    script_open_led(&script, 1);
    script_split(&script, 0, 50); /* The nodes know, the router does not. */
    char low[SCRIPT_TEXT_SIZE];
    char up[SCRIPT_TEXT_SIZE];
    halves(&script, low, up);
    char line[LINE_SIZE];
    struct script_client clients[2];
    struct script_request request;
    (void)snprintf(line, sizeof(line), "incr %s", up);
    script_run(&script, &clients[0], line);
    (void)snprintf(line, sizeof(line), "incr %s", low);
    script_run(&script, &clients[1], line);
    script_expect(&script, 1, &request);
    uint64_t seq = request.frame.seq;
    script_answer(&script, 1, &request, STATUS_NOT_OWNER, "");
    script_advance(&script, 30);
    /* The other goes on meanwhile. */
    script_expect(&script, 1, &request);
    CHECK_BYTES(request.frame.args.argv[1], low);
    script_answer(&script, 1, &request, STATUS_OK, ":1\r\n");
    CHECK(script_replied(&clients[1], ":1\r\n"));
    script_send_map(&script, 2);
    script_lead(&script, 2, 50, 1, 2);
    bool found = false;
    for (uint64_t node = 1; node <= 3 && !found; node++) {
        found = script_take(&script, node, &request);
        if (found && node != 2) {
            script_redirect(&script, node, &request, 1, 2);
            found = false;
        }
    }
    CHECK(found);
    CHECK_EQ(request.frame.shard, 50);
    CHECK(request.frame.seq > seq); /* Another write, for this shard. */
    script_answer(&script, 2, &request, STATUS_OK, ":7\r\n");
    CHECK(script_replied(&clients[0], ":7\r\n"));
    script_client_free(&clients[0]);
    script_client_free(&clients[1]);
    script_close(&script);
}

/* A write on the upper half of shard SHARD_FIRST, which was split since; taken by node 1. */
static void begin_upper(struct script *script,
                        struct script_client *client,
                        struct script_request *request)
{
    char low[SCRIPT_TEXT_SIZE];
    char up[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    halves(script, low, up);
    (void)snprintf(line, sizeof(line), "incr %s", up);
    script_run(script, client, line);
    script_expect(script, 1, request);
    CHECK_EQ(request->frame.shard, SHARD_FIRST);
}

TEST(core_frame, asks_the_new_shard_about_a_write_that_may_be_in)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    script_split(&script, 0, 50);
    begin_upper(&script, &client, &request);
    struct frame_request first = request.frame;
    script_down(&script, 1);
    script_send_map(&script, 2);
    script_lead(&script, 3, 50, 6, 3);
    while (script_take(&script, 2, &request)) {
        CHECK_EQ(request.frame.shard, 50); /* Until it was known who leads. */
    }
    script_expect(&script, 3, &request);
    CHECK_EQ(request.frame.shard, 50);
    CHECK(request.frame.flags & REQUEST_RETRY);
    CHECK_EQ(request.frame.seq, first.seq);
    CHECK_EQ(request.frame.session, session_number_inherited(first.session, SHARD_FIRST));
    CHECK_EQ(request.frame.first_unacked, 1);
    script_answer(&script, 3, &request, STATUS_OK, ":1\r\n");
    CHECK(script_replied(&client, ":1\r\n"));
    script_client_free(&client);
    script_close(&script);
}

static const size_t first_two[2] = {0, 1};

/* From now on what comes for the shard at that position is sent at once. */
static void open_lane(struct script *script, size_t position)
{
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    struct script_client client;
    struct script_request request;
    script_key(script, position, 0, key);
    (void)snprintf(line, sizeof(line), "get %s", key);
    script_run(script, &client, line);
    script_expect(script, 1, &request);
    script_answer(script, 1, &request, STATUS_OK, "_\r\n");
    CHECK(script_replied(&client, "_\r\n"));
    script_client_free(&client);
}

TEST(core_frame, goes_at_once_where_the_refusal_says)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client clients[2];
    struct script_request requests[2];
    open_lane(&script, 0);
    script_split(&script, 0, 50);
    begin_upper(&script, &clients[0], &requests[0]);
    begin_upper(&script, &clients[1], &requests[1]);
    uint64_t session = requests[0].frame.session;
    uint64_t seq = requests[1].frame.seq;
    script_disown(&script, 1, &requests[0], STATUS_NOT_OWNER, first_two);
    CHECK_EQ(core_map(script.core)->shard_count, 2);
    CHECK(!script_subscribed(&script, 1));
    /* Where the parent was led; the other one waits behind it. */
    script_expect(&script, 1, &requests[0]);
    CHECK_EQ(requests[0].frame.shard, 50);
    CHECK_EQ(requests[0].frame.session, session); /* It is certainly not applied. */
    CHECK((requests[0].frame.flags & REQUEST_RETRY) == 0);
    struct script_request none;
    CHECK(!script_take(&script, 1, &none));
    script_answer(&script, 1, &requests[0], STATUS_OK, ":1\r\n");
    CHECK(script_replied(&clients[0], ":1\r\n"));
    script_disown(&script, 1, &requests[1], STATUS_NOT_OWNER, first_two); /* Of its first try. */
    script_expect(&script, 1, &requests[1]);
    CHECK_EQ(requests[1].frame.shard, 50);
    CHECK_EQ(requests[1].frame.seq, seq);
    CHECK_EQ(requests[1].frame.session, session_number_inherited(session, SHARD_FIRST));
    script_answer(&script, 1, &requests[1], STATUS_OK, ":2\r\n");
    CHECK(script_replied(&clients[1], ":2\r\n"));
    CHECK(!script_take(&script, 1, &none));
    CHECK_EQ(stats_of(&script).patches, 1);
    CHECK_EQ(stats_of(&script).disowned, 1);
    script_client_free(&clients[0]);
    script_client_free(&clients[1]);
    script_close(&script);
}

TEST(core_frame, a_late_answer_of_the_old_shard_counts)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request again;
    script_split(&script, 0, 50);
    begin_upper(&script, &client, &request);
    script_send_descs(&script, 2, 0, 1);
    script_expect(&script, 1, &again);
    CHECK_EQ(again.frame.shard, 50);
    script_answer(&script, 1, &request, STATUS_OK, ":1\r\n"); /* From before the split. */
    CHECK(script_replied(&client, ":1\r\n"));
    script_answer(&script, 1, &again, STATUS_OK, ":1\r\n");
    CHECK_EQ(stats_of(&script).strange, 1);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_frame, follows_a_merge_when_the_shard_is_gone)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client clients[2];
    struct script_request requests[2];
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    open_lane(&script, 0);
    open_lane(&script, 1);
    script_key(&script, 1, 0, key);
    (void)snprintf(line, sizeof(line), "incr %s", key);
    for (int i = 0; i < 2; i++) {
        script_run(&script, &clients[i], line);
        script_expect(&script, 1, &requests[i]);
    }
    uint64_t session = requests[0].frame.session;
    script_merge(&script, 0, SHARD_FIRST);
    const size_t whole[2] = {0, 0};
    script_answer(&script, 1, &requests[0], STATUS_LEADERSHIP_LOST, "");
    script_disown(&script, 1, &requests[1], STATUS_NO_SHARD, whole);
    CHECK_EQ(core_map(script.core)->shard_count, 1);
    for (int i = 0; i < 2; i++) {
        script_expect(&script, 1, &requests[i]);
        CHECK_EQ(requests[i].frame.shard, SHARD_FIRST);
    }
    CHECK_EQ(requests[0].frame.session, session_number_inherited(session, SHARD_FIRST + 1));
    CHECK_EQ(requests[1].frame.session, session); /* Refused: it is in nowhere. */
    script_answer(&script, 1, &requests[0], STATUS_OK, ":1\r\n");
    script_answer(&script, 1, &requests[1], STATUS_OK, ":2\r\n");
    CHECK(script_replied(&clients[0], ":1\r\n"));
    CHECK(script_replied(&clients[1], ":2\r\n"));
    script_client_free(&clients[0]);
    script_client_free(&clients[1]);
    script_close(&script);
}

TEST(core_frame, keeps_what_it_learned_over_a_map_that_has_not_heard_of_it)
{
    struct script script;
    script_open_led(&script, 2);
    struct shard_map before;
    shard_map_init(&before);
    shard_map_copy(&before, &script.map);
    script_split(&script, 0, 50);
    script_send_descs(&script, 3, 0, 1);
    CHECK_EQ(core_map(script.core)->shard_count, 3);
    CHECK_EQ(core_map(script.core)->version, 10);
    before.version = 12; /* Something else changed. */
    struct shard_map split = script.map;
    script.map = before;
    script_send_map(&script, 2);
    script.map = split;
    CHECK_EQ(core_map(script.core)->version, 12);
    CHECK_EQ(core_map(script.core)->shard_count, 3);
    CHECK_EQ(core_map(script.core)->shards[1].id, 50);
    shard_map_deinit(&before);
    script_close(&script);
}

TEST(core_frame, sends_a_share_whole_while_it_may_be_in)
{
    struct script script;
    script_open_led(&script, 2);
    script_split(&script, 0, 50);
    char low[SCRIPT_TEXT_SIZE];
    char up[SCRIPT_TEXT_SIZE];
    char other[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    halves(&script, low, up);
    script_key(&script, 2, 0, other);
    struct script_client client;
    struct script_request request;
    (void)snprintf(line, sizeof(line), "del %s %s %s", up, low, other);
    script_run(&script, &client, line);
    for (int i = 0; i < 2; i++) {
        script_expect(&script, 1, &request);
        if (request.frame.shard != SHARD_FIRST) {
            script_answer(&script, 1, &request, STATUS_OK, ":1\r\n");
        } else {
            CHECK_EQ(request.frame.args.argc, 3);
        }
    }
    script_send_descs(&script, 2, 0, 1);
    script_expect(&script, 1, &request);
    CHECK_EQ(request.frame.shard, 50); /* Which owns the first key, and knows of both. */
    CHECK_EQ(request.frame.args.argc, 3);
    CHECK((request.frame.session & SESSION_NUMBER_INHERITED) != 0);
    script_answer(&script, 1, &request, STATUS_NOT_OWNER, ""); /* Not in, so apart now. */
    for (int i = 0; i < 2; i++) {
        script_expect(&script, 1, &request);
        CHECK_EQ(request.frame.args.argc, 2);
        CHECK((request.frame.session & SESSION_NUMBER_INHERITED) == 0);
        script_answer(&script, 1, &request, STATUS_OK, ":1\r\n");
    }
    CHECK(script_replied(&client, ":3\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, asks_a_child_as_well_what_is_about_all_keys)
{
    struct script script;
    script_open_led(&script, 2);
    script_split(&script, 1, 50); /* Not known here. */
    struct script_client client;
    struct script_request request;
    script_run(&script, &client, "dbsize");
    const size_t children[2] = {1, 2};
    for (int i = 0; i < 2; i++) {
        script_expect(&script, 1, &request);
        CHECK(request.frame.flags & REQUEST_EXACT);
        CHECK_EQ(request.frame.ver, 1);
        if (request.frame.shard == SHARD_FIRST) {
            script_answer(&script, 1, &request, STATUS_OK, ":5\r\n");
        } else {
            script_disown(&script, 1, &request, STATUS_NOT_OWNER, children);
        }
    }
    CHECK_EQ(client.done, 0);
    for (int i = 0; i < 2; i++) {
        script_expect(&script, 1, &request);
        CHECK_EQ(request.frame.ver, 2);
        CHECK(request.frame.shard == 50 || request.frame.shard == SHARD_FIRST + 1);
        script_answer(&script, 1, &request, STATUS_OK, ":10\r\n");
    }
    CHECK(script_replied(&client, ":25\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, counts_nothing_twice_when_shards_become_one)
{
    struct script script;
    script_open_led(&script, 3);
    struct script_client client;
    struct script_request requests[3];
    script_run(&script, &client, "dbsize");
    for (int i = 0; i < 3; i++) {
        script_expect(&script, 1, &requests[i]);
    }
    for (int i = 0; i < 3; i++) {
        if (requests[i].frame.shard != SHARD_FIRST + 1) {
            script_answer(&script, 1, &requests[i], STATUS_OK, ":5\r\n");
        }
    }
    script_merge(&script, 0, SHARD_FIRST);
    script_send_descs(&script, 2, 0, 0);
    CHECK_EQ(client.done, 0);
    script_expect(&script, 1, &requests[0]); /* The answer of its smaller self does not count. */
    CHECK_EQ(requests[0].frame.shard, SHARD_FIRST);
    CHECK_EQ(requests[0].frame.ver, 2);
    script_answer(&script, 1, &requests[0], STATUS_OK, ":11\r\n");
    CHECK(script_replied(&client, ":16\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, a_cursor_does_not_pass_over_a_child)
{
    struct script script;
    script_open_led(&script, 1);
    script_split(&script, 0, 50);
    struct script_client client;
    struct script_request request;
    char want[LINE_SIZE];
    script_run(&script, &client, "scan 0");
    script_expect(&script, 1, &request);
    CHECK(request.frame.flags & REQUEST_EXACT);
    script_disown(&script, 1, &request, STATUS_NOT_OWNER, first_two);
    script_expect(&script, 1, &request);
    CHECK_EQ(request.frame.shard, SHARD_FIRST);
    CHECK_EQ(request.frame.ver, 2);
    script_send_descs(&script, 1, 0, 1);
    /* What the map becomes while it is asked changes nothing on what it said. */
    script_merge(&script, 0, SHARD_FIRST);
    script_answer(&script, 1, &request, STATUS_OK, "*2\r\n$1\r\n0\r\n*0\r\n");
    uint64_t half = UINT64_C(1) << 63;
    (void)snprintf(want, sizeof(want), "*2\r\n$19\r\n%llu\r\n*0\r\n", (unsigned long long)half);
    CHECK(script_replied(&client, want));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_frame, divides_a_share_whose_shard_was_split)
{
    struct script script;
    script_open_led(&script, 1);
    script_down(&script, 1);
    script_down(&script, 2);
    script_down(&script, 3);
    script_split(&script, 0, 50);
    char low[SCRIPT_TEXT_SIZE];
    char up[SCRIPT_TEXT_SIZE];
    halves(&script, low, up);
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof(line), "mget %s %s %s", up, low, up);
    struct script_client clients[2];
    script_run(&script, &clients[0], line);
    (void)snprintf(line, sizeof(line), "rename %s %s", up, low);
    script_run(&script, &clients[1], line);
    script_up(&script, 2);
    struct script_request request;
    CHECK(script_take(&script, 2, &request)); /* The whole, as a probe. */
    script_send_map(&script, 2);
    CHECK(script_failed(&clients[1], "CROSSSLOT "));
    while (clients[0].done == 0) {
        script_expect(&script, 2, &request);
        bool upper = request.frame.shard == 50;
        CHECK_EQ(request.frame.args.argc, upper ? 3 : 2);
        script_answer(&script, 2, &request, STATUS_OK,
                      upper ? "*2\r\n:1\r\n:3\r\n" : "*1\r\n:2\r\n");
    }
    CHECK(script_replied(&clients[0], "*3\r\n:1\r\n:2\r\n:3\r\n"));
    script_client_free(&clients[0]);
    script_client_free(&clients[1]);
    script_close(&script);
}

TEST(core_frame, an_answer_about_a_parent_is_one_about_its_child)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client client;
    struct script_request request;
    script_run(&script, &client, "flushall");
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_OK, "+OK\r\n");
    script_split(&script, 1, 50);
    script_send_map(&script, 1);
    script_lead(&script, 1, 50, 5, 1);
    script_expect(&script, 1, &request);
    CHECK_EQ(client.done, 0);
    /* It was applied to all that the parent had: the node looked at the version. */
    script_answer(&script, 1, &request, STATUS_OK, "+OK\r\n");
    CHECK(script_replied(&client, "+OK\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_frame, flushes_a_child_that_was_born_before)
{
    struct script script;
    script_open_led(&script, 2);
    script_split(&script, 1, 50);
    struct script_client client;
    struct script_request request;
    uint64_t seqs[2];
    const size_t children[2] = {1, 2};
    script_run(&script, &client, "flushall");
    for (int i = 0; i < 2; i++) {
        script_expect(&script, 1, &request);
        seqs[i] = request.frame.seq;
        if (request.frame.shard == SHARD_FIRST) {
            script_answer(&script, 1, &request, STATUS_OK, "+OK\r\n");
        } else {
            script_disown(&script, 1, &request, STATUS_NOT_OWNER, children);
        }
    }
    CHECK(seqs[0] != seqs[1]);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(client.done, 0);
        script_expect(&script, 1, &request);
        CHECK(request.frame.shard != SHARD_FIRST); /* That one is done. */
        CHECK(request.frame.seq > seqs[0] && request.frame.seq > seqs[1]);
        script_answer(&script, 1, &request, STATUS_OK, "+OK\r\n");
    }
    CHECK(script_replied(&client, "+OK\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_free, forgets_what_is_under_way)
{
    struct script script;
    script_open_led(&script, 4);
    struct script_client clients[3];
    script_run(&script, &clients[0], "get a");
    script_run(&script, &clients[1], "dbsize");
    script_run(&script, &clients[2], "mget a b c d e f");
    script_close(&script);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(clients[i].done, 0);
        script_client_free(&clients[i]);
    }
}
