#include "server/preflight.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/net/port.h"
#include "tests/support/test.h"

/* A node of a cluster, on a thread of its own, that answers HELLO and nothing else. */
struct elder {
    struct loop *loop;
    struct port *port;
    struct thread thread;
    struct frame_hello hello;
    char address[CONN_ADDRESS_SIZE];
};

static void on_up(void *arg, struct link *link, const struct frame_hello *hello)
{
    (void)arg;
    (void)link;
    CHECK_EQ(hello->node, 0); /* Who asks is not the node yet. */
}

static enum status on_frame(void *arg, struct link *link, const struct frame *frame)
{
    (void)arg;
    (void)link;
    (void)frame;
    CHECK(false);
    return STATUS_OK;
}

static void on_down(void *arg, struct link *link, enum status reason)
{
    (void)arg;
    (void)link;
    (void)reason;
}

static const struct link_handler handler = {
    .on_up = on_up, .on_frame = on_frame, .on_down = on_down};

static void on_session(void *arg, struct conn *conn)
{
    (void)arg;
    (void)conn;
    CHECK(false);
}

static void run(void *arg)
{
    struct elder *elder = arg;
    loop_run(elder->loop);
}

static void elder_open(struct elder *elder, const char *cluster)
{
    *elder = (struct elder){.loop = loop_new(0)};
    elder->hello = (struct frame_hello){
        .version = FRAME_VERSION, .role = FRAME_ROLE_NODE, .loops = 1, .node = 4};
    (void)snprintf((char *)elder->hello.cluster, sizeof(elder->hello.cluster), "%s", cluster);
    char error[LISTENER_ERROR_SIZE];
    struct port_options options = {
        .address = "127.0.0.1:0",
        .silent_max = 8,
        .link = {.hello = &elder->hello, .handler = &handler, .arg = elder},
        .on_session = on_session};
    CHECK(port_open(elder->loop, &options, &elder->port, error) == STATUS_OK);
    port_address(elder->port, elder->address);
    thread_start(&elder->thread, "elder", run, elder);
}

static void elder_close(struct elder *elder)
{
    loop_stop(elder->loop);
    thread_join(&elder->thread);
    port_close(elder->port);
    loop_free(elder->loop);
}

static enum status ask(const char *const *seeds, unsigned count, const char *own, char *text)
{
    struct identity identity = {.node = 4, .disk = 1, .cluster = "ours"};
    struct preflight preflight = {
        .identity = &identity, .seeds = seeds, .seed_count = count, .own = {own, own}};
    text[0] = '\0';
    return preflight_run(&preflight, text);
}

TEST(preflight_run, refuses_the_nodes_of_another_cluster_and_only_those)
{
    struct elder ours;
    struct elder other;
    struct elder fresh;
    char text[IDENTITY_TEXT_SIZE_MAX];
    elder_open(&ours, "ours");
    elder_open(&other, "other");
    elder_open(&fresh, "");
    const char *seeds[] = {ours.address, fresh.address, other.address};
    CHECK(ask(seeds, 2, "", text) == STATUS_OK);
    CHECK(text[0] == '\0');
    CHECK(ask(seeds, 3, "", text) == STATUS_WRONG_CLUSTER);
    CHECK(strstr(text, other.address) != NULL && strstr(text, "--join") != NULL);
    CHECK(strchr(text, '\n') == NULL);
    /* It does not ask itself: it would not answer. */
    CHECK(ask(seeds, 3, other.address, text) == STATUS_OK);
    elder_close(&ours);
    elder_close(&other);
    elder_close(&fresh);
}

/* A port that takes connections and never says a word. */
static int mute_open(char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&name, size) == 0 && listen(fd, 4) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
    (void)snprintf(address, CONN_ADDRESS_SIZE, "127.0.0.1:%u", ntohs(name.sin_port));
    return fd;
}

TEST(preflight_run, who_is_not_reached_is_no_error)
{
    char text[IDENTITY_TEXT_SIZE_MAX];
    char mute[CONN_ADDRESS_SIZE];
    char closed[CONN_ADDRESS_SIZE];
    int fd = mute_open(mute);
    CHECK(close(mute_open(closed)) == 0);
    const char *seeds[] = {closed, mute, "not an address"};
    CHECK(ask(seeds, 3, "", text) == STATUS_OK);
    CHECK(ask(seeds, 0, "", text) == STATUS_OK);
    /* All at once, and one that is mute does not hide one that is foreign. */
    struct elder other;
    elder_open(&other, "other");
    const char *both[] = {mute, other.address};
    CHECK(ask(both, 2, "", text) == STATUS_WRONG_CLUSTER);
    elder_close(&other);
    CHECK(close(fd) == 0);
}
