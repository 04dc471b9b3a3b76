#ifndef COMMON_NET_LISTENER_H
#define COMMON_NET_LISTENER_H

#include "common/net/conn.h"

/* A listening TCP socket of one loop. With several loops each opens its own on the same address
 * (SO_REUSEPORT) and the kernel spreads the connections. Without file descriptors left, connections
 * are accepted and closed at once instead of being left hanging.
 * Thread: its loop's. */
struct listener;

enum { LISTENER_ERROR_SIZE = 256 };

struct listener_options {
    const char *address; /* "HOST:PORT"; port 0: any; "*" or "" as host: all addresses. */
    bool shared;         /* False for the first loop: then a port that any process has is CONFLICT.
                          * True for the others: joins the first one's port. */
    /* The conn is open and has no handler yet: set one in here, or close it. */
    void (*on_accept)(void *arg, struct conn *conn);
    void *arg;
};

/* CONFLICT: the port is taken. BAD_ARGUMENT: not an address, or not one of this machine. IO:
 * anything else. error (LISTENER_ERROR_SIZE bytes) then says it for the user, else it is untouched.
 */
MUST_USE enum status listener_open(struct loop *loop,
                                   const struct listener_options *options,
                                   struct listener **listener,
                                   char *error);
/* Accepts no more; conns live on. Before loop_free(). */
void listener_close(struct listener *listener);
uint16_t listener_port(const struct listener *listener);
/* The bound address: what to give to the other loops, and to print. text has CONN_ADDRESS_SIZE
 * bytes. */
void listener_address(const struct listener *listener, char *text);

#endif
