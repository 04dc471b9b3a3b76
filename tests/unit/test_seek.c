#include "router/seek.h"

#include <stdio.h>

#include "common/base/sha1.h"
#include "common/proto/transaction.h"
#include "tests/support/script_nodes.h"
#include "tests/support/test.h"

/* A router looks for the sources of scripts: two shards, both led by node 1. */

#define SEVEN "59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9"
#define NOSCRIPT "NOSCRIPT No matching script. Please use EVAL."

enum { LINE_SIZE = 256, ITEMS = 3 };

/* EVALSHA on the first shard, which does not know it. */
static void ask(struct script *script, struct script_client *client, struct script_request *request)
{
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    script_key(script, 0, 0, key);
    (void)snprintf(line, sizeof(line), "evalsha %s 1 %s x", SEVEN, key);
    script_run(script, client, line);
    script_expect(script, 1, request);
    CHECK_EQ(request->frame.flags & REQUEST_SOUGHT, 0);
}

/* Both shards are asked for the source. */
static void expect_find(struct script *script, struct script_request requests[2])
{
    for (size_t i = 0; i < 2; i++) {
        script_expect(script, 1, &requests[i]);
        CHECK_BYTES(requests[i].frame.args.argv[0], "script_find");
        CHECK_BYTES(requests[i].frame.args.argv[1], SEVEN);
    }
    CHECK(requests[0].frame.shard != requests[1].frame.shard);
}

TEST(seek_begin, sends_the_source_that_another_shard_has)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client client;
    struct script_request request;
    struct script_request finds[2];
    ask(&script, &client, &request);
    uint64_t seq = request.frame.seq;
    script_answer(&script, 1, &request, STATUS_NO_SCRIPT, "");
    expect_find(&script, finds);
    script_answer(&script, 1, &finds[0], STATUS_OK, "*1\r\n_\r\n");
    CHECK_EQ(client.done, 0);
    script_answer(&script, 1, &finds[1], STATUS_OK, "*1\r\n$8\r\nreturn 7\r\n");
    script_expect(&script, 1, &request);
    CHECK_BYTES(request.frame.args.argv[0], "eval");
    CHECK_BYTES(request.frame.args.argv[1], "return 7");
    CHECK_BYTES(request.frame.args.argv[4], "x");
    CHECK_EQ(request.frame.args.argc, 5);
    CHECK(request.frame.seq > seq); /* Nothing was done under the old number. */
    CHECK_EQ(request.frame.shard, SHARD_FIRST);
    script_answer(&script, 1, &request, STATUS_OK, ":7\r\n");
    CHECK(script_replied(&client, ":7\r\n"));
    CHECK_EQ(client.request.command->id, CMD_evalsha); /* As it came. */
    script_client_free(&client);
    script_close(&script);
}

TEST(seek_begin, lets_the_shard_say_what_nobody_has)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client client;
    struct script_request request;
    struct script_request finds[2];
    ask(&script, &client, &request);
    script_answer(&script, 1, &request, STATUS_NO_SCRIPT, "");
    expect_find(&script, finds);
    for (size_t i = 0; i < 2; i++) {
        script_answer(&script, 1, &finds[i], STATUS_OK, "*1\r\n_\r\n");
    }
    script_expect(&script, 1, &request);
    CHECK_BYTES(request.frame.args.argv[0], "evalsha");
    CHECK(request.frame.flags & REQUEST_SOUGHT);
    script_answer(&script, 1, &request, STATUS_OK, "-" NOSCRIPT "\r\n");
    CHECK(script_replied(&client, "-" NOSCRIPT "\r\n"));
    CHECK_EQ(client.request.flags, 0);
    script_client_free(&client);
    script_close(&script);
}

TEST(seek_begin, does_not_wait_long_for_who_does_not_answer)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client client;
    struct script_request request;
    struct script_request finds[2];
    ask(&script, &client, &request);
    script_answer(&script, 1, &request, STATUS_NO_SCRIPT, "");
    expect_find(&script, finds);
    script_answer(&script, 1, &finds[0], STATUS_OK, "*1\r\n$8\r\nreturn 7\r\n");
    script_advance(&script, SEEK_MS - 1);
    CHECK(!script_take(&script, 1, &request));
    script_advance(&script, 2);
    bool again = false;
    for (uint64_t node = 1; node <= 3; node++) {
        while (script_take(&script, node, &request)) {
            again = again || slice_equal(request.frame.args.argv[0], slice_str("eval"));
        }
    }
    CHECK(again);
    script_client_free(&client);
    script_close(&script);
}

TEST(seek_end, forgets_what_is_under_way)
{
    for (int way = 0; way < 2; way++) {
        struct script script;
        script_open_led(&script, 2);
        struct script_client client;
        struct script_request request;
        ask(&script, &client, &request);
        if (way == 0) { /* Its time is over before the shards have answered. */
            script_advance(&script, CORE_DEADLINE_MS_DEFAULT - SEEK_MS / 2);
            while (script_take(&script, 1, &request)) {
            }
        }
        script_answer(&script, 1, &request, STATUS_NO_SCRIPT, "");
        if (way == 0) {
            script_advance(&script, SEEK_MS / 2 + 1);
            CHECK(script_failed(&client, "TIMEOUT ") || script_failed(&client, "UNKNOWN "));
            struct core_stats stats;
            core_stats(script.core, &stats);
            CHECK_EQ(stats.inflight, 0);
        }
        script_client_free(&client);
        script_close(&script); /* Or the core ends. */
    }
}

