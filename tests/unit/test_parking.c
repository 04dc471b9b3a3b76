#include "router/parking.h"

#include <stdio.h>

#include "common/cluster/session_number.h"
#include "tests/support/script_nodes.h"
#include "tests/support/test.h"

enum { LINE_SIZE = 256 };

static void run(struct script *script,
                struct script_client *client,
                const char *before,
                const char *after)
{
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    script_key(script, 0, 0, key);
    (void)snprintf(line, sizeof(line), "%s %s%s", before, key, after);
    script_run(script, client, line);
}

static struct core_stats stats_of(const struct script *script)
{
    struct core_stats stats;
    core_stats(script->core, &stats);
    return stats;
}

/* What its last argument says. */
static struct wait_ref wait_of(const struct script_request *request)
{
    struct wait_ref ref;
    CHECK((request->frame.flags & REQUEST_WAIT) != 0);
    CHECK(wait_ref_decode(request->frame.args.argv[request->frame.args.argc - 1], &ref));
    return ref;
}

/* A BLPOP that waits at node 1. */
static void park(struct script *script,
                 struct script_client *client,
                 const char *timeout,
                 struct script_request *request)
{
    run(script, client, "blpop", timeout);
    script_expect(script, 1, request);
    script_park(script, 1, request);
    CHECK_EQ(client->done, 0);
}

