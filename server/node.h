#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "server/control/agent.h"
#include "server/control/balancer.h"
#include "server/worker.h"

/* What a node has once, whatever its number of loops, without its sockets: the agent that follows
 * the cluster map, the flushes that let the shared log go, the watch on free disk space. Lives on
 * loop 0 beside that loop's worker; speaks to the other loops' workers by mail. The simulator runs
 * exactly this.
 *
 * Thread: loop 0, but node_refuses_writes(). */

struct node;

struct node_env {
    void *ctx;
    /* As in struct agent_env. */
    void (*connect)(void *ctx, uint64_t peer, const char *address);
    void (*disconnect)(void *ctx, uint64_t peer);
    /* Output of the agent's link to the peer; NULL if it is not up. */
    struct buf *(*out_peer)(void *ctx, uint64_t peer);
    void (*post)(void *ctx, unsigned loop, struct worker_mail *mail);
    void (*run)(void *ctx, struct job *job);
    /* The node has an identity: make the workers, then node_start(). May be called in node_tick()
     * or a job's done. */
    void (*joined)(void *ctx, const struct identity *identity);
    /* Loops other than 0: connect to the nodes of the map, each at its node_address(). Loop 0. */
    void (*map_changed)(void *ctx, const struct shard_map *map);
    void (*failed)(void *ctx, enum status status, const char *text);
};

struct node_options {
    const char *dir;
    struct identity identity;
    const char *address;
    const char *zone;
    uint64_t incarnation;
    const char *const *seeds;
    unsigned seed_count;
    uint64_t seed;
    unsigned loops;
    struct store *store;
    struct wal *wal;
    uint64_t flush_bytes; /* Log written since the last flush that makes another one due. */
    /* Bytes of free disk: under it what grows is refused; under half of it all writes. */
    uint64_t free_space_min;
    /* A node that is down for so long has its replicas rebuilt elsewhere; 0: never. */
    uint64_t rebuild_after_ms;
    struct balancer_options balancer;
};

struct node *node_new(const struct node_options *options, const struct node_env *env);
/* No job is running. */
void node_free(struct node *node);
bool node_busy(const struct node *node);

/* The workers are open: tells the agent what they hold. workers[options.loops]; the array is
 * copied. Before any loop but 0 runs. */
void node_start(struct node *node, struct worker *const *workers);

/* Every AGENT_TICK_MS or so. */
void node_tick(struct node *node);

/* A link of the agent (env->connect), see agent.h. */
MUST_USE enum status node_link_up(struct node *node,
                                  uint64_t peer,
                                  const struct frame_hello *hello);
void node_link_down(struct node *node, uint64_t peer);
void node_link_refused(struct node *node, uint64_t peer, enum status status, const char *text);
/* FRAME_MAP, FRAME_LEADERS, FRAME_LOAD, FRAME_REPLY; others are ignored. */
MUST_USE enum status node_frame(struct node *node, const struct frame *frame);

/* What the worker on loop 0 (or, by mail, any other) reports. */
void node_meta_changed(struct node *node);
/* See agent_ranged(). */
struct agent_range;
void node_ranged(struct node *node, const struct agent_range *ranges, size_t count);
void node_born(struct node *node, uint64_t shard, uint64_t replica);
void node_merged(struct node *node, uint64_t shard, uint64_t replica);
void node_removed(struct node *node, uint64_t shard, uint64_t replica);
void node_measured(struct node *node, struct worker_load *load);

/* A command for the node that leads the meta group, which this one does: as worker_env.admin. On
 * the loop of the meta group's replica. */
void node_admin(struct node *node, struct worker_op *op);

/* A client's `SHERD ...` that the node that leads the meta group is to answer, whichever that is.
 * From any loop; done comes once, on that loop; the arguments live until then. */
struct node_inquiry {
    struct worker_mail mail;
    struct node *node;
    unsigned loop;
    struct args args;
    uint32_t deadline_ms;
    struct buf reply; /* One value in the machine's form. */
    void (*done)(struct node_inquiry *inquiry);
};
void node_inquire(struct node *node, struct node_inquiry *inquiry);

/* While it is held the balancer of this node decides nothing, whatever its mode. Loop 0. */
void node_hold_balancer(struct node *node, bool held);

/* Any thread. */
bool node_refuses_writes(const struct node *node, bool grows);

/* What all nodes have to do, if this one leads the meta group. */
const struct load_table *node_loads(const struct node *node);
const struct shard_map *node_map(const struct node *node);
/* See agent_address(). */
const char *node_address(const struct node *node, uint64_t id);
const struct identity *node_identity(const struct node *node);
bool node_is_joined(const struct node *node);

struct node_stats {
    uint64_t flushes, flush_failures, disk_free_bytes;
    uint64_t refusing; /* 0: no, 1: what grows, 2: all writes. */
    uint64_t jobs_running, jobs_waiting, jobs_done, jobs_failed, jobs_bytes;
    uint64_t balancer_splits, balancer_transfers, balancer_moves, balancer_merges; /* Decided. */
    uint64_t hot_shards;
    uint64_t load_skew_permille; /* The busiest node to the mean; 0: not known here. */
};
void node_stats(const struct node *node, struct node_stats *stats);

#endif
