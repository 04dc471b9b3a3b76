#include "common/net/conn.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/net/listener.h"
#include "tests/support/test.h"

enum { WAIT_MS = 10000, BIG_SIZE = 32 * 1024 * 1024 };

/* One end of a connection, and what happened to it. */
struct end {
    struct conn *conn; /* NULL: none, or closed. */
    struct buf got;
    size_t take_max;  /* Uses at most so many bytes at a time; 0: all. */
    size_t whole;     /* Uses nothing until so many bytes are there. */
    bool take_memory; /* By conn_take_input. */
    bool took_memory;
    unsigned calls, opened, drained, closed;
    enum status reason;
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct end server, client;
    char address[CONN_ADDRESS_SIZE];
};

static void on_open(void *arg, struct conn *conn)
{
    struct end *end = arg;
    CHECK(end->conn == conn);
    end->opened++;
}

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    struct end *end = arg;
    end->calls++;
    CHECK(input.len > 0);
    if (input.len < end->whole) {
        conn_expect(conn, end->whole);
        return 0;
    }
    size_t used = end->take_max > 0 && input.len > end->take_max ? end->take_max : input.len;
    if (end->take_memory) {
        uint8_t *memory = conn_take_input(conn, used);
        if (memory != NULL) {
            end->took_memory = true;
            buf_append(&end->got, input.data, used);
            free(memory);
            return 0;
        }
    }
    buf_append(&end->got, input.data, used);
    return used;
}

static void on_drained(void *arg, struct conn *conn)
{
    (void)conn;
    ((struct end *)arg)->drained++;
}

static void on_close(void *arg, struct conn *conn, enum status reason)
{
    struct end *end = arg;
    CHECK(end->conn == conn);
    end->conn = NULL;
    end->closed++;
    end->reason = reason;
}

static const struct conn_handler handler = {
    .on_open = on_open, .on_data = on_data, .on_drained = on_drained, .on_close = on_close};

static void on_accept(void *arg, struct conn *conn)
{
    struct pair *pair = arg;
    CHECK(pair->server.conn == NULL);
    pair->server.conn = conn;
    conn_set_handler(conn, &handler, &pair->server);
}

#define WAIT_FOR(pair, condition)                    \
    do {                                             \
        uint64_t end_ms_ = clock_now_ms() + WAIT_MS; \
        while (!(condition)) {                       \
            CHECK(clock_now_ms() < end_ms_);         \
            loop_step((pair)->loop, 100);            \
        }                                            \
    } while (0)

static void start(struct pair *pair)
{
    *pair = (struct pair){.loop = loop_new(0)};
    buf_init(&pair->server.got, 2 * BIG_SIZE);
    buf_init(&pair->client.got, 2 * BIG_SIZE);
    struct listener_options options = {
        .address = "127.0.0.1:0", .on_accept = on_accept, .arg = pair};
    char error[LISTENER_ERROR_SIZE] = "";
    CHECK_EQ(listener_open(pair->loop, &options, &pair->listener, error), STATUS_OK);
    listener_address(pair->listener, pair->address);
}

static void join(struct pair *pair)
{
    pair->client.conn = conn_dial(pair->loop, pair->address, WAIT_MS, &handler, &pair->client);
    WAIT_FOR(pair, pair->server.conn != NULL && pair->client.opened == 1);
}

static void stop(struct pair *pair)
{
    listener_close(pair->listener);
    loop_free(pair->loop);
    CHECK(pair->server.conn == NULL && pair->client.conn == NULL);
    buf_deinit(&pair->server.got);
    buf_deinit(&pair->client.got);
}

