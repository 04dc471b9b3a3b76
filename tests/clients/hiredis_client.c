#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* hiredis as in its examples: blocking calls, pipelines by redisAppendCommand, reconnection.
 * Usage: hiredis_client HOST PORT. */

enum { PIPELINE = 5000, KEYS = 300, NAME_SIZE = 64 };

static int checks;
static char prefix[32];

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("hiredis: ", stdout);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    exit(1);
}

static redisContext *connect_to(const char *host, int port)
{
    struct timeval limit = {.tv_sec = 10};
    redisContext *context = redisConnectWithTimeout(host, port, limit);
    if (context == NULL || context->err) {
        fail("connect: %s", context == NULL ? "no memory" : context->errstr);
    }
    redisSetTimeout(context, limit);
    return context;
}

/* The format is that of hiredis, which knows %b. */
static redisReply *call(redisContext *context, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(context, format, args);
    va_end(args);
    if (reply == NULL) {
        fail("'%s': %s", format, context->errstr);
    }
    return reply;
}

static void is_text(const char *what, redisReply *reply, int type, const char *wanted)
{
    checks++;
    size_t len = strlen(wanted);
    if (reply->type != type || reply->len != len || memcmp(reply->str, wanted, len) != 0) {
        fail("%s: type %d text '%s', wanted %d '%s'", what, reply->type,
             reply->str == NULL ? "" : reply->str, type, wanted);
    }
    freeReplyObject(reply);
}

static void is_number(const char *what, redisReply *reply, long long wanted)
{
    checks++;
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != wanted) {
        fail("%s: type %d number %lld, wanted %lld", what, reply->type, reply->integer, wanted);
    }
    freeReplyObject(reply);
}

static void test_strings(redisContext *context)
{
    is_text("ping", call(context, "PING"), REDIS_REPLY_STATUS, "PONG");
    is_text("set", call(context, "SET %sa %s", prefix, "hello"), REDIS_REPLY_STATUS, "OK");
    is_text("get", call(context, "GET %sa", prefix), REDIS_REPLY_STRING, "hello");
    is_number("incr", call(context, "INCR %sn", prefix), 1);
    is_number("incrby", call(context, "INCRBY %sn 9", prefix), 10);
    is_number("setnx", call(context, "SETNX %sa other", prefix), 0);
    is_number("expire", call(context, "EXPIRE %sa 100", prefix), 1);
    redisReply *ttl = call(context, "TTL %sa", prefix);
    checks++;
    if (ttl->type != REDIS_REPLY_INTEGER || ttl->integer < 95 || ttl->integer > 100) {
        fail("ttl: %lld", ttl->integer);
    }
    freeReplyObject(ttl);
    char blob[] = "a\0b\r\nc";
    is_text("set binary", call(context, "SET %sblob %b", prefix, blob, sizeof blob),
            REDIS_REPLY_STATUS, "OK");
    redisReply *got = call(context, "GET %sblob", prefix);
    checks++;
    if (got->len != sizeof blob || memcmp(got->str, blob, sizeof blob) != 0) {
        fail("binary came back different");
    }
    freeReplyObject(got);
    redisReply *none = call(context, "GET %snone", prefix);
    checks++;
    if (none->type != REDIS_REPLY_NIL) {
        fail("get of nothing: type %d", none->type);
    }
    freeReplyObject(none);
}

static void test_errors(redisContext *context)
{
    is_text("not an integer", call(context, "INCR %sa", prefix), REDIS_REPLY_ERROR,
            "ERR value is not an integer or out of range");
    is_text("arity", call(context, "GET"), REDIS_REPLY_ERROR,
            "ERR wrong number of arguments for 'get' command");
    is_text("unknown", call(context, "FLYAWAY x"), REDIS_REPLY_ERROR,
            "ERR unknown command 'FLYAWAY', with args beginning with: 'x' ");
    is_text("it goes on", call(context, "PING"), REDIS_REPLY_STATUS, "PONG");
}

