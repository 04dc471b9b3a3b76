#include "common/front/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/front/front_core.h"
#include "common/front/multi.h"
#include "common/proto/block.h"

enum { SESSION_MAGIC = 0x53455353 };

typedef void (*handler)(struct request *request);

static const handler handlers[CMD_COUNT] = {
#define READ_COMMAND(id, ...)
#define WRITE_COMMAND(id, ...)
#define FRONT_COMMAND(id, ...) [CMD_##id] = front_##id,
#define NODE_COMMAND(id, ...)
#include "common/proto/command.def"
#undef READ_COMMAND
#undef WRITE_COMMAND
#undef FRONT_COMMAND
#undef NODE_COMMAND
};

struct buf *session_output(struct session *session)
{
    return session->conn != NULL ? conn_out(session->conn) : &session->out;
}

bool session_ended(const struct session *session)
{
    return session->ended;
}

size_t session_in_flight(const struct session *session)
{
    return session->in_flight;
}

void session_apply_auth(struct session *session)
{
    const char *password = config_text(session->part->front->options.config, CONFIG_requirepass);
    if (password[0] == '\0') {
        session->authenticated = true;
    }
}

/* Memory and ends. */

void session_end(struct session *session, enum front_reason reason)
{
    if (session->dead) {
        return;
    }
    struct front_part *part = session->part;
    metrics_add_label(part->metrics, METRIC_clients_disconnected_total, part->reason_labels[reason],
                      1);
    session->ended = true;
    session->dead = true;
    if (session->conn != NULL) {
        conn_close(session->conn, STATUS_OK);
    }
}

void session_account(struct session *session)
{
    size_t memory = session->requests_size + session->out.len + multi_size(session);
    if (session->conn != NULL) {
        memory += conn_pending(session->conn) + conn_held(session->conn);
    }
    struct front *front = session->part->front;
    size_t before = session->memory;
    if (memory == before) {
        return;
    }
    session->memory = memory;
    /* Unsigned: adds or takes away. */
    uint64_t total =
        atomic_fetch_add_explicit(&front->memory, (uint64_t)memory - before, memory_order_relaxed) +
        memory - before;
    uint64_t bound = (uint64_t)front_setting(session->part, CONFIG_maxmemory_clients);
    if (memory > before && total > bound && !session->no_evict) {
        uint64_t clients = front_clients(front);
        if (clients > 0 && memory >= total / clients) { /* Not those who need little. */
            session_end(session, FRONT_MEMORY);
        }
    }
}

/* Requests in flight.
 *
 * A client may ask for more than it reads. What it has under way is bounded by number and by bytes:
 * nobody knows how large the replies will be, so that a new client begins with few requests, and
 * one whose replies were large of late gets few. */

void session_note_reply(struct session *session, size_t size)
{
    size_t faded = session->reply_size - session->reply_size / 8;
    session->reply_size = size > faded ? size : faded;
    session->window++;
}

static size_t flight_max(const struct session *session)
{
    size_t bound = (size_t)front_setting(session->part, CONFIG_client_pipeline_max);
    bound = session->window < bound ? session->window : bound;
    size_t by_size = session->reply_size == 0 ? bound : FRONT_FLIGHT_SIZE / session->reply_size;
    bound = by_size < bound ? by_size : bound;
    return bound == 0 ? 1 : bound;
}

static size_t pending_of(const struct session *session)
{
    return session->conn != NULL ? conn_pending(session->conn) : 0;
}

void session_block(struct session *session, struct request *request)
{
    assert(session->blocking == NULL);
    session->blocking = request;
    session->part->blocked++;
    atomic_fetch_add_explicit(&session->part->front->blocked, 1, memory_order_relaxed);
}

void session_unblock(struct session *session)
{
    assert(session->blocking != NULL && session->part->blocked > 0);
    session->blocking = NULL;
    session->part->blocked--;
    atomic_fetch_sub_explicit(&session->part->front->blocked, 1, memory_order_relaxed);
}

static bool is_full(const struct session *session)
{
    if (session->blocking != NULL) {
        return true;
    }
    if (session->in_flight == 0) {
        return pending_of(session) > FRONT_PENDING_SIZE;
    }
    return session->alone || session->in_flight >= flight_max(session) ||
           session->requests_size > FRONT_FLIGHT_SIZE || pending_of(session) > FRONT_PENDING_SIZE;
}

