#ifndef COMMON_FRONT_FRONT_H
#define COMMON_FRONT_FRONT_H

#include "common/config/config.h"
#include "common/front/request.h"
#include "common/metrics/metrics.h"
#include "common/net/loop.h"

/* What a client sees that needs no shard, the same on node and router: connections, HELLO, AUTH,
 * CLIENT, COMMAND, CONFIG, INFO and the like. Commands that need a shard go to the binary through
 * front_env.
 *
 * One front per process, one part per loop. A session (session.h) belongs to a part. What concerns
 * the sessions of all loops (CLIENT LIST, KILL) travels from part to part as mail; there is no
 * lock.
 *
 * Without loops (front_attach not called) there is one part and everything happens at once: so
 * tests and fuzzers drive sessions without sockets. */
struct front;
struct front_part;

enum { FRONT_DATABASES = 16 };
struct front_keyspace {
    uint64_t keys[FRONT_DATABASES];
    uint64_t expires[FRONT_DATABASES];
};

/* A command that the front itself asks of the shards. Stays valid until on_reply, which comes
 * exactly once, at once or later; reply is one value in the machine's form, perhaps an error. */
struct front_ask {
    const struct command *command;
    struct args args;
    void (*on_reply)(struct front_ask *ask, struct slice reply);
};

/* So many clients of this part listen to a name from now on. done comes exactly once, at once or
 * later: when messages that are published afterwards will come to front_deliver(), or with an
 * error, then they may. */
struct front_join {
    uint8_t kind; /* enum topic_kind */
    struct slice name;
    uint32_t count;
    void (*done)(void *ctx, bool joined);
    void *ctx;
};

/* What the binary gives. arg goes to each. Called on the loop of the request or part. */
struct front_env {
    /* A command for shards (CMD_READ or CMD_WRITE), arity checked: request_finish() comes exactly
     * once, at once or later. */
    void (*execute)(void *arg, struct request *request);
    /* NULL, both: there is no pub/sub here. */
    void (*ask)(void *arg, unsigned loop, struct front_ask *ask);
    void (*join)(void *arg, unsigned loop, const struct front_join *join);
    /* A command that waits (request->wait_ms) is to wait no longer: its client has gone, or someone
     * says so. request_finish() comes at once or soon, if it is not under way already. May be NULL.
     */
    void (*cancel)(void *arg, struct request *request);
    /* SHERD <subcommand> ...: the same. NULL: every subcommand is unknown. */
    void (*sherd)(void *arg, struct request *request);
    /* Appends "name:value\r\n" lines of INFO's section "sherd". May be NULL. */
    void (*info)(void *arg, unsigned loop, struct buf *out);
    /* For INFO keyspace; may be a second old. False: not known. May be NULL. */
    bool (*keyspace)(void *arg, unsigned loop, struct front_keyspace *keyspace);
    /* A setting was changed by CONFIG SET; on loop 0. May be NULL. */
    void (*config_changed)(void *arg, enum config_id id);
    /* What WAIT answers: replicas beside the leader that have an acknowledged write on disk: the
     * majority less one. */
    unsigned (*replicas)(void *arg);
    /* True while it cannot serve yet: INFO says loading:1. May be NULL. */
    bool (*loading)(void *arg);
};

struct front_options {
    struct config *config;
    struct metrics *metrics;
    const struct front_env *env;
    void *arg;
    unsigned loops;
    const char *program; /* "sherd-router"; static. */
    uint16_t tcp_port;   /* For INFO; may be set later with front_set_port(). */
};

struct front *front_new(const struct front_options *options);
/* No session is left and no mail is under way: the loops have been freed. */
void front_free(struct front *front);
/* Before loop `index` runs. */
void front_attach(struct front *front, unsigned index, struct loop *loop);
void front_set_port(struct front *front, uint16_t tcp_port);
struct front_part *front_part(struct front *front, unsigned index);

/* A message for who listens to topic. On the part's loop. */
struct front_message {
    uint8_t kind; /* enum topic_kind */
    struct slice topic;
    struct slice channel;
    struct slice payload;
};
void front_deliver(struct front_part *part, const struct front_message *message);

/* Any thread: connected clients over all loops. */
uint64_t front_clients(const struct front *front);

/* What INFO and HELLO call us. */
#define FRONT_REDIS_VERSION "7.0.15"

#endif