static struct slice big_bytes(uint8_t **memory)
{
    *memory = malloc(BIG_SIZE);
    CHECK(*memory != NULL);
    for (size_t i = 0; i < BIG_SIZE; i++) {
        (*memory)[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    return slice_of(*memory, BIG_SIZE);
}

TEST(conn_write, carries_bytes_both_ways)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    conn_write(pair.client.conn, slice_str("hello "));
    conn_write(pair.client.conn, slice_str("world"));
    buf_append_text(conn_out(pair.server.conn), "welcome");
    WAIT_FOR(&pair, pair.server.got.len == 11 && pair.client.got.len == 7);
    CHECK_BYTES(buf_slice(&pair.server.got), "hello world");
    CHECK_BYTES(buf_slice(&pair.client.got), "welcome");
    CHECK_EQ(pair.server.calls, 1); /* One write per turn. */
    CHECK_EQ(conn_totals(pair.loop).input_size, 18);
    CHECK_EQ(conn_totals(pair.loop).output_size, 18);
    CHECK_EQ(conn_totals(pair.loop).count, 2);
    stop(&pair);
}

TEST(conn_write, carries_much_to_a_reader_of_large_pieces)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    pair.server.whole = BIG_SIZE;
    pair.server.take_memory = true;
    uint8_t *memory;
    struct slice bytes = big_bytes(&memory);
    conn_write(pair.client.conn, bytes);
    WAIT_FOR(&pair, pair.server.got.len == BIG_SIZE);
    CHECK(hash_bytes(buf_slice(&pair.server.got)) == hash_bytes(bytes));
    CHECK(pair.server.took_memory);
    CHECK(pair.client.drained == 1);
    /* What follows a piece that was taken away comes as well. */
    pair.server.whole = 0;
    conn_write(pair.client.conn, slice_str("tail"));
    WAIT_FOR(&pair, pair.server.got.len == BIG_SIZE + 4);
    free(memory);
    stop(&pair);
}

TEST(on_data, gives_again_what_was_not_used)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    uint8_t *memory;
    struct slice bytes = big_bytes(&memory);
    bytes.len = 1000000;
    pair.server.take_max = 70000;
    conn_write(pair.client.conn, bytes);
    WAIT_FOR(&pair, pair.client.conn != NULL && conn_pending(pair.client.conn) == 0);
    /* Nothing new comes: the rest needs a push. */
    while (pair.server.got.len < bytes.len) {
        conn_resume(pair.server.conn);
        loop_step(pair.loop, 10);
    }
    CHECK(hash_bytes(buf_slice(&pair.server.got)) == hash_bytes(bytes));
    CHECK_EQ(conn_held(pair.server.conn), 0);
    free(memory);
    stop(&pair);
}

TEST(conn_pause, holds_the_other_side_back)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    conn_pause(pair.server.conn);
    uint8_t *memory;
    struct slice bytes = big_bytes(&memory);
    conn_write(pair.client.conn, bytes);
    for (int i = 0; i < 20; i++) {
        loop_step(pair.loop, 1);
    }
    CHECK_EQ(pair.server.got.len, 0);
    CHECK(conn_pending(pair.client.conn) > 0);
    CHECK(conn_held(pair.server.conn) <= 128 * 1024);
    conn_resume(pair.server.conn);
    WAIT_FOR(&pair, pair.server.got.len == BIG_SIZE);
    CHECK(hash_bytes(buf_slice(&pair.server.got)) == hash_bytes(bytes));
    free(memory);
    stop(&pair);
}

TEST(conn_write, over_the_limit_closes_with_a_reason)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    conn_pause(pair.server.conn);
    conn_set_limits(pair.client.conn, 0, BIG_SIZE - 1, 0);
    uint8_t *memory;
    struct slice bytes = big_bytes(&memory);
    conn_write(pair.client.conn, bytes);
    WAIT_FOR(&pair, pair.client.closed == 1);
    CHECK_EQ(pair.client.reason, STATUS_TOO_BIG);
    free(memory);
    stop(&pair);
}

TEST(conn_out, over_the_limit_closes_at_the_end_of_the_turn)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    conn_pause(pair.server.conn);
    conn_set_limits(pair.client.conn, 0, 1024 * 1024, 0);
    uint8_t *memory;
    struct slice bytes = big_bytes(&memory);
    buf_append_slice(conn_out(pair.client.conn), bytes);
    WAIT_FOR(&pair, pair.client.closed == 1);
    CHECK_EQ(pair.client.reason, STATUS_TOO_BIG);
    free(memory);
    stop(&pair);
}

