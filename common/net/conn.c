#include "common/net/conn.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/net/conn_core.h"

struct conn *loop_core_dirty_conn(struct list *node)
{
    return list_entry(node, struct conn, in_dirty);
}

struct conn *loop_core_ready_conn(struct list *node)
{
    return list_entry(node, struct conn, in_ready);
}

struct conn *loop_core_any_conn(struct list *node)
{
    return list_entry(node, struct conn, in_loop);
}

static struct conn *conn_of(void *data)
{
    struct conn *conn;
    CAST_OBJ(conn, data, CONN_MAGIC);
    return conn;
}

static bool usable(const struct conn *conn)
{
    return conn->state == CONN_OPEN;
}

static void mark(struct list *list, struct list *node)
{
    if (list_empty(node)) {
        list_push_back(list, node);
    }
}

static void mark_dirty(struct conn *conn)
{
    mark(&conn->loop->dirty, &conn->in_dirty);
    loop_core_touch(conn->loop);
}

static void mark_ready(struct conn *conn)
{
    mark(&conn->loop->ready, &conn->in_ready);
    loop_core_touch(conn->loop);
}

static struct conn *make(struct loop *loop)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    assert(conn != NULL);
    conn->magic = CONN_MAGIC;
    conn->loop = loop;
    conn->input_max = CONN_INPUT_SIZE_MAX_DEFAULT;
    conn->output_max = CONN_OUTPUT_SIZE_MAX_DEFAULT;
    conn->drained_size = CONN_DRAINED_SIZE_DEFAULT;
    list_init(&conn->in_dirty);
    list_init(&conn->in_ready);
    list_push_back(&loop->conns, &conn->in_loop);
    buf_init(&conn->in, SIZE_MAX / 2);
    loop->totals.count++;
    int rv = uv_tcp_init(&loop->uv, &conn->tcp);
    assert(rv == 0);
    conn->tcp.data = conn;
    return conn;
}

/* Closing. */

static void drop(struct conn *conn)
{
    struct loop *loop = conn->loop;
    loop_core_touch(loop);
    list_remove(&conn->in_loop);
    loop->totals.count--;
    buf_deinit(&conn->in);
    loop_core_give_back(loop, &conn->out);
    loop_core_give_back(loop, &conn->sending);
    if (conn->handler != NULL) {
        conn->handler->on_close(conn->arg, conn, (enum status)conn->reason);
    }
    free(conn->write);
    conn->magic = 0;
    free(conn);
}

static void on_closed(uv_handle_t *handle)
{
    drop(conn_of(handle->data));
}

static void drop_dial(struct conn *conn)
{
    struct dial *dial = conn->dial;
    if (dial == NULL) {
        return;
    }
    conn->dial = NULL;
    dial->conn = NULL;
    if (dial->looking_up) {
        (void)uv_cancel((uv_req_t *)&dial->lookup); /* on_lookup frees it in any case. */
        return;
    }
    if (dial->connect.data == NULL) {
        free(dial); /* Else on_connect does. */
    }
}

void conn_close(struct conn *conn, enum status reason)
{
    assert(conn->magic == CONN_MAGIC);
    if (conn->state == CONN_CLOSING) {
        return;
    }
    conn->state = CONN_CLOSING;
    conn->reason = (uint8_t)reason;
    list_remove(&conn->in_dirty);
    list_remove(&conn->in_ready);
    loop_timer_stop(&conn->timer);
    drop_dial(conn);
    if (!conn->reopening) {
        uv_close((uv_handle_t *)&conn->tcp, on_closed);
    }
}

bool conn_closing(const struct conn *conn)
{
    return conn->state >= CONN_FINISHING;
}

static void on_finish_timeout(void *arg)
{
    conn_close(arg, STATUS_OK);
}

void conn_finish(struct conn *conn)
{
    if (conn->state == CONN_CONNECTING) {
        conn->finish = true;
        return;
    }
    if (!usable(conn)) {
        return;
    }
    conn->state = CONN_FINISHING;
    list_remove(&conn->in_ready);
    loop_timer_start(conn->loop, &conn->timer, CONN_FINISH_MS, 0, on_finish_timeout, conn);
    mark_dirty(conn);
}

