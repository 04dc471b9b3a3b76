#ifndef SERVER_WORKER_PRIVATE_H
#define SERVER_WORKER_PRIVATE_H

#include "common/base/list.h"
#include "common/base/reader.h"
#include "server/control/reconcile.h"
#include "server/worker.h"

/* What worker.c, worker_op.c, worker_replica.c, worker_snapshot.c and worker_board.c share. */

/* A replica that is open here. */
struct slot {
    struct worker *worker;
    struct shard *shard;
    struct list woken;   /* shard_turn() is due. */
    struct list touched; /* Its state row is due. */
    struct leader_hint told;
    struct reconcile_state reconcile;
    struct proposal step;
    bool stepping;
    bool installing;
    bool removing;
};

/* Someone who follows the map and the leaders. */
struct subscriber {
    struct list link;
    uint64_t number;
};

/* A replica being made: its first state must be durable before it says a word. */
struct birth {
    struct list link;
    struct shard_state state;
    bool campaign;
};

struct slow {
    struct list link;
    struct worker *worker;
    struct job job;
    struct slow_read read;
    struct op *op;
    struct shard *shard;
};

struct worker {
    struct worker_env env;
    struct worker_options options;
    char *snap_dir;
    struct txn *txn;
    struct wal_port *port;
    struct host *host;
    struct transfer *transfer;
    struct shard_env shard_env;
    struct buf entry, planned, reply;
    struct rand rand;
    struct map slots; /* shard id -> struct slot */
    struct list woken;
    struct list touched;
    struct list slow_waiting; /* For the next commit: then a view shows what they may read. */
    struct list births;       /* Waiting for the next commit, then for the flush. */
    struct list installs;     /* Waiting for the next commit. */
    struct list wanted;       /* Snapshots to be sent: waiting for the next commit. */
    struct list removals;
    size_t jobs;
    struct shard_map map;
    struct buf map_bytes;
    struct map leaders; /* shard id -> struct leader_hint *: what this node leads, all loops. */
    struct list subscribers;
    struct list refusals; /* struct refusal: see worker_op.c. */
    struct list ops_free;
    size_t ops_free_count;
    bool leaving;    /* Leadership is being given away. */
    bool commit_due; /* A tick has passed since something was left in the txn. */
    bool overloaded; /* The engine is behind: nothing is proposed. */
    uint64_t second_ms; /* When the once-a-second work was done. */
    struct worker_stats stats;
};

struct slot *worker_slot(struct worker *worker, uint64_t shard);
struct slot *worker_slot_of(struct worker *worker, const struct shard *shard);

/* worker_replica.c */
void replica_open(struct worker *worker, const struct shard_state *state, bool campaign);
void replica_after_commit(struct worker *worker);
void replica_second(struct worker *worker, uint64_t now_ms);
void replica_drop(struct worker *worker, struct slot *slot);
void worker_free_waiting(struct worker *worker);

/* worker_snapshot.c */
void snapshot_wanted(void *ctx, struct shard *, const struct group_member *to, uint64_t token);
void snapshot_install(void *ctx, struct shard *, const struct group_state *, struct slice manifest);
bool snapshot_ready(void *ctx, struct shard *, const struct group_state *, struct slice manifest);
void snapshot_after_commit(struct worker *worker);
void snapshot_sent(void *ctx,
                   uint64_t shard,
                   uint64_t token,
                   enum status status,
                   const struct manifest *manifest);
void snapshot_free_waiting(struct worker *worker);
/* At start: finishes an installation that a crash interrupted. */
enum status snapshot_resume(struct worker *worker, struct shard_state *state);

/* worker_board.c */
void board_subscribe(struct worker *worker, uint64_t link, uint64_t version);
void board_role(void *ctx, struct shard *shard);
void board_forget(struct worker *worker, uint64_t link);

/* worker_op.c */
enum status op_request(struct worker *worker, uint64_t link, struct slice body);
void op_slow(void *ctx, struct shard *shard, struct op *op);
void op_after_commit(struct worker *worker);
/* The connection is gone, with everything that was refused on it. */
void op_forget(struct worker *worker, unsigned loop, uint64_t link);
void op_free_waiting(struct worker *worker);
/* Copies bytes into mail that runs `run` on another loop's worker. */
struct bytes_mail {
    struct worker_mail mail;
    uint64_t node;
    size_t len;
    uint8_t bytes[];
};
void worker_post_bytes(struct worker *worker,
                       unsigned loop,
                       uint64_t node,
                       struct slice bytes,
                       void (*run)(struct worker *to, struct worker_mail *mail));

#endif
