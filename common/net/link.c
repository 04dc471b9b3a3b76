#include "common/net/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/rand.h"

enum { LINK_MAGIC = 0x4c494e4b, TEXT_SIZE_MAX = 256, INPUT_SLACK_SIZE = 256 * 1024 };

struct link {
    uint32_t magic;
    bool dialled;
    bool up;
    bool dead;   /* link_free was called. */
    bool failed; /* We ended the connection for `reason`. */
    bool paused;
    int depth; /* Callbacks under way: the link is not freed below them. */
    struct loop *loop;
    struct conn *conn; /* NULL: waiting for the next attempt. */
    struct link_options options;
    char *address;
    struct frame_hello hello;
    struct timer timer; /* Handshake, or the next attempt. */
    uint64_t backoff_ms;
    struct rand rand;
    enum status reason;
    char text[TEXT_SIZE_MAX];
    struct buf nowhere; /* What is appended while the link is down. */
};

static struct link *link_of(void *arg)
{
    struct link *link;
    CAST_OBJ(link, arg, LINK_MAGIC);
    return link;
}

static void release(struct link *link)
{
    loop_timer_stop(&link->timer);
    buf_deinit(&link->nowhere);
    free(link->address);
    link->magic = 0;
    free(link);
}

static void enter(struct link *link)
{
    link->depth++;
}

static void leave(struct link *link)
{
    link->depth--;
    if (link->depth == 0 && link->dead && link->conn == NULL) {
        release(link);
    }
}

static void end(struct link *link, enum status reason, const char *text)
{
    if (link->conn == NULL || link->failed) {
        return;
    }
    link->failed = true;
    link->reason = reason;
    (void)snprintf(link->text, sizeof(link->text), "%s", text);
    conn_close(link->conn, reason);
}

static void on_handshake_timeout(void *arg)
{
    end(link_of(arg), STATUS_TIMEOUT, "no HELLO came in time");
}

static void greet(struct link *link)
{
    frame_write_hello(conn_out(link->conn), link->options.hello);
    loop_timer_start(link->loop, &link->timer, LINK_HANDSHAKE_MS, 0, on_handshake_timeout, link);
}

void link_refuse(struct link *link, enum status status, const char *text)
{
    if (link->conn == NULL || link->failed) {
        return;
    }
    link->failed = true;
    link->reason = status;
    (void)snprintf(link->text, sizeof(link->text), "%s", text);
    frame_write_refused(conn_out(link->conn), status, text);
    loop_timer_stop(&link->timer);
    conn_finish(link->conn);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

static bool same_cluster(const struct frame_hello *a, const struct frame_hello *b)
{
    size_t size = sizeof(a->cluster);
    return is_zero(a->cluster, size) || is_zero(b->cluster, size) ||
           memcmp(a->cluster, b->cluster, size) == 0;
}

static void on_hello(struct link *link, const struct frame *frame)
{
    struct frame_hello hello = {0};
    if (frame_read_hello(frame->body, &hello) != STATUS_OK) {
        end(link, STATUS_PROTOCOL, "malformed HELLO");
        return;
    }
    if (hello.version != FRAME_VERSION) {
        char text[TEXT_SIZE_MAX];
        (void)snprintf(text, sizeof(text), "speaks protocol version %u, this side speaks %d",
                       (unsigned)hello.version, FRAME_VERSION);
        link_refuse(link, STATUS_NEWER_FORMAT, text);
        return;
    }
    if (!same_cluster(&hello, link->options.hello)) {
        link_refuse(link, STATUS_WRONG_CLUSTER, "belongs to another cluster");
        return;
    }
    loop_timer_stop(&link->timer);
    link->hello = hello;
    link->up = true;
    link->backoff_ms = LINK_BACKOFF_MS_MIN;
    link->options.handler->on_up(link->options.arg, link, &link->hello);
}

static void on_refused(struct link *link, struct slice body)
{
    uint8_t code = body.len > 0 ? body.data[0] : 0;
    enum status status = code > 0 && code < STATUS_COUNT ? (enum status)code : STATUS_PROTOCOL;
    char text[TEXT_SIZE_MAX];
    int len = body.len > 1 ? (int)(body.len - 1 < sizeof(text) ? body.len - 1 : sizeof(text)) : 0;
    (void)snprintf(text, sizeof(text), "refused: %.*s", len,
                   len > 0 ? (const char *)body.data + 1 : "");
    for (char *at = text; *at != '\0'; at++) {
        *at = *at < ' ' || *at > '~' || *at == '"' ? '?' : *at;
    }
    end(link, status, text);
}

static void on_one_frame(struct link *link, const struct frame *frame)
{
    if (frame->type == FRAME_REFUSED) {
        on_refused(link, frame->body);
    } else if (!link->up) {
        if (frame->type == FRAME_HELLO) {
            on_hello(link, frame);
        } else {
            end(link, STATUS_PROTOCOL, "the first frame is not HELLO");
        }
    } else if (frame->type == FRAME_HELLO) {
        end(link, STATUS_PROTOCOL, "a second HELLO");
    } else {
        enum status status = link->options.handler->on_frame(link->options.arg, link, frame);
        if (status != STATUS_OK && !link->dead) {
            end(link, status, "a frame that cannot be read");
        }
    }
}

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    struct link *link = link_of(arg);
    size_t used = 0;
    enter(link);
    while (used < input.len && !link->dead && !link->failed && !link->paused) {
        struct frame frame;
        size_t size = 0;
        struct slice rest = slice_of(input.data + used, input.len - used);
        size_t bound = link->up ? (size_t)FRAME_BODY_SIZE_MAX : (size_t)LINK_HELLO_SIZE_MAX;
        enum status status = frame_parse(rest, bound, &frame, &size);
        if (status == STATUS_AGAIN) {
            conn_expect(conn, size);
            break;
        }
        if (status != STATUS_OK) {
            end(link, status, "a malformed frame");
            break;
        }
        used += size;
        on_one_frame(link, &frame);
    }
    leave(link);
    return used;
}