static void test_pipeline(redisContext *context)
{
    for (int i = 0; i < PIPELINE; i++) {
        redisAppendCommand(context, "SET %sp:%d %d", prefix, i % 100, i);
        redisAppendCommand(context, "GET %sp:%d", prefix, i % 100);
    }
    for (int i = 0; i < PIPELINE; i++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "%d", i);
        void *set = NULL;
        void *get = NULL;
        if (redisGetReply(context, &set) != REDIS_OK || redisGetReply(context, &get) != REDIS_OK) {
            fail("pipeline at %d: %s", i, context->errstr);
        }
        is_text("pipelined set", set, REDIS_REPLY_STATUS, "OK");
        is_text("pipelined get", get, REDIS_REPLY_STRING, wanted);
    }
}

static void test_many_keys(redisContext *context)
{
    static char names[KEYS][NAME_SIZE];
    static char values[KEYS][16];
    const char *mset[1 + 2 * KEYS] = {"MSET"};
    const char *mget[1 + KEYS] = {"MGET"};
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], NAME_SIZE, "%smany:%d", prefix, i);
        snprintf(values[i], sizeof values[i], "%d", i);
        mset[1 + 2 * i] = mget[1 + i] = names[i];
        mset[2 + 2 * i] = values[i];
    }
    is_text("mset", redisCommandArgv(context, 1 + 2 * KEYS, mset, NULL), REDIS_REPLY_STATUS, "OK");
    redisReply *all = redisCommandArgv(context, 1 + KEYS, mget, NULL);
    checks++;
    if (all == NULL || all->type != REDIS_REPLY_ARRAY || all->elements != KEYS) {
        fail("mget");
    }
    for (int i = 0; i < KEYS; i++) {
        if (all->element[i]->type != REDIS_REPLY_STRING ||
            strcmp(all->element[i]->str, values[i]) != 0) {
            fail("mget, element %d", i);
        }
    }
    freeReplyObject(all);
    mget[0] = "DEL";
    is_number("del", redisCommandArgv(context, 1 + KEYS, mget, NULL), KEYS);
}

static void test_scan(redisContext *context)
{
    for (int i = 0; i < KEYS; i++) {
        freeReplyObject(call(context, "SET %sscan:%d x", prefix, i));
    }
    char cursor[32] = "0";
    static int seen[KEYS];
    do {
        redisReply *reply = call(context, "SCAN %s MATCH %sscan:* COUNT 20", cursor, prefix);
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
            fail("scan: type %d", reply->type);
        }
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        for (size_t i = 0; i < reply->element[1]->elements; i++) {
            const char *name = reply->element[1]->element[i]->str;
            long number = strtol(strrchr(name, ':') + 1, NULL, 10);
            if (number < 0 || number >= KEYS) {
                fail("scan gave a key that we did not write");
            }
            seen[number]++;
        }
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    for (int i = 0; i < KEYS; i++) {
        checks++;
        if (seen[i] != 1) {
            fail("scan gave key %d %d times", i, seen[i]);
        }
    }
}

static void test_reconnection(redisContext *context, const char *host, int port)
{
    redisContext *other = connect_to(host, port);
    redisReply *id = call(context, "CLIENT ID");
    is_number("kill", call(other, "CLIENT KILL ID %lld", id->integer), 1);
    freeReplyObject(id);
    redisReply *reply = redisCommand(context, "PING");
    checks++;
    if (reply != NULL || context->err == 0) {
        fail("the killed connection still answers");
    }
    if (redisReconnect(context) != REDIS_OK) {
        fail("reconnect: %s", context->errstr);
    }
    is_text("after it", call(context, "GET %sa", prefix), REDIS_REPLY_STRING, "hello");
    is_text("quit", call(other, "QUIT"), REDIS_REPLY_STATUS, "OK");
    redisFree(other);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: hiredis_client HOST PORT\n", stderr);
        return 2;
    }
    int port = (int)strtol(argv[2], NULL, 10);
    snprintf(prefix, sizeof prefix, "hi:%ld:%ld:", (long)getpid(), (long)time(NULL));
    redisContext *context = connect_to(argv[1], port);
    test_strings(context);
    test_errors(context);
    test_pipeline(context);
    test_many_keys(context);
    test_scan(context);
    test_reconnection(context, argv[1], port);
    redisFree(context);
    printf("hiredis %d.%d.%d: %d checks\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH, checks);
    return 0;
}