/* Input. */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    (void)hint;
    struct conn *conn = conn_of(handle->data);
    size_t held = conn->in.len - conn->in_at;
    if (!usable(conn) || held <= LOOP_CORE_HEAD_SIZE) {
        *buf = uv_buf_init((char *)conn->loop->scratch + LOOP_CORE_HEAD_SIZE, LOOP_CORE_READ_SIZE);
        return;
    }
    /* A large request: read behind what there is. At most twice as much as has come is taken. */
    size_t room = LOOP_CORE_READ_SIZE;
    if (conn->expected > held && conn->expected - held > room) {
        room = conn->expected - held < held ? conn->expected - held : held;
    }
    if (conn->in.size - conn->in.len >= LOOP_CORE_READ_SIZE) {
        room = LOOP_CORE_READ_SIZE;
    }
    uint8_t *at = buf_reserve(&conn->in, room);
    size_t size = conn->in.size - conn->in.len;
    *buf = uv_buf_init((char *)at, size > INT32_MAX ? INT32_MAX : (unsigned)size);
}

/* Calls on_data as long as the owner changes; returns how much of the input is used. */
static size_t offer(struct conn *conn, struct slice input, bool own)
{
    size_t used = 0;
    while (used < input.len && usable(conn) && !conn->paused && conn->handler != NULL) {
        const struct conn_handler *handler = conn->handler;
        conn->can_take = own;
        size_t taken =
            handler->on_data(conn->arg, conn, slice_of(input.data + used, input.len - used));
        conn->can_take = false;
        if (conn->took) {
            break;
        }
        assert(taken <= input.len - used);
        used += taken;
        if (conn->handler == handler) {
            break;
        }
    }
    return used;
}

static void check_held(struct conn *conn)
{
    if (conn_held(conn) > conn->input_max) {
        conn_close(conn, STATUS_TOO_BIG);
    }
}

/* Input in our own buffer. */
static void deliver_own(struct conn *conn)
{
    struct slice input = slice_of(conn->in.data + conn->in_at, conn->in.len - conn->in_at);
    size_t used = offer(conn, input, true);
    if (conn->took) {
        conn->took = false;
        if (conn->in.len > 0) {
            mark_ready(conn);
        }
        return;
    }
    conn->in_at += used;
    if (conn->in_at == conn->in.len) {
        conn->in_at = 0;
        buf_deinit(&conn->in);
        buf_init(&conn->in, SIZE_MAX / 2);
        conn->expected = 0;
    } else if (conn->in_at > conn->in.len / 2) {
        /* Moves at most as much as was used since the last time. */
        buf_consume(&conn->in, conn->in_at);
        conn->in_at = 0;
    }
    check_held(conn);
}

/* New input behind the head room of the scratch buffer; little or nothing is held. */
static void deliver_scratch(struct conn *conn, size_t len)
{
    size_t held = conn->in.len - conn->in_at;
    assert(held <= LOOP_CORE_HEAD_SIZE);
    uint8_t *start = conn->loop->scratch + LOOP_CORE_HEAD_SIZE - held;
    if (held > 0) {
        memcpy(start, conn->in.data + conn->in_at, held);
    }
    struct slice input = slice_of(start, held + len);
    conn->in_at = conn->in.len; /* Nothing is held while on_data looks at the scratch buffer. */
    size_t used = offer(conn, input, false);
    buf_clear(&conn->in);
    conn->in_at = 0;
    if (used < input.len) {
        buf_append(&conn->in, input.data + used, input.len - used);
        check_held(conn);
    } else if (conn->in.size > 0) {
        buf_deinit(&conn->in);
        buf_init(&conn->in, SIZE_MAX / 2);
    }
}

void loop_core_deliver(struct conn *conn)
{
    if (usable(conn) && !conn->paused && conn->in.len > conn->in_at) {
        deliver_own(conn);
    }
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct conn *conn = conn_of(stream->data);
    if (len == 0 || conn->state == CONN_CLOSING) {
        return;
    }
    loop_core_touch(conn->loop);
    if (len < 0) {
        bool ours = conn->state == CONN_FINISHING || conn->state == CONN_LINGERING;
        conn_close(conn, ours ? STATUS_OK : loop_core_status((int)len));
        return;
    }
    conn->loop->totals.input_size += (size_t)len;
    conn->moved_ms = loop_now_ms(conn->loop);
    if (!usable(conn)) {
        return;
    }
    bool scratch = (uint8_t *)buf->base == conn->loop->scratch + LOOP_CORE_HEAD_SIZE;
    if (!scratch) {
        conn->in.len += (size_t)len;
        deliver_own(conn);
        return;
    }
    if (conn->paused) {
        buf_append(&conn->in, buf->base, (size_t)len);
        check_held(conn);
        return;
    }
    deliver_scratch(conn, (size_t)len);
}

