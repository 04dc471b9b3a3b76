#include "client/sherd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/connection.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/proto/resp.h"

enum {
    REPLY_SIZE_MAX = 1 << 30,
    ERROR_SIZE_MAX = 512,
    WORDS_MAX = 32,
};

struct sherd {
    struct connection connection;
    struct buf in;
    char *address;
    int timeout_ms;
    enum sherd_fault fault;
    char error[ERROR_SIZE_MAX];
};

static void fail(struct sherd *sherd, enum sherd_fault fault, const char *text)
{
    sherd->fault = fault;
    snprintf(sherd->error, sizeof sherd->error, "%s: %s", sherd->address, text);
    connection_close(&sherd->connection);
}

static uint64_t deadline(const struct sherd *sherd)
{
    return clock_now_ms() + (uint64_t)sherd->timeout_ms;
}

/* The fault of a broken connection; status is not OK. */
static void fail_status(struct sherd *sherd, enum status status)
{
    if (status == STATUS_TIMEOUT) {
        char text[64];
        snprintf(text, sizeof text, "no reply within %d ms", sherd->timeout_ms);
        fail(sherd, SHERD_TIMEOUT, text);
    } else {
        fail(sherd, SHERD_DISCONNECTED, "the other side closed the connection");
    }
}

struct sherd *sherd_open(const char *address, int timeout_ms)
{
    assert(timeout_ms > 0);
    struct sherd *sherd = calloc(1, sizeof *sherd);
    assert(sherd != NULL);
    sherd->connection.fd = -1;
    sherd->timeout_ms = timeout_ms;
    sherd->address = strdup(address);
    assert(sherd->address != NULL);
    buf_init(&sherd->in, (size_t)REPLY_SIZE_MAX + CONNECTION_READ_SIZE);

    char host[CONNECTION_HOST_SIZE_MAX];
    uint16_t port = 0;
    if (connection_parse_address(address, host, &port) != STATUS_OK) {
        fail(sherd, SHERD_BAD_ADDRESS, "not an address; write HOST:PORT, as in 127.0.0.1:6379");
        return sherd;
    }
    enum status status = connection_open(&sherd->connection, host, port, deadline(sherd));
    if (status == STATUS_NOT_FOUND) {
        fail(sherd, SHERD_BAD_ADDRESS, "no such host");
    } else if (status == STATUS_TIMEOUT) {
        fail(sherd, SHERD_CANNOT_CONNECT, "cannot connect: no answer within the timeout");
    } else if (status != STATUS_OK) {
        char text[128];
        snprintf(text, sizeof text, "cannot connect: %s", strerror(errno));
        fail(sherd, SHERD_CANNOT_CONNECT, text);
    }
    return sherd;
}

void sherd_close(struct sherd *sherd)
{
    if (sherd == NULL) {
        return;
    }
    connection_close(&sherd->connection);
    buf_deinit(&sherd->in);
    free(sherd->address);
    free(sherd);
}

enum sherd_fault sherd_fault(const struct sherd *sherd)
{
    return sherd->fault;
}

const char *sherd_error(const struct sherd *sherd)
{
    return sherd->fault == SHERD_FINE ? NULL : sherd->error;
}

int sherd_send(struct sherd *sherd, const char *const *argv, const size_t *lens, size_t argc)
{
    assert(argc > 0);
    if (sherd->fault != SHERD_FINE) {
        return -1;
    }
    struct slice *slices = calloc(argc, sizeof *slices);
    assert(slices != NULL);
    size_t size = 32;
    for (size_t i = 0; i < argc; i++) {
        slices[i] = slice_of(argv[i], lens == NULL ? strlen(argv[i]) : lens[i]);
        size += slices[i].len + 32;
    }
    struct buf out;
    buf_init(&out, size);
    resp_write_request(&out, (struct args){.argv = slices, .argc = argc});
    enum status status = connection_write(&sherd->connection, buf_slice(&out), deadline(sherd));
    buf_deinit(&out);
    free(slices);
    if (status != STATUS_OK) {
        fail_status(sherd, status);
        return -1;
    }
    return 0;
}

static enum sherd_type type_of(const struct resp_value *value)
{
    if (value->null) {
        return SHERD_NULL;
    }
    switch (value->type) {
    case '+': return SHERD_STATUS;
    case '-':
    case '!': return SHERD_ERROR;
    case ':': return SHERD_INTEGER;
    case '#': return SHERD_BOOLEAN;
    case ',': return SHERD_DOUBLE;
    case '=': return SHERD_VERBATIM;
    case '(': return SHERD_BIG_NUMBER;
    case '*': return SHERD_ARRAY;
    case '~': return SHERD_SET;
    case '%': return SHERD_MAP;
    case '>': return SHERD_PUSH;
    case '_': return SHERD_NULL;
    default: return SHERD_STRING;
    }
}

static bool is_aggregate(enum sherd_type type)
{
    return type == SHERD_ARRAY || type == SHERD_SET || type == SHERD_MAP || type == SHERD_PUSH;
}

