#include "common/net/http.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/list.h"

enum { HTTP_MAGIC = 0x48545450, METHOD_SIZE_MAX = 16, BODY_SIZE_MAX = 256 * 1024 * 1024 };

struct http {
    uint32_t magic;
    struct http_options options;
    struct loop *loop;
    struct listener *listener;
    struct list calls;
    size_t call_count;
    bool closed;
};

struct http_call {
    struct list in_http;
    struct http *http;
    struct conn *conn; /* NULL: gone. */
    struct timer timer;
    bool asked; /* on_request was called and http_respond was not yet. */
    bool answered;
    bool head_only;
    struct http_response response;
};

/* Parsing. */

static bool is_token(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_len(struct slice text)
{
    size_t len = 0;
    while (len < text.len && is_token(text.data[len])) {
        len++;
    }
    return len;
}

/* Moves the front of *rest up to (without) the first `stop`, or all of it, to *part. */
static bool cut(struct slice *rest, char stop, struct slice *part)
{
    const uint8_t *at = rest->len > 0 ? memchr(rest->data, stop, rest->len) : NULL;
    size_t len = at != NULL ? (size_t)(at - rest->data) : rest->len;
    *part = slice_of(rest->data, len);
    size_t skip = at != NULL ? len + 1 : len;
    *rest = slice_of(rest->data + skip, rest->len - skip);
    return at != NULL;
}

static enum status parse_first_line(struct slice line, struct http_request *request)
{
    struct slice target;
    if (!cut(&line, ' ', &request->method) || !cut(&line, ' ', &target)) {
        return STATUS_PROTOCOL;
    }
    bool version = line.len == 8 && memcmp(line.data, "HTTP/1.", 7) == 0 &&
                   (line.data[7] == '0' || line.data[7] == '1');
    bool method = request->method.len > 0 && request->method.len <= METHOD_SIZE_MAX &&
                  token_len(request->method) == request->method.len;
    if (!version || !method || target.len == 0 || target.data[0] != '/') {
        return STATUS_PROTOCOL;
    }
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= ' ' || target.data[i] > '~') {
            return STATUS_PROTOCOL;
        }
    }
    (void)cut(&target, '?', &request->path);
    request->query = target;
    return STATUS_OK;
}

static enum status check_header(struct slice line)
{
    size_t len = token_len(line);
    if (len == 0 || len == line.len || line.data[len] != ':') {
        return STATUS_PROTOCOL;
    }
    for (size_t i = len + 1; i < line.len; i++) {
        if (line.data[i] < ' ' && line.data[i] != '\t') {
            return STATUS_PROTOCOL;
        }
    }
    return STATUS_OK;
}

/* The next line without its CR LF; AGAIN if it has not come whole. */
static enum status next_line(struct slice input, size_t *at, struct slice *line)
{
    size_t left = input.len - *at;
    const uint8_t *start = input.data + *at;
    const uint8_t *lf = left > 0 ? memchr(start, '\n', left) : NULL;
    if (lf == NULL) {
        return STATUS_AGAIN;
    }
    size_t len = (size_t)(lf - start);
    if (len == 0 || start[len - 1] != '\r') {
        return STATUS_PROTOCOL;
    }
    *line = slice_of(start, len - 1);
    *at += len + 1;
    return STATUS_OK;
}

enum status http_parse(struct slice input, struct http_request *request, size_t *size_used)
{
    struct slice window = input;
    if (window.len > HTTP_HEAD_SIZE_MAX) {
        window.len = HTTP_HEAD_SIZE_MAX;
    }
    if (window.len > 0 && !is_token(window.data[0])) {
        return STATUS_PROTOCOL; /* Garbage is told so at once. */
    }
    size_t at = 0;
    for (bool first = true;; first = false) {
        struct slice line;
        enum status status = next_line(window, &at, &line);
        if (status == STATUS_AGAIN) {
            return input.len >= HTTP_HEAD_SIZE_MAX ? STATUS_TOO_BIG : STATUS_AGAIN;
        }
        if (status == STATUS_OK && !first && line.len == 0) {
            *size_used = at;
            return STATUS_OK;
        }
        if (status == STATUS_OK) {
            status = first ? parse_first_line(line, request) : check_header(line);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
}

/* Answering. */

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    default: return status < 500 ? "Error" : "Internal Server Error";
    }
}

