#ifndef CLIENT_SHERD_H
#define CLIENT_SHERD_H

#include <stddef.h>
#include <stdint.h>

/* A small blocking client for Sherd or anything else that speaks the Redis protocol: connect,
 * command, reply.
 *
 *     struct sherd *sherd = sherd_open("127.0.0.1:6379", 1000);
 *     struct sherd_reply *reply = sherd_commandv(sherd, "SET", "user:1", "kim", NULL);
 *     if (reply == NULL) {
 *         fprintf(stderr, "%s\n", sherd_error(sherd));
 *     }
 *     sherd_reply_free(reply);
 *     sherd_close(sherd);
 *
 * Stands on its own: includes nothing of the project. Thread: one owner per connection. Running
 * out of memory aborts. */

enum sherd_fault {
    SHERD_FINE,
    SHERD_BAD_ADDRESS,    /* Not HOST:PORT, or no such host. */
    SHERD_CANNOT_CONNECT, /* Refused, unreachable, or no connection within the timeout. */
    SHERD_TIMEOUT,        /* No whole reply within the timeout: a write may have happened. */
    SHERD_DISCONNECTED,   /* The other side closed: a write may have happened. */
    SHERD_PROTOCOL,       /* What came is not the Redis protocol, or larger than 1 GiB. */
};

enum sherd_type {
    SHERD_NULL,
    SHERD_STATUS, /* "+OK" */
    SHERD_ERROR,  /* Text with its code, without '-'. */
    SHERD_STRING,
    SHERD_VERBATIM, /* Text without its "txt:". */
    SHERD_INTEGER,
    SHERD_BOOLEAN, /* In integer. */
    SHERD_DOUBLE,  /* In real, and as it was sent in text. */
    SHERD_BIG_NUMBER,
    SHERD_ARRAY,
    SHERD_SET,
    SHERD_MAP, /* elements: name, value, name, value ... */
    SHERD_PUSH,
};

struct sherd_reply {
    enum sherd_type type;
    int64_t integer;
    double real;
    char *text; /* Owned; len bytes and a NUL. NULL for aggregates, integers and null. */
    size_t len;
    struct sherd_reply *elements; /* Owned. */
    size_t count;                 /* Of elements; a map has two per pair. */
};

struct sherd;

/* Connects to HOST:PORT or [HOST]:PORT. timeout_ms bounds the connecting and each later reply.
 * Never returns NULL: when it failed, sherd_fault() says why and every command fails at once. */
struct sherd *sherd_open(const char *address, int timeout_ms);
void sherd_close(struct sherd *sherd); /* NULL is allowed. */

enum sherd_fault sherd_fault(const struct sherd *sherd);
/* One line for people, or NULL if nothing has failed. Valid until the next call. */
const char *sherd_error(const struct sherd *sherd);

/* Sends one command and waits for its reply, which the caller frees. lens may be NULL if the
 * arguments are texts. An error reply is a reply. NULL: see sherd_fault(); the connection is of no
 * more use, since a late reply would answer the wrong command. Pushes (RESP3) are skipped. */
struct sherd_reply *sherd_command(struct sherd *sherd,
                                  const char *const *argv,
                                  const size_t *lens,
                                  size_t argc);
/* The same with texts, at most 31, then NULL. */
struct sherd_reply *sherd_commandv(struct sherd *sherd, const char *name, ...)
    __attribute__((sentinel));

/* The two halves, for pipelining: as many receives as sends. send returns 0, or -1 after a fault.
 */
int sherd_send(struct sherd *sherd, const char *const *argv, const size_t *lens, size_t argc);
struct sherd_reply *sherd_receive(struct sherd *sherd);

void sherd_reply_free(struct sherd_reply *reply); /* NULL is allowed. */
/* The value of a map (or of a flat array of names and values, as RESP2 has it); NULL if absent. */
const struct sherd_reply *sherd_reply_field(const struct sherd_reply *reply, const char *name);

#endif
