#include "router/core.h"

#include <stdio.h>

#include "router/retry.h"
#include "tests/support/script_nodes.h"
#include "tests/support/test.h"

enum { LINE_SIZE = 256 };

/* The command of a format with one key on the shard at that position. */
static void run_on(struct script *script,
                   struct script_client *client,
                   size_t position,
                   const char *before,
                   const char *after)
{
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    script_key(script, position, 0, key);
    (void)snprintf(line, sizeof(line), "%s %s%s", before, key, after);
    script_run(script, client, line);
}

static struct core_stats stats_of(const struct script *script)
{
    struct core_stats stats;
    core_stats(script->core, &stats);
    return stats;
}

TEST(core_execute, asks_the_leader_and_passes_the_reply_on)
{
    struct script script;
    script_open_led(&script, 4);
    struct script_client client;
    run_on(&script, &client, 2, "get", "");
    struct script_request request;
    CHECK(!script_take(&script, 2, &request));
    CHECK(!script_take(&script, 3, &request));
    script_expect(&script, 1, &request);
    CHECK_EQ(request.frame.shard, SHARD_FIRST + 2);
    CHECK_EQ(request.frame.session, 0);
    CHECK_EQ(request.frame.seq, 0);
    CHECK_EQ(request.frame.deadline_ms, CORE_DEADLINE_MS_DEFAULT);
    CHECK_EQ(request.frame.args.argc, 2);
    CHECK_BYTES(request.frame.args.argv[0], "get");
    CHECK_EQ(client.done, 0);
    script_answer(&script, 1, &request, STATUS_OK, "$1\r\nx\r\n");
    CHECK(script_replied(&client, "$1\r\nx\r\n"));
    CHECK_EQ(stats_of(&script).inflight, 0);
    CHECK_EQ(stats_of(&script).queued, 0);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, gives_every_write_its_own_number)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client clients[3];
    struct script_request requests[3];
    run_on(&script, &clients[0], 0, "incr", "");
    script_expect(&script, 1, &requests[0]);
    CHECK(requests[0].frame.session != 0);
    CHECK_EQ(requests[0].frame.first_unacked, requests[0].frame.seq);
    CHECK_EQ(requests[0].frame.flags, REQUEST_FIRST);
    script_answer(&script, 1, &requests[0], STATUS_OK, ":1\r\n");
    for (int i = 1; i < 3; i++) {
        run_on(&script, &clients[i], 0, "incr", "");
        script_expect(&script, 1, &requests[i]);
        CHECK_EQ(requests[i].frame.session, requests[0].frame.session);
        CHECK(requests[i].frame.seq > requests[i - 1].frame.seq);
        CHECK_EQ(requests[i].frame.first_unacked, requests[1].frame.seq);
        CHECK_EQ(requests[i].frame.flags, 0);
    }
    script_answer(&script, 1, &requests[2], STATUS_OK, ":3\r\n");
    CHECK_EQ(clients[1].done, 0);
    script_answer(&script, 1, &requests[1], STATUS_OK, ":2\r\n");
    CHECK(script_replied(&clients[1], ":2\r\n"));
    for (int i = 0; i < 3; i++) {
        script_client_free(&clients[i]);
    }
    script_close(&script);
}

TEST(core_execute, probes_with_one_command_before_it_sends_the_rest)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 1, .map_saved = true};
    script_open(&script, &setup);
    struct script_client clients[3];
    for (int i = 0; i < 3; i++) {
        run_on(&script, &clients[i], 0, "incr", "");
    }
    script_up(&script, 2); /* Not the preferred leader, but the one that is there. */
    struct script_request requests[3];
    script_expect(&script, 2, &requests[0]);
    CHECK_EQ(requests[0].frame.flags, REQUEST_FIRST);
    CHECK(!script_take(&script, 2, &requests[1]));
    script_answer(&script, 2, &requests[0], STATUS_OK, ":1\r\n");
    script_expect(&script, 2, &requests[1]);
    script_expect(&script, 2, &requests[2]);
    CHECK(requests[1].frame.seq < requests[2].frame.seq);
    CHECK_EQ(requests[1].frame.flags, 0);
    script_answer(&script, 2, &requests[1], STATUS_OK, ":2\r\n");
    script_answer(&script, 2, &requests[2], STATUS_OK, ":3\r\n");
    CHECK(script_replied(&clients[2], ":3\r\n"));
    for (int i = 0; i < 3; i++) {
        script_client_free(&clients[i]);
    }
    script_close(&script);
}

