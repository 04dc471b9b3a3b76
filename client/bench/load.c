#include "client/bench/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "client/connection.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/proto/resp.h"

enum {
    EVENTS_MAX = 256,
    READ_SIZE = 64 * 1024,
    TICK_MS = 100,
};

/* One connection of the load. */
struct peer {
    struct connection connection;
    const struct load_endpoint *endpoint;
    struct wire_state state;
    struct buf in;
    struct buf out;
    size_t out_at;     /* Sent so far. */
    size_t pending;    /* Replies that are to come. */
    size_t unmeasured; /* Of these, the first ones that answer AUTH. */
    uint64_t sent_ns;  /* When the batch was sent, or was due. */
    bool wants_out;    /* epoll watches for room to write. */
    struct list idle;  /* In load.idle while it waits for its time (rate). */
};

struct load {
    const struct load_options *options;
    struct wire *wire;
    struct load_counts *counts;
    struct load_counts *interval;
    struct peer *peers;
    size_t live;
    int epoll_fd;
    uint64_t issued;
    uint64_t batches;
    uint64_t start_ns;
    uint64_t warm_ns; /* Counting begins here. */
    uint64_t end_ns;  /* UINT64_MAX: no such limit. */
    uint64_t interval_ns;
    uint64_t heard_ns; /* When the last reply came. */
    bool warm;
    struct list idle;
    enum status status;
};

static void note_error(struct load *load, struct slice text)
{
    struct load_counts *counts = load->counts;
    counts->errors++;
    load->interval->errors++;
    if (counts->first_error[0] == '\0') {
        snprintf(counts->first_error, sizeof counts->first_error, "%.*s",
                 (int)(text.len < LOAD_TEXT_SIZE ? text.len : LOAD_TEXT_SIZE),
                 (const char *)text.data);
    }
}

static bool is_over(const struct load *load, uint64_t now_ns)
{
    const struct load_options *options = load->options;
    return now_ns >= load->end_ns || (options->requests > 0 && load->issued >= options->requests);
}

static void watch(struct load *load, struct peer *peer, bool out)
{
    if (peer->wants_out == out) {
        return;
    }
    peer->wants_out = out;
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0U), .data.ptr = peer};
    int rv = epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, peer->connection.fd, &event);
    assert(rv == 0);
}

/* False if the connection broke. */
static bool flush(struct load *load, struct peer *peer)
{
    while (peer->out_at < peer->out.len) {
        ssize_t n = send(peer->connection.fd, peer->out.data + peer->out_at,
                         peer->out.len - peer->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            watch(load, peer, true);
            return true;
        }
        if (n <= 0) {
            return false;
        }
        peer->out_at += (size_t)n;
    }
    buf_clear(&peer->out);
    peer->out_at = 0;
    watch(load, peer, false);
    return true;
}

static enum status open_peer(struct load *load, struct peer *peer)
{
    const struct load_options *options = load->options;
    enum status status =
        connection_open(&peer->connection, peer->endpoint->host, peer->endpoint->port,
                        clock_now_ms() + options->timeout_ms);
    if (status != STATUS_OK) {
        if (load->counts->first_error[0] == '\0') {
            snprintf(load->counts->first_error, LOAD_TEXT_SIZE, "cannot connect to %s:%u: %s",
                     peer->endpoint->host, peer->endpoint->port,
                     status == STATUS_IO ? strerror(errno) : status_text(status));
        }
        return STATUS_DISCONNECTED;
    }
    buf_clear(&peer->in);
    buf_clear(&peer->out);
    peer->out_at = 0;
    peer->pending = 0;
    peer->unmeasured = 0;
    peer->wants_out = false;
    wire_begin(load->wire, &peer->state, &peer->out);
    if (options->password != NULL) {
        struct slice words[] = {slice_str("AUTH"), slice_str(options->password)};
        resp_write_request(&peer->out, (struct args){.argv = words, .argc = 2});
        peer->pending = 1;
        peer->unmeasured = 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    int rv = epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, peer->connection.fd, &event);
    assert(rv == 0);
    return STATUS_OK;
}

/* Sends the next batch; sent_ns is when it was due. False if the connection broke. */
static bool send_batch(struct load *load, struct peer *peer, uint64_t sent_ns)
{
    uint64_t count = load->options->pipeline;
    if (load->options->requests > 0 && count > load->options->requests - load->issued) {
        count = load->options->requests - load->issued;
    }
    for (uint64_t i = 0; i < count; i++) {
        wire_request(load->wire, &peer->state, &peer->out);
    }
    load->issued += count;
    load->batches++;
    peer->pending += count;
    peer->sent_ns = sent_ns;
    return flush(load, peer);
}

static uint64_t due_ns(const struct load *load)
{
    double batch = (double)load->batches * (double)load->options->pipeline;
    return load->start_ns + (uint64_t)(batch * 1e9 / (double)load->options->rate);
}

static void lose(struct load *load, struct peer *peer);

