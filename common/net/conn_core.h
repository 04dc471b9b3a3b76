#ifndef COMMON_NET_CONN_CORE_H
#define COMMON_NET_CONN_CORE_H

#include "common/net/loop_core.h"

/* The inside of a conn, for conn.c and conn_info.c alone. */

enum {
    CONN_MAGIC = 0x434f4e4e,
    KEEPALIVE_SECONDS = 300,
    HOST_SIZE_MAX = 256,
    ADDRESSES_MAX = 8,
};

enum conn_state {
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_FINISHING, /* Output leaves; input is ignored. */
    CONN_LINGERING, /* Output has left and been shut down; waits for the other side's end. */
    CONN_CLOSING,
};

/* A lookup and the attempts to connect. Lives apart: libuv may finish a lookup after the conn is
 * gone. */
struct dial {
    struct conn *conn; /* NULL: gone. */
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    struct sockaddr_storage addresses[ADDRESSES_MAX];
    size_t count;
    size_t next;
    bool looking_up;
    enum status failure; /* Of the latest attempt. */
};

struct conn {
    uint32_t magic;
    uint8_t state;
    uint8_t reason; /* enum status, once closing. */
    bool paused;
    bool reading;
    bool writing;   /* A uv_write is under way: `sending` belongs to it. */
    bool above;     /* Pending output has been above the low mark. */
    bool can_take;  /* Within on_data, with input in our own buffer. */
    bool took;      /* conn_take_input was called in this on_data. */
    bool reopening; /* Between two attempts to connect: the handle is being closed. */
    bool finish;    /* conn_finish was called before the conn was open. */
    struct loop *loop;
    const struct conn_handler *handler;
    void *arg;
    struct list in_loop;
    struct list in_dirty;
    struct list in_ready;
    struct buf in; /* Bytes before in_at are used. */
    size_t in_at;
    size_t expected;
    struct buf out;
    struct buf sending;
    size_t input_max;
    size_t output_max;
    size_t drained_size;
    size_t queued_seen; /* Output that the kernel had not taken when it was last looked at. */
    uint64_t moved_ms;  /* When bytes last came or left. */
    struct dial *dial;
    uv_write_t *write; /* Made when first needed. */
    struct timer timer;
    uv_tcp_t tcp;
};

#endif