TEST(conn_set_limits, bounds_unused_input)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    pair.server.whole = BIG_SIZE;
    conn_set_limits(pair.server.conn, 1024 * 1024, 0, 0);
    uint8_t *memory;
    struct slice bytes = big_bytes(&memory);
    conn_write(pair.client.conn, bytes);
    WAIT_FOR(&pair, pair.server.closed == 1);
    CHECK_EQ(pair.server.reason, STATUS_TOO_BIG);
    WAIT_FOR(&pair, pair.client.closed == 1);
    CHECK_EQ(pair.client.reason, STATUS_DISCONNECTED);
    free(memory);
    stop(&pair);
}

TEST(conn_finish, delivers_what_is_pending_first)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    uint8_t *memory;
    struct slice bytes = big_bytes(&memory);
    conn_write(pair.server.conn, bytes);
    conn_finish(pair.server.conn);
    conn_write(pair.client.conn, slice_str("ignored"));
    WAIT_FOR(&pair, pair.client.closed == 1);
    CHECK_EQ(pair.client.got.len, BIG_SIZE);
    CHECK_EQ(pair.client.reason, STATUS_DISCONNECTED);
    WAIT_FOR(&pair, pair.server.closed == 1);
    CHECK_EQ(pair.server.reason, STATUS_OK);
    CHECK_EQ(pair.server.got.len, 0);
    free(memory);
    stop(&pair);
}

TEST(conn_close, comes_once_and_later)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    conn_close(pair.client.conn, STATUS_BUSY);
    conn_close(pair.client.conn, STATUS_IO);
    conn_write(pair.client.conn, slice_str("into nothing"));
    buf_append_text(conn_out(pair.client.conn), "the same");
    CHECK_EQ(pair.client.closed, 0);
    WAIT_FOR(&pair, pair.client.closed == 1 && pair.server.closed == 1);
    CHECK_EQ(pair.client.reason, STATUS_BUSY);
    CHECK_EQ(pair.server.reason, STATUS_DISCONNECTED);
    CHECK_EQ(pair.server.got.len, 0);
    stop(&pair);
}

TEST(conn_dial, reports_a_refused_connection)
{
    struct pair pair;
    start(&pair);
    listener_close(pair.listener);
    pair.client.conn = conn_dial(pair.loop, pair.address, WAIT_MS, &handler, &pair.client);
    CHECK_EQ(pair.client.closed, 0);
    WAIT_FOR(&pair, pair.client.closed == 1);
    CHECK_EQ(pair.client.reason, STATUS_DISCONNECTED);
    CHECK_EQ(pair.client.opened, 0);
    struct listener_options options = {
        .address = "127.0.0.1:0", .on_accept = on_accept, .arg = &pair};
    char error[LISTENER_ERROR_SIZE] = "";
    CHECK_EQ(listener_open(pair.loop, &options, &pair.listener, error), STATUS_OK);
    stop(&pair);
}

TEST(conn_dial, refuses_what_is_not_an_address)
{
    static const char *const bad[] = {"",    "localhost", "1.2.3.4:",   ":", "1.2.3.4:99999",
                                      "a:b", "::1:80",    "127.0.0.1:0"};
    struct pair pair;
    start(&pair);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pair.client.closed = 0;
        pair.client.conn = conn_dial(pair.loop, bad[i], WAIT_MS, &handler, &pair.client);
        WAIT_FOR(&pair, pair.client.closed == 1);
        CHECK_EQ(pair.client.reason, STATUS_BAD_ARGUMENT);
    }
    stop(&pair);
}

TEST(conn_dial, finds_names_and_tries_all_their_addresses)
{
    struct pair pair;
    start(&pair);
    (void)snprintf(pair.address, sizeof(pair.address), "localhost:%u",
                   (unsigned)listener_port(pair.listener));
    join(&pair);
    CHECK_EQ(pair.client.opened, 1);
    stop(&pair);
}

TEST(conn_dial, may_be_given_up_at_once)
{
    struct pair pair;
    start(&pair);
    (void)snprintf(pair.address, sizeof(pair.address), "localhost:%u",
                   (unsigned)listener_port(pair.listener));
    pair.client.conn = conn_dial(pair.loop, pair.address, WAIT_MS, &handler, &pair.client);
    conn_close(pair.client.conn, STATUS_OK);
    WAIT_FOR(&pair, pair.client.closed == 1);
    stop(&pair);
}