/* Whoever waits is still read from, so that its end is noticed; input is kept for later. */
static void stall(struct session *session, size_t input)
{
    session->stalled = true;
    bool reads = session->blocking != NULL && input <= FRONT_AHEAD_SIZE;
    if (session->conn != NULL && !reads) {
        conn_pause(session->conn);
        if (pending_of(session) > FRONT_PENDING_SIZE) {
            conn_await_drained(session->conn);
        }
    }
}

static bool may_go_on(const struct session *session)
{
    if (session->blocking != NULL) {
        return false;
    }
    if (session->in_flight == 0) {
        return pending_of(session) <= FRONT_PENDING_SIZE;
    }
    return !session->alone && session->in_flight <= flight_max(session) / 2 &&
           session->requests_size <= FRONT_FLIGHT_SIZE / 2 &&
           pending_of(session) <= FRONT_PENDING_SIZE;
}

void session_advance(struct session *session)
{
    if (session->dead) {
        return;
    }
    if (session->ended) {
        if (list_empty(&session->requests) && session->conn != NULL) {
            conn_finish(session->conn);
        }
        return;
    }
    if (session->stalled && may_go_on(session)) {
        session->stalled = false;
        if (session->conn != NULL) {
            conn_resume(session->conn);
        }
    } else if (session->stalled && pending_of(session) > FRONT_PENDING_SIZE) {
        conn_await_drained(session->conn);
    }
    session_account(session);
}

void session_tick(struct session *session)
{
    session_account(session);
    int64_t timeout_s = front_setting(session->part, CONFIG_timeout);
    uint64_t idle_ms = front_now_ns(session->part) / 1000000 - session->active_ms;
    if (timeout_s > 0 && session->in_flight == 0 && idle_ms > (uint64_t)timeout_s * 1000) {
        session_end(session, FRONT_IDLE);
    }
}

/* Commands. */

static void reject(struct request *request, struct buf *reply)
{
    struct front_part *part = request->part;
    if (request->command != NULL) {
        size_t label = part->rejected_labels[request->command->id];
        metrics_add_label(part->metrics, METRIC_command_rejected_total, label, 1);
        request->named = NULL; /* It did not run: no duration. */
    }
    multi_taint(request->session);
    request_finish(request, buf_slice(reply));
}

/* Redis' own words, cut where it cuts. */
static void reject_unknown(struct request *request)
{
    char shown[512];
    size_t len = 0;
    for (size_t i = 1; i < request->args.argc && len < 128; i++) {
        struct slice arg = request->args.argv[i];
        int room = (int)(128 - len);
        int arg_len = arg.len < (size_t)room ? (int)arg.len : room;
        arg_len = (int)strnlen((const char *)arg.data, (size_t)arg_len);
        len += (size_t)snprintf(shown + len, sizeof(shown) - len, "'%.*s' ", arg_len,
                                arg_len > 0 ? (const char *)arg.data : "");
    }
    shown[len] = '\0';
    struct slice name = request->args.argv[0];
    size_t name_len = name.len < 128 ? name.len : 128;
    name_len = name_len > 0 ? strnlen((const char *)name.data, name_len) : 0;
    struct buf *reply = front_reply(request);
    resp_write_errorf(reply, "ERR unknown command '%.*s', with args beginning with: %s",
                      (int)name_len, name_len > 0 ? (const char *)name.data : "", shown);
    reject(request, reply);
}

static bool keys_fit(struct request *request)
{
    size_t bound = (size_t)front_setting(request->part, CONFIG_max_key_size);
    for (size_t nth = 0;; nth++) {
        size_t at = command_key_at(request->command, request->args, nth);
        if (at == 0) {
            return true;
        }
        if (request->args.argv[at].len > bound) {
            return false;
        }
    }
}

/* Subscriptions, and what is published, keep their place among what the client does. */
static bool must_wait(const struct session *session, struct request *request)
{
    bool ordered = request->command != NULL && (request->command->flags & CMD_PUBSUB) != 0 &&
                   multi_count(session) < 0; /* Else it is only queued. */
    if (!ordered || session->requests.next == &request->order) {
        return false;
    }
    request->held = true;
    return true;
}

