#ifndef CLIENT_BENCH_WIRE_PRIVATE_H
#define CLIENT_BENCH_WIRE_PRIVATE_H

#include "client/bench/wire.h"

/* Shared by wire.c and the protocols. Thread: one owner. */

enum {
    WIRE_POOL_SIZE = 64 * 1024,
    WIRE_TEMPLATE_SIZE_MAX = 256 * 1024 * 1024,
};

/* A request whose keys and values are filled in at the same places every time. */
struct wire_template {
    struct buf bytes;
    size_t key_at[WIRE_KEYS_PER_REQUEST_MAX];
    size_t value_at[WIRE_KEYS_PER_REQUEST_MAX];
    size_t keys;
    size_t values;
};

struct wire {
    struct wire_options options;
    struct key_pick pick;
    struct rand rand;
    struct wire_template read;  /* Of reading workloads and MIX. */
    struct wire_template write; /* Of writing workloads and MIX. */
    uint8_t *pool; /* WIRE_POOL_SIZE + value_size random letters: values are cut here. */
};

/* Builds the templates. */
void wire_private_make_resp(struct wire *wire);
void wire_private_make_etcd(struct wire *wire);

/* Notes that the next bytes are a key or a value, and appends room for them. */
void wire_private_add_key(struct wire *wire, struct wire_template *template);
void wire_private_add_value(struct wire *wire, struct wire_template *template);
/* Appends the template with new keys and values; returns the offset where it begins. */
size_t wire_private_fill(struct wire *wire, const struct wire_template *template, struct buf *out);
/* Which of the two the next request is. */
const struct wire_template *wire_private_choose(struct wire *wire);

void wire_private_begin_etcd(struct wire_state *state, struct buf *out);
void wire_private_request_etcd(struct wire *wire, struct wire_state *state, struct buf *out);
MUST_USE enum status wire_private_read_etcd(struct wire_state *state,
                                            struct slice input,
                                            struct buf *out,
                                            struct wire_reply *reply,
                                            size_t *size_used);

#endif