TEST(conn_peer, prints_both_sides)
{
    struct pair pair;
    start(&pair);
    join(&pair);
    char peer[CONN_ADDRESS_SIZE];
    char local[CONN_ADDRESS_SIZE];
    conn_peer(pair.client.conn, peer);
    conn_local(pair.server.conn, local);
    CHECK_BYTES(slice_str(peer), pair.address);
    CHECK_BYTES(slice_str(local), pair.address);
    stop(&pair);
}

static void ignore_accept(void *arg, struct conn *conn)
{
    (void)arg;
    conn_close(conn, STATUS_OK);
}

TEST(listener_open, says_why_it_cannot)
{
    struct pair pair;
    start(&pair);
    char error[LISTENER_ERROR_SIZE] = "";
    struct listener *listener = NULL;
    struct loop *other = loop_new(1);
    struct listener_options options = {.address = pair.address, .on_accept = ignore_accept};
    CHECK_EQ(listener_open(other, &options, &listener, error), STATUS_CONFLICT);
    CHECK(strstr(error, "is taken by another process") != NULL);
    options.address = "192.0.2.1:0"; /* Reserved for documentation: no machine has it. */
    CHECK_EQ(listener_open(other, &options, &listener, error), STATUS_BAD_ARGUMENT);
    CHECK(strstr(error, "not an address of this machine") != NULL);
    options.address = "nonsense";
    CHECK_EQ(listener_open(other, &options, &listener, error), STATUS_BAD_ARGUMENT);
    CHECK(strstr(error, "HOST:PORT") != NULL);
    options.address = "127.0.0.1:70000";
    CHECK_EQ(listener_open(other, &options, &listener, error), STATUS_BAD_ARGUMENT);
    loop_free(other);
    stop(&pair);
}

TEST(listener_open, shares_a_port_among_loops)
{
    struct pair pair;
    start(&pair);
    struct loop *other = loop_new(1);
    struct listener_options options = {
        .address = pair.address, .shared = true, .on_accept = ignore_accept};
    struct listener *listener = NULL;
    char error[LISTENER_ERROR_SIZE] = "";
    CHECK_EQ(listener_open(other, &options, &listener, error), STATUS_OK);
    CHECK_EQ(listener_port(listener), listener_port(pair.listener));
    listener_close(listener);
    loop_free(other);
    stop(&pair);
}

TEST(listener_open, takes_version_6_addresses)
{
    struct loop *loop = loop_new(0);
    struct listener_options options = {.address = "[::1]:0", .on_accept = ignore_accept};
    struct listener *listener = NULL;
    char error[LISTENER_ERROR_SIZE] = "";
    enum status status = listener_open(loop, &options, &listener, error);
    /* A machine may be without version 6; then it must be told so. */
    CHECK(status == STATUS_OK || error[0] != '\0');
    if (status == STATUS_OK) {
        char text[CONN_ADDRESS_SIZE];
        listener_address(listener, text);
        CHECK(strncmp(text, "[::1]:", 6) == 0);
        listener_close(listener);
    }
    loop_free(loop);
}

TEST(conn_parse_address, takes_hosts_with_ports)
{
    char host[64];
    uint16_t port = 0;
    CHECK_EQ(conn_parse_address("a.b:65535", host, sizeof(host), &port), STATUS_OK);
    CHECK_EQ(port, 65535);
    CHECK_BYTES(slice_str(host), "a.b");
    CHECK_EQ(conn_parse_address("[::1]:1", host, sizeof(host), &port), STATUS_OK);
    CHECK_BYTES(slice_str(host), "::1");
    CHECK_EQ(conn_parse_address("a:65536", host, sizeof(host), &port), STATUS_BAD_ARGUMENT);
    CHECK_EQ(conn_parse_address("a:1x", host, sizeof(host), &port), STATUS_BAD_ARGUMENT);
    CHECK_EQ(conn_parse_address("a", host, sizeof(host), &port), STATUS_BAD_ARGUMENT);
    CHECK_EQ(conn_parse_address("long:1", host, 4, &port), STATUS_BAD_ARGUMENT);
}
