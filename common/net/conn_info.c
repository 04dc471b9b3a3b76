/* What a conn is and where it leads: the calls of conn.h that move no bytes. */

#include <stdio.h>

#include "common/base/assert.h"
#include "common/net/conn_core.h"

void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *arg)
{
    assert(handler->on_data != NULL && handler->on_close != NULL);
    conn->handler = handler;
    conn->arg = arg;
}

void conn_set_limits(struct conn *conn, size_t input_max, size_t output_max, size_t drained_size)
{
    conn->input_max = input_max > 0 ? input_max : conn->input_max;
    conn->output_max = output_max > 0 ? output_max : conn->output_max;
    conn->drained_size = drained_size > 0 ? drained_size : conn->drained_size;
}

struct loop *conn_loop(const struct conn *conn)
{
    return conn->loop;
}

static void print_side(const struct conn *conn,
                       int (*get)(const uv_tcp_t *, struct sockaddr *, int *),
                       char *text)
{
    struct sockaddr_storage address;
    int size = sizeof(address);
    if (conn->state == CONN_CLOSING || get(&conn->tcp, (struct sockaddr *)&address, &size) != 0) {
        (void)snprintf(text, CONN_ADDRESS_SIZE, "?:0");
        return;
    }
    loop_core_print_address(&address, text);
}

void conn_peer(const struct conn *conn, char *text)
{
    print_side(conn, uv_tcp_getpeername, text);
}

void conn_local(const struct conn *conn, char *text)
{
    print_side(conn, uv_tcp_getsockname, text);
}

int conn_fd(const struct conn *conn)
{
    uv_os_fd_t fd = -1;
    return uv_fileno((const uv_handle_t *)&conn->tcp, &fd) == 0 ? fd : -1;
}

struct conn_totals conn_totals(const struct loop *loop)
{
    return loop->totals;
}