static void on_open(void *arg, struct conn *conn)
{
    (void)conn;
    greet(link_of(arg));
}

static void on_drained(void *arg, struct conn *conn)
{
    (void)conn;
    struct link *link = link_of(arg);
    if (link->up && link->options.handler->on_drained != NULL) {
        enter(link);
        link->options.handler->on_drained(link->options.arg, link);
        leave(link);
    }
}

static void attempt(void *arg);

static void try_later(struct link *link)
{
    uint64_t half_ms = link->backoff_ms / 2;
    uint64_t delay_ms = half_ms + rand_below(&link->rand, half_ms + 1);
    link->backoff_ms =
        link->backoff_ms * 2 < LINK_BACKOFF_MS_MAX ? link->backoff_ms * 2 : LINK_BACKOFF_MS_MAX;
    loop_timer_start(link->loop, &link->timer, delay_ms, 0, attempt, link);
}

static void on_close(void *arg, struct conn *conn, enum status conn_reason)
{
    struct link *link = link_of(arg);
    assert(link->conn == conn);
    link->conn = NULL;
    loop_timer_stop(&link->timer);
    enum status reason = link->failed ? link->reason : conn_reason;
    const char *text = link->failed ? link->text : status_text(conn_reason);
    bool was_up = link->up;
    link->up = false;
    enter(link);
    if (!link->dead && link->dialled && conn_reason != STATUS_CLOSED) {
        try_later(link);
    }
    const struct link_handler *handler = link->options.handler;
    if (!link->dead && was_up) {
        handler->on_down(link->options.arg, link, reason);
    } else if (!link->dead && link->dialled && handler->on_failed != NULL) {
        handler->on_failed(link->options.arg, link, reason, text);
    }
    link->dead = link->dead || !link->dialled;
    leave(link);
}

static const struct conn_handler conn_handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drained = on_drained,
    .on_close = on_close,
};

static void prepare(struct link *link)
{
    size_t bound = link->options.output_max;
    conn_set_limits(link->conn, (size_t)FRAME_BODY_SIZE_MAX + INPUT_SLACK_SIZE,
                    2 * bound + FRAME_BODY_SIZE_MAX, bound / 2);
    link->failed = false;
    link->text[0] = '\0';
    if (link->paused) {
        conn_pause(link->conn);
    }
}

