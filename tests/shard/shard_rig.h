#ifndef TESTS_SHARD_SHARD_RIG_H
#define TESTS_SHARD_SHARD_RIG_H

#include "server/shard/shard.h"
#include "tests/shard/group_fake.h"
#include "tests/support/test.h"

/* Two replicas of one shard on groups that do what the test says. Commands are lines of words, with
 * quotes as in an inline request; between MULTI and EXEC they are collected and become one batch.
 * At the end both replicas must hold the same rows. Time stands still unless the test moves it. */

enum { SHARD_RIG_REPLICAS = 2, SHARD_RIG_OPS_MAX = 64, SHARD_RIG_SLOW_MAX = 16 };

struct shard_rig;

struct shard_rig_op {
    struct op op;
    struct shard_rig *rig;
    struct slice *argv;
    struct buf text; /* What argv points to. */
    struct buf frame;
    bool parked;
    unsigned done;
    uint64_t order; /* Of being done: 1, 2, ... */
    enum status status;
    struct buf reply;
    void (*then)(void *arg); /* Called when it is done; may be NULL. */
    void *then_arg;
};

struct shard_rig_replica {
    struct shard_rig *rig;
    struct shard_env env;
    struct store *store;
    struct buf bufs[4];
    struct rand rand;
    struct script_desk desk;
    size_t waiters;
    struct shard *shard;
    bool woken;
    uint64_t events; /* Bytes. */
    struct op *slow[SHARD_RIG_SLOW_MAX];
    size_t slow_count;
    struct slow_read running;
    struct shard_state child; /* Of the last split. */
};

struct shard_rig {
    struct shard_rig_replica replicas[SHARD_RIG_REPLICAS];
    struct shard_rig_replica *leader;
    struct shard_rig_op ops[SHARD_RIG_OPS_MAX];
    size_t op_count;
    uint64_t done_count;
    uint64_t now_ms;
    uint64_t term;
    bool disk_full;
    bool sought;        /* Commands from now on: what is unknown to the shard is so everywhere. */
    size_t waiters_max; /* Of both. */
};

/* The first leads. */
struct shard_rig *shard_rig_new(void);
/* Closes all, compares, frees. */
void shard_rig_free(struct shard_rig *rig);

/* Sends a command to the leader, in its own session. */
struct shard_rig_op *shard_rig_send(struct shard_rig *rig, const char *line);
/* To the replica that does not lead, which may answer. */
struct shard_rig_op *shard_rig_ask_replica(struct shard_rig *rig,
                                           const char *line,
                                           uint64_t bound_ms);
struct shard *shard_rig_follower(struct shard_rig *rig);
/* What the control plane asks of the leader. */
struct shard_rig_op *shard_rig_change(struct shard_rig *rig, const char *line);
/* One that may wait so long; 0: for ever. */
struct shard_rig_op *shard_rig_wait(struct shard_rig *rig, const char *line, uint64_t wait_ms);
/* MULTI ... EXEC. The last line is NULL. */
struct shard_rig_op *shard_rig_exec(struct shard_rig *rig, const char *const *lines);
/* The same command again, as a router would, to who leads now. */
struct shard_rig_op *shard_rig_retry(struct shard_rig *rig, const struct shard_rig_op *op);

/* The leader proposes what it has. */
void shard_rig_turn(struct shard_rig *rig);
/* The oldest proposal is committed and applied by all. */
void shard_rig_commit(struct shard_rig *rig);
/* Turns and commits until nothing moves; what is slow runs too. */
void shard_rig_settle(struct shard_rig *rig);
/* Runs the oldest that was given to the pool: on the pool, and then what is left to do on the loop;
 * or both. */
void shard_rig_begin_slow(struct shard_rig *rig);
void shard_rig_end_slow(struct shard_rig *rig);
void shard_rig_run_slow(struct shard_rig *rig);
/* The other replica takes over; committed: the entries under way survive. */
void shard_rig_change_leader(struct shard_rig *rig, bool committed);
void shard_rig_advance(struct shard_rig *rig, uint64_t ms);

bool shard_rig_replied(const struct shard_rig_op *op, const char *reply);

#define SHARD_RIG_EXEC(rig, ...) shard_rig_exec((rig), (const char *const[]){__VA_ARGS__, NULL})

#endif
