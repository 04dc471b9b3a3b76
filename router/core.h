#ifndef ROUTER_CORE_H
#define ROUTER_CORE_H

#include "common/base/buf.h"
#include "common/cluster/errand.h"
#include "common/cluster/shard_map.h"
#include "common/proto/command.h"
#include "common/proto/frame.h"
#include "router/shard_lane.h"

/* The router without its sockets: takes commands of clients, sends frames to nodes, gives replies
 * back. Follows the map and the leaders, retries, spreads a command over shards and joins the
 * replies. Handed time, randomness, bytes; does no I/O of its own, so the simulator drives exactly
 * this. docs/routing.md tells the life of a request. Thread: one loop has one core. */

struct core;

struct core_env {
    void *ctx;
    /* Milliseconds, monotonic. */
    uint64_t (*now_ms)(void *ctx);
    /* Where to append frames for the link; NULL if the link is not up or has more unsent output
     * than is good: the core tries again a little later. Valid until the next call into the core.
     * What is appended leaves at the end of the loop's turn. */
    struct buf *(*send)(void *ctx, unsigned link);
    /* Begins to connect, and to connect again whenever it failed or was lost, until disconnect().
     * HELLO is exchanged below the core: core_link_up() hands over the other side's. Not called
     * again for a link without disconnect() in between. */
    void (*connect)(void *ctx, unsigned link, const char *address);
    /* No call for this link comes any more; its number may be used again. */
    void (*disconnect)(void *ctx, unsigned link);
    /* When bytes last came over the link, or left it. May be NULL: then frames alone count. */
    uint64_t (*moved_ms)(void *ctx, unsigned link);
    /* A message for who joined its topic. May be NULL. */
    void (*message)(void *ctx, const struct frame_message *message);
    /* A newer map was adopted: keep it where core_options.saved_map comes from. May be NULL. */
    void (*save_map)(void *ctx, struct slice bytes);
};

enum {
    CORE_DEADLINE_MS_DEFAULT = 10 * 1000,
    CORE_TRY_MS_DEFAULT = 1000,
    CORE_LINKS_MAX = MAP_NODES_MAX + 64,
};

struct core_options {
    uint64_t seed;
    uint64_t session;         /* Random, never used by another core or before; not 0. */
    uint32_t deadline_ms;     /* For a whole request. 0: the default. */
    uint32_t try_ms;          /* Silence after which another replica is asked. 0: the default. */
    size_t lane_parts_max;    /* Waiting for one shard; more are refused. 0: 16384. */
    size_t lane_size_max;     /* The same in bytes (one part is always taken). 0: 64 MiB. */
    const char *const *seeds; /* "HOST:PORT" of nodes, for the first map. */
    size_t seed_count;
    const char *zone;       /* Where the router stands; NULL or "": nowhere in particular. */
    struct slice saved_map; /* What save_map was given last; empty or damaged: not used. */
};

/* One command of a client: embedded in the caller's object. */
struct core_request {
    const struct command *command; /* Not a FRONT_COMMAND; its arity is checked. */
    struct args args;              /* Valid, as is what it points to, until on_done. */
    uint8_t db;
    uint8_t flags;     /* REQUEST_PIECE, REQUEST_STAGED. */
    bool replica;      /* If it is a read: a replica may answer that does not lead. Nothing of the
                        * same client is under way before it, nor will be behind it. */
    uint64_t bound_ms; /* How old at most may be what that one sees; 0: it is linearizable. */
    /* Asked when it may have to be sent again, or was: true if nothing of the same client is behind
     * it, and nothing will be before on_done. NULL: it is so. */
    bool (*alone)(struct core_request *request);
    /* Exactly once, for OK and for errors; may be called before core_execute() returns. reply is
     * one RESP value in the machine's form, valid during the call. The request may be freed or used
     * again in it, and core_execute() may be called for others. */
    void (*on_done)(struct core_request *request, struct slice reply);

    /* The core's own. */
    struct list expiry; /* By deadline; none while it is parked. */
    uint64_t deadline_ms;
    uint64_t wait_until_ms; /* BLOCK_FOREVER; 0: it does not wait. */
    uint64_t wait_over_ms;  /* When core_unblock() came, if it is over by that. */
    uint64_t wait_session;  /* Number of its session, from 1; 0: none. */
    bool wait_over;
    bool waited;            /* At some node, */
    uint8_t *wait_frozen;   /* which said what its arguments mean, behind WAIT_REF_SIZE bytes. */
    size_t wait_frozen_len; /* All of that; 0: nothing was said. */
    struct lane_part part;  /* If it is for one shard. */
    struct core_gather *gather; /* If it is for several. */
    struct core_seek *seek;     /* While a script is looked for, and after that. */
};

/* options are copied. Links to the seeds, or to the nodes of the saved map, are asked for through
 * env->connect in here. */