/* Whose client has sent more behind it. */
static unsigned asked;
static bool answer_alone;

static bool alone(struct core_request *request)
{
    (void)request;
    asked++;
    return answer_alone;
}

/* As ask(), of a client that says whether it is alone. */
static void ask_alone(struct script *script,
                      struct script_client *client,
                      struct script_request *request,
                      bool is_alone)
{
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    script_key(script, 0, 0, key);
    (void)snprintf(line, sizeof(line), "evalsha %s 1 %s x", SEVEN, key);
    asked = 0;
    answer_alone = is_alone;
    script_make(client, line);
    client->request.alone = alone;
    core_execute(script->core, &client->request);
    script_expect(script, 1, request);
}

TEST(seek_prepare, lets_others_follow_where_a_script_was_known)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client clients[5];
    struct script_request request;
    ask_alone(&script, &clients[0], &request, true);
    CHECK_EQ(asked, 1);
    script_answer(&script, 1, &request, STATUS_OK, ":7\r\n");
    ask_alone(&script, &clients[1], &request, false);
    CHECK_EQ(asked, 0);
    /* It is forgotten there, and others are behind it: they must not come before it. */
    script_answer(&script, 1, &request, STATUS_NO_SCRIPT, "");
    CHECK(script_replied(&clients[1], "-" NOSCRIPT "\r\n"));
    CHECK(!script_take(&script, 1, &request));
    ask_alone(&script, &clients[2], &request, true);
    CHECK_EQ(asked, 1);
    script_answer(&script, 1, &request, STATUS_OK, ":7\r\n");
    script_run(&script, &clients[3], "script_flush");
    struct script_request flush;
    for (size_t i = 0; i < 2; i++) {
        script_expect(&script, 1, &flush);
        script_answer(&script, 1, &flush, STATUS_OK, "+OK\r\n");
    }
    ask_alone(&script, &clients[4], &request, true);
    CHECK_EQ(asked, 1);
    for (size_t i = 0; i < 5; i++) {
        script_client_free(&clients[i]);
    }
    script_close(&script);
}

TEST(flow_reply, does_not_give_up_what_may_have_been_applied)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client client;
    struct script_request request;
    ask(&script, &client, &request);
    uint64_t seq = request.frame.seq;
    script_answer(&script, 1, &request, STATUS_LEADERSHIP_LOST, "");
    script_lead(&script, 1, SHARD_FIRST, 6, 2);
    script_advance(&script, 200);
    script_expect(&script, 2, &request);
    CHECK_EQ(request.frame.seq, seq);
    CHECK(request.frame.flags & REQUEST_RETRY);
    CHECK(request.frame.flags & REQUEST_SOUGHT);
    script_client_free(&client);
    script_close(&script);
}

/* One EXEC of three. */
TEST(seek_begin, puts_a_source_at_its_first_place_in_a_transaction)
{
    struct script script;
    script_open_led(&script, 2);
    char key[SCRIPT_TEXT_SIZE];
    script_key(&script, 0, 0, key);
    struct slice get[] = {slice_str("get"), slice_str(key)};
    struct slice sha[] = {slice_str("evalsha"), slice_str(SEVEN), slice_str("1"), slice_str(key)};
    struct transaction_item items[ITEMS] = {
        {.command = command_find(get[0]), .args = {.argv = get, .argc = 2}},
        {.command = command_find(sha[0]), .args = {.argv = sha, .argc = 4}},
        {.command = command_find(sha[0]), .args = {.argv = sha, .argc = 4}}};
    struct transaction_form form;
    transaction_form_init(&form, items, ITEMS, NULL, 0);
    struct script_client client;
    script_make(&client, "get x");
    client.request.command = command_at(CMD_batch);
    client.request.args = form.args;
    core_execute(script.core, &client.request);
    struct script_request request;
    struct script_request finds[2];
    script_expect(&script, 1, &request);
    script_answer(&script, 1, &request, STATUS_NO_SCRIPT, "");
    expect_find(&script, finds);
    script_answer(&script, 1, &finds[0], STATUS_OK, "*1\r\n$8\r\nreturn 7\r\n");
    script_answer(&script, 1, &finds[1], STATUS_OK, "*1\r\n_\r\n");
    script_expect(&script, 1, &request);
    struct transaction transaction;
    struct transaction_item item;
    CHECK_EQ(transaction_open(request.frame.args, &transaction), STATUS_OK);
    CHECK_EQ(transaction.item_count, ITEMS);
    static const char *const names[ITEMS] = {"get", "eval", "evalsha"};
    for (size_t i = 0; i < ITEMS; i++) {
        CHECK(transaction_next_item(&transaction, &item));
        CHECK_BYTES(item.args.argv[0], names[i]);
        if (i > 0) {
            CHECK_BYTES(item.args.argv[1], i == 1 ? "return 7" : SEVEN);
            CHECK_BYTES(item.args.argv[3], key);
        }
    }
    script_answer(&script, 1, &request, STATUS_OK, "*3\r\n_\r\n:7\r\n:7\r\n");
    CHECK(script_replied(&client, "*3\r\n_\r\n:7\r\n:7\r\n"));
    script_client_free(&client);
    script_close(&script);
    transaction_form_deinit(&form);
}
