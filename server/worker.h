#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "common/base/map.h"
#include "common/net/mailbox.h"
#include "common/proto/frame.h"
#include "server/control/group_ask.h"
#include "server/shard/job.h"
#include "server/shard/shard.h"
#include "server/shard/transfer.h"

/* One loop's share of a node, without its sockets: the replicas whose shard id falls to this loop,
 * their raft host, the loop's txn, and what is said to those who are connected to this loop. Bytes
 * come in as frames, time by worker_tick(), everything that became due is done in worker_turn(). So
 * the simulator runs exactly this.
 *
 * Thread: its loop. Other loops' workers are reached by env->post() alone. */

struct worker;
struct agent_range;
struct worker_op;

/* From one worker to another, embedded in what is sent. */
struct worker_mail {
    struct mail mail; /* The composition's. */
    struct worker *to;
    void (*run)(struct worker *to, struct worker_mail *mail); /* On the loop of `to`. */
};

/* What a loop had to do in the last second or so, allocated with malloc(). */
struct worker_load {
    struct worker_mail mail; /* For whoever sends it on. */
    void *to;                /* The same. */
    unsigned loop;
    uint64_t cpu; /* Microseconds per second of its thread; 0: not known. */
    uint64_t ops; /* Of the shards that it leads. */
    uint64_t replicas;
    size_t count;
    struct shard_load shards[]; /* Led here, the meta group left out. */
};

struct worker_env {
    void *ctx;
    /* Output to a node over this loop's own connection to it; NULL while it has none or it is
     * full. */
    struct buf *(*out_node)(void *ctx, uint64_t node);
    /* Output to whoever is connected here under this number; NULL if it is gone. */
    struct buf *(*out_link)(void *ctx, uint64_t link);
    /* Bytes of that output that have not left. May be NULL: nothing is known. */
    size_t (*link_pending)(void *ctx, uint64_t link);
    /* Loops of a node, 0 while it is not connected. */
    unsigned (*node_loops)(void *ctx, uint64_t node);
    void (*post)(void *ctx, unsigned loop, struct worker_mail *mail);
    /* run() on a pool thread, then done() on this loop. */
    void (*run)(void *ctx, struct job *job);
    /* worker_turn() is wanted although nothing came in. */
    void (*again)(void *ctx);
    /* The meta group's replica here applied a change, or was opened. */
    void (*meta_changed)(void *ctx);
    /* A replica came with a split, and is open. */
    void (*born)(void *ctx, uint64_t shard, uint64_t replica);
    /* An op for the node that leads the meta group, which this one does: worker_answer() comes
     * once. */
    void (*admin)(void *ctx, struct worker_op *op);
    /* These replicas here know by their logs of ranges that are newer than the map's. */
    void (*ranged)(void *ctx, const struct agent_range *ranges, size_t count);
    /* A replica ended as its shard was merged into another. */
    void (*merged)(void *ctx, uint64_t shard, uint64_t replica);
    /* worker_remove() is done. */
    void (*removed)(void *ctx, uint64_t shard, uint64_t replica);
    /* True while too little disk is left: for anything, or for what grows. */
    bool (*refuse_writes)(void *ctx, bool grows);
    /* Every second: what this loop had to do; load is taken, see node_measured(). May be NULL. */
    void (*measured)(void *ctx, struct worker_load *load);
};

struct worker_options {
    uint64_t node;
    unsigned loop;
    unsigned loops;
    uint64_t incarnation;
    uint64_t seed;
    const char *dir; /* Of the node; snapshots go under dir/snap. */
    struct store *store;
    struct wal *wal;
    void (*wal_wake)(void *arg); /* Called on the log's thread: makes this loop turn. */
    void *wal_wake_arg;
    uint32_t election_ms;
    uint32_t heartbeat_ms;
    uint32_t quiesce_ms;
    bool lease_reads;
    struct throttle *throttle;   /* Of the node's snapshots; NULL: no limit. */
    size_t waiters_max;          /* Ops that may wait for elements on this loop; 0: any number. */
    uint64_t script_memory_max;  /* 0: 64 MB. */
    uint64_t script_time_ms_max; /* 0: 5 seconds. */
};

enum { WORKER_TICK_MS = HOST_TICK_MS };

/* A command from outside on its way to a shard, and its reply on the way back. */
struct worker_op {
    struct op op;
    struct worker_mail mail;
    struct worker *origin;
    uint64_t shard;
    uint64_t link;       /* Of a frame: where to answer. */
    uint64_t request_id; /* Of a frame, or of a client's own that may wait: not 0, unique. */
    struct gate *gate;   /* Of a frame: bounds what its connection is owed. */
    enum group_ask ask;  /* Of the group itself, not of its machine, */
    uint64_t numbers[2]; /* with these arguments. */
    bool admin;          /* For the node that leads the meta group, not for its machine. */
    bool first;          /* REQUEST_FIRST. */
    enum status status;
    struct buf reply; /* Only between loops. */
    struct buf *made; /* During deliver(): memory of the reply that may be taken over, or NULL. */
    /* On the origin's loop, exactly once. */
    void (*deliver)(struct worker_op *op, enum status status, struct slice reply);
    size_t size;
};

