#include "common/front/request.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/front/front_core.h"
#include "common/front/multi.h"

enum { CODE_SIZE_MAX = 24 };

/* The request, then the slices, then the bytes: one allocation. With memory, the slices point
 * there. */
struct request *request_new(struct session *session,
                            const struct command *command,
                            struct args args,
                            void *memory)
{
    size_t size = sizeof(struct request) + args.argc * sizeof(struct slice);
    size_t at = size;
    for (size_t i = 0; memory == NULL && i < args.argc; i++) {
        size += args.argv[i].len;
    }
    struct request *request = malloc(size);
    assert(request != NULL);
    struct slice *argv = (struct slice *)(request + 1);
    uint8_t *bytes = (uint8_t *)request + at;
    for (size_t i = 0; i < args.argc; i++) {
        argv[i] = args.argv[i];
        if (memory == NULL) {
            argv[i].data = bytes;
            if (args.argv[i].len > 0) {
                memcpy(bytes, args.argv[i].data, args.argv[i].len);
            }
            bytes += args.argv[i].len;
        }
    }
    struct front_part *part = session->part;
    *request = (struct request){
        .command = command,
        .named = command,
        .args = {.argv = argv, .argc = args.argc},
        .started_ns = front_now_ns(part),
        .client = session->id,
        .loop = part->index,
        .db = session->db,
        .read_chosen = session->read_chosen,
        .replica = session->replica,
        .bound_ms = session->bound_ms,
        .protocol = session->protocol,
        .silent = session->reply_mode != SESSION_REPLY_ON,
        .session = session,
        .part = part,
        .memory = memory,
    };
    if (session->reply_mode == SESSION_REPLY_SKIP) {
        session->reply_mode = SESSION_REPLY_ON;
    }
    request->size = sizeof(*request);
    for (size_t i = 0; i < args.argc; i++) {
        request->size += sizeof(struct slice) + args.argv[i].len;
    }
    list_init(&request->waiting);
    list_push_back(&session->requests, &request->order);
    session->in_flight++;
    part->in_flight++;
    request->size = sizeof(*request);
    for (size_t i = 0; i < args.argc; i++) {
        request->size += sizeof(struct slice) + args.argv[i].len;
    }
    session->requests_size += request_size(request);
    return request;
}

struct request *request_new_inner(struct request *outer,
                                  const struct command *command,
                                  struct args args)
{
    struct session *session = outer->session;
    struct request *request = malloc(sizeof(*request));
    assert(request != NULL);
    *request = (struct request){.command = command,
                                .named = command,
                                .args = args,
                                .started_ns = front_now_ns(session->part),
                                .client = session->id,
                                .loop = session->part->index,
                                .db = session->db,
                                .protocol = session->protocol,
                                .session = session,
                                .part = session->part,
                                .size = sizeof(*request),
                                .outer = outer};
    list_init(&request->waiting);
    list_init(&request->order);
    return request;
}

void request_free_inner(struct request *request)
{
    assert(request->outer != NULL);
    free(request);
}

void request_grow(struct request *request, size_t size)
{
    request->size += size;
    request->session->requests_size += size;
}

size_t request_size(const struct request *request)
{
    return request->size;
}

bool request_abandoned(const struct request *request)
{
    return request->session == NULL;
}

bool request_alone(struct request *request)
{
    request = request->outer != NULL ? request->outer : request;
    struct session *session = request->session;
    if (session == NULL) {
        return true;
    }
    if (request->order.next != &session->requests) {
        return false;
    }
    session->alone = true;
    return true;
}

bool request_solo(struct request *request)
{
    struct session *session = request->session;
    return session != NULL && request->outer == NULL && request->order.prev == &session->requests &&
           request_alone(request);
}

static void release(struct request *request)
{
    free((void *)(uintptr_t)request->reply.data);
    free(request->memory);
    multi_run_free(request->run);
    free(request);
}

void request_abandon(struct request *request)
{
    if (request->session->blocking == request) {
        session_unblock(request->session);
    }
    list_remove(&request->order);
    request->session = NULL;
    request->part->in_flight--;
    const struct front_options *options = &request->part->front->options;
    if (request->run != NULL) {
        multi_abandon(request->run);
    }
    if (request->done || request->held) {
        release(request);
    } else if (request->wait_ms != 0 && options->env->cancel != NULL) {
        options->env->cancel(options->arg, request); /* May be its end. */
    }
}

static void count_error(struct front_part *part, struct slice reply)
{
    char code[CODE_SIZE_MAX];
    size_t len = 0;
    /* Behind '-', up to the first space. */
    while (len + 1 < reply.len && len < sizeof(code) - 1 && reply.data[len + 1] > ' ') {
        code[len] = (char)reply.data[len + 1];
        len++;
    }
    code[len] = '\0';
    size_t label = len == 3 && memcmp(code, "ERR", 3) == 0
                       ? part->err_label
                       : metrics_label(part->metrics, METRIC_error_replies_total, code);
    metrics_add_label(part->metrics, METRIC_error_replies_total, label, 1);
}