static void attempt(void *arg)
{
    struct link *link = link_of(arg);
    assert(link->conn == NULL);
    link->conn = conn_dial(link->loop, link->address, LINK_HANDSHAKE_MS, &conn_handler, link);
    prepare(link);
}

static struct link *make(struct loop *loop, const char *address, const struct link_options *options)
{
    const struct link_handler *handler = options->handler;
    assert(handler->on_up != NULL && handler->on_frame != NULL && handler->on_down != NULL);
    assert(options->hello != NULL);
    struct link *link = calloc(1, sizeof(*link));
    assert(link != NULL);
    link->magic = LINK_MAGIC;
    link->loop = loop;
    link->options = *options;
    link->options.output_max = options->output_max > 0 ? options->output_max : LINK_OUTPUT_SIZE_MAX;
    link->address = strdup(address);
    assert(link->address != NULL);
    link->backoff_ms = LINK_BACKOFF_MS_MIN;
    rand_init(&link->rand, options->seed);
    buf_init(&link->nowhere, SIZE_MAX / 2);
    return link;
}

struct link *link_dial(struct loop *loop, const char *address, const struct link_options *options)
{
    struct link *link = make(loop, address, options);
    link->dialled = true;
    attempt(link);
    return link;
}

struct link *link_accept(struct conn *conn, const struct link_options *options)
{
    char peer[CONN_ADDRESS_SIZE];
    conn_peer(conn, peer);
    struct link *link = make(conn_loop(conn), peer, options);
    link->conn = conn;
    conn_set_handler(conn, &conn_handler, link);
    prepare(link);
    greet(link);
    return link;
}

void link_free(struct link *link)
{
    assert(link->magic == LINK_MAGIC && !link->dead);
    link->dead = true;
    link->up = false;
    loop_timer_stop(&link->timer);
    if (link->conn != NULL) {
        conn_close(link->conn, STATUS_OK); /* on_close releases the link. */
    } else if (link->depth == 0) {
        release(link);
    }
}

void link_reset(struct link *link, enum status reason)
{
    end(link, reason, status_text(reason));
}

void link_set_address(struct link *link, const char *address)
{
    assert(link->dialled);
    if (strcmp(link->address, address) == 0) {
        return;
    }
    free(link->address);
    link->address = strdup(address);
    assert(link->address != NULL);
    link->backoff_ms = LINK_BACKOFF_MS_MIN;
    if (link->conn != NULL) {
        link_reset(link, STATUS_DISCONNECTED);
    } else if (!link->dead) {
        loop_timer_start(link->loop, &link->timer, 0, 0, attempt, link);
    }
}

const char *link_address(const struct link *link)
{
    return link->address;
}

void link_set_arg(struct link *link, void *arg)
{
    link->options.arg = arg;
}

bool link_is_up(const struct link *link)
{
    return link->up && !link->failed && !conn_closing(link->conn);
}

const struct frame_hello *link_hello(const struct link *link)
{
    assert(link->up);
    return &link->hello;
}

struct buf *link_out(struct link *link)
{
    if (link_is_up(link)) {
        return conn_out(link->conn);
    }
    buf_clear(&link->nowhere);
    return &link->nowhere;
}

bool link_full(const struct link *link)
{
    if (!link_is_up(link)) {
        return true;
    }
    return conn_pending(link->conn) > link->options.output_max;
}

size_t link_pending(const struct link *link)
{
    return link->conn == NULL ? 0 : conn_pending(link->conn);
}

void link_pause(struct link *link)
{
    link->paused = true;
    if (link->conn != NULL) {
        conn_pause(link->conn);
    }
}

void link_resume(struct link *link)
{
    link->paused = false;
    if (link->conn != NULL) {
        conn_resume(link->conn);
    }
}

void link_await_drained(struct link *link)
{
    if (link->conn != NULL) {
        conn_await_drained(link->conn);
    }
}

uint64_t link_moved_ms(const struct link *link)
{
    return link->conn == NULL ? 0 : conn_moved_ms(link->conn);
}
