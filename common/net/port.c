#include "common/net/port.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/list.h"

enum { PORT_MAGIC = 0x504f5254 };

struct port {
    uint32_t magic;
    struct port_options options;
    struct listener *listener;
    struct list silents;
    size_t silent_count;
};

/* A conn that has said nothing yet. */
struct silent {
    struct list in_port;
    struct port *port;
    struct conn *conn;
    struct timer timer;
};

static void forget(struct silent *silent)
{
    loop_timer_stop(&silent->timer);
    list_remove(&silent->in_port);
    silent->port->silent_count--;
    free(silent);
}

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    struct silent *silent = arg;
    struct port *port = silent->port;
    forget(silent);
    if (input.data[0] == FRAME_MAGIC) {
        (void)link_accept(conn, &port->options.link);
    } else {
        port->options.on_session(port->options.arg, conn);
    }
    return 0; /* The new owner gets it all. */
}

static void on_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    forget(arg);
}

static const struct conn_handler silent_handler = {.on_data = on_data, .on_close = on_close};

static void on_silent_timeout(void *arg)
{
    struct silent *silent = arg;
    conn_close(silent->conn, STATUS_TIMEOUT);
}

static void on_accept(void *arg, struct conn *conn)
{
    struct port *port;
    CAST_OBJ(port, arg, PORT_MAGIC);
    struct silent *silent = calloc(1, sizeof(*silent));
    assert(silent != NULL);
    silent->port = port;
    silent->conn = conn;
    list_push_back(&port->silents, &silent->in_port);
    port->silent_count++;
    conn_set_handler(conn, &silent_handler, silent);
    if (port->silent_count > port->options.silent_max) {
        loop_timer_start(conn_loop(conn), &silent->timer, PORT_SILENT_MS, 0, on_silent_timeout,
                         silent);
    }
}

enum status port_open(struct loop *loop,
                      const struct port_options *options,
                      struct port **port,
                      char *error)
{
    assert(options->on_session != NULL);
    struct port *made = calloc(1, sizeof(*made));
    assert(made != NULL);
    made->magic = PORT_MAGIC;
    made->options = *options;
    list_init(&made->silents);
    struct listener_options listener = {.address = options->address,
                                        .shared = options->shared,
                                        .on_accept = on_accept,
                                        .arg = made};
    enum status status = listener_open(loop, &listener, &made->listener, error);
    if (status != STATUS_OK) {
        free(made);
        return status;
    }
    *port = made;
    return STATUS_OK;
}

uint16_t port_number(const struct port *port)
{
    return listener_port(port->listener);
}

void port_address(const struct port *port, char *text)
{
    listener_address(port->listener, text);
}

void port_close(struct port *port)
{
    assert(port->magic == PORT_MAGIC);
    listener_close(port->listener);
    while (!list_empty(&port->silents)) {
        struct silent *silent = list_entry(port->silents.next, struct silent, in_port);
        conn_set_handler(silent->conn, &conn_nobody, NULL);
        conn_close(silent->conn, STATUS_CLOSED);
        forget(silent);
    }
    port->magic = 0;
    free(port);
}