TEST(core_frame, follows_a_hint_at_once)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    run_on(&script, &client, 0, "set", " v");
    script_expect(&script, 1, &request);
    uint64_t seq = request.frame.seq;
    script_redirect(&script, 1, &request, 6, 3);
    script_expect(&script, 3, &request);
    CHECK_EQ(request.frame.seq, seq);
    CHECK_EQ(request.frame.flags, REQUEST_FIRST); /* The first try certainly did nothing. */
    script_answer(&script, 3, &request, STATUS_OK, "+OK\r\n");
    CHECK(script_replied(&client, "+OK\r\n"));
    struct leader_hint hint;
    CHECK(core_leader(script.core, SHARD_FIRST, &hint));
    CHECK_EQ(hint.node, 3);
    CHECK_EQ(hint.term, 6);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_frame, backs_off_when_hints_go_in_circles)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    run_on(&script, &client, 0, "set", " v");
    uint64_t term = 6;
    uint64_t node = 1;
    unsigned asked = 0;
    while (script_take(&script, node, &request)) {
        asked++;
        CHECK(asked < 10);
        uint64_t next = 3 - node;
        script_redirect(&script, node, &request, term++, next);
        node = next;
    }
    CHECK_EQ(asked, 1 + RETRY_REDIRECTS_MAX);
    script_advance(&script, RETRY_BACKOFF_MS_MAX);
    CHECK(script_take(&script, node, &request));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_link_down, retries_writes_elsewhere_under_their_old_numbers)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client clients[3];
    struct script_request requests[3];
    for (int i = 0; i < 3; i++) {
        run_on(&script, &clients[i], 0, "incr", "");
    }
    script_expect(&script, 1, &requests[0]);
    script_answer(&script, 1, &requests[0], STATUS_OK, ":1\r\n");
    script_expect(&script, 1, &requests[1]);
    script_expect(&script, 1, &requests[2]);
    script_down(&script, 1);
    script_lead(&script, 2, SHARD_FIRST, 6, 2);
    for (int i = 1; i < 3; i++) {
        struct script_request again;
        script_expect(&script, 2, &again);
        CHECK_EQ(again.frame.seq, requests[i].frame.seq);
        CHECK(again.frame.flags & REQUEST_RETRY);
        CHECK_EQ(again.frame.first_unacked, requests[i].frame.seq);
        script_answer(&script, 2, &again, STATUS_OK, i == 1 ? ":2\r\n" : ":3\r\n");
    }
    CHECK(script_replied(&clients[1], ":2\r\n"));
    CHECK(script_replied(&clients[2], ":3\r\n"));
    for (int i = 0; i < 3; i++) {
        script_client_free(&clients[i]);
    }
    script_close(&script);
}

