#ifndef COMMON_NET_LOOP_CORE_H
#define COMMON_NET_LOOP_CORE_H

#include <stdatomic.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/net/conn.h"
#include "common/net/mailbox.h"

/* What the files of this room share and nobody else includes: the inside of a loop. */

enum {
    LOOP_CORE_HEAD_SIZE = 16 * 1024, /* Unused input up to this size is put before what is read. */
    LOOP_CORE_READ_SIZE = 64 * 1024,
    LOOP_CORE_SPARES_MAX = 32,
    LOOP_CORE_SPARE_SIZE = 2 * 1024, /* Fresh output buffers. */
    LOOP_CORE_SPARE_SIZE_MAX = 64 * 1024,
    LOOP_CORE_SIGNALS_MAX = 8,
};

struct loop_signal {
    uv_signal_t handle;
    void (*on_signal)(void *arg, int number);
    void *arg;
};

struct loop {
    uint32_t magic;
    unsigned index;
    uv_loop_t uv;
    uv_async_t wake;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_timer_t clock;
    _Atomic bool stop;
    _Atomic(struct mail *) inbox; /* Newest first. */

    uint64_t now_ns;
    bool now_known;
    bool busy; /* A callback ran since the last turn. */
    void (*on_turn)(void *arg);
    void *turn_arg;

    struct timer **timers; /* A binary heap by (at_ms, order). */
    size_t timer_count;
    size_t timer_size;
    uint64_t timer_order;

    struct list conns;
    struct list dirty;     /* Conns with output to write. */
    struct list ready;     /* Conns with input to hand over although nothing was read. */
    struct list listeners; /* struct listener. */
    uint8_t *scratch;      /* HEAD_SIZE + READ_SIZE. */
    struct buf spares[LOOP_CORE_SPARES_MAX];
    size_t spare_count;
    struct conn_totals totals;

    struct loop_signal signals[LOOP_CORE_SIGNALS_MAX];
    size_t signal_count;

    uint64_t started_ns;
    _Atomic uint64_t turns;
};

/* First line of every libuv callback that calls user code. */
static inline void loop_core_touch(struct loop *loop)
{
    loop->busy = true;
}

enum status loop_core_status(int uv_error);
/* An empty buffer with some memory, and back. */
struct buf loop_core_spare(struct loop *loop);
void loop_core_give_back(struct loop *loop, struct buf *buf);
/* conn.c: writes what is pending on a conn of loop->dirty; hands over input of one of loop->ready.
 */
void loop_core_flush(struct conn *conn);
void loop_core_deliver(struct conn *conn);
/* conn.c: takes a connection that is waiting on a listening socket. NULL if there is none. */
struct conn *loop_core_accept(struct loop *loop, uv_stream_t *server);
/* conn.c: where the conn is in those lists. */
struct conn *loop_core_dirty_conn(struct list *node);
struct conn *loop_core_ready_conn(struct list *node);
struct conn *loop_core_any_conn(struct list *node);
/* listener.c */
void loop_core_close_listeners(struct loop *loop);

/* Numeric host and port to a socket address; false if host is a name. */
bool loop_core_numeric(const char *host, uint16_t port, struct sockaddr_storage *address);
void loop_core_print_address(const struct sockaddr_storage *address, char *text);

#endif
