#include "common/front/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/net/listener.h"
#include "tests/support/front_rig.h"
#include "tests/support/test.h"

#define ASK(rig, text, want) CHECK_BYTES(front_rig_ask((rig), (text)), (want))

TEST(session_feed, answers_arrays_and_inline_commands)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "*1\r\n$4\r\nPING\r\n", "+PONG\r\n");
    ASK(&rig, "PING\r\n", "+PONG\r\n");
    ASK(&rig, "ping 'two words'\n", "$9\r\ntwo words\r\n");
    ASK(&rig, "\r\n*0\r\n", "");
    ASK(&rig, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$1\r\nk\r\n");
    front_rig_stop(&rig);
}

TEST(session_feed, takes_a_pipeline_cut_at_every_byte)
{
    static const char text[] =
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\nPING x\r\n"
        "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*1\r\n$5\r\nnosuc\r\n";
    static const char want[] =
        "+OK\r\n$1\r\nx\r\n$3\r\nkey\r\n"
        "-ERR unknown command 'nosuc', with args beginning with: \r\n";
    for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
        struct front_rig rig;
        front_rig_start(&rig);
        struct buf all;
        buf_init(&all, 4096);
        size_t used = session_feed(rig.session, slice_of(text, cut));
        CHECK(used <= cut);
        size_t rest = session_feed(rig.session, slice_of(text + used, sizeof(text) - 1 - used));
        CHECK_EQ(used + rest, sizeof(text) - 1);
        CHECK_BYTES(front_rig_take(&rig), want);
        buf_deinit(&all);
        front_rig_stop(&rig);
    }
}

TEST(session_feed, takes_one_byte_at_a_time)
{
    static const char text[] = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nPING\r\n";
    struct front_rig rig;
    front_rig_start(&rig);
    size_t start = 0;
    for (size_t end = 1; end < sizeof(text); end++) {
        start += session_feed(rig.session, slice_of(text + start, end - start));
    }
    CHECK_BYTES(front_rig_take(&rig), "$5\r\nhello\r\n+PONG\r\n");
    front_rig_stop(&rig);
}

TEST(request_finish, sends_replies_in_the_order_of_the_requests)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    ASK(&rig, "GET a\r\nGET b\r\nPING\r\nGET c\r\n", "");
    CHECK_EQ(session_in_flight(rig.session), 4);
    front_rig_finish(&rig, 2);
    CHECK_BYTES(front_rig_take(&rig), "");
    front_rig_finish(&rig, 0);
    CHECK_BYTES(front_rig_take(&rig), "$1\r\na\r\n");
    front_rig_finish(&rig, 1);
    CHECK_BYTES(front_rig_take(&rig), "$1\r\nb\r\n+PONG\r\n$1\r\nc\r\n");
    CHECK_EQ(session_in_flight(rig.session), 0);
    front_rig_stop(&rig);
}

TEST(request_finish, is_harmless_when_the_client_has_gone)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    ASK(&rig, "GET a\r\nGET b\r\n", "");
    front_rig_finish(&rig, 1);
    struct request *request = rig.held[0];
    front_rig_reconnect(&rig);
    CHECK(request_abandoned(request));
    front_rig_finish(&rig, 0);
    CHECK_BYTES(front_rig_take(&rig), "");
    front_rig_stop(&rig);
}

TEST(session_feed, starts_nothing_behind_a_command_that_waits)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    static const char text[] = "GET a\r\nBLPOP l 0\r\nGET b\r\nPING\r\n";
    size_t used = session_feed(rig.session, slice_str(text));
    CHECK_EQ(used, 7 + 11);
    CHECK_EQ(rig.held_count, 2);
    front_rig_reply(&rig, 1, "*-1\r\n");
    CHECK_EQ(session_feed(rig.session, slice_str(text + used)), 0); /* GET a is still before it. */
    front_rig_finish(&rig, 0);
    CHECK_BYTES(front_rig_take(&rig), "$1\r\na\r\n*-1\r\n");
    CHECK_EQ(session_feed(rig.session, slice_str(text + used)), sizeof(text) - 1 - used);
    CHECK_EQ(rig.held_count, 3);
    front_rig_finish(&rig, 2);
    CHECK_BYTES(front_rig_take(&rig), "$1\r\nb\r\n+PONG\r\n");
    CHECK_EQ(rig.cancel_count, 0);
    front_rig_stop(&rig);
}

