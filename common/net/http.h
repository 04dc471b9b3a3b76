#ifndef COMMON_NET_HTTP_H
#define COMMON_NET_HTTP_H

#include "common/net/listener.h"

/* A tiny HTTP/1.x server for /metrics, /healthz and /readyz: GET and HEAD, one request per
 * connection, heads of at most HTTP_HEAD_SIZE_MAX bytes (431 beyond), HTTP_TIMEOUT_MS for each, at
 * most HTTP_CONNS_MAX at a time. Anything that is not HTTP gets 400. Thread: its loop's. */
struct http;
/* One request that waits for its answer. */
struct http_call;

enum {
    HTTP_HEAD_SIZE_MAX = 8192,
    HTTP_TIMEOUT_MS = 10000,
    HTTP_CONNS_MAX = 256,
};

struct http_request {
    struct slice method; /* "GET", "HEAD" */
    struct slice path;   /* "/metrics": without the query. */
    struct slice query;  /* Behind '?', or empty. */
};

struct http_response {
    int status;               /* 200, 404, 503 ... */
    const char *content_type; /* Static. */
    struct buf body;
};

struct http_options {
    const char *address;
    /* Fills in the response (preset: 404, "text/plain; charset=utf-8", an empty body), then calls
     * http_respond(), now or later on the same loop. */
    void (*on_request)(void *arg, struct http_call *call, const struct http_request *request);
    void *arg;
};

/* Statuses and error as listener_open(). */
MUST_USE enum status http_open(struct loop *loop,
                               const struct http_options *options,
                               struct http **http,
                               char *error);
/* Calls that are still open are answered into nothing; their http_respond() must still come, and
 * the loop lives until then. Before loop_free(). */
void http_close(struct http *http);
uint16_t http_port(const struct http *http);

struct http_response *http_call_response(struct http_call *call);
/* Exactly once per call; the call is gone afterwards. */
void http_respond(struct http_call *call);

/* Parses a head. OK: *size_used bytes. AGAIN: more is needed. PROTOCOL: malformed (400). TOO_BIG:
 * 431. Borrows from the input. Pure. */
MUST_USE enum status http_parse(struct slice input,
                                struct http_request *request,
                                size_t *size_used);

#endif