/* Fills in everything of one value but its elements. */
static void take_value(const struct resp_value *value, struct sherd_reply *reply)
{
    *reply = (struct sherd_reply){.type = type_of(value), .integer = value->number};
    if (reply->type == SHERD_NULL) {
        return;
    }
    if (is_aggregate(reply->type)) {
        reply->integer = 0;
        reply->count = (size_t)value->number;
        reply->elements = calloc(reply->count + 1, sizeof *reply->elements);
        assert(reply->elements != NULL);
        return;
    }
    if (reply->type == SHERD_INTEGER || reply->type == SHERD_BOOLEAN) {
        return;
    }
    reply->integer = 0;
    struct slice text = value->bytes;
    reply->text = malloc(text.len + 1);
    assert(reply->text != NULL);
    memcpy(reply->text, text.data, text.len);
    reply->text[text.len] = '\0';
    reply->len = text.len;
    if (reply->type == SHERD_DOUBLE) {
        reply->real = strtod(reply->text, NULL);
    }
}

/* One whole value, which resp_value_size() has measured: depth and lengths are in bounds. */
static enum status take_reply(struct slice bytes, struct sherd_reply *root)
{
    struct {
        struct sherd_reply *reply;
        size_t next;
    } stack[RESP_DEPTH_MAX + 1];
    size_t depth = 0;
    struct sherd_reply *into = root;
    for (;;) {
        struct resp_value value;
        enum status status = resp_value_read(bytes, &value);
        if (status != STATUS_OK) {
            return status;
        }
        bytes = slice_of(bytes.data + value.size_used, bytes.len - value.size_used);
        take_value(&value, into);
        if (into->count > 0) {
            assert(depth <= RESP_DEPTH_MAX);
            stack[depth].reply = into;
            stack[depth].next = 0;
            depth++;
        }
        while (depth > 0 && stack[depth - 1].next == stack[depth - 1].reply->count) {
            depth--;
        }
        if (depth == 0) {
            return STATUS_OK;
        }
        into = &stack[depth - 1].reply->elements[stack[depth - 1].next++];
    }
}

/* One value off the input, reading until it is whole; NULL after a fault. */
static struct sherd_reply *receive_any(struct sherd *sherd, uint64_t deadline_ms)
{
    size_t size = 0;
    enum status status = resp_value_size(buf_slice(&sherd->in), REPLY_SIZE_MAX, &size);
    while (status == STATUS_AGAIN) {
        status = connection_read(&sherd->connection, &sherd->in, deadline_ms);
        if (status != STATUS_OK) {
            fail_status(sherd, status);
            return NULL;
        }
        status = resp_value_size(buf_slice(&sherd->in), REPLY_SIZE_MAX, &size);
    }
    struct sherd_reply *reply = NULL;
    if (status == STATUS_OK) {
        reply = calloc(1, sizeof *reply);
        assert(reply != NULL);
        status = take_reply(slice_of(sherd->in.data, size), reply);
        buf_consume(&sherd->in, size);
    }
    if (status != STATUS_OK) {
        sherd_reply_free(reply);
        fail(sherd, SHERD_PROTOCOL, "the reply is not the Redis protocol");
        return NULL;
    }
    return reply;
}

struct sherd_reply *sherd_receive(struct sherd *sherd)
{
    if (sherd->fault != SHERD_FINE) {
        return NULL;
    }
    uint64_t deadline_ms = deadline(sherd);
    for (;;) {
        struct sherd_reply *reply = receive_any(sherd, deadline_ms);
        if (reply == NULL || reply->type != SHERD_PUSH) {
            return reply;
        }
        sherd_reply_free(reply);
    }
}

struct sherd_reply *sherd_command(struct sherd *sherd,
                                  const char *const *argv,
                                  const size_t *lens,
                                  size_t argc)
{
    return sherd_send(sherd, argv, lens, argc) == 0 ? sherd_receive(sherd) : NULL;
}

struct sherd_reply *sherd_commandv(struct sherd *sherd, const char *name, ...)
{
    const char *argv[WORDS_MAX] = {name};
    size_t argc = 1;
    va_list words;
    va_start(words, name);
    for (const char *word = va_arg(words, const char *); word != NULL;
         word = va_arg(words, const char *)) {
        assert(argc < WORDS_MAX);
        argv[argc++] = word;
    }
    va_end(words);
    return sherd_command(sherd, argv, NULL, argc);
}

/* Frees what is inside; a tree that was read is at most RESP_DEPTH_MAX deep. */
static void release(struct sherd_reply *root)
{
    struct {
        struct sherd_reply *reply;
        size_t next;
    } stack[RESP_DEPTH_MAX + 2];
    size_t depth = 1;
    stack[0].reply = root;
    stack[0].next = 0;
    while (depth > 0) {
        struct sherd_reply *reply = stack[depth - 1].reply;
        if (reply->elements != NULL && stack[depth - 1].next < reply->count) {
            assert(depth < RESP_DEPTH_MAX + 2);
            stack[depth].reply = &reply->elements[stack[depth - 1].next++];
            stack[depth].next = 0;
            depth++;
            continue;
        }
        free(reply->text);
        free(reply->elements);
        depth--;
    }
}

void sherd_reply_free(struct sherd_reply *reply)
{
    if (reply == NULL) {
        return;
    }
    release(reply);
    free(reply);
}

const struct sherd_reply *sherd_reply_field(const struct sherd_reply *reply, const char *name)
{
    if (reply == NULL || (reply->type != SHERD_MAP && reply->type != SHERD_ARRAY)) {
        return NULL;
    }
    struct slice want = slice_str(name);
    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        const struct sherd_reply *key = &reply->elements[i];
        if (key->text != NULL && slice_equal(slice_of(key->text, key->len), want)) {
            return &reply->elements[i + 1];
        }
    }
    return NULL;
}