struct core *core_new(const struct core_options *options, const struct core_env *env);
/* Calls nothing back: the caller ends its requests first, or frees them itself. */
void core_free(struct core *core);

void core_execute(struct core *core, struct core_request *request);
/* For requests that may wait (block_timeout()). Cancel: the client has gone; on_done does not come
 * any more. Unblock: on_done comes soon, as if its time were over unless it took something. */
void core_cancel(struct core *core, struct core_request *request);
void core_unblock(struct core *core, struct core_request *request);
/* Of all that wait at nodes. */
void core_unblock_all(struct core *core);
/* A number that no request of this core has and no other caller is given. */
uint64_t core_number(struct core *core);
/* Within on_done: takes over the memory of a large reply, to be freed with free(). NULL if it lies
 * in no memory of its own: then it is to be copied. */
uint8_t *core_take_reply(struct core *core, struct slice reply);
/* For requests from now on. */
void core_set_deadline(struct core *core, uint32_t deadline_ms);

/* So many of the caller's clients listen to a topic from now on. The core keeps it joined where it
 * has to be, until the count is 0. done comes exactly once, unless NULL or the core is freed: when
 * the homes know of it, or failed to answer; then it is tried again for as long as the count is not
 * 0. */
struct core_join {
    uint8_t kind;      /* enum topic_kind */
    struct slice name; /* Copied. */
    uint32_t count;
    void (*done)(void *ctx, bool joined);
    void *ctx;
};
void core_join(struct core *core, const struct core_join *join);

/* A request for the node that leads a shard of the cluster's own, the meta group above all. */
void core_inquire(struct core *core, const struct errand_order *order);

/* hello: what the other side said; role FRAME_ROLE_NODE. */
void core_link_up(struct core *core, unsigned link, const struct frame_hello *hello);
void core_link_down(struct core *core, unsigned link);
/* Any frame but HELLO and REFUSED. PROTOCOL: malformed; close the connection. */
MUST_USE enum status core_frame(struct core *core, unsigned link, const struct frame *frame);

/* When core_tick() has work at the latest, UINT64_MAX if never. Grows only in core_tick(). */
uint64_t core_next_ms(const struct core *core);
void core_tick(struct core *core);

/* Ends every request now, as if its deadline had passed. For a clean stop. */
void core_expire_all(struct core *core);

const struct shard_map *core_map(const struct core *core);
/* False: unknown. Any shard of the map, SHARD_META too. */
bool core_leader(const struct core *core, uint64_t shard, struct leader_hint *hint);
bool core_node_up(const struct core *core, uint64_t node);

struct core_stats {
    uint64_t requests;          /* Taken. */
    uint64_t gathers;           /* Of these: spread over several shards. */
    uint64_t parts;             /* Single-shard commands made of them. */
    uint64_t frames;            /* Sent, retries included. */
    uint64_t retries;           /* Sent again. */
    uint64_t redirects;         /* NOT_LEADER with a hint that was followed. */
    uint64_t probes;            /* Runs begun: a target tried with the head of a lane. */
    uint64_t silences;          /* Targets given up for saying nothing. */
    uint64_t late;              /* Answers of an earlier try that were still good. */
    uint64_t strange;           /* Answers to nothing that waits: duplicates, and those too late. */
    uint64_t moved;             /* Parts that a new map gave to another shard. */
    uint64_t disowned;          /* Answers NOT_OWNER. */
    uint64_t hops_max;          /* Most of them for one part until its shard was found. */
    uint64_t maps;              /* Adopted. */
    uint64_t patches;           /* Changes of the map by news of single shards. */
    uint64_t unknown;           /* Ended with UNKNOWN. */
    uint64_t timeouts;          /* Ended with TIMEOUT. */
    uint64_t clusterdown;       /* Ended with CLUSTERDOWN. */
    uint64_t overloads;         /* Refused with OVERLOADED. */
    uint64_t rearmed;           /* Parts that waited at a node and were sent again. */
    uint64_t parked;            /* Parts that wait at nodes, now. */
    uint64_t crossslots;        /* Refused with CROSSSLOT. */
    uint64_t replica_reads;     /* Sent to replicas; */
    uint64_t replica_forwarded; /* of these: to the leader after all; */
    uint64_t replica_at_leader; /* and those where the leader was the nearest, or the only one. */
    uint64_t statuses[STATUS_COUNT]; /* Answers of nodes by status. */
    uint64_t inflight;               /* Requests, now. */
    uint64_t queued;                 /* Parts in lanes, now. */
    uint64_t queued_size;            /* Bytes of these. */
    uint64_t queued_max;             /* Parts in the longest lane, now. */
    uint64_t nodes, nodes_up, shards, shards_led;
    uint64_t shards_short; /* With fewer voters than wanted, or not led. */
};
void core_stats(const struct core *core, struct core_stats *stats);

#endif
