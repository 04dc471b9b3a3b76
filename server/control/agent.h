#ifndef SERVER_CONTROL_AGENT_H
#define SERVER_CONTROL_AGENT_H

#include "common/cluster/shard_map.h"
#include "common/proto/frame.h"
#include "replication/group.h"
#include "server/control/identity.h"

/* One per node: joins the cluster, follows the map and makes the node look like it. No sockets, no
 * disk, no clock: inputs are the calls below, outputs are the calls of struct agent_env.
 *
 * Peers are node ids, or agent_seed_peer(n) for an address of --join whose node is not known yet.
 * The node's own id is a peer too, for request() only: the request goes to this node's own shards.
 *
 * What is the env's: it answers FRAME_SUBSCRIBE from others itself (FRAME_MAP if its map is newer,
 * and again at every map_changed), it reopens the replicas that the store knows at start without
 * asking, and it keeps the tombstones.
 *
 * The replicas of this node serve whether or not the agent reaches anyone. Thread: loop 0. */

struct agent;

enum {
    AGENT_SEEDS_MAX = 16,
    AGENT_TICK_MS = 100, /* agent_tick() at least this often. */
    AGENT_TEXT_SIZE_MAX = 512,
};

static inline uint64_t agent_seed_peer(unsigned n)
{
    return UINT64_C(1) << 63 | n;
}
static inline bool agent_is_seed(uint64_t peer)
{
    return peer >> 63 != 0;
}
/* Ids of the agent's requests: replies with such ids go to agent_reply(). */
static inline bool agent_owns_request(uint64_t request_id)
{
    return request_id >> 63 != 0;
}

/* No call of the agent from inside these but the getters. What is passed is borrowed. */
struct agent_env {
    void *ctx;
    /* Keep one link to the peer at the address: redial for ever, with backoff. Again with another
     * address: move it. The agent hears of every success by agent_link_up(). */
    void (*connect)(void *ctx, uint64_t peer, const char *address);
    void (*disconnect)(void *ctx, uint64_t peer); /* The agent takes it for down. */
    /* At most one reply or none: the agent has its own deadlines. A link that is not up: drop it.
     * request->session is 0 throughout. */
    void (*request)(void *ctx, uint64_t peer, const struct frame_request *request);
    /* FRAME_SUBSCRIBE; what comes back goes to agent_receive_map(). */
    void (*subscribe)(void *ctx, uint64_t peer, uint64_t version);
    /* FRAME_MAP to a peer that may not know where to subscribe. */
    void (*push_map)(void *ctx, uint64_t peer, struct slice encoded);
    /* Write DIR/identity (off the loop), then agent_identity_saved(). */
    void (*save_identity)(void *ctx, const struct identity *identity);
    /* Write DIR/map some time; the newest wins. */
    void (*save_map)(void *ctx, struct slice encoded);
    /* The identity is durable: hosts can be made. Only for a node that began without an id, once,
     * before its first replica_create. */
    void (*joined)(void *ctx, const struct identity *identity);
    /* A newer map. Both are valid until the next map_changed. */
    void (*map_changed)(void *ctx, const struct shard_map *map, struct slice encoded);
    /* agent_address() of some node changed, and the map did not. */
    void (*addresses_changed)(void *ctx);
    /* Open a replica that this node does not have yet. birth: start the group from the synthetic
     * snapshot with all of desc->replicas, in that order, as voters; else empty, waiting for a
     * snapshot. Counts as open from now on. */
    void (*replica_create)(void *ctx, const struct shard_desc *desc, uint64_t replica, bool birth);
    /* The group has committed a configuration without this replica: tombstone it, close it, delete
     * its data; then agent_replica_removed(). */
    void (*replica_remove)(void *ctx, uint64_t shard, uint64_t replica);
    /* The node cannot be part of this cluster: print the line, end with exit code 1. */
    void (*failed)(void *ctx, enum status status, const char *text);
};

