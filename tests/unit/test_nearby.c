#include <stdio.h>

#include "router/core.h"
#include "tests/support/script_nodes.h"
#include "tests/support/test.h"

enum { LINE_SIZE = 256, SHARD = 2, LEADER = 1 };

/* A command on a key of one shard, which node 1 leads. */
static void run_on(struct script *script,
                   struct script_client *client,
                   const char *command,
                   uint64_t bound_ms)
{
    char key[SCRIPT_TEXT_SIZE];
    char line[LINE_SIZE];
    script_key(script, SHARD, 0, key);
    (void)snprintf(line, sizeof(line), "%s %s", command, key);
    script_make(client, line);
    client->request.replica = true;
    client->request.bound_ms = bound_ms;
    core_execute(script->core, &client->request);
}

static struct core_stats stats_of(const struct script *script)
{
    struct core_stats stats;
    core_stats(script->core, &stats);
    return stats;
}

/* The node that got it; 0: none. */
static uint64_t taker(struct script *script, struct script_request *request)
{
    for (uint64_t node = 1; node <= 3; node++) {
        if (script_take(script, node, request)) {
            return node;
        }
    }
    return 0;
}

/* Reads until one goes to a replica that does not lead; answers those that do not. */
static uint64_t read_away(struct script *script,
                          struct script_client *client,
                          struct script_request *request,
                          uint64_t bound_ms)
{
    for (int i = 0; i < 100; i++) {
        run_on(script, client, "get", bound_ms);
        uint64_t node = taker(script, request);
        CHECK(node != 0);
        if (node != LEADER) {
            return node;
        }
        CHECK((request->frame.flags & REQUEST_REPLICA) == 0);
        script_answer(script, node, request, STATUS_OK, "$1\r\nx\r\n");
        script_client_free(client);
    }
    CHECK(false);
    return 0;
}

TEST(core_execute, sends_a_read_to_a_replica)
{
    struct script script;
    script_open_led(&script, 4);
    struct script_client client;
    struct script_request request;
    uint64_t node = read_away(&script, &client, &request, 250);
    CHECK_EQ(request.frame.flags, REQUEST_REPLICA);
    CHECK_EQ(request.frame.seq, 250);
    CHECK_EQ(request.frame.session, 0);
    script_answer(&script, node, &request, STATUS_OK, "$1\r\ny\r\n");
    CHECK(script_replied(&client, "$1\r\ny\r\n"));
    CHECK_EQ(stats_of(&script).inflight, 0);
    CHECK_EQ(stats_of(&script).replica_reads, 1);
    CHECK_EQ(stats_of(&script).replica_forwarded, 0);
    script_client_free(&client);
    script_close(&script);
}

TEST(core_execute, sends_writes_to_the_leader_only)
{
    struct script script;
    script_open_led(&script, 4);
    for (int i = 0; i < 30; i++) {
        struct script_client client;
        struct script_request request;
        run_on(&script, &client, i % 2 == 0 ? "incr" : "getdel", 0);
        script_expect(&script, LEADER, &request);
        CHECK((request.frame.flags & REQUEST_REPLICA) == 0);
        script_answer(&script, LEADER, &request, STATUS_OK, ":1\r\n");
        CHECK(script_replied(&client, ":1\r\n"));
        script_client_free(&client);
    }
    script_close(&script);
}

TEST(core_execute, asks_the_leader_if_the_replica_cannot)
{
    static const enum status refusals[] = {STATUS_NOT_LEADER, STATUS_NOT_OWNER, STATUS_BUSY,
                                           STATUS_NO_SHARD, STATUS_TIMEOUT};
    struct script script;
    script_open_led(&script, 4);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct script_client client;
        struct script_request request;
        uint64_t node = read_away(&script, &client, &request, 0);
        script_answer(&script, node, &request, refusals[i], "");
        script_expect(&script, LEADER, &request);
        CHECK((request.frame.flags & REQUEST_REPLICA) == 0);
        script_answer(&script, LEADER, &request, STATUS_OK, "$1\r\nz\r\n");
        CHECK(script_replied(&client, "$1\r\nz\r\n"));
        script_client_free(&client);
        /* For a while it is not tried again. */
        run_on(&script, &client, "get", 0);
        script_expect(&script, LEADER, &request);
        script_answer(&script, LEADER, &request, STATUS_OK, "_\r\n");
        script_client_free(&client);
        script_advance(&script, 1000);
    }
    script_close(&script);
}

TEST(core_execute, asks_the_leader_if_the_replica_is_silent_or_lost)
{
    struct script script;
    script_open_led(&script, 4);
    for (int lost = 0; lost < 2; lost++) {
        struct script_client client;
        struct script_request request;
        struct script_request late;
        uint64_t node = read_away(&script, &client, &late, 0);
        if (lost == 1) {
            script_down(&script, node);
        } else {
            script_advance(&script, CORE_TRY_MS_DEFAULT / 2);
        }
        script_expect(&script, LEADER, &request);
        if (lost == 0) {
            /* What it says now is not looked at: it may be an answer or a refusal. */
            script_answer(&script, node, &late, STATUS_NOT_LEADER, "");
            script_answer(&script, node, &late, STATUS_OK, "$1\r\no\r\n");
            CHECK_EQ(client.done, 0);
        }
        script_answer(&script, LEADER, &request, STATUS_OK, "$1\r\nz\r\n");
        CHECK(script_replied(&client, "$1\r\nz\r\n"));
        CHECK_EQ(stats_of(&script).inflight, 0);
        script_client_free(&client);
        script_advance(&script, 1000);
    }
    script_close(&script);
}

TEST(core_execute, prefers_the_replica_that_answers_sooner)
{
    struct script script;
    script_open_led(&script, 4);
    uint64_t counts[4] = {0};
    for (int i = 0; i < 300; i++) {
        struct script_client client;
        struct script_request request;
        run_on(&script, &client, "get", 0);
        uint64_t node = taker(&script, &request);
        CHECK(node != 0);
        counts[node]++;
        script_advance(&script, node == 2 ? 40 : 1);
        script_answer(&script, node, &request, STATUS_OK, "$1\r\nx\r\n");
        CHECK(script_replied(&client, "$1\r\nx\r\n"));
        script_client_free(&client);
    }
    CHECK(counts[3] > 4 * counts[2]);
    script_close(&script);
}
