#ifndef COMMON_NET_PORT_H
#define COMMON_NET_PORT_H

#include "common/net/link.h"
#include "common/net/listener.h"

/* One listening port for RESP and frames: the first byte of a connection tells them apart
 * (FRAME_MAGIC or not). Connections that have said nothing yet cost little and are bounded in
 * number: over silent_max the newest ones get PORT_SILENT_MS for their first byte, so that peers
 * always get through. Thread: its loop's. */
struct port;

enum { PORT_SILENT_MS = 2000 };

struct port_options {
    const char *address; /* As in listener_options. */
    bool shared;         /* As in listener_options. */
    size_t silent_max;
    struct link_options link; /* For accepted links: on_up is where they appear. */
    /* A conn whose first byte is not FRAME_MAGIC: sets its handler (session_open) and gets the
     * input next. */
    void (*on_session)(void *arg, struct conn *conn);
    void *arg;
};

/* Statuses and error as listener_open(). */
MUST_USE enum status port_open(struct loop *loop,
                               const struct port_options *options,
                               struct port **port,
                               char *error);
/* Accepts no more, closes the silent ones; links and sessions live on. Before loop_free(). */
void port_close(struct port *port);
uint16_t port_number(const struct port *port);
void port_address(const struct port *port, char *text); /* CONN_ADDRESS_SIZE bytes. */

#endif