TEST(session_feed, holds_nothing_up_for_what_cannot_wait)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    /* Its timeout is malformed, which the shard will say. */
    ASK(&rig, "BLPOP l x\r\nPING\r\n", "");
    front_rig_reply(&rig, 0, "-ERR x\r\n");
    CHECK_BYTES(front_rig_take(&rig), "-ERR x\r\n+PONG\r\n");
    front_rig_stop(&rig);
}

TEST(request_abandon, cancels_a_command_that_waits)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    ASK(&rig, "GET a\r\nBRPOP l 0\r\n", "");
    struct request *waits = rig.held[1];
    front_rig_reconnect(&rig);
    CHECK_EQ(rig.cancel_count, 1);
    CHECK(rig.cancelled == waits && request_abandoned(waits));
    front_rig_finish(&rig, 0);
    front_rig_reply(&rig, 1, "*-1\r\n");
    CHECK_BYTES(front_rig_take(&rig), "");
    front_rig_stop(&rig);
}

TEST(session_feed, stops_at_the_bound_of_the_pipeline)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "CONFIG SET client-pipeline-max 4\r\n", "+OK\r\n");
    rig.hold = true;
    static const char text[] = "GET 1\r\nGET 2\r\nGET 3\r\nGET 4\r\nGET 5\r\nGET 6\r\n";
    size_t used = session_feed(rig.session, slice_str(text));
    CHECK_EQ(used, 4 * 7);
    CHECK_EQ(rig.held_count, 4);
    for (size_t i = 0; i < 4; i++) {
        front_rig_finish(&rig, i);
    }
    CHECK_EQ(session_feed(rig.session, slice_str(text + used)), 2 * 7);
    CHECK_EQ(rig.held_count, 6);
    front_rig_stop(&rig);
}

TEST(session_feed, begins_with_few_requests_and_allows_more_with_every_reply)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    char text[40 * 7 + 1] = "";
    for (size_t i = 0; i < 40; i++) {
        memcpy(text + i * 7, "GET k\r\n", 7);
    }
    struct slice input = slice_of(text, 40 * 7);
    size_t used = session_feed(rig.session, input);
    CHECK_EQ(used, 16 * 7);
    for (size_t i = 0; i < 16; i++) {
        front_rig_finish(&rig, i);
    }
    CHECK_EQ(session_feed(rig.session, slice_of(text + used, 24 * 7)), 24 * 7);
    CHECK_EQ(rig.held_count, 40);
    front_rig_stop(&rig);
}

TEST(session_feed, gives_each_request_its_own_arguments)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    char text[] = "*2\r\n$3\r\nGET\r\n$3\r\nabc\r\n";
    ASK(&rig, text, "");
    memset(text, 'x', sizeof(text) - 1);
    front_rig_finish(&rig, 0);
    CHECK_BYTES(front_rig_take(&rig), "$3\r\nabc\r\n");
    front_rig_stop(&rig);
}

/* Hostile input. */

static void expect_end(const char *text, const char *want)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, text, want);
    CHECK(session_ended(rig.session));
    ASK(&rig, "PING\r\n", "");
    front_rig_stop(&rig);
}

TEST(session_feed, answers_what_is_no_protocol_and_ends)
{
    expect_end("*abc\r\n", "-ERR Protocol error: invalid multibulk length\r\n");
    expect_end("*1048577\r\n", "-ERR Protocol error: invalid multibulk length\r\n");
    expect_end("*9999999999999999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n");
    expect_end("*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n");
    expect_end("*1\r\n$999999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n");
    expect_end("*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length\r\n");
    expect_end("*1\r\n:4\r\n", "-ERR Protocol error: expected '$', got ':'\r\n");
    expect_end("PING \"a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n");
    expect_end("PING\r\n*x\r\nPING\r\n",
               "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n");
}

TEST(session_feed, puts_the_protocol_error_behind_replies_that_wait)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    ASK(&rig, "GET a\r\n*x\r\n", "");
    CHECK(session_ended(rig.session));
    front_rig_finish(&rig, 0);
    CHECK_BYTES(front_rig_take(&rig),
                "$1\r\na\r\n-ERR Protocol error: invalid multibulk length\r\n");
    front_rig_stop(&rig);
}