TEST(core_link_down, asks_other_replicas_while_nobody_says_who_leads)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    run_on(&script, &client, 0, "get", "");
    script_expect(&script, 1, &request);
    script_down(&script, 1);
    bool asked[4] = {false};
    for (int i = 0; i < 60; i++) {
        script_advance(&script, 20);
        for (uint64_t node = 2; node <= 3; node++) {
            while (script_take(&script, node, &request)) {
                asked[node] = true;
                script_redirect(&script, node, &request, 5, 1); /* They do not know yet. */
            }
        }
    }
    CHECK(asked[2] && asked[3]);
    CHECK_EQ(client.done, 0);
    script_lead(&script, 3, SHARD_FIRST, 6, 3);
    script_expect(&script, 3, &request);
    script_answer(&script, 3, &request, STATUS_OK, "_\r\n");
    CHECK(script_replied(&client, "_\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_tick, leaves_a_leader_that_says_nothing)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client clients[2];
    struct script_request request;
    run_on(&script, &clients[0], 0, "incr", "");
    script_expect(&script, 1, &request);
    script_advance(&script, CORE_TRY_MS_DEFAULT - 1);
    struct script_request other;
    CHECK(!script_take(&script, 2, &other) && !script_take(&script, 3, &other));
    script_advance(&script, 2);
    uint64_t node = script_take(&script, 2, &other) ? 2 : 3;
    CHECK(node == 2 || script_take(&script, 3, &other));
    CHECK_EQ(other.frame.seq, request.frame.seq);
    CHECK(other.frame.flags & REQUEST_RETRY);
    /* It still believes in the silent one: nothing more goes there. */
    script_redirect(&script, node, &other, 5, 1);
    script_advance(&script, 200);
    CHECK(!script_take(&script, 1, &request));
    run_on(&script, &clients[1], 0, "get", "");
    CHECK(!script_take(&script, 1, &request));
    script_lead(&script, 3, SHARD_FIRST, 6, 3);
    while (script_take(&script, 3, &other)) {
        script_answer(&script, 3, &other, STATUS_OK, ":1\r\n");
    }
    CHECK(script_replied(&clients[0], ":1\r\n"));
    CHECK(script_replied(&clients[1], ":1\r\n"));
    CHECK_EQ(stats_of(&script).silences, 1);
    script_client_free(&clients[0]);
    script_client_free(&clients[1]);
    script_close(&script);
}

TEST(core_frame, takes_a_late_answer_for_good)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request other;
    run_on(&script, &client, 0, "incr", "");
    script_expect(&script, 1, &request);
    script_advance(&script, CORE_TRY_MS_DEFAULT + 1);
    uint64_t node = script_take(&script, 2, &other) ? 2 : 3;
    script_answer(&script, 1, &request, STATUS_OK, ":1\r\n");
    CHECK(script_replied(&client, ":1\r\n"));
    CHECK_EQ(stats_of(&script).late, 1);
    if (node == 3) {
        script_expect(&script, 3, &other);
    }
    script_answer(&script, node, &other, STATUS_OK, ":1\r\n"); /* Of nothing that waits. */
    CHECK_EQ(client.done, 1);
    CHECK_EQ(stats_of(&script).strange, 1);
    script_client_free(&client);
    script_close(&script);
}

/* BUSY for what the node got for that shard, nothing for the rest. */
static void refuse_all(struct script *script, uint64_t node, uint64_t shard)
{
    struct script_request request;
    while (script_take(script, node, &request)) {
        if (request.frame.shard == shard) {
            script_answer(script, node, &request, STATUS_BUSY, "");
        }
    }
}

TEST(core_tick, tells_an_unknown_outcome_from_none)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client sent;
    struct script_client read;
    struct script_client refused;
    struct script_request request;
    run_on(&script, &sent, 0, "incr", "");
    run_on(&script, &read, 0, "get", "");
    run_on(&script, &refused, 1, "incr", "");
    script_expect(&script, 1, &request);
    for (uint64_t ms = 0; ms < CORE_DEADLINE_MS_DEFAULT; ms += 10) {
        CHECK_EQ(sent.done + read.done + refused.done, 0);
        if (ms + 200 > CORE_DEADLINE_MS_DEFAULT) { /* So that every try has its answer. */
            script_link(&script, 1)->full = true;
        }
        for (uint64_t node = 1; node <= 3; node++) {
            refuse_all(&script, node, SHARD_FIRST + 1);
        }
        script_advance(&script, 10);
    }
    script_advance(&script, 10);
    CHECK(script_failed(&sent, "UNKNOWN "));
    CHECK(script_failed(&read, "TIMEOUT ") || script_failed(&read, "CLUSTERDOWN "));
    CHECK(script_failed(&refused, "TIMEOUT "));
    CHECK_EQ(stats_of(&script).inflight, 0);
    CHECK_EQ(stats_of(&script).unknown, 1);
    script_client_free(&sent);
    script_client_free(&read);
    script_client_free(&refused);
    script_close(&script);
}

