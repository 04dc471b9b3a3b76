#include "common/net/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/net/port.h"
#include "tests/support/test.h"

enum { WAIT_MS = 10000, PEERS_MAX = 4 };

/* One end of a link, and what happened to it. */
struct peer {
    struct link *link;
    unsigned ups, downs, fails;
    enum status reason;
    char text[128];
    struct buf got; /* Bodies of frames. */
    enum status answer;
    struct frame_hello hello;
};

struct rig {
    struct loop *loop;
    struct port *port;
    struct frame_hello node, router;
    struct peer accepted[PEERS_MAX];
    size_t accepted_count;
    struct peer dialled;
    struct conn *session;
    struct buf session_got;
    char address[CONN_ADDRESS_SIZE];
};

static enum status on_frame(void *arg, struct link *link, const struct frame *frame)
{
    struct peer *peer = arg;
    CHECK(peer->link == link);
    buf_append_slice(&peer->got, frame->body);
    return peer->answer;
}

static void on_up(void *arg, struct link *link, const struct frame_hello *hello)
{
    struct peer *peer = arg;
    CHECK(peer->link == link);
    peer->ups++;
    peer->hello = *hello;
}

static void on_down(void *arg, struct link *link, enum status reason)
{
    struct peer *peer = arg;
    CHECK(peer->link == link);
    peer->downs++;
    peer->reason = reason;
}

static void on_failed(void *arg, struct link *link, enum status reason, const char *text)
{
    struct peer *peer = arg;
    CHECK(peer->link == link);
    peer->fails++;
    peer->reason = reason;
    (void)snprintf(peer->text, sizeof(peer->text), "%s", text);
}

static const struct link_handler peer_handler = {
    .on_up = on_up, .on_frame = on_frame, .on_down = on_down, .on_failed = on_failed};

static void on_accepted_up(void *arg, struct link *link, const struct frame_hello *hello)
{
    struct rig *rig = arg;
    CHECK(rig->accepted_count < PEERS_MAX);
    struct peer *peer = &rig->accepted[rig->accepted_count++];
    peer->link = link;
    link_set_arg(link, peer);
    on_up(peer, link, hello);
}

static const struct link_handler accept_handler = {
    .on_up = on_accepted_up, .on_frame = on_frame, .on_down = on_down};

static size_t on_session_data(void *arg, struct conn *conn, struct slice input)
{
    (void)conn;
    struct rig *rig = arg;
    buf_append_slice(&rig->session_got, input);
    return input.len;
}

static void on_session_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    ((struct rig *)arg)->session = NULL;
}

static const struct conn_handler session_handler = {.on_data = on_session_data,
                                                    .on_close = on_session_close};

static void on_session(void *arg, struct conn *conn)
{
    struct rig *rig = arg;
    rig->session = conn;
    conn_set_handler(conn, &session_handler, rig);
}

#define WAIT_FOR(rig, condition)                     \
    do {                                             \
        uint64_t end_ms_ = clock_now_ms() + WAIT_MS; \
        while (!(condition)) {                       \
            CHECK(clock_now_ms() < end_ms_);         \
            loop_step((rig)->loop, 100);             \
        }                                            \
    } while (0)

static void open_port(struct rig *rig, const char *address)
{
    struct port_options options = {
        .address = address,
        .silent_max = 2,
        .link = {.hello = &rig->node, .handler = &accept_handler, .arg = rig, .seed = 1},
        .on_session = on_session,
        .arg = rig,
    };
    char error[LISTENER_ERROR_SIZE] = "";
    CHECK_EQ(port_open(rig->loop, &options, &rig->port, error), STATUS_OK);
    port_address(rig->port, rig->address);
}

static void start(struct rig *rig)
{
    *rig = (struct rig){.loop = loop_new(0)};
    rig->node = (struct frame_hello){.version = FRAME_VERSION, .role = FRAME_ROLE_NODE, .node = 7};
    rig->router = (struct frame_hello){.version = FRAME_VERSION, .role = FRAME_ROLE_ROUTER};
    for (size_t i = 0; i < PEERS_MAX; i++) {
        buf_init(&rig->accepted[i].got, 64 * 1024 * 1024);
    }
    buf_init(&rig->dialled.got, 64 * 1024 * 1024);
    buf_init(&rig->session_got, 1024 * 1024);
    open_port(rig, "127.0.0.1:0");
}

