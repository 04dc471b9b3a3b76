#include "common/net/http.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/support/test.h"

enum { WAIT_MS = 10000 };

struct rig {
    struct loop *loop;
    struct http *http;
    struct http_call *waiting;
    unsigned asked;
};

static void on_request(void *arg, struct http_call *call, const struct http_request *request)
{
    struct rig *rig = arg;
    rig->asked++;
    struct http_response *response = http_call_response(call);
    if (slice_equal(request->path, slice_str("/later"))) {
        rig->waiting = call;
        return;
    }
    if (slice_equal(request->path, slice_str("/hello"))) {
        response->status = 200;
        buf_append_text(&response->body, "hello ");
        buf_append_slice(&response->body, request->query);
    }
    http_respond(call);
}

static void start(struct rig *rig)
{
    *rig = (struct rig){.loop = loop_new(0)};
    struct http_options options = {.address = "127.0.0.1:0", .on_request = on_request, .arg = rig};
    char error[LISTENER_ERROR_SIZE] = "";
    CHECK_EQ(http_open(rig->loop, &options, &rig->http, error), STATUS_OK);
}

static void stop(struct rig *rig)
{
    http_close(rig->http);
    loop_free(rig->loop);
}

struct client {
    struct conn *conn;
    struct buf got;
    bool closed;
};

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    (void)conn;
    buf_append_slice(&((struct client *)arg)->got, input);
    return input.len;
}

static void on_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    ((struct client *)arg)->closed = true;
}

static const struct conn_handler handler = {.on_data = on_data, .on_close = on_close};

static void send(struct rig *rig, struct client *client, struct slice bytes)
{
    *client = (struct client){0};
    buf_init(&client->got, 1024 * 1024);
    char address[32];
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)http_port(rig->http));
    client->conn = conn_dial(rig->loop, address, WAIT_MS, &handler, client);
    conn_write(client->conn, bytes);
}

static void wait(struct rig *rig, const struct client *client)
{
    uint64_t end_ms = clock_now_ms() + WAIT_MS;
    while (!client->closed) {
        CHECK(clock_now_ms() < end_ms);
        loop_step(rig->loop, 100);
    }
}

/* Sends, waits for the end, and checks how the answer begins and ends. */
static void expect(const char *request, const char *first_line, const char *body)
{
    struct rig rig;
    struct client client;
    start(&rig);
    send(&rig, &client, slice_str(request));
    wait(&rig, &client);
    buf_append_u8(&client.got, 0);
    const char *text = (const char *)client.got.data;
    CHECK(strncmp(text, first_line, strlen(first_line)) == 0);
    const char *end = strstr(text, "\r\n\r\n");
    CHECK(end != NULL);
    CHECK_BYTES(slice_str(end + 4), body);
    buf_deinit(&client.got);
    stop(&rig);
}

TEST(http_open, answers_get_and_head)
{
    expect("GET /hello?world HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "hello world");
    expect("GET /hello HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "hello ");
    expect("HEAD /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "");
}

TEST(http_open, refuses_what_it_does_not_do)
{
    expect("GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "");
    expect("POST /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n",
           "405 Method Not Allowed\n");
    expect("GET hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 Bad Request\n");
    expect("*1\r\n$4\r\nPING\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 Bad Request\n");
    expect("\x16\x03\x01 tls", "HTTP/1.1 400 Bad Request\r\n", "400 Bad Request\n");
}

TEST(http_open, refuses_a_head_that_is_too_long)
{
    struct buf head;
    buf_init(&head, 64 * 1024);
    buf_append_text(&head, "GET /hello HTTP/1.1\r\nX: ");
    memset(buf_reserve(&head, HTTP_HEAD_SIZE_MAX), 'x', HTTP_HEAD_SIZE_MAX);
    head.len += HTTP_HEAD_SIZE_MAX;
    buf_append_text(&head, "\r\n\r\n");
    buf_append_u8(&head, 0);
    expect((const char *)head.data, "HTTP/1.1 431 ", "431 Request Header Fields Too Large\n");
    buf_deinit(&head);
}

TEST(http_respond, may_come_later_and_after_the_client_has_gone)
{
    struct rig rig;
    struct client client;
    start(&rig);
    send(&rig, &client, slice_str("GET /later HTTP/1.1\r\n\r\n"));
    uint64_t end_ms = clock_now_ms() + WAIT_MS;
    while (rig.waiting == NULL) {
        CHECK(clock_now_ms() < end_ms);
        loop_step(rig.loop, 100);
    }
    http_call_response(rig.waiting)->status = 200;
    http_respond(rig.waiting);
    wait(&rig, &client);
    CHECK(client.got.len > 12 && memcmp(client.got.data, "HTTP/1.1 200", 12) == 0);
    buf_deinit(&client.got);

    rig.waiting = NULL;
    send(&rig, &client, slice_str("GET /later HTTP/1.1\r\n\r\n"));
    while (rig.waiting == NULL) {
        CHECK(clock_now_ms() < end_ms);
        loop_step(rig.loop, 100);
    }
    conn_close(client.conn, STATUS_OK);
    wait(&rig, &client);
    for (int i = 0; i < 3; i++) {
        loop_step(rig.loop, 5);
    }
    http_respond(rig.waiting);
    buf_deinit(&client.got);
    stop(&rig);
}

TEST(http_parse, needs_more_at_every_split)
{
    static const char head[] = "GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\nbody";
    size_t whole = strlen(head) - 4;
    for (size_t len = 0; len < whole; len++) {
        struct http_request request = {0};
        size_t size = 0;
        CHECK_EQ(http_parse(slice_of(head, len), &request, &size), STATUS_AGAIN);
    }
    struct http_request request = {0};
    size_t size = 0;
    CHECK_EQ(http_parse(slice_str(head), &request, &size), STATUS_OK);
    CHECK_EQ(size, whole);
    CHECK_BYTES(request.method, "GET");
    CHECK_BYTES(request.path, "/a");
    CHECK_BYTES(request.query, "b=c");
}

TEST(http_parse, refuses_malformed_heads)
{
    static const char *const bad[] = {
        " GET / HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA b: x\r\n\r\n",
        "GET / HTTP/1.1\r\nnone\r\n\r\n",
        "GET / HTTP/1.1\r\n folded\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n\r\n",
        "ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct http_request request = {0};
        size_t size = 0;
        CHECK_EQ(http_parse(slice_str(bad[i]), &request, &size), STATUS_PROTOCOL);
    }
}