TEST(core_tick, says_clusterdown_when_nobody_can_be_asked)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 1, .map_saved = true};
    script_open(&script, &setup);
    struct script_client client;
    run_on(&script, &client, 0, "incr", "");
    script_advance(&script, CORE_DEADLINE_MS_DEFAULT - 1);
    CHECK_EQ(client.done, 0);
    script_advance(&script, 2);
    CHECK(script_failed(&client, "CLUSTERDOWN shard 2 "));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_frame, keeps_the_order_behind_a_busy_leader)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client clients[4];
    struct script_request requests[4];
    run_on(&script, &clients[0], 0, "incr", "");
    script_expect(&script, 1, &requests[0]);
    script_answer(&script, 1, &requests[0], STATUS_OK, ":1\r\n");
    for (int i = 1; i < 4; i++) {
        run_on(&script, &clients[i], 0, "incr", "");
        script_expect(&script, 1, &requests[i]);
    }
    /* 1 is under way, 2 is refused and so is what follows it. */
    script_answer(&script, 1, &requests[2], STATUS_BUSY, "");
    script_answer(&script, 1, &requests[3], STATUS_BUSY, "");
    struct script_request again;
    CHECK(!script_take(&script, 1, &again));
    script_advance(&script, RETRY_BACKOFF_MS_MAX);
    script_expect(&script, 1, &again);
    CHECK_EQ(again.frame.seq, requests[2].frame.seq);
    CHECK_EQ(again.frame.flags, REQUEST_FIRST);
    CHECK_EQ(again.frame.first_unacked, requests[1].frame.seq);
    CHECK(!script_take(&script, 1, &requests[3]));
    script_answer(&script, 1, &requests[1], STATUS_OK, ":2\r\n"); /* No word on the refused. */
    CHECK(!script_take(&script, 1, &requests[3]));
    script_answer(&script, 1, &again, STATUS_OK, ":3\r\n");
    script_expect(&script, 1, &again);
    script_answer(&script, 1, &again, STATUS_OK, ":4\r\n");
    CHECK(script_replied(&clients[3], ":4\r\n"));
    for (int i = 0; i < 4; i++) {
        script_client_free(&clients[i]);
    }
    script_close(&script);
}

TEST(core_frame, fails_at_once_what_cannot_be_helped)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client clients[2];
    struct script_request requests[2];
    run_on(&script, &clients[0], 0, "set", " v");
    run_on(&script, &clients[1], 0, "get", "");
    script_expect(&script, 1, &requests[0]);
    script_answer(&script, 1, &requests[0], STATUS_DISK_FULL, "node 1 is full");
    CHECK(script_failed(&clients[0], "DISKFULL node 1 is full"));
    script_expect(&script, 1, &requests[1]);
    script_answer(&script, 1, &requests[1], STATUS_OK, "_\r\n");
    CHECK(script_replied(&clients[1], "_\r\n"));
    script_client_free(&clients[0]);
    script_client_free(&clients[1]);
    script_close(&script);
}

TEST(core_execute, refuses_more_than_a_lane_holds)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 2, .map_saved = true, .lane_parts_max = 2};
    script_open(&script, &setup);
    struct script_client clients[4];
    run_on(&script, &clients[0], 0, "incr", "");
    run_on(&script, &clients[1], 0, "incr", "");
    run_on(&script, &clients[2], 0, "incr", "");
    run_on(&script, &clients[3], 1, "incr", "");
    CHECK_EQ(clients[1].done, 0);
    CHECK(script_failed(&clients[2], "OVERLOADED shard 2 "));
    CHECK_EQ(clients[3].done, 0); /* Another shard: unharmed. */
    CHECK_EQ(stats_of(&script).overloads, 1);
    core_expire_all(script.core);
    CHECK(script_failed(&clients[3], "CLUSTERDOWN "));
    for (int i = 0; i < 4; i++) {
        script_client_free(&clients[i]);
    }
    script_close(&script);
}

TEST(core_execute, a_dead_node_does_not_hold_up_the_others)
{
    struct script script;
    script_open_led(&script, 2);
    script_lead(&script, 2, SHARD_FIRST + 1, 6, 2);
    struct script_client slow;
    struct script_client quick;
    struct script_request request;
    run_on(&script, &slow, 0, "get", "");
    run_on(&script, &quick, 1, "get", "");
    script_expect(&script, 2, &request);
    script_answer(&script, 2, &request, STATUS_OK, "_\r\n");
    CHECK(script_replied(&quick, "_\r\n"));
    CHECK_EQ(slow.done, 0);
    script_client_free(&slow);
    script_client_free(&quick);
    script_close(&script);
}

TEST(core_execute, waits_for_a_link_that_takes_no_more)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client clients[2];
    struct script_request request;
    run_on(&script, &clients[0], 0, "incr", "");
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_OK, ":1\r\n");
    script_link(&script, 1)->full = true;
    run_on(&script, &clients[1], 0, "incr", "");
    script_advance(&script, 50);
    CHECK_EQ(clients[1].done, 0);
    script_link(&script, 1)->full = false;
    script_advance(&script, 5);
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_OK, ":2\r\n");
    CHECK(script_replied(&clients[1], ":2\r\n"));
    script_client_free(&clients[0]);
    script_client_free(&clients[1]);
    script_close(&script);
}