static void set_reading(struct conn *conn, bool reading)
{
    if (conn->reading == reading) {
        return;
    }
    conn->reading = reading;
    int rv = reading ? uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read)
                     : uv_read_stop((uv_stream_t *)&conn->tcp);
    if (rv != 0) {
        conn_close(conn, loop_core_status(rv));
    }
}

static size_t ignore_data(void *arg, struct conn *conn, struct slice input)
{
    (void)arg;
    (void)conn;
    return input.len;
}

static void ignore_close(void *arg, struct conn *conn, enum status reason)
{
    (void)arg;
    (void)conn;
    (void)reason;
}

const struct conn_handler conn_nobody = {.on_data = ignore_data, .on_close = ignore_close};

void conn_pause(struct conn *conn)
{
    conn->paused = true;
    if (usable(conn)) {
        set_reading(conn, false);
    }
}

void conn_resume(struct conn *conn)
{
    conn->paused = false;
    if (!usable(conn)) {
        return;
    }
    set_reading(conn, true);
    if (usable(conn) && conn->in.len > conn->in_at) {
        mark_ready(conn);
    }
}

void conn_await_drained(struct conn *conn)
{
    if (usable(conn)) {
        conn->above = true;
        mark_dirty(conn);
    }
}

uint8_t *conn_take_input(struct conn *conn, size_t size_used)
{
    if (!conn->can_take) {
        return NULL;
    }
    assert(size_used <= conn->in.len - conn->in_at && !conn->took);
    conn->took = true;
    conn->can_take = false;
    size_t at = conn->in_at + size_used;
    size_t len = 0;
    uint8_t *data = buf_take(&conn->in, &len);
    conn->in_at = 0;
    conn->expected = 0;
    buf_append(&conn->in, data + at, len - at);
    return data;
}

void conn_expect(struct conn *conn, size_t size)
{
    conn->expected = size;
}

size_t conn_held(const struct conn *conn)
{
    return conn->in.len - conn->in_at;
}

/* Output. */

size_t conn_pending(const struct conn *conn)
{
    size_t queued = uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
    return conn->out.len + (conn->state == CONN_CLOSING ? 0 : queued);
}

struct buf *conn_out(struct conn *conn)
{
    if (conn->out.data == NULL) {
        conn->out = loop_core_spare(conn->loop);
    }
    if (conn->state == CONN_OPEN) {
        mark_dirty(conn);
    } else if (conn->state != CONN_CONNECTING) {
        buf_clear(&conn->out); /* Nobody will read it. */
    }
    return &conn->out;
}

void conn_write(struct conn *conn, struct slice bytes)
{
    if (conn->state > CONN_OPEN) {
        return;
    }
    if (conn_pending(conn) + bytes.len > conn->output_max) {
        conn_close(conn, STATUS_TOO_BIG);
        return;
    }
    buf_append_slice(conn_out(conn), bytes);
}

static void on_shutdown(uv_shutdown_t *request, int rv)
{
    (void)rv; /* The end, or the timer, follows. */
    free(request);
}

/* All output of a conn that is to end has left. */
static void linger(struct conn *conn)
{
    conn->state = CONN_LINGERING;
    uv_shutdown_t *request = malloc(sizeof(*request));
    assert(request != NULL);
    if (uv_shutdown(request, (uv_stream_t *)&conn->tcp, on_shutdown) != 0) {
        free(request);
        conn_close(conn, STATUS_OK);
        return;
    }
    set_reading(conn, true); /* To see the other side's end. */
}

uint64_t conn_moved_ms(struct conn *conn)
{
    /* Only what the kernel did not take at once: what it takes at once tells nothing of the peer.
     */
    size_t queued = uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
    if (queued < conn->queued_seen) {
        conn->moved_ms = loop_now_ms(conn->loop);
    }
    conn->queued_seen = queued;
    return conn->moved_ms;
}