static void release(struct http_call *call)
{
    struct http *http = call->http;
    list_remove(&call->in_http);
    http->call_count--;
    buf_deinit(&call->response.body);
    free(call);
    if (http->closed && http->call_count == 0) {
        http->magic = 0;
        free(http);
    }
}

static void answer(struct http_call *call)
{
    call->answered = true;
    if (call->conn == NULL) {
        release(call);
        return;
    }
    struct http_response *response = &call->response;
    struct buf *out = conn_out(call->conn);
    buf_append_format(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
                      response->status, reason_of(response->status), response->content_type,
                      response->body.len);
    buf_append_text(out, response->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    buf_append_text(out, "Cache-Control: no-store\r\nConnection: close\r\n\r\n");
    if (!call->head_only) {
        buf_append_slice(out, buf_slice(&response->body));
    }
    conn_finish(call->conn);
}

static void answer_error(struct http_call *call, int status)
{
    call->response.status = status;
    buf_clear(&call->response.body);
    buf_append_format(&call->response.body, "%d %s\n", status, reason_of(status));
    answer(call);
}

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    (void)conn;
    struct http_call *call = arg;
    if (call->asked || call->answered) {
        return input.len;
    }
    struct http_request request = {0};
    size_t size_used = 0;
    enum status status = http_parse(input, &request, &size_used);
    if (status == STATUS_AGAIN) {
        return 0;
    }
    if (status != STATUS_OK) {
        answer_error(call, status == STATUS_TOO_BIG ? 431 : 400);
        return input.len;
    }
    call->head_only = slice_equal(request.method, slice_str("HEAD"));
    if (!call->head_only && !slice_equal(request.method, slice_str("GET"))) {
        answer_error(call, 405);
        return input.len;
    }
    call->asked = true;
    call->http->options.on_request(call->http->options.arg, call, &request);
    return input.len;
}

static void on_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    struct http_call *call = arg;
    call->conn = NULL;
    loop_timer_stop(&call->timer);
    if (call->answered || !call->asked) {
        release(call);
    }
}

static const struct conn_handler conn_handler = {.on_data = on_data, .on_close = on_close};

static void on_timeout(void *arg)
{
    struct http_call *call = arg;
    conn_close(call->conn, STATUS_TIMEOUT);
}

static void on_accept(void *arg, struct conn *conn)
{
    struct http *http;
    CAST_OBJ(http, arg, HTTP_MAGIC);
    if (http->call_count >= HTTP_CONNS_MAX) {
        conn_set_handler(conn, &conn_nobody, NULL);
        conn_close(conn, STATUS_BUSY);
        return;
    }
    struct http_call *call = calloc(1, sizeof(*call));
    assert(call != NULL);
    call->http = http;
    call->conn = conn;
    call->response.status = 404;
    call->response.content_type = "text/plain; charset=utf-8";
    buf_init(&call->response.body, BODY_SIZE_MAX);
    list_push_back(&http->calls, &call->in_http);
    http->call_count++;
    conn_set_handler(conn, &conn_handler, call);
    loop_timer_start(http->loop, &call->timer, HTTP_TIMEOUT_MS, 0, on_timeout, call);
}

enum status http_open(struct loop *loop,
                      const struct http_options *options,
                      struct http **http,
                      char *error)
{
    assert(options->on_request != NULL);
    struct http *made = calloc(1, sizeof(*made));
    assert(made != NULL);
    *made = (struct http){.magic = HTTP_MAGIC, .options = *options, .loop = loop};
    list_init(&made->calls);
    struct listener_options listener = {
        .address = options->address, .on_accept = on_accept, .arg = made};
    enum status status = listener_open(loop, &listener, &made->listener, error);
    if (status != STATUS_OK) {
        free(made);
        return status;
    }
    *http = made;
    return STATUS_OK;
}

void http_close(struct http *http)
{
    assert(http->magic == HTTP_MAGIC && !http->closed);
    listener_close(http->listener);
    http->closed = true;
    if (http->call_count == 0) {
        http->magic = 0;
        free(http);
        return;
    }
    for (struct list *node = http->calls.next; node != &http->calls; node = node->next) {
        struct http_call *call = list_entry(node, struct http_call, in_http);
        if (call->conn != NULL) {
            conn_close(call->conn, STATUS_CLOSED);
        }
    }
}

uint16_t http_port(const struct http *http)
{
    return listener_port(http->listener);
}

struct http_response *http_call_response(struct http_call *call)
{
    return &call->response;
}

void http_respond(struct http_call *call)
{
    assert(call->asked && !call->answered);
    answer(call);
}