TEST(core_frame, refuses_malformed_frames)
{
    struct script script;
    script_open_led(&script, 1);
    struct frame frame = {.type = FRAME_REPLY, .body = slice_str("short")};
    CHECK_EQ(core_frame(script.core, 0, &frame), STATUS_PROTOCOL);
    frame.type = FRAME_MAP;
    CHECK_EQ(core_frame(script.core, 0, &frame), STATUS_PROTOCOL);
    frame.type = FRAME_LEADERS;
    CHECK_EQ(core_frame(script.core, 0, &frame), STATUS_PROTOCOL);
    frame.type = FRAME_REQUEST;
    CHECK_EQ(core_frame(script.core, 0, &frame), STATUS_PROTOCOL);
    script_close(&script);
}

TEST(core_leader, never_goes_back_to_an_older_term)
{
    struct script script;
    script_open_led(&script, 1);
    struct leader_hint hint;
    script_lead(&script, 2, SHARD_FIRST, 4, 2);
    CHECK(core_leader(script.core, SHARD_FIRST, &hint));
    CHECK_EQ(hint.node, 1);
    script_lead(&script, 2, SHARD_FIRST, 7, 2);
    script_lead(&script, 1, SHARD_FIRST, 5, 1);
    CHECK(core_leader(script.core, SHARD_FIRST, &hint));
    CHECK_EQ(hint.node, 2);
    CHECK(!core_leader(script.core, 99, &hint));
    script_close(&script);
}

TEST(core_leader, keeps_how_many_voters_the_leader_has)
{
    struct script script;
    script_open_led(&script, 1);
    struct leader_hint hint;
    struct core_stats stats;
    core_stats(script.core, &stats);
    CHECK_EQ(stats.shards_short, 0);
    script_lead_with(&script, 1, SHARD_FIRST, 5, 1, 2); /* The same leader again. */
    CHECK(core_leader(script.core, SHARD_FIRST, &hint));
    CHECK_EQ(hint.voters, 2);
    core_stats(script.core, &stats);
    CHECK(stats.shards_led == 1 && stats.shards_short == 1);
    script_lead_with(&script, 2, SHARD_FIRST, 4, 2, 3); /* One of the past. */
    CHECK(core_leader(script.core, SHARD_FIRST, &hint));
    CHECK(hint.node == 1 && hint.voters == 2);
    script_lead_with(&script, 2, SHARD_FIRST, 6, 2, 3);
    core_stats(script.core, &stats);
    CHECK_EQ(stats.shards_short, 0);
    script_down(&script, 2);
    core_stats(script.core, &stats);
    CHECK_EQ(stats.shards_short, 1);
    script_close(&script);
}

TEST(core_leader, knows_who_leads_the_meta_group)
{
    struct script script;
    script_open_led(&script, 1);
    struct leader_hint hint;
    CHECK(!core_leader(script.core, SHARD_META, &hint));
    script_lead_with(&script, 3, SHARD_META, 8, 3, 1);
    script_lead_with(&script, 2, SHARD_META, 7, 2, 3);
    CHECK(core_leader(script.core, SHARD_META, &hint));
    CHECK(hint.node == 3 && hint.voters == 1 && hint.term == 8);
    script_close(&script);
}

TEST(core_leader, an_answer_that_did_not_come_does_not_hide_the_leader_for_ever)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct leader_hint hint;
    struct core_stats stats;
    script_run(&script, &client, "GET a");
    script_expect(&script, 1, &request);
    script_advance(&script, 20 * 1000); /* Silence, and the client is told. */
    CHECK_EQ(client.done, 1);
    core_stats(script.core, &stats);
    CHECK(stats.silences > 0);
    CHECK(stats.shards_led == 1 && stats.shards_short == 0);
    CHECK(core_leader(script.core, SHARD_FIRST, &hint));
    CHECK(hint.node == 1 && hint.voters == 3);
    script_client_free(&client);
    while (script_take(&script, 1, &request)) {
    }
    script_run(&script, &client, "GET a");
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_NOT_LEADER, ""); /* It says so itself. */
    CHECK(!core_leader(script.core, SHARD_FIRST, &hint));
    core_stats(script.core, &stats);
    CHECK(stats.shards_led == 0 && stats.shards_short == 1);
    script_advance(&script, 20 * 1000);
    script_client_free(&client);
    script_close(&script);
}