static void check_drained(struct conn *conn)
{
    size_t pending = conn_pending(conn);
    if (pending > conn->output_max) {
        conn_close(conn, STATUS_TOO_BIG);
        return;
    }
    if (pending > conn->drained_size) {
        conn->above = true;
        return;
    }
    if (conn->above) {
        conn->above = false;
        if (usable(conn) && conn->handler != NULL && conn->handler->on_drained != NULL) {
            loop_core_touch(conn->loop);
            conn->handler->on_drained(conn->arg, conn);
        }
    }
}

static void on_written(uv_write_t *request, int rv)
{
    struct conn *conn = conn_of(request->data);
    conn->writing = false;
    loop_core_touch(conn->loop);
    if (conn->state == CONN_CLOSING) {
        return; /* on_closed frees what was being sent. */
    }
    if (rv != 0) {
        conn_close(conn, loop_core_status(rv));
        return;
    }
    loop_core_give_back(conn->loop, &conn->sending);
    if (conn->out.len > 0 || conn->state == CONN_FINISHING || conn->above) {
        mark_dirty(conn);
    }
}

/* The kernel did not take all of it: libuv sends the rest when it can. */
static void send_rest(struct conn *conn, size_t sent)
{
    conn->sending = conn->out;
    conn->out = (struct buf){0};
    if (conn->write == NULL) {
        conn->write = malloc(sizeof(*conn->write));
        assert(conn->write != NULL);
    }
    conn->write->data = conn;
    /* libuv's buffers have size_t lengths; one write call takes what the kernel allows. */
    uv_buf_t rest = {.base = (char *)conn->sending.data + sent, .len = conn->sending.len - sent};
    int rv = uv_write(conn->write, (uv_stream_t *)&conn->tcp, &rest, 1, on_written);
    if (rv != 0) {
        conn_close(conn, loop_core_status(rv));
        return;
    }
    conn->writing = true;
}

static void write_out(struct conn *conn)
{
    uv_buf_t bytes = {.base = (char *)conn->out.data, .len = conn->out.len};
    int rv = uv_try_write((uv_stream_t *)&conn->tcp, &bytes, 1);
    if (rv < 0 && rv != UV_EAGAIN) {
        conn_close(conn, loop_core_status(rv));
        return;
    }
    size_t sent = rv < 0 ? 0 : (size_t)rv;
    conn->loop->totals.output_size += conn->out.len;
    if (sent == conn->out.len) {
        loop_core_give_back(conn->loop, &conn->out);
        return;
    }
    send_rest(conn, sent);
}

void loop_core_flush(struct conn *conn)
{
    if (conn->state != CONN_OPEN && conn->state != CONN_FINISHING) {
        return;
    }
    if (!conn->writing && conn->out.len > 0) {
        write_out(conn);
    } else if (!conn->writing && conn->out.data != NULL) {
        loop_core_give_back(conn->loop, &conn->out);
    }
    if (conn->state == CONN_FINISHING && !conn->writing) {
        linger(conn);
    } else if (conn->state == CONN_OPEN) {
        check_drained(conn);
    }
}

void conn_give(struct conn *conn, uint8_t *data, size_t len)
{
    if (conn->state != CONN_OPEN || conn_pending(conn) + len > conn->output_max) {
        if (conn->state == CONN_OPEN) {
            conn_close(conn, STATUS_TOO_BIG);
        }
        free(data);
        return;
    }
    if (!conn->writing && conn->out.len > 0) {
        write_out(conn); /* What is before it, so that it can be the output. */
    }
    if (conn->state == CONN_OPEN && conn->out.len == 0) {
        loop_core_give_back(conn->loop, &conn->out);
        conn->out = (struct buf){.data = data, .len = len, .size = len, .size_max = SIZE_MAX / 2};
        mark_dirty(conn);
        return;
    }
    if (conn->state == CONN_OPEN) {
        buf_append(conn_out(conn), data, len);
    }
    free(data);
}

/* Opening. */

static void open_up(struct conn *conn)
{
    conn->state = CONN_OPEN;
    /* Neither matters enough to fail: they are about speed and about dead peers. */
    (void)uv_tcp_nodelay(&conn->tcp, 1);
    (void)uv_tcp_keepalive(&conn->tcp, 1, KEEPALIVE_SECONDS);
    if (!conn->paused) {
        set_reading(conn, true);
    }
    if (conn->out.len > 0) {
        mark_dirty(conn);
    }
}

struct conn *loop_core_accept(struct loop *loop, uv_stream_t *server)
{
    struct conn *conn = make(loop);
    int rv = uv_accept(server, (uv_stream_t *)&conn->tcp);
    if (rv != 0) {
        conn_close(conn, loop_core_status(rv));
        return NULL;
    }
    open_up(conn);
    return conn;
}

