#include <stdlib.h>

#include "tests/support/front_rig.h"
#include "tests/support/test.h"

static struct front_rig *start(void)
{
    struct front_rig *rig = malloc(sizeof(*rig));
    CHECK(rig != NULL);
    front_rig_start(rig);
    return rig;
}

static void stop(struct front_rig *rig)
{
    front_rig_stop(rig);
    free(rig);
}

static void say(struct front_rig *rig, const char *text, const char *want)
{
    CHECK_BYTES(front_rig_ask(rig, text), want);
}

static void deliver(struct front_rig *rig, char kind, const char *topic, const char *channel)
{
    struct front_message message = {.kind = (uint8_t)kind,
                                    .topic = slice_str(topic),
                                    .channel = slice_str(channel),
                                    .payload = slice_str("hi")};
    front_deliver(front_part(rig->front, 0), &message);
}

TEST(front_subscribe, confirms_each_name_when_all_are_joined)
{
    struct front_rig *rig = start();
    rig->hold_joins = true;
    say(rig, "subscribe a b\r\n", "");
    CHECK_EQ(rig->join_count, 2);
    CHECK_EQ(rig->joins[0].count, 1);
    deliver(rig, 'c', "a", "a");
    front_rig_joined(rig, 0, true);
    CHECK_BYTES(front_rig_take(rig), "");
    front_rig_joined(rig, 1, true);
    CHECK_BYTES(front_rig_take(rig),
                "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
    deliver(rig, 'c', "a", "a");
    CHECK_BYTES(front_rig_take(rig), "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    rig->hold_joins = false;
    say(rig, "subscribe a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n");
    CHECK_EQ(rig->join_count, 2);
    stop(rig);
}

TEST(front_subscribe, counts_a_client_once)
{
    struct front_rig *rig = start();
    say(rig, "subscribe a a\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    CHECK_EQ(rig->join_count, 1);
    CHECK_EQ(rig->joins[0].count, 1);
    say(rig, "unsubscribe a\r\n", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
    CHECK_EQ(rig->joins[1].count, 0);
    stop(rig);
}

TEST(front_subscribe, counts_every_client)
{
    struct front_rig *rig = start();
    struct session *first = rig->session;
    (void)front_rig_ask(rig, "subscribe a\r\n");
    rig->session = session_new(front_part(rig->front, 0));
    (void)front_rig_ask(rig, "subscribe a\r\n");
    CHECK_EQ(rig->join_count, 2);
    CHECK_EQ(rig->joins[1].count, 2);
    session_free(first);
    CHECK_EQ(rig->joins[2].count, 1);
    stop(rig);
}

TEST(front_subscribe, keeps_its_place_among_the_clients_requests)
{
    struct front_rig *rig = start();
    rig->hold = true;
    say(rig, "get k\r\nsubscribe a\r\nping\r\n", "");
    CHECK_EQ(rig->join_count, 0);
    front_rig_finish(rig, 0);
    CHECK_BYTES(front_rig_take(rig), "$1\r\nk\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    say(rig, "ping\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    stop(rig);
}

TEST(front_subscribe, fails_as_a_whole)
{
    struct front_rig *rig = start();
    rig->hold_joins = true;
    say(rig, "subscribe a b\r\n", "");
    front_rig_joined(rig, 1, false);
    front_rig_joined(rig, 0, true);
    CHECK(front_rig_has(front_rig_take(rig), "-TRYAGAIN"));
    /* Both homes hear that nobody listens. */
    CHECK_EQ(rig->join_count, 4);
    CHECK_EQ(rig->joins[2].count, 0);
    CHECK_EQ(rig->joins[3].count, 0);
    deliver(rig, 'c', "a", "a");
    CHECK_BYTES(front_rig_take(rig), "");
    stop(rig);
}

TEST(front_subscribe, of_a_client_that_has_gone_is_taken_back)
{
    struct front_rig *rig = start();
    rig->hold_joins = true;
    say(rig, "subscribe a\r\n", "");
    front_rig_reconnect(rig);
    front_rig_joined(rig, 0, true);
    CHECK_EQ(rig->join_count, 2);
    CHECK_EQ(rig->joins[1].count, 0);
    stop(rig);
}

TEST(front_unsubscribe, of_all_and_of_none)
{
    struct front_rig *rig = start();
    say(rig, "unsubscribe\r\n", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    say(rig, "punsubscribe x\r\n", "*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:0\r\n");
    (void)front_rig_ask(rig, "subscribe a b\r\npsubscribe p*\r\nssubscribe s\r\n");
    say(rig, "unsubscribe\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n"
        "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n");
    CHECK_EQ(rig->joins[rig->join_count - 1].count, 0);
    say(rig, "sunsubscribe s\r\n", "*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n");
    say(rig, "get k\r\n",
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context\r\n");
    say(rig, "reset\r\n", "+RESET\r\n");
    say(rig, "get k\r\n", "$1\r\nk\r\n");
    stop(rig);
}

TEST(front_deliver, speaks_the_protocol_of_the_client)
{
    struct front_rig *rig = start();
    (void)front_rig_ask(rig, "hello 3\r\n");
    say(rig, "psubscribe n*\r\n", ">3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n");
    deliver(rig, 'p', "n*", "news");
    CHECK_BYTES(front_rig_take(rig),
                ">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    say(rig, "get k\r\n", "$1\r\nk\r\n");
    say(rig, "ssubscribe s\r\n", ">3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n");
    deliver(rig, 's', "s", "s");
    CHECK_BYTES(front_rig_take(rig), ">3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$2\r\nhi\r\n");
    stop(rig);
}

TEST(front_deliver, is_no_reply_that_can_be_off)
{
    struct front_rig *rig = start();
    (void)front_rig_ask(rig, "client reply off\r\n");
    say(rig, "subscribe a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    deliver(rig, 'c', "a", "a");
    CHECK_BYTES(front_rig_take(rig), "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    say(rig, "unsubscribe a\r\n", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
    say(rig, "ping\r\n", "");
    say(rig, "client reply on\r\n", "+OK\r\n");
    stop(rig);
}

TEST(front_deliver, disconnects_who_does_not_read)
{
    struct front_rig *rig = start();
    (void)front_rig_ask(rig, "config set client-output-buffer-limit-pubsub 64kb\r\n");
    (void)front_rig_ask(rig, "subscribe a\r\n");
    size_t sent = 0;
    while (!session_ended(rig->session) && sent < 100000) {
        deliver(rig, 'c', "a", "a");
        sent++;
    }
    CHECK(session_ended(rig->session));
    CHECK(session_output(rig->session)->len < 70000);
    stop(rig);
}

TEST(front_publish, asks_the_home_of_the_channel)
{
    struct front_rig *rig = start();
    say(rig, "publish news hello\r\n", ":4\r\n");
    CHECK_BYTES(buf_slice(&rig->asked), "hub_publish news c hello ");
    buf_clear(&rig->asked);
    say(rig, "spublish news hello\r\n", ":4\r\n");
    CHECK_BYTES(buf_slice(&rig->asked), "hub_publish news s hello ");
    say(rig, "hub_publish a c b\r\n",
        "-ERR unknown command 'hub_publish', with args beginning with: 'a' 'c' 'b' \r\n");
    say(rig, "pubsub numsub\r\n", "*0\r\n");
    say(rig, "pubsub nonsense\r\n", "-ERR unknown subcommand 'nonsense'. Try PUBSUB HELP.\r\n");
    stop(rig);
}
