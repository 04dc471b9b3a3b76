#ifndef COMMON_NET_LINK_H
#define COMMON_NET_LINK_H

#include "common/net/conn.h"
#include "common/proto/frame.h"

/* A framed connection between nodes and routers, see proto/frame.h. Both sides send HELLO first and
 * check the other's: version, and cluster (all zero means "not known yet" and fits every cluster);
 * what does not fit is answered with REFUSED and closed. Until HELLO has come frames have at most
 * LINK_HELLO_SIZE_MAX bytes and the handshake at most LINK_HANDSHAKE_MS.
 *
 * A dialled link connects again by itself, with exponential backoff and jitter, until link_free().
 * An accepted one dies with its connection.
 *
 * Thread: its loop's. */
struct link;

enum {
    LINK_HELLO_SIZE_MAX = 4096,
    LINK_HANDSHAKE_MS = 2000,
    LINK_BACKOFF_MS_MIN = 50,
    LINK_BACKOFF_MS_MAX = 1000,
    LINK_OUTPUT_SIZE_MAX = 64 * 1024 * 1024, /* Default of options.output_max. */
};

struct link_handler {
    /* HELLO has come and fits. From now on frames may be sent. May call link_set_arg, link_refuse.
     */
    void (*on_up)(void *arg, struct link *link, const struct frame_hello *hello);
    /* Any frame but HELLO and REFUSED. The body is valid during the call only. A status other than
     * OK closes the connection: a body that cannot be read, for instance. */
    enum status (*on_frame)(void *arg, struct link *link, const struct frame *frame);
    /* Once for every on_up. An accepted link is gone when this returns. A dialled one is trying
     * again already; link_free() is allowed in here. */
    void (*on_down)(void *arg, struct link *link, enum status reason);
    /* A dialled link did not get as far as on_up: DISCONNECTED, IO, TIMEOUT, BAD_ARGUMENT
     * (address), PROTOCOL, or what the other side refused us with. text is for the user. May be
     * NULL. */
    void (*on_failed)(void *arg, struct link *link, enum status reason, const char *text);
    /* Output has been above half of the bound and is below it again. May be NULL. */
    void (*on_drained)(void *arg, struct link *link);
};

struct link_options {
    /* Ours. Read whenever a handshake begins, so its owner may fill in the cluster later (on this
     * loop). Lives as long as the links. */
    const struct frame_hello *hello;
    const struct link_handler *handler;
    void *arg;         /* Of the handler, until link_set_arg(). */
    size_t output_max; /* 0: LINK_OUTPUT_SIZE_MAX. */
    uint64_t seed;     /* For the jitter. */
};

/* Begins to connect. The address is copied. */
struct link *link_dial(struct loop *loop, const char *address, const struct link_options *options);
/* Takes an accepted conn, before or within its first on_data (port.h does this). */
struct link *link_accept(struct conn *conn, const struct link_options *options);
/* Ends a link for good: no callback comes any more, not even on_down. Allowed in every callback. */
void link_free(struct link *link);

/* Closes the connection: on_down follows if it was up; a dialled link connects again. */
void link_reset(struct link *link, enum status reason);
/* Sends REFUSED, then closes. */
void link_refuse(struct link *link, enum status status, const char *text);

/* Where to connect from now on; if that is another place than now, the connection is closed and
 * made anew. The address is copied. */
void link_set_address(struct link *link, const char *address);
const char *link_address(
    const struct link *link); /* Dialled: what was asked for; else the peer's. */
void link_set_arg(struct link *link, void *arg);

bool link_is_up(const struct link *link);
/* The other side's HELLO; only while up. */
const struct frame_hello *link_hello(const struct link *link);

/* The buffer to append whole frames to, only while up; they leave together at the end of the turn.
 * Valid until the end of the callback. */
struct buf *link_out(struct link *link);
/* True when not up, or when the output is over its bound: what is sent now is to be dropped or held
 * by the caller. Frames appended nevertheless are sent, as long as the output stays below twice the
 * bound; beyond that the connection is closed with TOO_BIG. */
bool link_full(const struct link *link);
size_t link_pending(const struct link *link);
/* Back-pressure: no on_frame until link_resume(). */
void link_pause(struct link *link);
void link_resume(struct link *link);
/* on_drained comes once for what is pending now, at whatever size it is. */
void link_await_drained(struct link *link);
/* When bytes last came over it, or left it: of a large frame too. 0: not connected. */
uint64_t link_moved_ms(const struct link *link);

#endif