void session_run_front(struct request *request)
{
    assert((request->command->flags & CMD_FRONT) != 0);
    handlers[request->command->id](request);
}

static void reject_arity(struct session *session, struct request *request)
{
    const struct command *command = request->command;
    struct buf *reply = front_reply(request);
    /* Whatever is wrong with an EXEC, the transaction is over. */
    bool over = command->id == CMD_exec && multi_reset(session);
    resp_write_errorf(reply, "%s wrong number of arguments for '%s' command",
                      over ? "EXECABORT Transaction discarded because of:" : "ERR", command->name);
    reject(request, reply);
}

static void run(struct session *session, struct request *request)
{
    if (must_wait(session, request)) {
        return;
    }
    const struct command *command = request->command;
    if (command == NULL) {
        reject_unknown(request);
        return;
    }
    if (command_check(command, request->args.argc) != STATUS_OK) {
        reject_arity(session, request);
        return;
    }
    struct buf *reply = front_reply(request);
    if (!session->authenticated) {
        session_apply_auth(session); /* The password may have been taken away meanwhile. */
    }
    if (!session->authenticated && (command->flags & CMD_NO_AUTH) == 0) {
        resp_write_error(reply, "NOAUTH Authentication required.");
        reject(request, reply);
        return;
    }
    if (!front_pubsub_allows(request)) {
        return;
    }
    if ((command->flags & CMD_FRONT) == 0 && !keys_fit(request)) {
        resp_write_errorf(reply, "ERR a key is longer than max-key-size allows (%lld bytes)",
                          (long long)front_setting(request->part, CONFIG_max_key_size));
        reject(request, reply);
        return;
    }
    if (multi_queue(session, request)) {
        return;
    }
    if ((command->flags & CMD_FRONT) != 0) {
        session_run_front(request);
        return;
    }
    request->wait_ms = block_timeout(command, request->args);
    if (request->wait_ms != 0) {
        session_block(session, request);
    }
    const struct front_options *options = &request->part->front->options;
    options->env->execute(options->arg, request);
}

void session_run_held(struct request *request)
{
    assert(request->held && request->session->requests.next == &request->order);
    request->held = false;
    run(request->session, request);
}

/* A browser that was made to talk to us must not get a second line in. */
static bool is_http(struct slice word)
{
    return command_word(word, "post") || command_word(word, "host:");
}

/* What is between routers and nodes alone is no command of clients. */
static const struct command *find_command(struct slice name)
{
    const struct command *command = command_find(name);
    bool internal = command != NULL && (command->flags & (CMD_NODE | CMD_INTERNAL)) != 0;
    return internal ? NULL : command;
}

static void start(struct session *session, struct args args, void *memory)
{
    if (is_http(args.argv[0])) {
        free(memory);
        log_warn("front.http_refused", "client=%llu", (unsigned long long)session->id);
        session_end(session, FRONT_PROTOCOL);
        return;
    }
    const struct command *command = find_command(args.argv[0]);
    session->last = command;
    front_monitor_show(session, command, args);
    session->active_ms = front_now_ns(session->part) / 1000000;
    size_t before = session->requests_size;
    struct request *request = request_new(session, command, args, memory);
    session->alone = session->requests_size - before >= FRONT_ALONE_SIZE ||
                     (command != NULL && (command->flags & CMD_PUBSUB) != 0);
    run(session, request);
}

static void refuse_protocol(struct session *session, const struct resp_parser *parser)
{
    const char *text = parser->error != NULL ? parser->error : "Protocol error";
    if (!session->authenticated && strstr(text, "multibulk length") != NULL) {
        text = "Protocol error: unauthenticated multibulk length";
    } else if (!session->authenticated && strstr(text, "bulk length") != NULL) {
        text = "Protocol error: unauthenticated bulk length";
    }
    struct front_part *part = session->part;
    metrics_add_label(part->metrics, METRIC_clients_disconnected_total,
                      part->reason_labels[FRONT_PROTOCOL], 1);
    session->ended = true;
    session->reply_mode = SESSION_REPLY_ON;
    struct request *request = request_new(session, NULL, (struct args){0}, NULL);
    struct buf *reply = front_reply(request);
    resp_write_errorf(reply, "ERR %s", text);
    request_finish(request, buf_slice(reply));
}

