#ifndef SERVER_SHARD_SHARD_PRIVATE_H
#define SERVER_SHARD_SHARD_PRIVATE_H

#include "server/shard/shard.h"

/* What shard.c, shard_write.c and shard_read.c share. Private to them.
 *
 * The life of a write:  submit -> gathered -> (turn) batch in flight -> applied -> done
 * The life of a read:   submit -> [blocked behind a batch] -> read point -> read -> done
 * Either may first be held, in order of arrival, behind reads that are still waiting. */

enum {
    SHARD_MAGIC = 0x53484152,
    BATCH_MAGIC = 0x42415443,
    TOKEN_SLOTS = 512, /* A power of two: key conflicts are looked for by slot. */
    GATHERED_OPS_MAX = 16384,
    GATHERED_SIZE_MAX = 64 << 20,
    WAITING_OPS_MAX = 65536, /* Held, blocked, or waiting for a read point. */
    ENTRY_OPS_MAX = 1024,
    READ_LARGE_SIZE = 16 << 10, /* Replies that are not made for whoever is owed much already. */
    ENTRY_SIZE_MAX = 1 << 20,   /* One larger command still makes an entry, alone. */
};

/* One entry under way. */
struct shard_batch {
    uint32_t magic;
    struct proposal proposal;
    struct shard *shard;
    struct list link; /* In shard->batches, by rising seq. */
    uint64_t seq;
    bool finished; /* Its ops are done; older batches are not. */
    struct list ops;
    struct buf replies;
};

struct shard {
    uint32_t magic;
    const struct shard_env *env;
    const struct shard_machine *machine;
    struct group *group;
    struct shard_state state; /* As of the last entry applied. */
    struct shard_desc wanted; /* As the map has it. */

    enum group_role role;
    uint64_t term;
    uint64_t leader_node;

    struct list gathered; /* Writes of this turn. */
    size_t gathered_count;
    size_t gathered_size;
    struct list held; /* Ops that wait for pending reads; then everything behind them. */
    size_t held_count;
    struct list blocked;  /* Reads that wait for a batch, by rising op->barrier. */
    struct list batches;  /* Not finished, or behind one that is not. */
    uint64_t batch_next;  /* Number of the batch being gathered. */
    uint64_t batch_done;  /* Batches up to here are finished. */
    size_t reads_pending; /* Blocked, or waiting for a read point. */
    size_t reads_slow;
    size_t writes_pending; /* Gathered or in flight. */
    size_t writes_keyless;
    size_t reads_keyless;
    uint32_t writing[TOKEN_SLOTS]; /* Pending writes per slot of their keys' tokens. */
    uint32_t reading[TOKEN_SLOTS];

    uint64_t stamp_ms; /* The latest time that was used here. */
    uint64_t flush_index;
    bool releasing;
    struct shard_stats stats;
    uint64_t ops[MACHINE_DATABASES]; /* Since the last tick. */
    uint64_t ticked_ms;
    struct machine_load load; /* As of the last tick. */
};

void shard_finish(struct op *op, enum status status, struct slice reply);
/* now as the shard sees it: never before what was applied, proposed, or shown to a reader: a key
 * that was seen expired stays so. */
uint64_t shard_now_ms(struct shard *shard);
/* Adds sign to the conflict counters of the op's keys. */
void shard_count(struct shard *shard, const struct op *op, int sign);
bool shard_conflicts(const struct shard *shard, const struct op *op);
/* Takes what was held as far as it may go now. */
void shard_release(struct shard *shard);

/* False: BUSY. */
bool shard_write_fits(const struct shard *shard);
void shard_write_submit(struct shard *shard, struct op *op);
void shard_write_fail(struct shard *shard, enum status status);
/* An entry without commands, which nobody waits for. */
void shard_propose_empty(struct shard *shard);
void shard_apply(void *ctx,
                 const struct group_state *state,
                 struct slice entry,
                 struct proposal *mine);

void shard_read_submit(struct shard *shard, struct op *op);
/* Batch `seq` is finished: reads behind it go on. */
void shard_read_unblock(struct shard *shard, uint64_t seq);
void shard_read_fail(struct shard *shard, enum status status);

#endif
