#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <stdatomic.h>

#include "common/front/front.h"
#include "common/net/http.h"
#include "common/net/pool.h"

/* The process sherd-router: makes every object, owns the order of start and stop. */

struct router_loop;

struct router {
    struct config *config;
    struct metrics *metrics;
    struct front *front;
    struct router_loop *loops;
    unsigned loop_count;
    struct http *http;
    struct pool *pool;     /* Writes the map; NULL without a data directory. */
    struct lockfile *lock; /* Of the data directory. */
    char *map_path;        /* NULL: the map is not kept. */
    struct buf saved_map;  /* As read at the start. */
    char **seeds;
    size_t seed_count;
    atomic_bool served;   /* Once every shard was led, on every loop: no longer loading. */
    atomic_uint replicas; /* Of a shard; the map's, as far as it is known. */
    atomic_bool stopping;
    atomic_int exit_code;
};

/* Runs until SIGTERM or SIGINT, then ends what is under way, within a second. Returns the exit
 * code: 0; 1 for what the machine refuses, 2 for what the user asked wrongly, each with one line on
 * standard error. */
int router_run(struct config *config);

/* Any thread: ends the process with that exit code. */
void router_stop(struct router *router, int exit_code);

#endif