/* The connection has all its replies: what next. */
static void go_on(struct load *load, struct peer *peer, uint64_t now_ns)
{
    if (is_over(load, now_ns)) {
        return;
    }
    if (load->options->rate > 0) {
        list_push_back(&load->idle, &peer->idle);
        return;
    }
    if (!send_batch(load, peer, now_ns)) {
        lose(load, peer);
    }
}

/* The connection broke: what was pending has failed; connect anew once. */
static void lose(struct load *load, struct peer *peer)
{
    for (size_t i = 0; i < peer->pending; i++) {
        note_error(load, slice_str("connection lost"));
    }
    load->counts->disconnects++;
    list_remove(&peer->idle);
    connection_close(&peer->connection);
    peer->pending = 0;
    if (is_over(load, clock_now_ns()) || open_peer(load, peer) != STATUS_OK) {
        load->live--;
        return;
    }
    if (!flush(load, peer)) {
        connection_close(&peer->connection);
        load->live--;
        return;
    }
    list_push_back(&load->idle, &peer->idle); /* Sends in the loop's next turn. */
}

static void count_reply(struct load *load,
                        const struct peer *peer,
                        const struct wire_reply *reply,
                        uint64_t now_ns)
{
    load->counts->replies++;
    load->interval->replies++;
    load->counts->missing += reply->missing;
    uint64_t latency_ns = now_ns - peer->sent_ns;
    histogram_add(&load->counts->latency_ns, latency_ns);
    if (load->options->interval_ms > 0) {
        histogram_add(&load->interval->latency_ns, latency_ns);
    }
    if (reply->failed) {
        note_error(load, reply->text);
    }
}

/* All whole replies in the input. False: the peer does not speak the protocol. */
static bool take_replies(struct load *load, struct peer *peer, uint64_t now_ns)
{
    size_t used = 0;
    for (;;) {
        struct wire_reply reply;
        size_t size = 0;
        struct slice rest = slice_of(peer->in.data + used, peer->in.len - used);
        enum status status = wire_read(load->wire, &peer->state, rest, &peer->out, &reply, &size);
        if (status == STATUS_AGAIN) {
            break;
        }
        if (status != STATUS_OK || (reply.whole && peer->pending == 0)) {
            return false;
        }
        used += size;
        if (!reply.whole) {
            continue;
        }
        peer->pending--;
        if (peer->unmeasured > 0) {
            peer->unmeasured--;
            if (reply.failed) {
                note_error(load, reply.text);
            }
        } else {
            count_reply(load, peer, &reply, now_ns);
        }
    }
    buf_consume(&peer->in, used);
    return true;
}

static void on_input(struct load *load, struct peer *peer)
{
    ssize_t n = recv(peer->connection.fd, buf_reserve(&peer->in, READ_SIZE), READ_SIZE, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        lose(load, peer);
        return;
    }
    peer->in.len += (size_t)n;
    uint64_t now_ns = clock_now_ns();
    load->heard_ns = now_ns;
    bool was_pending = peer->pending > 0;
    if (!take_replies(load, peer, now_ns)) {
        load->status = STATUS_PROTOCOL;
        note_error(load, slice_str("the server does not speak the protocol"));
        return;
    }
    if (peer->out.len > 0 && !flush(load, peer)) {
        lose(load, peer);
    } else if (was_pending && peer->pending == 0) {
        go_on(load, peer, now_ns);
    }
}

/* Those that wait for their time, or that connected anew. */
static void send_due(struct load *load, uint64_t now_ns)
{
    while (!list_empty(&load->idle) && !is_over(load, now_ns)) {
        uint64_t when_ns = load->options->rate > 0 ? due_ns(load) : now_ns;
        if (when_ns > now_ns) {
            return;
        }
        struct peer *peer = list_entry(list_pop_front(&load->idle), struct peer, idle);
        if (!send_batch(load, peer, when_ns)) {
            lose(load, peer);
        }
    }
}

static void reset(struct load_counts *counts)
{
    char kept[LOAD_TEXT_SIZE];
    memcpy(kept, counts->first_error, sizeof kept);
    *counts = (struct load_counts){0};
    memcpy(counts->first_error, kept, sizeof kept);
}

static void on_time(struct load *load, uint64_t now_ns)
{
    const struct load_options *options = load->options;
    if (!load->warm && now_ns >= load->warm_ns) {
        load->warm = true;
        load->warm_ns = now_ns;
        reset(load->counts);
        reset(load->interval);
        load->interval_ns = now_ns;
    }
    uint64_t interval_ns = options->interval_ms * 1000000;
    if (load->warm && interval_ns > 0 && now_ns - load->interval_ns >= interval_ns) {
        load->interval->elapsed_ns = now_ns - load->interval_ns;
        options->on_interval(load->interval);
        reset(load->interval);
        load->interval_ns = now_ns;
    }
    if (now_ns - load->heard_ns > options->timeout_ms * 1000000) {
        load->status = STATUS_TIMEOUT;
        note_error(load, slice_str("no reply within the timeout"));
    }
}