/* Most requests come whole: the part's parser serves all sessions, and only who has sent a
 * beginning gets one of its own, which remembers how far that came. */
static struct resp_parser *parser_of(struct session *session)
{
    struct front_part *part = session->part;
    struct resp_parser *parser = session->partial != NULL ? session->partial : &part->parser;
    size_t bulk_max = (size_t)front_setting(part, CONFIG_proto_max_bulk_len);
    /* What a stranger may send is small until AUTH. */
    parser->argc_max = session->authenticated ? RESP_ARGC_MAX : FRONT_STRANGER_ARGC_MAX;
    parser->bulk_size_max =
        session->authenticated ? bulk_max : (size_t)FRONT_STRANGER_BULK_SIZE_MAX;
    return parser;
}

static void keep_partial(struct session *session)
{
    if (session->partial != NULL) {
        return;
    }
    struct front_part *part = session->part;
    session->partial = malloc(sizeof(*session->partial));
    assert(session->partial != NULL);
    *session->partial = part->parser;
    resp_parser_init(&part->parser, part->parser.bulk_size_max);
}

static void drop_partial(struct session *session)
{
    if (session->partial != NULL) {
        resp_parser_deinit(session->partial);
        free(session->partial);
        session->partial = NULL;
    }
}

/* One request at the front of input. False: nothing more can be done with this input. */
static bool feed_one(struct session *session, struct slice input, size_t *used, bool *took)
{
    struct slice rest = slice_of(input.data + *used, input.len - *used);
    struct args args;
    size_t size = 0;
    struct resp_parser *parser = parser_of(session);
    enum status status = resp_parse(parser, rest, &args, &size);
    if (status == STATUS_AGAIN) {
        keep_partial(session);
        if (rest.len > (size_t)front_setting(session->part, CONFIG_client_query_buffer_limit)) {
            session_end(session, FRONT_QUERY);
        } else if (session->conn != NULL) {
            conn_expect(session->conn, size);
        }
        return false;
    }
    if (status != STATUS_OK) {
        *used = input.len;
        refuse_protocol(session, parser);
        /* What it knows of this input must not meet the next. */
        keep_partial(session);
        drop_partial(session);
        return false;
    }
    *used += size;
    if (args.argc == 0) {
        drop_partial(session);
        return true;
    }
    void *memory = NULL;
    if (session->conn != NULL && size >= FRONT_LARGE_SIZE) {
        memory = conn_take_input(session->conn, *used);
        *took = memory != NULL;
    }
    start(session, args, memory);
    drop_partial(session);
    return !*took;
}

size_t session_feed(struct session *session, struct slice input)
{
    assert(session->magic == SESSION_MAGIC);
    size_t used = 0;
    bool took = false;
    while (!session->ended && used < input.len) {
        if (is_full(session)) {
            stall(session, input.len - used);
            break;
        }
        if (!feed_one(session, input, &used, &took)) {
            break;
        }
    }
    if (!session->dead) {
        session_account(session);
    }
    if (took) {
        return 0;
    }
    return session->ended ? input.len : used;
}

/* Life. */

static struct session *make(struct front_part *part, struct conn *conn)
{
    struct session *session = calloc(1, sizeof(*session));
    assert(session != NULL);
    session->magic = SESSION_MAGIC;
    session->protocol = 2;
    session->window = FRONT_WINDOW_MIN;
    session->part = part;
    session->conn = conn;
    session->id = atomic_fetch_add_explicit(&part->front->next_client, 1, memory_order_relaxed);
    session->created_ms = front_now_ns(part) / 1000000;
    session->active_ms = session->created_ms;
    list_init(&session->requests);
    list_init(&session->members);
    list_push_back(&part->sessions, &session->in_part);
    part->session_count++;
    atomic_fetch_add_explicit(&part->front->clients, 1, memory_order_relaxed);
    buf_init(&session->out, SIZE_MAX / 2);
    session_apply_auth(session);
    metrics_add(part->metrics, METRIC_clients_accepted_total, 1);
    return session;
}