TEST(session_feed, survives_negative_counts_and_empty_lines)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "*-1\r\n\r\n\n*0\r\nPING\r\n", "+PONG\r\n");
    front_rig_stop(&rig);
}

TEST(session_feed, ends_when_a_browser_talks)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "POST / HTTP/1.1\r\nPING\r\n", "");
    CHECK(session_ended(rig.session));
    front_rig_reconnect(&rig);
    (void)front_rig_ask(&rig, "GET / HTTP/1.1\r\n");
    CHECK(!session_ended(rig.session));
    ASK(&rig, "Host: example.org\r\nFLUSHALL\r\n", "");
    CHECK(session_ended(rig.session));
    front_rig_stop(&rig);
}

TEST(session_feed, bounds_a_request_that_never_ends)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "CONFIG SET client-query-buffer-limit 1mb\r\n", "+OK\r\n");
    size_t len = 2 * 1024 * 1024;
    char *text = malloc(len);
    CHECK(text != NULL);
    memset(text, 'x', len);
    memcpy(text, "*2\r\n$4\r\nECHO\r\n$9999999\r\n", 25);
    CHECK_BYTES(front_rig_feed(&rig, slice_of(text, 1024 * 1024)), "");
    CHECK(!session_ended(rig.session));
    CHECK_BYTES(front_rig_feed(&rig, slice_of(text, len)), "");
    CHECK(session_ended(rig.session));
    free(text);
    front_rig_stop(&rig);
}

TEST(session_feed, bounds_an_inline_command)
{
    struct front_rig rig;
    front_rig_start(&rig);
    size_t len = 128 * 1024;
    char *text = malloc(len);
    CHECK(text != NULL);
    memset(text, 'x', len);
    CHECK_BYTES(front_rig_feed(&rig, slice_of(text, len)),
                "-ERR Protocol error: too big inline request\r\n");
    CHECK(session_ended(rig.session));
    free(text);
    front_rig_stop(&rig);
}

TEST(session_feed, refuses_long_keys)
{
    struct front_rig rig;
    front_rig_start(&rig);
    for (size_t len = 65535; len <= 65537; len++) {
        struct buf text;
        buf_init(&text, 1024 * 1024);
        buf_append_format(&text, "*3\r\n$3\r\nSET\r\n$%zu\r\n", len);
        memset(buf_reserve(&text, len), 'k', len);
        text.len += len;
        buf_append_text(&text, "\r\n$1\r\nv\r\n");
        struct slice reply = front_rig_feed(&rig, buf_slice(&text));
        if (len <= 65536) {
            CHECK_BYTES(reply, "+OK\r\n");
        } else {
            CHECK(front_rig_has(reply, "-ERR a key is longer than"));
        }
        buf_deinit(&text);
    }
    front_rig_stop(&rig);
}

TEST(request_finish, ends_a_client_that_does_not_read)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "CONFIG SET client-output-buffer-limit 65536\r\n", "+OK\r\n");
    struct buf text;
    buf_init(&text, 1024 * 1024);
    buf_append_text(&text, "*2\r\n$4\r\nECHO\r\n$60000\r\n");
    memset(buf_reserve(&text, 60000), 'x', 60000);
    text.len += 60000;
    buf_append_text(&text, "\r\n");
    /* The output is never taken away. */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(session_feed(rig.session, buf_slice(&text)), text.len);
        CHECK(!session_ended(rig.session));
    }
    CHECK_EQ(session_feed(rig.session, buf_slice(&text)), text.len);
    CHECK(session_ended(rig.session));
    CHECK(session_output(rig.session)->len < 3 * 60000);
    buf_deinit(&text);
    front_rig_stop(&rig);
}

TEST(session_feed, disconnects_who_needs_more_than_all_may_have)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "CONFIG SET maxmemory-clients 1mb\r\n", "+OK\r\n");
    rig.hold = true;
    struct buf text;
    buf_init(&text, 4 * 1024 * 1024);
    buf_append_text(&text, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n");
    memset(buf_reserve(&text, 600000), 'x', 600000);
    text.len += 600000;
    buf_append_text(&text, "\r\n");
    (void)session_feed(rig.session, buf_slice(&text));
    CHECK(!session_ended(rig.session));
    (void)session_feed(rig.session, buf_slice(&text));
    CHECK(session_ended(rig.session));
    CHECK_EQ(rig.held_count, 2);
    buf_deinit(&text);
    front_rig_stop(&rig);
}

