#include "common/net/listener.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/net/loop_core.h"

enum { LISTENER_MAGIC = 0x4c49534e, BACKLOG = 1024, HOST_SIZE_MAX = 256, WARN_MS = 10000 };

struct listener {
    uint32_t magic;
    struct loop *loop;
    struct list in_loop;
    uv_tcp_t tcp;
    void (*on_accept)(void *arg, struct conn *conn);
    void *arg;
    uint64_t warned_ms;
};

static void on_connection(uv_stream_t *stream, int rv)
{
    struct listener *listener;
    CAST_OBJ(listener, stream->data, LISTENER_MAGIC);
    struct loop *loop = listener->loop;
    loop_core_touch(loop);
    if (rv != 0) {
        /* Without descriptors libuv accepts and closes by a reserved one. */
        uint64_t now_ms = loop_now_ms(loop);
        if (now_ms - listener->warned_ms > WARN_MS) {
            listener->warned_ms = now_ms;
            log_warn("net.accept_failed", "error=\"%s\"", uv_strerror(rv));
        }
        return;
    }
    struct conn *conn = loop_core_accept(loop, stream);
    if (conn != NULL && !conn_closing(conn)) {
        listener->on_accept(listener->arg, conn);
    }
}

static enum status find_address(const char *text, struct sockaddr_storage *address, char *error)
{
    char host[HOST_SIZE_MAX];
    uint16_t port = 0;
    if (conn_parse_address(text, host, sizeof(host), &port) != STATUS_OK) {
        (void)snprintf(error, LISTENER_ERROR_SIZE,
                       "\"%s\" is not an address: write HOST:PORT, as in 127.0.0.1:6379", text);
        return STATUS_BAD_ARGUMENT;
    }
    if (host[0] == '\0' || strcmp(host, "*") == 0) {
        (void)loop_core_numeric("0.0.0.0", port, address);
        return STATUS_OK;
    }
    if (loop_core_numeric(host, port, address)) {
        return STATUS_OK;
    }
    /* Blocks, which only matters before the loops run. A name with both prefers version 4. */
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *results = NULL;
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    int rv = getaddrinfo(host, service, &hints, &results);
    if (rv != 0) {
        (void)snprintf(error, LISTENER_ERROR_SIZE, "cannot find the address of \"%.100s\": %s",
                       host, gai_strerror(rv));
        return STATUS_BAD_ARGUMENT;
    }
    const struct addrinfo *best = results;
    for (const struct addrinfo *at = results; at != NULL; at = at->ai_next) {
        if (at->ai_family == AF_INET) {
            best = at;
            break;
        }
    }
    memcpy(address, best->ai_addr, best->ai_addrlen);
    freeaddrinfo(results);
    return STATUS_OK;
}

static int share(uv_tcp_t *tcp)
{
    uv_os_fd_t fd = -1;
    int rv = uv_fileno((uv_handle_t *)tcp, &fd);
    if (rv != 0) {
        return rv;
    }
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 ? 0 : UV_EINVAL;
}

static enum status fail(int rv, const char *address, char *error)
{
    enum status status = loop_core_status(rv);
    if (status == STATUS_CONFLICT) {
        (void)snprintf(error, LISTENER_ERROR_SIZE,
                       "%s is taken by another process: stop it, or choose another port", address);
    } else if (rv == UV_EACCES) {
        (void)snprintf(error, LISTENER_ERROR_SIZE,
                       "not allowed to listen on %s: choose a port above 1023", address);
    } else if (status == STATUS_BAD_ARGUMENT) {
        (void)snprintf(error, LISTENER_ERROR_SIZE, "%s is not an address of this machine", address);
    } else {
        (void)snprintf(error, LISTENER_ERROR_SIZE, "cannot listen on %s: %s", address,
                       uv_strerror(rv));
    }
    return status == STATUS_CONFLICT || status == STATUS_BAD_ARGUMENT ? status : STATUS_IO;
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener;
    CAST_OBJ(listener, handle->data, LISTENER_MAGIC);
    listener->magic = 0;
    free(listener);
}

void listener_close(struct listener *listener)
{
    assert(listener->magic == LISTENER_MAGIC);
    list_remove(&listener->in_loop);
    uv_close((uv_handle_t *)&listener->tcp, on_closed);
}

void loop_core_close_listeners(struct loop *loop)
{
    while (!list_empty(&loop->listeners)) {
        listener_close(list_entry(loop->listeners.next, struct listener, in_loop));
    }
}

enum status listener_open(struct loop *loop,
                          const struct listener_options *options,
                          struct listener **listener,
                          char *error)
{
    assert(options->on_accept != NULL);
    struct sockaddr_storage address;
    enum status status = find_address(options->address, &address, error);
    if (status != STATUS_OK) {
        return status;
    }
    struct listener *made = calloc(1, sizeof(*made));
    assert(made != NULL);
    *made = (struct listener){.magic = LISTENER_MAGIC,
                              .loop = loop,
                              .on_accept = options->on_accept,
                              .arg = options->arg};
    list_push_back(&loop->listeners, &made->in_loop);
    int rv = uv_tcp_init_ex(&loop->uv, &made->tcp, address.ss_family);
    if (rv != 0) {
        list_remove(&made->in_loop);
        free(made);
        return fail(rv, options->address, error);
    }
    made->tcp.data = made;
    /* The first loop binds a plain socket, so that a port of another process is a conflict, and
     * only then allows the other loops to join. (libuv reports a failed bind at listen.) */
    rv = options->shared ? share(&made->tcp) : 0;
    rv = rv != 0 ? rv : uv_tcp_bind(&made->tcp, (const struct sockaddr *)&address, 0);
    rv = rv != 0 ? rv : share(&made->tcp);
    rv = rv != 0 ? rv : uv_listen((uv_stream_t *)&made->tcp, BACKLOG, on_connection);
    if (rv != 0) {
        listener_close(made);
        return fail(rv, options->address, error);
    }
    *listener = made;
    return STATUS_OK;
}

static void bound(const struct listener *listener, struct sockaddr_storage *address)
{
    int size = sizeof(*address);
    memset(address, 0, sizeof(*address));
    int rv = uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)address, &size);
    assert(rv == 0);
}

uint16_t listener_port(const struct listener *listener)
{
    struct sockaddr_storage address;
    bound(listener, &address);
    /* The port is at the same place in both kinds of address. */
    return ntohs(((const struct sockaddr_in *)&address)->sin_port);
}

void listener_address(const struct listener *listener, char *text)
{
    struct sockaddr_storage address;
    bound(listener, &address);
    loop_core_print_address(&address, text);
}