static void try_next(struct conn *conn);

static void on_reopen(uv_handle_t *handle)
{
    struct conn *conn = conn_of(handle->data);
    conn->reopening = false;
    if (conn->state == CONN_CLOSING) {
        drop(conn);
        return;
    }
    int rv = uv_tcp_init(&conn->loop->uv, &conn->tcp);
    assert(rv == 0);
    conn->tcp.data = conn;
    try_next(conn);
}

static void on_connect(uv_connect_t *request, int rv)
{
    struct dial *dial = request->data;
    request->data = NULL;
    struct conn *conn = dial->conn;
    if (conn == NULL) {
        free(dial);
        return;
    }
    loop_core_touch(conn->loop);
    if (rv != 0) {
        dial->failure = loop_core_status(rv);
        if (dial->next < dial->count) {
            conn->reopening = true;
            uv_close((uv_handle_t *)&conn->tcp, on_reopen);
            return;
        }
        conn_close(conn, dial->failure);
        return;
    }
    loop_timer_stop(&conn->timer);
    drop_dial(conn);
    open_up(conn);
    bool finish = conn->finish;
    if (usable(conn) && conn->handler != NULL && conn->handler->on_open != NULL) {
        conn->handler->on_open(conn->arg, conn);
    }
    if (finish) {
        conn_finish(conn);
    }
}

static void try_next(struct conn *conn)
{
    struct dial *dial = conn->dial;
    if (dial->next == dial->count) {
        conn_close(conn, dial->failure);
        return;
    }
    const struct sockaddr_storage *address = &dial->addresses[dial->next++];
    dial->connect.data = dial;
    int rv =
        uv_tcp_connect(&dial->connect, &conn->tcp, (const struct sockaddr *)address, on_connect);
    if (rv != 0) {
        dial->connect.data = NULL;
        conn_close(conn, loop_core_status(rv));
    }
}

static void on_lookup(uv_getaddrinfo_t *request, int rv, struct addrinfo *results)
{
    struct dial *dial = request->data;
    dial->looking_up = false;
    struct conn *conn = dial->conn;
    if (conn == NULL) {
        uv_freeaddrinfo(results);
        free(dial);
        return;
    }
    loop_core_touch(conn->loop);
    for (struct addrinfo *at = results; at != NULL && dial->count < ADDRESSES_MAX;
         at = at->ai_next) {
        memcpy(&dial->addresses[dial->count++], at->ai_addr, at->ai_addrlen);
    }
    uv_freeaddrinfo(results);
    dial->failure = rv != 0 ? loop_core_status(rv) : STATUS_BAD_ARGUMENT;
    try_next(conn);
}

static void start_dial(struct conn *conn, const char *address)
{
    struct dial *dial = conn->dial;
    char host[HOST_SIZE_MAX];
    uint16_t port = 0;
    if (conn_parse_address(address, host, sizeof(host), &port) != STATUS_OK || port == 0) {
        conn_close(conn, STATUS_BAD_ARGUMENT);
        return;
    }
    if (loop_core_numeric(host, port, &dial->addresses[0])) {
        dial->count = 1;
        try_next(conn);
        return;
    }
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    dial->lookup.data = dial;
    int rv = uv_getaddrinfo(&conn->loop->uv, &dial->lookup, on_lookup, host, service, &hints);
    if (rv != 0) {
        conn_close(conn, loop_core_status(rv));
        return;
    }
    dial->looking_up = true;
}

static void on_dial_timeout(void *arg)
{
    conn_close(arg, STATUS_TIMEOUT);
}

struct conn *conn_dial(struct loop *loop,
                       const char *address,
                       uint64_t timeout_ms,
                       const struct conn_handler *handler,
                       void *arg)
{
    assert(handler != NULL && handler->on_data != NULL && handler->on_close != NULL);
    struct conn *conn = make(loop);
    conn->handler = handler;
    conn->arg = arg;
    conn->dial = calloc(1, sizeof(*conn->dial));
    assert(conn->dial != NULL);
    conn->dial->conn = conn;
    if (timeout_ms > 0) {
        loop_timer_start(loop, &conn->timer, timeout_ms, 0, on_dial_timeout, conn);
    }
    start_dial(conn, address);
    return conn;
}
