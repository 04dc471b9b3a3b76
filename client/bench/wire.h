#ifndef CLIENT_BENCH_WIRE_H
#define CLIENT_BENCH_WIRE_H

#include "client/bench/key_pick.h"
#include "common/base/buf.h"
#include "common/base/rand.h"
#include "common/base/status.h"

/* What a load says to a server and how it reads the answers, for one protocol: knows bytes, not
 * sockets. Thread: one owner. */

enum wire_workload {
    WIRE_SET,
    WIRE_GET,
    WIRE_MIX, /* GET, and SET in (100 - read_percent) of 100. */
    WIRE_INCR,
    WIRE_MSET,
    WIRE_MGET,
    WIRE_PING,
    WIRE_HSET,
    WIRE_LPUSH,
    WIRE_SADD,
    WIRE_ZADD,
    WIRE_XADD,
    WIRE_LIMITER, /* EVAL of INCR, PEXPIRE and PTTL. */
    WIRE_WORKLOAD_COUNT,
};

enum wire_protocol { WIRE_RESP, WIRE_ETCD };

enum {
    WIRE_KEY_SIZE = 16, /* "key:" (of INCR "cnt:") and 12 digits. */
    WIRE_VALUE_SIZE_MAX = 64 * 1024 * 1024,
    WIRE_KEYS_PER_REQUEST_MAX = 128, /* MSET, MGET. */
    WIRE_REPLY_SIZE_MAX = 1 << 30,
};

struct wire_options {
    enum wire_protocol protocol;
    enum wire_workload workload;
    enum key_pick_kind dist;
    uint64_t keys;
    double theta;
    size_t value_size;
    size_t keys_per_request;
    unsigned read_percent;
    uint64_t seed;
};

struct wire;

struct wire *wire_new(const struct wire_options *options);
void wire_free(struct wire *wire);

/* What one connection remembers between calls. */
struct wire_state {
    uint32_t stream_next; /* etcd: HTTP/2 stream of the next request. */
    size_t unacked;       /* etcd: bytes received since the last window update. */
    size_t bodies;        /* etcd: data frames whose stream has not ended yet. */
};

/* What the connection begins with. */
void wire_begin(struct wire *wire, struct wire_state *state, struct buf *out);
/* One request. */
void wire_request(struct wire *wire, struct wire_state *state, struct buf *out);

struct wire_reply {
    bool whole;   /* A reply has ended; false: bytes that matter to the protocol only. */
    bool missing; /* Null: no such key. */
    bool failed;
    struct slice text; /* Why it failed; borrows from input. */
};

/* Takes one step of what came. OK: *size_used bytes are used. AGAIN: more is needed. PROTOCOL.
 * Answers that the protocol itself wants go to out. */
MUST_USE enum status wire_read(struct wire *wire,
                               struct wire_state *state,
                               struct slice input,
                               struct buf *out,
                               struct wire_reply *reply,
                               size_t *size_used);

/* "set", "get" ...; find: false if there is none of that name. */
const char *wire_workload_name(enum wire_workload workload);
bool wire_find_workload(const char *name, enum wire_workload *workload);

#endif