static void dial(struct rig *rig)
{
    struct link_options options = {
        .hello = &rig->router, .handler = &peer_handler, .arg = &rig->dialled, .seed = 2};
    rig->dialled.link = link_dial(rig->loop, rig->address, &options);
}

static void stop(struct rig *rig)
{
    if (rig->dialled.link != NULL) {
        link_free(rig->dialled.link);
    }
    if (rig->port != NULL) {
        port_close(rig->port);
    }
    loop_free(rig->loop);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        buf_deinit(&rig->accepted[i].got);
    }
    buf_deinit(&rig->dialled.got);
    buf_deinit(&rig->session_got);
}

static void send(struct link *link, const char *body)
{
    struct buf *out = link_out(link);
    size_t offset = frame_begin(out, FRAME_PEER, 0);
    buf_append_text(out, body);
    frame_end(out, offset);
}

TEST(link_dial, greets_and_carries_frames_both_ways)
{
    struct rig rig;
    start(&rig);
    dial(&rig);
    CHECK(link_full(rig.dialled.link));
    WAIT_FOR(&rig, rig.dialled.ups == 1 && rig.accepted_count == 1);
    CHECK_EQ(rig.dialled.hello.node, 7);
    CHECK_EQ(rig.accepted[0].hello.role, FRAME_ROLE_ROUTER);
    CHECK_EQ(link_hello(rig.dialled.link)->node, 7);
    send(rig.dialled.link, "one");
    send(rig.dialled.link, "two");
    send(rig.accepted[0].link, "back");
    WAIT_FOR(&rig, rig.accepted[0].got.len == 6 && rig.dialled.got.len == 4);
    CHECK_BYTES(buf_slice(&rig.accepted[0].got), "onetwo");
    CHECK_BYTES(buf_slice(&rig.dialled.got), "back");
    stop(&rig);
}

TEST(link_dial, connects_again_by_itself)
{
    struct rig rig;
    start(&rig);
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.ups == 1 && rig.accepted_count == 1);
    link_reset(rig.accepted[0].link, STATUS_BUSY);
    CHECK(!link_is_up(rig.accepted[0].link));
    send(rig.accepted[0].link, "into nothing");
    WAIT_FOR(&rig, rig.dialled.ups == 2 && rig.accepted_count == 2);
    CHECK_EQ(rig.dialled.downs, 1);
    CHECK_EQ(rig.accepted[0].downs, 1);
    CHECK_EQ(rig.accepted[0].reason, STATUS_BUSY);
    CHECK_EQ(rig.dialled.got.len, 0);
    stop(&rig);
}

TEST(link_dial, keeps_trying_until_somebody_listens)
{
    struct rig rig;
    start(&rig);
    char address[CONN_ADDRESS_SIZE];
    memcpy(address, rig.address, sizeof(address));
    port_close(rig.port);
    rig.port = NULL;
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.fails >= 2);
    CHECK_EQ(rig.dialled.reason, STATUS_DISCONNECTED);
    CHECK_EQ(rig.dialled.downs, 0);
    open_port(&rig, address);
    WAIT_FOR(&rig, rig.dialled.ups == 1);
    stop(&rig);
}

TEST(link_set_address, moves_to_the_other_place)
{
    struct rig rig;
    start(&rig);
    char address[CONN_ADDRESS_SIZE];
    memcpy(address, rig.address, sizeof(address));
    memcpy(rig.address, "127.0.0.1:1", 12);
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.fails >= 1);
    link_set_address(rig.dialled.link, address);
    CHECK_BYTES(slice_str(link_address(rig.dialled.link)), address);
    WAIT_FOR(&rig, rig.dialled.ups == 1);
    stop(&rig);
}

TEST(link_accept, refuses_another_cluster_and_says_so)
{
    struct rig rig;
    start(&rig);
    rig.node.cluster[0] = 1;
    rig.router.cluster[0] = 2;
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.fails == 1);
    CHECK_EQ(rig.dialled.reason, STATUS_WRONG_CLUSTER);
    CHECK_EQ(rig.dialled.ups, 0);
    CHECK_EQ(rig.accepted_count, 0);
    /* Who learns the right cluster gets in at the next attempt. */
    rig.router.cluster[0] = 1;
    WAIT_FOR(&rig, rig.dialled.ups == 1);
    stop(&rig);
}

