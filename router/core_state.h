#ifndef ROUTER_CORE_STATE_H
#define ROUTER_CORE_STATE_H

#include "common/base/map.h"
#include "common/base/rand.h"
#include "common/cluster/errand.h"
#include "common/cluster/shard_news.h"
#include "router/channels.h"
#include "router/core.h"
#include "router/route.h"

/* What the files that make up the core share: core.c (its door), gather.c (requests and their
 * parts), flow.c (lanes and frames), backend.c (nodes and links), map_watch.c (the map). Nobody
 * else includes this. Thread: the core's. */

enum {
    SLOT_BITS = 24, /* Of an id: slot, then 8 bits of the try, then 32 of the generation. */
    SLOT_NONE = UINT32_MAX,
    GENERATION_MAX = (1 << 30) - 1, /* So that no id is an errand's. */
    ERRAND_TICK_MS = 20,
    SUSPECT_MS = 3000,
    SUBSCRIBE_MS = 20, /* Between two on one link. */
};

struct backend {
    unsigned link;
    uint64_t node; /* 0: a seed that has not said it yet. */
    bool up;
    bool wanted;         /* The map has it. */
    bool subscribe_due;  /* SUBSCRIBE could not be sent yet. */
    uint64_t suspect_ms; /* When it was given up for saying nothing; 0: it is not. */
    uint64_t subscribe_ms;
    uint64_t heard_ms;                       /* Last frame. */
    uint64_t latency;                        /* Of reads at replicas: nearby.c. */
    uint64_t replica_reads;                  /* Of these: under way. */
    uint64_t ups;                            /* How often it came up. */
    char *address;                           /* As dialled. Owned. */
    char map_address[NODE_ADDRESS_SIZE_MAX]; /* The map's at that time; "": not in it. */
};

struct slot {
    struct lane_part *part; /* NULL: free. */
    uint32_t generation;
    uint32_t free_next;
};

struct core {
    struct core_env env;
    uint64_t session;
    uint32_t deadline_ms;
    uint32_t try_ms;
    size_t lane_parts_max;
    size_t lane_size_max;
    char **seeds;
    size_t seed_count;
    struct rand rand;

    struct shard_map map;
    struct leader_hint meta; /* Who leads the meta group. */
    uint64_t layout;         /* Grows when ranges of shards change. */
    struct lane **lanes;     /* By position in map.shards. */
    size_t lane_count;
    struct map by_shard;
    struct backend **links; /* By link; NULL: free. */
    size_t link_count;
    struct map by_node;
    size_t nodes_up;

    size_t urgent; /* Parts in lanes that overtake others. */

    uint64_t *scripts; /* Which were known where, of late: see seek.h. */

    struct list active;   /* Lanes that have parts. */
    struct list requests; /* By deadline. */
    struct list unrouted; /* Requests (by part.queue) that came before the first map, */
    bool rerouting;       /* or while strays that came before them are sent on. */
    struct list cancels;  /* That could not be sent yet. */
    uint64_t parked_look_ms;
    uint64_t wait_sessions; /* Made so far; those that are free: */
    uint64_t *wait_free;
    size_t wait_free_count, wait_free_size;
    struct list nearby; /* Parts at replicas, the oldest first. */
    char *zone;         /* Of the router; NULL: none. */
    struct list strays; /* Parts that wait for a newer map, by order. */
    uint64_t strays_ms;
    struct list wanderers;  /* Parts (by writes) in inherited sessions, by seq. */
    struct map held_tokens; /* Of strays; what needs one of them waits behind. May have more. */
    uint64_t order;
    uint64_t timer_ms;

    struct slot *slots;
    uint32_t slot_size;
    uint32_t slot_free;
    struct lane_part *parts_free; /* By sibling. */
    struct shard_news news;       /* Being read. */
    struct route route;
    struct slice *argv; /* Arguments of a share while it is written. */
    size_t argv_size;
    struct buf merged;
    uint8_t *given; /* Memory of the reply at hand, if it may be taken. Owned. */
    struct channels channels;
    struct errands errands; /* For the node that leads the meta group. */
    struct core_stats stats;
};

/* Tick at that time at the latest. */
static inline void core_wake_at(struct core *core, uint64_t at_ms)
{
    if (at_ms < core->timer_ms) {
        core->timer_ms = at_ms;
    }
}

static inline uint64_t core_now(const struct core *core)
{
    return core->env.now_ms(core->env.ctx);
}

#endif
