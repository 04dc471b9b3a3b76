#ifndef COMMON_NET_CONN_H
#define COMMON_NET_CONN_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/net/loop.h"

/* A TCP connection, accepted (listener.h) or dialled, with buffers and back-pressure. TCP_NODELAY
 * and keep-alive (300 s) are on.
 *
 * Input: on_data gets all bytes that have not been used yet, in one piece, and returns how many it
 * used from the front; the conn keeps the rest and hands it over again together with what arrives
 * next. Bytes that are used at once are never copied: they lie in the loop's scratch buffer. An
 * idle conn with nothing left over owns no buffer at all.
 *
 * Output: appended to conn_out() or with conn_write() and written once, at the end of the turn.
 *
 * Life: conn_close() (also by the other side, or by a limit) leads to exactly one on_close, later,
 * never from within the call; after on_close has returned the conn is gone. Between the two no
 * other callback comes and output is dropped.
 *
 * Thread: its loop's. */
struct conn;

enum {
    CONN_ADDRESS_SIZE = 64,                 /* "[ffff:...]:65535" and a zero. */
    CONN_INPUT_SIZE_MAX_DEFAULT = 1 << 30,  /* Unused input: more closes with TOO_BIG. */
    CONN_OUTPUT_SIZE_MAX_DEFAULT = 1 << 30, /* Pending output. */
    CONN_DRAINED_SIZE_DEFAULT = 64 * 1024,
    CONN_FINISH_MS = 2000, /* How long conn_finish() waits for a reader. */
};

struct conn_handler {
    /* A dialled conn is connected. May be NULL. Not called for accepted ones. */
    void (*on_open)(void *arg, struct conn *conn);
    /* Returns how many bytes of input were used, at most input.len. The input is valid during the
     * call only (but see conn_take_input). 0 < input.len. */
    size_t (*on_data)(void *arg, struct conn *conn, struct slice input);
    /* Pending output was above the low mark and is below it again. May be NULL. */
    void (*on_drained)(void *arg, struct conn *conn);
    /* OK: we closed it (conn_close with OK, conn_finish). DISCONNECTED: the other side did. IO,
     * TIMEOUT. TOO_BIG: a limit. CLOSED: the loop ends. */
    void (*on_close)(void *arg, struct conn *conn, enum status reason);
};
/* Of a conn that only has output to finish: what comes is dropped. */
extern const struct conn_handler conn_nobody;

/* Starts to connect to "HOST:PORT" (names are looked up without blocking). Success: on_open;
 * failure: on_close. Never fails at once and never calls back from within: bad addresses come as
 * on_close with BAD_ARGUMENT. timeout_ms: for lookup and connect together, 0 = none. */
struct conn *conn_dial(struct loop *loop,
                       const char *address,
                       uint64_t timeout_ms,
                       const struct conn_handler *handler,
                       void *arg);

/* Another owner takes over, also from within on_data: input that is not used goes to the new one,
 * in this turn. */
void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *arg);
/* 0 leaves a limit as it is. */
void conn_set_limits(struct conn *conn, size_t input_max, size_t output_max, size_t drained_size);

/* Copies into the output buffer. Nothing happens if the conn is closing. Over the output limit the
 * conn closes with TOO_BIG. */
void conn_write(struct conn *conn, struct slice bytes);
/* The output buffer, to append to directly; valid until the end of the callback. The limit is
 * checked at the end of the turn, so who appends much asks conn_pending() now and then. Never
 * truncate it below the length it had when it was handed out. */
struct buf *conn_out(struct conn *conn);
/* As conn_write(), of memory from malloc() that is taken over, mostly without a copy. */
void conn_give(struct conn *conn, uint8_t *data, size_t len);
/* Bytes that the kernel has not taken yet. */
size_t conn_pending(const struct conn *conn);
/* Unused input that is held. */
size_t conn_held(const struct conn *conn);

/* Inside on_data only: takes the memory of the input over, so that slices of it stay valid, and
 * counts its first size_used bytes as used: on_data then returns 0 (what follows them comes again,
 * moved). Returns what the caller frees with free(), or NULL if the input lies in the scratch
 * buffer (then it is small: copy it). */
uint8_t *conn_take_input(struct conn *conn, size_t size_used);
/* How many bytes, in all, the unused input will have to grow to: a hint for one large buffer
 * instead of many growing ones. No more than that is taken in advance than has come already. */
void conn_expect(struct conn *conn, size_t size);

/* Stops calling on_data, and soon reading: the other side feels it. */
void conn_pause(struct conn *conn);
/* Input that is held is handed over again in this turn, also if nothing new has arrived. */
void conn_resume(struct conn *conn);
/* on_drained comes once for what is pending now, also if it never was above the low mark. */
void conn_await_drained(struct conn *conn);
/* When bytes last came, or output that had been waiting was seen to leave, in the loop's
 * milliseconds. */
uint64_t conn_moved_ms(struct conn *conn);

/* Closes now; pending output is dropped. The first reason counts. */
void conn_close(struct conn *conn, enum status reason);
/* Closes when the output has been written, at the latest after CONN_FINISH_MS; input is ignored
 * from now on. The other side sees an orderly end, not a reset. */
void conn_finish(struct conn *conn);
bool conn_closing(const struct conn *conn);

struct loop *conn_loop(const struct conn *conn);
/* "127.0.0.1:6379", "[::1]:6379"; text has CONN_ADDRESS_SIZE bytes. */
void conn_peer(const struct conn *conn, char *text);
void conn_local(const struct conn *conn, char *text);
int conn_fd(const struct conn *conn);

/* What all conns of a loop have read and written so far, and how many there are. */
struct conn_totals {
    uint64_t input_size;
    uint64_t output_size;
    uint64_t count;
};
struct conn_totals conn_totals(const struct loop *loop);

/* Splits "HOST:PORT" or "[V6]:PORT"; BAD_ARGUMENT if it is neither. host has host_size bytes. Pure.
 */
MUST_USE enum status conn_parse_address(const char *address,
                                        char *host,
                                        size_t host_size,
                                        uint16_t *port);

#endif