/* *worker has no replicas yet. */
struct worker *worker_new(const struct worker_options *options, const struct worker_env *env);
/* Opens the replicas that the store holds and that fall to this loop; blocks. CORRUPT, IO,
 * NEWER_FORMAT are logged. */
MUST_USE enum status worker_open(struct worker *worker);
/* Ends everything pending with CLOSED; from now on there are no replicas here. What the ops of
 * other loops are told is mail: quit on all loops, let them turn, then close. No job is running
 * (worker_busy). */
void worker_quit(struct worker *worker);
/* Quits, if that is not done, and frees. No mail is on its way, no job is running. */
void worker_close(struct worker *worker);
bool worker_busy(const struct worker *worker);

void worker_tick(struct worker *worker);
void worker_turn(struct worker *worker);

/* A connection to or from this loop. node 0: a router or admin. */
void worker_link_down(struct worker *worker, uint64_t link);
/* This loop's own connection to a node. */
void worker_node_changed(struct worker *worker, uint64_t node, bool connected);
/* FRAME_REQUEST, SUBSCRIBE, PEER, BULK. PROTOCOL, CORRUPT: close the connection. */
MUST_USE enum status worker_frame(struct worker *worker,
                                  uint64_t link,
                                  uint64_t node,
                                  const struct frame *frame);

/* Sends op->op (command, args, db, write, session.. filled in) to op->shard on whichever loop has
 * it. */
void worker_submit(struct worker *worker, struct worker_op *op);

/* The answer to env->admin(), on any loop: posts it to where the op came from. reply is copied. */
void worker_answer(struct worker *worker,
                   struct worker_op *op,
                   enum status status,
                   struct slice reply);

/* An op of this loop that may wait, submitted with link 0, waits no longer; it may be done already.
 */
void worker_cancel(struct worker *worker, uint64_t shard, uint64_t request_id);

/* The newest map, borrowed until the next call. Tells subscribers of this loop. */
void worker_set_map(struct worker *worker, const struct shard_map *map, struct slice encoded);
const struct shard_map *worker_map(const struct worker *worker);
/* The same with the splits and merges that shards of this node have been through since: where
 * commands go. Borrowed until the next call. */
const struct shard_map *worker_routes(const struct worker *worker);

/* FRAME_LEADERS of another node: the loops of this node take note. PROTOCOL. */
MUST_USE enum status worker_hear(struct worker *worker, struct slice body);
/* Who leads the shard, as far as this loop knows: what this node leads, what the leaders of its
 * replicas are, what other nodes say. False: unknown. */
bool worker_leader(const struct worker *worker, uint64_t shard, struct leader_hint *hint);
/* True if this node leads it, on whichever loop. */
bool worker_leads(const struct worker *worker, uint64_t shard, struct leader_hint *hint);

/* The replica must fall to this loop. */
void worker_create(struct worker *worker,
                   const struct shard_desc *desc,
                   uint64_t replica,
                   bool birth);
void worker_remove(struct worker *worker, uint64_t shard, uint64_t replica);
/* The node is about to stop: says so, and gives leadership to others, as far as there is one who is
 * connected, has everything and is not about to stop too. Call at every tick; returns how many
 * shards are still to be given away. */
size_t worker_hand_over(struct worker *worker);
/* NULL if it is not open here. Walk: start with *at = 0, NULL at the end. */
struct shard *worker_shard(struct worker *worker, uint64_t shard);
struct shard *worker_next_shard(struct worker *worker, size_t *at);
/* A snapshot is being installed: the store is between two states of the shard. */
bool worker_installing(struct worker *worker, uint64_t shard);
/* Tombstones, from the store. */
void worker_each_tombstone(struct worker *worker,
                           void (*visit)(void *arg, uint64_t shard, uint64_t replica),
                           void *arg);

/* Flush of the whole store: mark on every loop, store_flush(), then flushed on every loop. */
void worker_flush_mark(struct worker *worker);
void worker_flushed(struct worker *worker);

struct txn *worker_txn(struct worker *worker);
unsigned worker_loop_of(const struct worker *worker, uint64_t shard);

/* Appends a map for each snapshot that this loop sends: shard, replica, node (of the receiver),
 * done, total (bytes), rate, limit (bytes per second). Returns how many. */
size_t worker_transfers(const struct worker *worker, struct buf *rows);

struct worker_stats {
    struct host_stats host;
    struct transfer_stats transfer;
    struct shard_stats shard; /* Sums over the shards that were ever open. */
    uint64_t shards, leaders;
    uint64_t shards_short; /* Of those led: with fewer voters than wanted. */
    uint64_t requests, commits, commit_stalls, slow_reads;
    uint64_t backup_fences, backup_voids;
    struct trial_stats scripts; /* Those of the pool too, but for their commands. */
    uint64_t messages_published, messages_delivered, messages_dropped;
    uint64_t waiting; /* Ops that wait for elements, now. */
};
void worker_stats(struct worker *worker, struct worker_stats *stats);

#endif