struct session *session_new(struct front_part *part)
{
    return make(part, NULL);
}

void session_free(struct session *session)
{
    assert(session->magic == SESSION_MAGIC);
    struct front *front = session->part->front;
    while (!list_empty(&session->requests)) {
        request_abandon(list_entry(session->requests.next, struct request, order));
    }
    front_unsubscribe_all(session);
    front_monitor_end(session);
    list_remove(&session->in_part);
    session->part->session_count--;
    atomic_fetch_sub_explicit(&front->clients, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&front->memory, session->memory, memory_order_relaxed);
    drop_partial(session);
    multi_free(session->multi);
    buf_deinit(&session->out);
    free(session->name);
    free(session->lib_name);
    free(session->lib_version);
    session->magic = 0;
    free(session);
}

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    (void)conn;
    return session_feed(arg, input);
}

static void on_drained(void *arg, struct conn *conn)
{
    (void)conn;
    session_advance(arg);
}

static void on_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    struct session *session = arg;
    session->conn = NULL;
    session->dead = true;
    session_free(session);
}

static const struct conn_handler conn_handler = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_close = on_close,
};

void session_open(struct front_part *part, struct conn *conn)
{
    assert(part->loop == conn_loop(conn));
    struct front *front = part->front;
    if (front_clients(front) >= (uint64_t)front_setting(part, CONFIG_maxclients)) {
        metrics_add(part->metrics, METRIC_clients_rejected_total, 1);
        conn_set_handler(conn, &conn_nobody, NULL);
        conn_write(conn, slice_str("-ERR max number of clients reached\r\n"));
        conn_finish(conn);
        return;
    }
    struct session *session = make(part, conn);
    /* The bounds of input and output are the session's own. */
    conn_set_limits(conn, SIZE_MAX / 4, SIZE_MAX / 4, FRONT_PENDING_SIZE / 2);
    conn_set_handler(conn, &conn_handler, session);
}

void session_describe(const struct session *session, struct buf *out)
{
    char peer[CONN_ADDRESS_SIZE] = "?:0";
    char local[CONN_ADDRESS_SIZE] = "?:0";
    size_t pending = session->out.len;
    size_t held = 0;
    int fd = -1;
    if (session->conn != NULL) {
        conn_peer(session->conn, peer);
        conn_local(session->conn, local);
        pending = conn_pending(session->conn);
        held = conn_held(session->conn);
        fd = conn_fd(session->conn);
    }
    uint64_t now_ms = front_now_ns(session->part) / 1000000;
    bool listens = !list_empty(&session->members);
    bool open = multi_count(session) >= 0;
    bool plain =
        session->blocking == NULL && !open && !session->no_evict && !session->no_touch && !listens;
    buf_append_format(
        out,
        "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s%s%s%s%s%s db=%u sub=%u "
        "psub=%u ssub=%u multi=%lld qbuf=%zu qbuf-free=0 argv-mem=%zu multi-mem=%zu rbs=0 rbp=0 "
        "obl=0 oll=0 "
        "omem=%zu tot-mem=%zu events=%s cmd=%s user=default redir=-1 resp=%u lib-name=%s "
        "lib-ver=%s\n",
        (unsigned long long)session->id, peer, local, fd,
        session->name != NULL ? session->name : "",
        (unsigned long long)((now_ms - session->created_ms) / 1000),
        (unsigned long long)((now_ms - session->active_ms) / 1000),
        session->blocking != NULL ? "b" : "", open ? "x" : "", session->no_evict ? "e" : "",
        session->no_touch ? "T" : "", listens ? "P" : "", plain ? "N" : "", (unsigned)session->db,
        session->channels, session->patterns, session->shard_channels,
        (long long)multi_count(session), held, session->requests_size, multi_size(session), pending,
        sizeof(*session) + session->memory, pending > 0 ? "rw" : "r",
        session->last != NULL ? session->last->name : "NULL", (unsigned)session->protocol,
        session->lib_name != NULL ? session->lib_name : "",
        session->lib_version != NULL ? session->lib_version : "");
}