struct agent_options {
    struct identity identity;    /* From identity_open(). */
    const char *address;         /* Advertised, ADDR:PORT. */
    const char *zone;            /* May be empty. */
    uint64_t incarnation;        /* Random per process start. */
    const char *const *seeds;    /* --join; copied. */
    unsigned seed_count;         /* At most AGENT_SEEDS_MAX. */
    uint64_t random;             /* Seed of the jitter. */
    const struct shard_map *map; /* As saved; NULL if there is none. Copied, no map_changed. */
};

struct agent *agent_new(const struct agent_options *options, const struct agent_env *env);
void agent_free(struct agent *agent);

/* At start, before the first tick: what the store holds. */
void agent_replica_opened(struct agent *agent, uint64_t shard, uint64_t replica);
/* Replicas of the shard up to this id are never to be made here again. */
void agent_replica_tombstoned(struct agent *agent, uint64_t shard, uint64_t replica);
/* A replica came with a split; it may be there instead of one that env->replica_create() asked for.
 */
void agent_replica_born(struct agent *agent, uint64_t shard, uint64_t replica);
/* What replicas of this node own, by their logs: to be called for those whose version is above that
 * of the map. */
struct agent_range {
    struct shard_desc desc;
    bool led; /* By this node. */
};
void agent_ranged(struct agent *agent, const struct agent_range *ranges, size_t count);
/* A replica ended here, as its shard was merged into another. */
void agent_replica_merged(struct agent *agent, uint64_t shard, uint64_t replica);
/* Answer to env->replica_remove(): it is tombstoned and closed. */
void agent_replica_removed(struct agent *agent, uint64_t shard, uint64_t replica);
/* Answer to env->save_identity(). IO: the process should stop. */
void agent_identity_saved(struct agent *agent, enum status status);

/* Every AGENT_TICK_MS or so. Nothing is asked of the env before the first one. now_ms:
 * clock_now_ms. */
void agent_tick(struct agent *agent, uint64_t now_ms);

/* A link to the peer is up, whoever made it, and its HELLO read: the agent subscribes. For links
 * that others made, peer is hello->node; not for those of nodes without an id yet. CONFLICT
 * (another node answers at the address), WRONG_CLUSTER: close the link; redial later. */
MUST_USE enum status agent_link_up(struct agent *agent,
                                   uint64_t peer,
                                   const struct frame_hello *hello);
/* After every OK of agent_link_up(), when the link is lost. Requests to the peer have failed. */
void agent_link_down(struct agent *agent, uint64_t peer);
/* The peer sent FRAME_REFUSED. */
void agent_link_refused(struct agent *agent, uint64_t peer, enum status status, const char *text);
/* Reply to a request, or OK = false answers such as DISCONNECTED. Not from inside env->request().
 */
void agent_reply(struct agent *agent, uint64_t request_id, enum status status, struct slice body);
/* FRAME_MAP from anyone. CORRUPT; WRONG_CLUSTER: close the link. OK also if it is not newer. */
MUST_USE enum status agent_receive_map(struct agent *agent, struct slice encoded);
/* The meta group's replica on this node applied a change, or was opened: meta_machine_load(). */
void agent_apply_map(struct agent *agent, const struct shard_map *map);

/* Getters; valid until the next input. */
const struct shard_map *agent_map(const struct agent *agent); /* version 0: none yet */
struct slice agent_map_bytes(const struct agent *agent);      /* Encoded; empty if none. */
/* Where the node is: what the map says, or an address of --join at which it answered since. "": not
 * known. */
const char *agent_address(const struct agent *agent, uint64_t node);
const struct identity *agent_identity(const struct agent *agent);
/* True once the meta group has confirmed this start of the node (address and incarnation). */
bool agent_is_joined(const struct agent *agent);

/* GROUP.CONF (group_ask.h): a request to a shard's leader that asks for its committed
 * configuration. The worker answers it for every shard, the meta group too: after group_read() says
 * that it is still leader, with the configuration of its applied state (group_state.conf). */
void agent_write_conf(const struct group_conf *conf, struct buf *reply);

#endif
