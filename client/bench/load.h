#ifndef CLIENT_BENCH_LOAD_H
#define CLIENT_BENCH_LOAD_H

#include "client/bench/histogram.h"
#include "client/bench/wire.h"

/* Drives a server from many connections with one thread and epoll.
 *
 * Closed loop: each connection sends `pipeline` requests, waits for all their replies, sends the
 * next. With a rate, batches are due at fixed times instead, and latency counts from when a batch
 * was due: a server that stalls cannot hide it by keeping the load away. Thread: one. */

enum {
    LOAD_CONNECTIONS_MAX = 20000,
    LOAD_PIPELINE_MAX = 1024,
    LOAD_ENDPOINTS_MAX = 16,
    LOAD_TEXT_SIZE = 256,
};

struct load_endpoint {
    const char *host;
    uint16_t port;
};

struct load_counts {
    uint64_t replies;
    uint64_t errors;  /* Error replies, and requests whose connection broke. */
    uint64_t missing; /* Null replies. */
    uint64_t disconnects;
    uint64_t elapsed_ns;
    double cores; /* Processor time of the loader / elapsed. */
    char first_error[LOAD_TEXT_SIZE];
    struct histogram latency_ns;
};

struct load_options {
    struct load_endpoint endpoints[LOAD_ENDPOINTS_MAX]; /* Connections take turns. */
    size_t endpoint_count;
    size_t connections;
    size_t pipeline;
    uint64_t requests;    /* 0: until duration_ms. */
    uint64_t duration_ms; /* 0: until requests. */
    uint64_t warmup_ms;   /* What happens in it does not count. */
    uint64_t rate;        /* Requests per second over all connections; 0: as fast as it goes. */
    uint64_t timeout_ms;  /* For connecting, and without any reply at all. */
    uint64_t interval_ms; /* on_interval is called so often; 0: never. */
    void (*on_interval)(const struct load_counts *counts);
    const char *password; /* NULL: none. RESP only. */
};

/* Runs until the end and fills in *counts. DISCONNECTED: could not connect, or no connection is
 * left; TIMEOUT: no reply for timeout_ms; PROTOCOL: not the protocol. first_error says more. */
MUST_USE enum status load_run(const struct load_options *options,
                              struct wire *wire,
                              struct load_counts *counts);

#endif