/* Before AUTH. */

TEST(session_feed, gives_strangers_little_room)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "CONFIG SET requirepass secret\r\n", "+OK\r\n");
    front_rig_reconnect(&rig);
    ASK(&rig, "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n");
    front_rig_reconnect(&rig);
    ASK(&rig, "*2\r\n$4\r\nAUTH\r\n$16385\r\n",
        "-ERR Protocol error: unauthenticated bulk length\r\n");
    front_rig_reconnect(&rig);
    ASK(&rig, "GET a\r\nPING\r\nAUTH wrong\r\nAUTH secret\r\nGET a\r\n",
        "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n"
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n$1\r\na\r\n");
    front_rig_stop(&rig);
}

/* Over sockets. */

enum { CLIENTS = 300, WAIT_MS = 10000 };

struct net_client {
    struct conn *conn;
    struct buf got;
    bool closed;
};

struct net_rig {
    struct front_rig front;
    struct loop *loop;
    struct listener *listener;
    char address[CONN_ADDRESS_SIZE];
    struct net_client clients[CLIENTS];
};

static void on_accept(void *arg, struct conn *conn)
{
    struct net_rig *rig = arg;
    session_open(front_part(rig->front.front, 0), conn);
}

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    (void)conn;
    struct net_client *client = arg;
    buf_append_slice(&client->got, input);
    return input.len;
}

static void on_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    ((struct net_client *)arg)->closed = true;
}

static const struct conn_handler client_handler = {.on_data = on_data, .on_close = on_close};

static void net_start(struct net_rig *rig)
{
    *rig = (struct net_rig){.loop = loop_new(0)};
    front_rig_start(&rig->front);
    front_attach(rig->front.front, 0, rig->loop);
    struct listener_options options = {
        .address = "127.0.0.1:0", .on_accept = on_accept, .arg = rig};
    char error[LISTENER_ERROR_SIZE] = "";
    CHECK_EQ(listener_open(rig->loop, &options, &rig->listener, error), STATUS_OK);
    listener_address(rig->listener, rig->address);
}

static struct net_client *net_connect(struct net_rig *rig, size_t i)
{
    struct net_client *client = &rig->clients[i];
    buf_init(&client->got, 1024 * 1024 * 1024);
    client->conn = conn_dial(rig->loop, rig->address, WAIT_MS, &client_handler, client);
    return client;
}

static void net_stop(struct net_rig *rig)
{
    listener_close(rig->listener);
    loop_free(rig->loop);
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_deinit(&rig->clients[i].got);
    }
    front_rig_stop(&rig->front);
    free(rig);
}

static struct net_rig *net_new(void)
{
    struct net_rig *rig = malloc(sizeof(*rig));
    CHECK(rig != NULL);
    net_start(rig);
    return rig;
}

#define WAIT_FOR(rig, condition)                     \
    do {                                             \
        uint64_t end_ms_ = clock_now_ms() + WAIT_MS; \
        while (!(condition)) {                       \
            CHECK(clock_now_ms() < end_ms_);         \
            loop_step((rig)->loop, 100);             \
        }                                            \
    } while (0)

TEST(session_open, serves_many_clients_and_forgets_them)
{
    struct net_rig *rig = net_new();
    for (size_t i = 0; i < CLIENTS; i++) {
        conn_write(net_connect(rig, i)->conn, slice_str("PING\r\n"));
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        WAIT_FOR(rig, rig->clients[i].got.len == 7);
    }
    CHECK_EQ(front_clients(rig->front.front), CLIENTS + 1);
    for (size_t i = 0; i < CLIENTS; i++) {
        conn_close(rig->clients[i].conn, STATUS_OK);
    }
    WAIT_FOR(rig, front_clients(rig->front.front) == 1);
    net_stop(rig);
}

