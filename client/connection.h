#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include "common/base/buf.h"
#include "common/base/status.h"

/* A TCP connection for programs that may wait: every call returns by its deadline, a clock_now_ms()
 * time. Thread: one owner; does not use signals (no SIGPIPE). */

enum {
    CONNECTION_HOST_SIZE_MAX = 256,
    CONNECTION_READ_SIZE = 16 * 1024,
};

struct connection {
    int fd; /* -1: closed. */
};

/* Takes "HOST:PORT" or "[HOST]:PORT" apart. host has CONNECTION_HOST_SIZE_MAX bytes. BAD_ARGUMENT:
 * no port, a port outside 1..65535, an empty or too long host. */
MUST_USE enum status connection_parse_address(const char *address, char *host, uint16_t *port);

/* Tries all addresses of host (a name is looked up, which may take longer than the deadline).
 * NOT_FOUND: no such host. IO: refused or unreachable, errno says which. TIMEOUT. */
MUST_USE enum status connection_open(struct connection *connection,
                                     const char *host,
                                     uint16_t port,
                                     uint64_t deadline_ms);
void connection_close(struct connection *connection);

/* Writes all bytes. DISCONNECTED, TIMEOUT: some of them may have gone out. */
MUST_USE enum status connection_write(struct connection *connection,
                                      struct slice bytes,
                                      uint64_t deadline_ms);
/* Appends what has arrived, at least one byte, at most CONNECTION_READ_SIZE. DISCONNECTED: the
 * other side closed or reset. TIMEOUT. */
MUST_USE enum status connection_read(struct connection *connection,
                                     struct buf *in,
                                     uint64_t deadline_ms);

#endif
