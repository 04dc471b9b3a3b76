#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/connection.h"
#include "client/sherd.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "tests/support/test.h"

/* A server for one connection: sends what it is told, piece by piece, then closes or waits for the
 * other side to. */
struct server {
    int listen_fd;
    uint16_t port;
    const char *answer;
    size_t piece; /* Bytes per send. */
    bool stays;   /* Does not close by itself. */
    struct thread thread;
    char address[32];
};

static void serve(void *arg)
{
    struct server *server = arg;
    int fd = accept(server->listen_fd, NULL, NULL);
    CHECK(fd >= 0);
    size_t len = strlen(server->answer);
    for (size_t at = 0; at < len; at += server->piece) {
        size_t size = len - at < server->piece ? len - at : server->piece;
        if (send(fd, server->answer + at, size, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    char sink[1024];
    if (!server->stays) {
        shutdown(fd, SHUT_WR);
    }
    while (recv(fd, sink, sizeof sink, 0) > 0) {
    }
    close(fd);
}

static int listen_somewhere(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void server_start(struct server *server, const char *answer, size_t piece, bool stays)
{
    *server = (struct server){.answer = answer, .piece = piece, .stays = stays};
    server->listen_fd = listen_somewhere(&server->port);
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", server->port);
    thread_start(&server->thread, "server", serve, server);
}

static void server_stop(struct server *server)
{
    thread_join(&server->thread);
    close(server->listen_fd);
}

TEST(connection_parse_address, takes_names_and_numbers)
{
    char host[CONNECTION_HOST_SIZE_MAX];
    uint16_t port = 0;
    CHECK_EQ(connection_parse_address("localhost:1", host, &port), STATUS_OK);
    CHECK_BYTES(slice_str(host), "localhost");
    CHECK_EQ(port, 1);
    CHECK_EQ(connection_parse_address("[::1]:65535", host, &port), STATUS_OK);
    CHECK_BYTES(slice_str(host), "::1");
    CHECK_EQ(port, 65535);
}

TEST(connection_parse_address, refuses_what_is_no_address)
{
    static const char *const bad[] = {"",     ":",    "a",    "a:",    ":1",
                                      "a:0",  "a:-1", "a:+1", "a: 1",  "a:65536",
                                      "a:1x", "[]:1", "a:b",  "a:1e1", "a:99999999999999999999"};
    char host[CONNECTION_HOST_SIZE_MAX];
    uint16_t port = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(connection_parse_address(bad[i], host, &port), STATUS_BAD_ARGUMENT);
    }
    CHECK_EQ(port, 7);
    char longest[CONNECTION_HOST_SIZE_MAX + 8];
    memset(longest, 'a', sizeof longest);
    memcpy(longest + CONNECTION_HOST_SIZE_MAX, ":1", 3);
    CHECK_EQ(connection_parse_address(longest, host, &port), STATUS_BAD_ARGUMENT);
    CHECK_EQ(connection_parse_address(longest + 1, host, &port), STATUS_OK);
}

TEST(connection_open, fails_when_nobody_listens)
{
    uint16_t port = 0;
    int fd = listen_somewhere(&port);
    close(fd);
    struct connection connection;
    CHECK_EQ(connection_open(&connection, "127.0.0.1", port, clock_now_ms() + 5000), STATUS_IO);
    CHECK_EQ(connection.fd, -1);
}

TEST(connection_read, says_when_the_other_side_has_closed)
{
    struct server server;
    server_start(&server, "ab", 1, false);
    struct connection connection;
    uint64_t deadline_ms = clock_now_ms() + 5000;
    CHECK_EQ(connection_open(&connection, "127.0.0.1", server.port, deadline_ms), STATUS_OK);
    struct buf in;
    buf_init(&in, 1 << 20);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = connection_read(&connection, &in, deadline_ms);
    }
    CHECK_EQ(status, STATUS_DISCONNECTED);
    CHECK_BYTES(buf_slice(&in), "ab");
    buf_deinit(&in);
    connection_close(&connection);
    server_stop(&server);
}

TEST(connection_read, returns_at_its_deadline)
{
    struct server server;
    server_start(&server, "", 1, true);
    struct connection connection;
    CHECK_EQ(connection_open(&connection, "127.0.0.1", server.port, clock_now_ms() + 5000),
             STATUS_OK);
    struct buf in;
    buf_init(&in, 1 << 20);
    uint64_t start_ms = clock_now_ms();
    CHECK_EQ(connection_read(&connection, &in, start_ms + 30), STATUS_TIMEOUT);
    CHECK(clock_now_ms() >= start_ms + 30);
    buf_deinit(&in);
    connection_close(&connection);
    server_stop(&server);
}

TEST(sherd_command, reads_replies_of_every_type_in_pieces)
{
    static const char answer[] =
        "%3\r\n+a\r\n:1\r\n$1\r\nb\r\n*2\r\n#t\r\n_\r\n$1\r\nc\r\n,1.5\r\n"
        ">2\r\n+push\r\n:1\r\n"
        "-ERR no\r\n";
    struct server server;
    server_start(&server, answer, 3, true);
    struct sherd *sherd = sherd_open(server.address, 5000);
    CHECK_EQ(sherd_fault(sherd), SHERD_FINE);
    CHECK(sherd_error(sherd) == NULL);
    struct sherd_reply *map = sherd_commandv(sherd, "X", NULL);
    CHECK(map != NULL);
    CHECK_EQ(map->type, SHERD_MAP);
    CHECK_EQ(map->count, 6);
    CHECK_EQ(sherd_reply_field(map, "a")->integer, 1);
    const struct sherd_reply *list = sherd_reply_field(map, "b");
    CHECK_EQ(list->type, SHERD_ARRAY);
    CHECK_EQ(list->count, 2);
    CHECK_EQ(list->elements[0].type, SHERD_BOOLEAN);
    CHECK_EQ(list->elements[0].integer, 1);
    CHECK_EQ(list->elements[1].type, SHERD_NULL);
    CHECK_EQ((int)(sherd_reply_field(map, "c")->real * 10), 15);
    CHECK(sherd_reply_field(map, "d") == NULL);
    sherd_reply_free(map);
    struct sherd_reply *error = sherd_commandv(sherd, "Y", NULL);
    CHECK(error != NULL);
    CHECK_EQ(error->type, SHERD_ERROR);
    CHECK_BYTES(slice_of(error->text, error->len), "ERR no");
    sherd_reply_free(error);
    sherd_close(sherd);
    server_stop(&server);
}

static void check_fault(const char *answer, bool stays, int timeout_ms, enum sherd_fault want)
{
    struct server server;
    server_start(&server, answer, 64, stays);
    struct sherd *sherd = sherd_open(server.address, timeout_ms);
    CHECK(sherd_commandv(sherd, "X", NULL) == NULL);
    CHECK_EQ(sherd_fault(sherd), want);
    CHECK(strncmp(sherd_error(sherd), server.address, strlen(server.address)) == 0);
    CHECK(sherd_commandv(sherd, "X", NULL) == NULL);
    CHECK_EQ(sherd_fault(sherd), want);
    sherd_close(sherd);
    server_stop(&server);
}

TEST(sherd_command, tells_its_faults_apart)
{
    check_fault("$5\r\nab", false, 5000, SHERD_DISCONNECTED);
    check_fault("$5\r\nab", true, 30, SHERD_TIMEOUT);
    check_fault("HTTP/1.1 400 Bad Request\r\n\r\n", true, 5000, SHERD_PROTOCOL);
}

TEST(sherd_open, says_why_it_cannot_connect)
{
    uint16_t port = 0;
    int fd = listen_somewhere(&port);
    close(fd);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    struct sherd *sherd = sherd_open(address, 5000);
    CHECK_EQ(sherd_fault(sherd), SHERD_CANNOT_CONNECT);
    CHECK(strstr(sherd_error(sherd), "refused") != NULL);
    CHECK(sherd_commandv(sherd, "PING", NULL) == NULL);
    sherd_close(sherd);
    sherd = sherd_open("nowhere", 5000);
    CHECK_EQ(sherd_fault(sherd), SHERD_BAD_ADDRESS);
    sherd_close(sherd);
}