TEST(parking, keeps_a_command_out_of_the_way_of_others)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client waits;
    struct script_client others[2];
    struct script_request request;
    struct script_request writes[2];
    run(&script, &waits, "blpop", " 2.5");
    script_expect(&script, 1, &request);
    CHECK_EQ(request.frame.args.argc, 4);
    CHECK_EQ(wait_of(&request).left_ms, 2500);
    CHECK(!wait_of(&request).parked);
    CHECK(request.frame.session != 0 && request.frame.first_unacked == request.frame.seq);
    /* It was the probe: what comes behind it goes on when it is parked. */
    run(&script, &others[0], "incr", "");
    CHECK(!script_take(&script, 1, &writes[0]));
    script_park(&script, 1, &request);
    script_expect(&script, 1, &writes[0]);
    CHECK(writes[0].frame.session != request.frame.session);
    CHECK_EQ(writes[0].frame.first_unacked, writes[0].frame.seq);
    script_answer(&script, 1, &writes[0], STATUS_OK, ":1\r\n");
    CHECK(script_replied(&others[0], ":1\r\n"));
    CHECK_EQ(stats_of(&script).parked, 1);
    CHECK_EQ(stats_of(&script).queued, 0);
    script_answer(&script, 1, &request, STATUS_OK, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    CHECK(script_replied(&waits, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n"));
    CHECK_EQ(stats_of(&script).parked, 0);
    /* Another one uses its session again, with a greater number. */
    run(&script, &others[1], "brpop", " 0");
    script_expect(&script, 1, &writes[1]);
    CHECK_EQ(writes[1].frame.session, request.frame.session);
    CHECK(writes[1].frame.seq > request.frame.seq);
    CHECK_EQ(wait_of(&writes[1]).left_ms, 0);
    script_answer(&script, 1, &writes[1], STATUS_OK, "*-1\r\n");
    script_client_free(&waits);
    script_client_free(&others[0]);
    script_client_free(&others[1]);
    script_close(&script);
}

TEST(parking, is_not_asked_again_however_long_it_takes)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request more;
    park(&script, &client, " 0", &request);
    script_advance(&script, 24 * 3600 * 1000);
    CHECK_EQ(client.done, 0);
    for (uint64_t node = 1; node <= 3; node++) {
        CHECK(!script_take(&script, node, &more));
    }
    CHECK_EQ(stats_of(&script).silences, 0);
    script_answer(&script, 1, &request, STATUS_OK, "*-1\r\n");
    CHECK(script_replied(&client, "*-1\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(parking, arms_again_under_its_number_when_the_link_is_lost)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request again;
    park(&script, &client, " 10", &request);
    script_advance(&script, 4000);
    script_down(&script, 1);
    script_lead(&script, 2, SHARD_FIRST, 6, 2);
    script_advance(&script, 100);
    script_expect(&script, 2, &again);
    CHECK_EQ(again.frame.session, request.frame.session);
    CHECK_EQ(again.frame.seq, request.frame.seq);
    CHECK((again.frame.flags & REQUEST_RETRY) != 0);
    CHECK(wait_of(&again).parked);
    CHECK(wait_of(&again).left_ms <= 6000 && wait_of(&again).left_ms >= 5900);
    CHECK_EQ(stats_of(&script).rearmed, 1);
    script_answer(&script, 2, &again, STATUS_OK, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    CHECK_EQ(client.done, 1);
    script_client_free(&client);
    script_close(&script);
}

/* Who was deposed may apply its own entry late, and find nothing then. */
TEST(parking, takes_no_nothing_from_an_earlier_try)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request again;
    run(&script, &client, "blpop", " 10");
    script_expect(&script, 1, &request);
    script_advance(&script, CORE_TRY_MS_DEFAULT + 1); /* Silence. */
    script_lead(&script, 2, SHARD_FIRST, 6, 2);
    script_advance(&script, 100);
    script_expect(&script, 2, &again);
    script_answer(&script, 1, &request, STATUS_OK, "*-1\r\n");
    CHECK_EQ(client.done, 0);
    script_answer(&script, 2, &again, STATUS_OK, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    CHECK(script_replied(&client, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n"));
    script_client_free(&client);
    script_close(&script);
}

/* "$" is the last id of when the command came, not of when it is sent again. */
TEST(parking_freeze, tells_the_next_leader_what_the_arguments_meant)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request again;
    run(&script, &client, "xread block 9000 streams", " $");
    script_expect(&script, 1, &request);
    CHECK_EQ(wait_of(&request).frozen.len, 0);
    script_park_as(&script, 1, &request, slice_str("sixteen bytes..."));
    script_advance(&script, 4000);
    for (uint64_t node = 2; node <= 3; node++) {
        script_lead(&script, node, SHARD_FIRST, 4 + node, node);
        script_expect(&script, node, &again);
        CHECK_EQ(again.frame.args.argc, request.frame.args.argc);
        CHECK_BYTES(wait_of(&again).frozen, "sixteen bytes...");
        CHECK(wait_of(&again).parked);
        CHECK_EQ(wait_of(&again).left_ms, 5000);
        /* What was said first counts. */
        script_park_as(&script, node, &again, slice_str("something else.."));
    }
    script_answer(&script, 3, &again, STATUS_OK, "*-1\r\n");
    CHECK_EQ(client.done, 1);
    script_client_free(&client);
    script_close(&script);
}

TEST(parking, follows_a_new_leader_that_announces_itself)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request again;
    park(&script, &client, " 0", &request);
    script_lead(&script, 2, SHARD_FIRST, 6, 2);
    script_expect(&script, 2, &again);
    CHECK_EQ(again.frame.seq, request.frame.seq);
    CHECK((again.frame.flags & REQUEST_RETRY) != 0);
    script_park(&script, 2, &again);
    /* The old one gives it back, or says that it is parked: that was an earlier try. */
    script_answer(&script, 1, &request, STATUS_NOT_LEADER, "");
    script_park(&script, 1, &request);
    CHECK_EQ(stats_of(&script).parked, 1);
    CHECK_EQ(client.done, 0);
    script_answer(&script, 2, &again, STATUS_OK, "*-1\r\n");
    CHECK(script_replied(&client, "*-1\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(parking, arms_again_when_the_node_gives_it_back)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct script_request again;
    park(&script, &client, " 0", &request);
    script_redirect(&script, 1, &request, 7, 3);
    script_advance(&script, 100);
    script_expect(&script, 3, &again);
    CHECK_EQ(again.frame.seq, request.frame.seq);
    CHECK_EQ(again.frame.session, request.frame.session);
    CHECK((again.frame.flags & REQUEST_RETRY) == 0); /* It has certainly taken nothing. */
    script_park(&script, 3, &again);
    script_answer(&script, 3, &again, STATUS_OK, "*-1\r\n");
    CHECK_EQ(client.done, 1);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_unblock, is_an_end_that_the_node_decides)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct frame_ref ref;
    park(&script, &client, " 0", &request);
    CHECK(!script_cancelled(&script, 1, &ref));
    core_unblock(script.core, &client.request);
    CHECK(script_cancelled(&script, 1, &ref));
    CHECK_EQ(ref.id, request.frame.id);
    CHECK_EQ(ref.shard, SHARD_FIRST);
    CHECK_EQ(client.done, 0);
    /* It had taken something just before. */
    script_answer(&script, 1, &request, STATUS_OK, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    CHECK(script_replied(&client, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_unblock, reaches_a_command_that_is_on_its_way)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct frame_ref ref;
    run(&script, &client, "blpop", " 0");
    script_expect(&script, 1, &request);
    core_unblock(script.core, &client.request);
    CHECK(!script_cancelled(&script, 1, &ref));
    script_park(&script, 1, &request);
    CHECK(script_cancelled(&script, 1, &ref));
    CHECK_EQ(ref.id, request.frame.id);
    script_answer(&script, 1, &request, STATUS_OK, "*-1\r\n");
    CHECK(script_replied(&client, "*-1\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_unblock, ends_at_once_what_was_never_sent)
{
    struct script script;
    struct script_setup setup = {.nodes = 3, .shards = 1, .map_saved = true};
    script_open(&script, &setup);
    struct script_client client;
    run(&script, &client, "blpop", " 0");
    CHECK_EQ(client.done, 0);
    core_unblock(script.core, &client.request);
    CHECK(script_replied(&client, "*-1\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(core_cancel, tells_the_node_and_forgets)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_client next;
    struct script_request request;
    struct script_request newer;
    struct frame_ref ref;
    park(&script, &client, " 0", &request);
    core_cancel(script.core, &client.request);
    CHECK(script_cancelled(&script, 1, &ref));
    CHECK_EQ(ref.id, request.frame.id);
    CHECK_EQ(stats_of(&script).inflight, 0);
    CHECK_EQ(stats_of(&script).parked, 0);
    script_answer(&script, 1, &request, STATUS_OK, "*-1\r\n");
    CHECK_EQ(client.done, 0);
    run(&script, &next, "blpop", " 0");
    script_expect(&script, 1, &newer);
    CHECK_EQ(newer.frame.session, request.frame.session);
    core_cancel(script.core, &next.request);
    script_client_free(&client);
    script_client_free(&next);
    script_close(&script);
}

TEST(core_cancel, waits_for_a_link_that_takes_no_more)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    struct frame_ref ref;
    park(&script, &client, " 0", &request);
    script_link(&script, 1)->full = true;
    core_cancel(script.core, &client.request);
    script_advance(&script, 50);
    script_link(&script, 1)->full = false;
    CHECK(!script_cancelled(&script, 1, &ref));
    script_advance(&script, 50);
    CHECK(script_cancelled(&script, 1, &ref));
    CHECK_EQ(ref.id, request.frame.id);
    CHECK(!script_cancelled(&script, 1, &ref));
    script_client_free(&client);
    script_close(&script);
}

TEST(parking_tick, gives_up_what_should_long_have_been_answered)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request request;
    park(&script, &client, " 3", &request);
    script_advance(&script, 3000 + CORE_DEADLINE_MS_DEFAULT - 100);
    CHECK_EQ(client.done, 0);
    script_advance(&script, 3000);
    CHECK(script_failed(&client, "UNKNOWN"));
    CHECK_EQ(stats_of(&script).parked, 0);
    script_client_free(&client);
    script_close(&script);
}

TEST(parking, refuses_keys_of_several_shards)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client client;
    char keys[2][SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    script_key(&script, 0, 0, keys[0]);
    script_key(&script, 1, 0, keys[1]);
    (void)snprintf(line, sizeof(line), "blpop %s %s 1", keys[0], keys[1]);
    script_run(&script, &client, line);
    CHECK(script_failed(&client, "CROSSSLOT"));
    script_client_free(&client);
    script_close(&script);
}

/* A BLPOP on a key of the upper half of the only shard, which was split since; it waits at node 1.
 */
static void park_upper(struct script *script,
                       struct script_client *client,
                       struct script_request *request)
{
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    script_split(script, 0, 50);
    script_key(script, 1, 0, key);
    (void)snprintf(line, sizeof(line), "blpop %s 5", key);
    script_run(script, client, line);
    script_expect(script, 1, request);
    script_park(script, 1, request);
}

TEST(parking, goes_to_the_child_of_its_shard)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request first;
    struct script_request again;
    park_upper(&script, &client, &first);
    script_advance(&script, 1000);
    const size_t both[2] = {0, 1};
    script_disown(&script, 1, &first, STATUS_NOT_OWNER, both);
    CHECK_EQ(stats_of(&script).parked, 0);
    script_expect(&script, 1, &again);
    CHECK_EQ(again.frame.shard, 50);
    CHECK_EQ(again.frame.session, first.frame.session);
    CHECK((again.frame.flags & REQUEST_RETRY) == 0); /* It has taken nothing. */
    CHECK_EQ(wait_of(&again).left_ms, 4000);
    CHECK(wait_of(&again).parked);
    script_park(&script, 1, &again);
    CHECK_EQ(stats_of(&script).parked, 1);
    script_answer(&script, 1, &again, STATUS_OK, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    CHECK(script_replied(&client, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n"));
    script_client_free(&client);
    script_close(&script);
}

TEST(parking, asks_the_child_what_it_took_when_others_tell_of_the_split)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    struct script_request first;
    struct script_request again;
    park_upper(&script, &client, &first);
    script_send_descs(&script, 2, 0, 1);
    script_expect(&script, 1, &again);
    CHECK_EQ(again.frame.shard, 50);
    CHECK_EQ(again.frame.seq, first.frame.seq);
    CHECK_EQ(again.frame.session, session_number_inherited(first.frame.session, SHARD_FIRST));
    CHECK((again.frame.flags & REQUEST_RETRY) != 0);
    const size_t both[2] = {0, 1};
    script_disown(&script, 1, &first, STATUS_NOT_OWNER, both); /* It gives it back. */
    script_park(&script, 1, &again);
    CHECK_EQ(stats_of(&script).parked, 1);
    struct script_request none;
    CHECK(!script_take(&script, 1, &none));
    /* And back, when the two are one again. */
    script_merge(&script, 0, SHARD_FIRST);
    script_send_descs(&script, 2, 0, 0);
    script_expect(&script, 1, &first);
    CHECK_EQ(first.frame.shard, SHARD_FIRST);
    CHECK_EQ(first.frame.session, again.frame.session);
    script_answer(&script, 1, &first, STATUS_OK, "*-1\r\n");
    CHECK(script_replied(&client, "*-1\r\n"));
    script_client_free(&client);
    script_close(&script);
}