TEST(link_accept, takes_who_knows_no_cluster_yet)
{
    struct rig rig;
    start(&rig);
    rig.node.cluster[5] = 1;
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.ups == 1);
    CHECK_EQ(rig.dialled.hello.cluster[5], 1);
    stop(&rig);
}

TEST(link_accept, refuses_another_version)
{
    struct rig rig;
    start(&rig);
    rig.router.version = FRAME_VERSION + 1;
    dial(&rig);
    /* This side finds nothing wrong with the other's version, and so may be up for a moment. */
    WAIT_FOR(&rig, rig.dialled.fails + rig.dialled.downs == 1);
    CHECK_EQ(rig.dialled.reason, STATUS_NEWER_FORMAT);
    CHECK_EQ(rig.accepted_count, 0);
    stop(&rig);
}

TEST(link_refuse, reaches_the_other_side)
{
    struct rig rig;
    start(&rig);
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.ups == 1 && rig.accepted_count == 1);
    link_refuse(rig.accepted[0].link, STATUS_CONFLICT, "two nodes with one id");
    WAIT_FOR(&rig, rig.dialled.downs == 1 && rig.accepted[0].downs == 1);
    CHECK_EQ(rig.dialled.reason, STATUS_CONFLICT);
    stop(&rig);
}

TEST(on_frame, that_fails_ends_the_connection)
{
    struct rig rig;
    start(&rig);
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.ups == 1 && rig.accepted_count == 1);
    rig.accepted[0].answer = STATUS_PROTOCOL;
    send(rig.dialled.link, "bad");
    send(rig.dialled.link, "never seen");
    WAIT_FOR(&rig, rig.accepted[0].downs == 1);
    CHECK_EQ(rig.accepted[0].reason, STATUS_PROTOCOL);
    CHECK_BYTES(buf_slice(&rig.accepted[0].got), "bad");
    stop(&rig);
}

TEST(link_pause, holds_frames_back)
{
    struct rig rig;
    start(&rig);
    dial(&rig);
    WAIT_FOR(&rig, rig.dialled.ups == 1 && rig.accepted_count == 1);
    link_pause(rig.accepted[0].link);
    send(rig.dialled.link, "later");
    for (int i = 0; i < 5; i++) {
        loop_step(rig.loop, 1);
    }
    CHECK_EQ(rig.accepted[0].got.len, 0);
    link_resume(rig.accepted[0].link);
    WAIT_FOR(&rig, rig.accepted[0].got.len == 5);
    stop(&rig);
}

TEST(link_full, is_true_over_the_bound_and_false_after)
{
    struct rig rig;
    start(&rig);
    struct link_options options = {.hello = &rig.router,
                                   .handler = &peer_handler,
                                   .arg = &rig.dialled,
                                   .output_max = 1024 * 1024};
    rig.dialled.link = link_dial(rig.loop, rig.address, &options);
    WAIT_FOR(&rig, rig.dialled.ups == 1 && rig.accepted_count == 1);
    char *body = malloc(16 * 1024 * 1024);
    CHECK(body != NULL);
    memset(body, 'x', 16 * 1024 * 1024);
    body[16 * 1024 * 1024 - 1] = '\0';
    CHECK(!link_full(rig.dialled.link));
    send(rig.dialled.link, body);
    CHECK(link_full(rig.dialled.link));
    WAIT_FOR(&rig, rig.accepted[0].got.len == 16 * 1024 * 1024 - 1);
    WAIT_FOR(&rig, !link_full(rig.dialled.link));
    free(body);
    stop(&rig);
}

/* Hostile peers: raw conns. */

struct raw {
    struct conn *conn;
    bool closed;
    struct buf got;
};

static size_t on_raw_data(void *arg, struct conn *conn, struct slice input)
{
    (void)conn;
    buf_append_slice(&((struct raw *)arg)->got, input);
    return input.len;
}

static void on_raw_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    ((struct raw *)arg)->closed = true;
}

static const struct conn_handler raw_handler = {.on_data = on_raw_data, .on_close = on_raw_close};

static void connect_raw(struct rig *rig, struct raw *raw)
{
    *raw = (struct raw){0};
    buf_init(&raw->got, 1024 * 1024);
    raw->conn = conn_dial(rig->loop, rig->address, WAIT_MS, &raw_handler, raw);
}