static void count(const struct request *request, struct slice reply)
{
    struct front_part *part = request->part;
    bool failed = reply.data[0] == '-';
    if (failed) {
        count_error(part, reply);
    }
    if (request->named == NULL) {
        return;
    }
    enum command_id id = request->named->id;
    uint64_t now_ns = clock_now_ns();
    uint64_t spent_ns = now_ns > request->started_ns ? now_ns - request->started_ns : 0;
    metrics_observe_label(part->metrics, METRIC_command_duration_seconds, part->duration_labels[id],
                          spent_ns);
    if ((request->command->flags & (CMD_BLOCKING | CMD_PUBSUB)) == 0) {
        front_slowlog_note(request, spent_ns);
        front_latency_note(request, spent_ns);
    }
    if (failed) {
        metrics_add_label(part->metrics, METRIC_command_errors_total, part->error_labels[id], 1);
    }
}

/* A bulk string leaves as it is: its memory goes along, if it is the request's own. */
static bool give(struct session *session, struct request *request)
{
    struct slice reply = request->reply;
    bool bulk = reply.len >= FRONT_LARGE_SIZE && reply.data[0] == '$' && reply.data[1] != '-';
    if (!bulk || session->conn == NULL) {
        return false;
    }
    conn_give(session->conn, (uint8_t *)(uintptr_t)reply.data, reply.len);
    session->requests_size -= reply.len;
    request->reply = slice_of(NULL, 0);
    return true;
}

/* Its turn has come: the reply leaves. */
static void emit(struct session *session, struct request *request, struct slice reply)
{
    if (!request->silent && !session->dead) {
        struct buf *out = session_output(session);
        size_t pending = session->conn != NULL ? conn_pending(session->conn) : out->len;
        if (pending > (size_t)front_setting(session->part, CONFIG_client_output_buffer_limit)) {
            session_end(session, FRONT_OUTPUT);
        } else if (!give(session, request)) {
            resp_convert(reply, request->protocol, out);
        }
    }
    if (session->blocking == request) {
        session_unblock(session);
    }
    list_remove(&request->order);
    session->in_flight--;
    session->part->in_flight--;
    session->requests_size -= request_size(request) + request->reply.len;
    release(request);
}

/* True: its turn has not come. */
static bool keep(struct session *session, struct request *request, uint8_t *reply, size_t size)
{
    request->reply = slice_of(reply, size);
    session->requests_size += size;
    if (session->requests.next == &request->order) {
        return false;
    }
    /* So many replies behind one that does not come are output too, if not yet in the socket. */
    if (session->requests_size / 2 >
        (size_t)front_setting(session->part, CONFIG_client_output_buffer_limit)) {
        session_end(session, FRONT_OUTPUT);
        return true;
    }
    session_account(session);
    return true;
}

static void leave(struct session *session, struct request *request, struct slice reply)
{
    emit(session, request, reply);
    while (!list_empty(&session->requests)) {
        struct request *next = list_entry(session->requests.next, struct request, order);
        if (!next->done) {
            break;
        }
        emit(session, next, next->reply);
    }
    if (!list_empty(&session->requests)) {
        struct request *next = list_entry(session->requests.next, struct request, order);
        if (next->held) {
            session_run_held(next);
            return; /* Its end brings us here again. */
        }
    }
    session_advance(session);
}

/* False: the client is gone, and the request with it. */
static bool finish(struct request *request, struct slice reply)
{
    assert(!request->done && reply.len > 0);
    request->done = true;
    count(request, reply);
    if (request->session == NULL) {
        release(request);
        return false;
    }
    session_note_reply(request->session, reply.len);
    return true;
}

/* True: the reply belongs to a transaction, which goes on. */
static bool intercept(struct request *request, struct slice reply)
{
    if (request->outer != NULL) {
        count(request, reply);
        multi_answer_inner(request, reply);
        return true;
    }
    return request->run != NULL && multi_answer(request, reply);
}

void request_finish(struct request *request, struct slice reply)
{
    if (request->unblocked && slice_equal(reply, slice_str("*-1\r\n"))) {
        reply = slice_str("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    }
    if (intercept(request, reply)) {
        return;
    }
    if (!finish(request, reply)) {
        return;
    }
    struct session *session = request->session;
    if (session->requests.next == &request->order) {
        leave(session, request, reply);
        return;
    }
    uint8_t *copy = malloc(reply.len);
    assert(copy != NULL);
    memcpy(copy, reply.data, reply.len);
    (void)keep(session, request, copy, reply.len);
}

void request_finish_owned(struct request *request, uint8_t *reply, size_t size)
{
    if (intercept(request, slice_of(reply, size))) {
        free(reply);
        return;
    }
    struct session *session = request->session;
    if (!finish(request, slice_of(reply, size))) {
        free(reply);
    } else if (!keep(session, request, reply, size)) {
        leave(session, request, request->reply);
    }
}

void request_fail(struct request *request, const char *text)
{
    struct buf *reply = front_reply(request);
    resp_write_error(reply, text);
    front_done(request);
}