TEST(session_open, refuses_more_than_maxclients)
{
    struct net_rig *rig = net_new();
    (void)front_rig_ask(&rig->front, "CONFIG SET maxclients 3\r\n");
    struct net_client *first = net_connect(rig, 0);
    struct net_client *second = net_connect(rig, 1);
    WAIT_FOR(rig, front_clients(rig->front.front) == 3);
    struct net_client *third = net_connect(rig, 2);
    WAIT_FOR(rig, third->closed);
    CHECK_BYTES(buf_slice(&third->got), "-ERR max number of clients reached\r\n");
    conn_write(first->conn, slice_str("PING\r\n"));
    WAIT_FOR(rig, first->got.len == 7);
    CHECK(!second->closed);
    net_stop(rig);
}

TEST(session_open, closes_after_quit_and_after_an_error)
{
    struct net_rig *rig = net_new();
    struct net_client *polite = net_connect(rig, 0);
    struct net_client *rude = net_connect(rig, 1);
    conn_write(polite->conn, slice_str("PING\r\nQUIT\r\nPING\r\n"));
    conn_write(rude->conn, slice_str("*x\r\n"));
    WAIT_FOR(rig, polite->closed && rude->closed);
    CHECK_BYTES(buf_slice(&polite->got), "+PONG\r\n+OK\r\n");
    CHECK_BYTES(buf_slice(&rude->got), "-ERR Protocol error: invalid multibulk length\r\n");
    net_stop(rig);
}

TEST(session_open, closes_a_reader_that_does_not_read_and_serves_the_others)
{
    struct net_rig *rig = net_new();
    (void)front_rig_ask(&rig->front, "CONFIG SET client-output-buffer-limit 64kb\r\n");
    struct net_client *slow = net_connect(rig, 0);
    struct net_client *good = net_connect(rig, 1);
    conn_pause(slow->conn);
    struct buf text;
    buf_init(&text, 64 * 1024 * 1024);
    for (size_t i = 0; i < 400; i++) {
        buf_append_text(&text, "*2\r\n$4\r\nECHO\r\n$100000\r\n");
        memset(buf_reserve(&text, 100000), 'x', 100000);
        text.len += 100000;
        buf_append_text(&text, "\r\n");
    }
    conn_write(slow->conn, buf_slice(&text));
    WAIT_FOR(rig, front_clients(rig->front.front) == 2);
    conn_write(good->conn, slice_str("PING\r\n"));
    WAIT_FOR(rig, good->got.len == 7);
    buf_deinit(&text);
    net_stop(rig);
}

TEST(session_open, takes_large_values_and_long_pipelines)
{
    struct net_rig *rig = net_new();
    struct net_client *client = net_connect(rig, 0);
    enum { VALUE = 20 * 1024 * 1024, PINGS = 5000 };
    struct buf text;
    buf_init(&text, 64 * 1024 * 1024);
    buf_append_format(&text, "*2\r\n$4\r\nECHO\r\n$%d\r\n", VALUE);
    for (size_t i = 0; i < VALUE; i++) {
        buf_append_u8(&text, (uint8_t)(i * 31));
    }
    buf_append_text(&text, "\r\n");
    for (size_t i = 0; i < PINGS; i++) {
        buf_append_text(&text, "*1\r\n$4\r\nPING\r\n");
    }
    conn_write(client->conn, buf_slice(&text));
    size_t head = 11; /* "$20971520\r\n" */
    WAIT_FOR(rig, client->got.len == head + VALUE + 2 + PINGS * 7);
    CHECK(memcmp(client->got.data + head, text.data + text.len - PINGS * 14 - 2 - VALUE, VALUE) ==
          0);
    buf_deinit(&text);
    net_stop(rig);
}

TEST(session_open, stops_reading_when_the_pipeline_is_full_and_goes_on_later)
{
    struct net_rig *rig = net_new();
    (void)front_rig_ask(&rig->front, "CONFIG SET client-pipeline-max 8\r\n");
    rig->front.hold = true;
    struct net_client *client = net_connect(rig, 0);
    for (int i = 0; i < 20; i++) {
        conn_write(client->conn, slice_str("GET a\r\n"));
    }
    WAIT_FOR(rig, rig->front.held_count == 8);
    loop_step(rig->loop, 5);
    CHECK_EQ(rig->front.held_count, 8);
    size_t done = 0;
    while (done < 20) {
        WAIT_FOR(rig, rig->front.held_count > done);
        front_rig_finish(&rig->front, done++);
    }
    WAIT_FOR(rig, client->got.len == 20 * 7);
    net_stop(rig);
}
