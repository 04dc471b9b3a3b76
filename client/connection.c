#include "client/connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/clock.h"

enum status connection_parse_address(const char *address, char *host, uint16_t *port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL) {
        return STATUS_BAD_ARGUMENT;
    }
    const char *from = address;
    const char *to = colon;
    if (*from == '[' && to > from && to[-1] == ']') {
        from++;
        to--;
    }
    if (to <= from || to - from >= CONNECTION_HOST_SIZE_MAX) {
        return STATUS_BAD_ARGUMENT;
    }
    char *end = NULL;
    errno = 0;
    long number = strtol(colon + 1, &end, 10);
    bool is_digit = colon[1] >= '0' && colon[1] <= '9';
    if (errno != 0 || !is_digit || *end != '\0' || number < 1 || number > UINT16_MAX) {
        return STATUS_BAD_ARGUMENT;
    }
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = '\0';
    *port = (uint16_t)number;
    return STATUS_OK;
}

/* Waits until fd is ready for events. */
static enum status await(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now_ms = clock_now_ms();
        if (now_ms >= deadline_ms) {
            return STATUS_TIMEOUT;
        }
        uint64_t left_ms = deadline_ms - now_ms;
        struct pollfd pollfd = {.fd = fd, .events = events};
        int rv = poll(&pollfd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (rv > 0) {
            return STATUS_OK;
        }
        if (rv < 0 && errno != EINTR) {
            return STATUS_IO;
        }
    }
}

/* OK leaves *fd open; otherwise it is closed and errno says why. */
static enum status connect_one(const struct addrinfo *info, uint64_t deadline_ms, int *fd)
{
    *fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        return STATUS_IO;
    }
    enum status status = STATUS_OK;
    int error = 0;
    if (connect(*fd, info->ai_addr, info->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            socklen_t size = sizeof error;
            status = await(*fd, POLLOUT, deadline_ms);
            int rv = getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &size);
            assert(rv == 0);
        }
    }
    if (status == STATUS_OK && error != 0) {
        status = STATUS_IO;
    }
    if (status != STATUS_OK) {
        close(*fd);
        *fd = -1;
        errno = error;
    }
    return status;
}

enum status connection_open(struct connection *connection,
                            const char *host,
                            uint16_t port,
                            uint64_t deadline_ms)
{
    connection->fd = -1;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, service, &hints, &list) != 0) {
        return STATUS_NOT_FOUND;
    }
    enum status status = STATUS_NOT_FOUND;
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        status = connect_one(info, deadline_ms, &connection->fd);
        if (status == STATUS_OK) {
            break;
        }
    }
    int error = errno;
    freeaddrinfo(list);
    if (status == STATUS_OK) {
        int one = 1;
        (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    errno = error;
    return status;
}

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0) {
        close(connection->fd);
        connection->fd = -1;
    }
}

enum status connection_write(struct connection *connection,
                             struct slice bytes,
                             uint64_t deadline_ms)
{
    assert(connection->fd >= 0);
    size_t sent = 0;
    while (sent < bytes.len) {
        ssize_t n = send(connection->fd, bytes.data + sent, bytes.len - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            enum status status = await(connection->fd, POLLOUT, deadline_ms);
            if (status != STATUS_OK) {
                return status;
            }
        } else if (n < 0 && errno != EINTR) {
            return STATUS_DISCONNECTED;
        }
    }
    return STATUS_OK;
}

enum status connection_read(struct connection *connection, struct buf *in, uint64_t deadline_ms)
{
    assert(connection->fd >= 0);
    for (;;) {
        ssize_t n =
            recv(connection->fd, buf_reserve(in, CONNECTION_READ_SIZE), CONNECTION_READ_SIZE, 0);
        if (n > 0) {
            in->len += (size_t)n;
            return STATUS_OK;
        }
        if (n == 0) {
            return STATUS_DISCONNECTED;
        }
        if (errno == EAGAIN) {
            enum status status = await(connection->fd, POLLIN, deadline_ms);
            if (status != STATUS_OK) {
                return status;
            }
        } else if (errno != EINTR) {
            return STATUS_DISCONNECTED;
        }
    }
}