TEST(link_accept, closes_on_garbage_behind_the_magic)
{
    struct rig rig;
    start(&rig);
    for (unsigned kind = 0; kind < 4; kind++) {
        struct raw raw;
        connect_raw(&rig, &raw);
        struct buf bytes;
        buf_init(&bytes, 1024 * 1024);
        if (kind == 0) {
            buf_append(&bytes, "\xF5garbage garbage garbage", 24);
        } else if (kind == 1) {
            /* A proper frame, but not HELLO. */
            size_t offset = frame_begin(&bytes, FRAME_PEER, 0);
            frame_end(&bytes, offset);
        } else if (kind == 2) {
            /* A HELLO that is longer than a HELLO may be. */
            size_t offset = frame_begin(&bytes, FRAME_HELLO, 0);
            memset(buf_reserve(&bytes, 5000), 0, 5000);
            bytes.len += 5000;
            frame_end(&bytes, offset);
        } else {
            /* A HELLO with something behind. */
            size_t offset = frame_begin(&bytes, FRAME_HELLO, 0);
            buf_append_text(&bytes, "short");
            frame_end(&bytes, offset);
        }
        conn_write(raw.conn, buf_slice(&bytes));
        WAIT_FOR(&rig, raw.closed);
        CHECK_EQ(rig.accepted_count, 0);
        buf_deinit(&bytes);
        buf_deinit(&raw.got);
    }
    stop(&rig);
}

TEST(link_accept, closes_who_does_not_greet_in_time)
{
    struct rig rig;
    start(&rig);
    struct raw raw;
    connect_raw(&rig, &raw);
    uint64_t start_ms = clock_now_ms();
    conn_write(raw.conn, slice_str("\xF5"));
    WAIT_FOR(&rig, raw.closed);
    CHECK(clock_now_ms() - start_ms >= LINK_HANDSHAKE_MS - 1);
    buf_deinit(&raw.got);
    stop(&rig);
}

TEST(port_open, gives_other_first_bytes_to_sessions)
{
    struct rig rig;
    start(&rig);
    struct raw raw;
    connect_raw(&rig, &raw);
    conn_write(raw.conn, slice_str("PING\r\n"));
    WAIT_FOR(&rig, rig.session_got.len == 6);
    CHECK_BYTES(buf_slice(&rig.session_got), "PING\r\n");
    conn_write(rig.session, slice_str("+PONG\r\n"));
    WAIT_FOR(&rig, raw.got.len == 7);
    conn_close(raw.conn, STATUS_OK);
    WAIT_FOR(&rig, raw.closed && rig.session == NULL);
    buf_deinit(&raw.got);
    stop(&rig);
}

TEST(port_open, bounds_those_who_say_nothing)
{
    struct rig rig;
    start(&rig);
    struct raw raws[3];
    for (size_t i = 0; i < 3; i++) {
        connect_raw(&rig, &raws[i]);
        WAIT_FOR(&rig, conn_totals(rig.loop).count == 2 * (i + 1));
    }
    WAIT_FOR(&rig, raws[2].closed);
    CHECK(!raws[0].closed && !raws[1].closed);
    port_close(rig.port);
    rig.port = NULL;
    WAIT_FOR(&rig, raws[0].closed && raws[1].closed);
    for (size_t i = 0; i < 3; i++) {
        buf_deinit(&raws[i].got);
    }
    stop(&rig);
}

/* Freed within its own callback. */
static void on_up_free(void *arg, struct link *link, const struct frame_hello *hello)
{
    (void)hello;
    *(bool *)arg = true;
    link_free(link);
}

static enum status on_no_frame(void *arg, struct link *link, const struct frame *frame)
{
    (void)arg;
    (void)link;
    (void)frame;
    return STATUS_OK;
}

static void on_no_down(void *arg, struct link *link, enum status reason)
{
    (void)arg;
    (void)link;
    (void)reason;
    CHECK(false);
}

TEST(link_free, works_within_a_callback_and_silences_the_link)
{
    static const struct link_handler freeing = {
        .on_up = on_up_free, .on_frame = on_no_frame, .on_down = on_no_down};
    struct rig rig;
    start(&rig);
    bool freed = false;
    struct link_options options = {.hello = &rig.router, .handler = &freeing, .arg = &freed};
    (void)link_dial(rig.loop, rig.address, &options);
    WAIT_FOR(&rig, freed && rig.accepted_count == 1 && rig.accepted[0].downs == 1);
    stop(&rig);
}