static size_t pending(const struct load *load)
{
    size_t count = 0;
    for (size_t i = 0; i < load->options->connections; i++) {
        count += load->peers[i].pending;
    }
    return count;
}

/* How long epoll may wait, so that the next batch is not late. */
static uint64_t wait_ns(const struct load *load, uint64_t now_ns)
{
    uint64_t tick_ns = (uint64_t)TICK_MS * 1000000;
    if (list_empty(&load->idle)) {
        return tick_ns;
    }
    uint64_t when_ns = load->options->rate > 0 ? due_ns(load) : now_ns;
    uint64_t left_ns = when_ns > now_ns ? when_ns - now_ns : 0;
    return left_ns < tick_ns ? left_ns : tick_ns;
}

static void turn(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = clock_now_ns();
    send_due(load, now_ns);
    struct timespec wait = {.tv_nsec = (long)wait_ns(load, now_ns)};
    int count = epoll_pwait2(load->epoll_fd, events, EVENTS_MAX, &wait, NULL);
    for (int i = 0; i < count && load->status == STATUS_OK; i++) {
        struct peer *peer = events[i].data.ptr;
        if (peer->connection.fd < 0) {
            continue;
        }
        if ((events[i].events & EPOLLOUT) != 0 && !flush(load, peer)) {
            lose(load, peer);
        } else if ((events[i].events & ~(unsigned)EPOLLOUT) != 0) {
            on_input(load, peer);
        }
    }
    on_time(load, clock_now_ns());
}

static void open_all(struct load *load)
{
    const struct load_options *options = load->options;
    for (size_t i = 0; i < options->connections && load->status == STATUS_OK; i++) {
        struct peer *peer = &load->peers[i];
        peer->endpoint = &options->endpoints[i % options->endpoint_count];
        load->status = open_peer(load, peer);
        load->live += load->status == STATUS_OK;
    }
}

static void start(struct load *load)
{
    const struct load_options *options = load->options;
    uint64_t now_ns = clock_now_ns();
    load->start_ns = now_ns;
    load->heard_ns = now_ns;
    load->interval_ns = now_ns;
    load->warm_ns = now_ns + options->warmup_ms * 1000000;
    load->warm = options->warmup_ms == 0;
    uint64_t all_ns = (options->warmup_ms + options->duration_ms) * 1000000;
    load->end_ns = options->duration_ms == 0 ? UINT64_MAX : now_ns + all_ns;
    for (size_t i = 0; i < options->connections; i++) {
        struct peer *peer = &load->peers[i];
        if (peer->pending > 0) {
            if (!flush(load, peer)) {
                lose(load, peer);
            }
        } else {
            go_on(load, peer, now_ns);
        }
    }
}

static double cpu_seconds(void)
{
    struct rusage usage;
    int rv = getrusage(RUSAGE_SELF, &usage);
    assert(rv == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void close_all(struct load *load)
{
    for (size_t i = 0; i < load->options->connections; i++) {
        struct peer *peer = &load->peers[i];
        connection_close(&peer->connection);
        buf_deinit(&peer->in);
        buf_deinit(&peer->out);
    }
    free(load->peers);
    free(load->interval);
    connection_close(&(struct connection){.fd = load->epoll_fd});
}

enum status load_run(const struct load_options *options,
                     struct wire *wire,
                     struct load_counts *counts)
{
    assert(options->connections > 0 && options->connections <= LOAD_CONNECTIONS_MAX);
    assert(options->pipeline > 0 && options->pipeline <= LOAD_PIPELINE_MAX);
    assert(options->endpoint_count > 0 && (options->requests > 0 || options->duration_ms > 0));
    *counts = (struct load_counts){0};
    struct load load = {.options = options, .wire = wire, .counts = counts};
    load.interval = calloc(1, sizeof *load.interval);
    load.peers = calloc(options->connections, sizeof *load.peers);
    assert(load.interval != NULL && load.peers != NULL);
    for (size_t i = 0; i < options->connections; i++) {
        struct peer *peer = &load.peers[i];
        peer->connection.fd = -1;
        buf_init(&peer->in, (size_t)WIRE_REPLY_SIZE_MAX + READ_SIZE);
        buf_init(&peer->out, SIZE_MAX / 2);
        list_init(&peer->idle);
    }
    list_init(&load.idle);
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    assert(load.epoll_fd >= 0);
    open_all(&load);
    double cpu = cpu_seconds();
    if (load.status == STATUS_OK) {
        start(&load);
    }
    while (load.status == STATUS_OK && load.live > 0 &&
           (!is_over(&load, clock_now_ns()) || pending(&load) > 0)) {
        turn(&load);
    }
    if (load.status == STATUS_OK && load.live == 0) {
        load.status = STATUS_DISCONNECTED;
    }
    counts->elapsed_ns = clock_now_ns() - load.warm_ns;
    uint64_t all_ns = clock_now_ns() - load.start_ns;
    counts->cores = all_ns == 0 ? 0 : (cpu_seconds() - cpu) * 1e9 / (double)all_ns;
    close_all(&load);
    return load.status;
}
