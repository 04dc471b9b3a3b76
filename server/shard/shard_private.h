#ifndef SERVER_SHARD_SHARD_PRIVATE_H
#define SERVER_SHARD_SHARD_PRIVATE_H

#include <stdatomic.h>

#include "server/shard/shard.h"
#include "server/shard/waiting.h"

/* What shard.c, shard_write.c and shard_read.c share. Private to them.
 *
 * The life of a write:  submit -> gathered -> (turn) batch in flight -> applied -> done
 * The life of a read:   submit -> [blocked behind a batch] -> read point -> read -> done
 * Either may first be held, in order of arrival, behind reads that are still waiting.
 * One that may wait:    gathered -> [parked -> gathered] -> batch in flight -> applied -> done, or
 *                       parked again if there was nothing for it */

enum {
    SHARD_MAGIC = 0x53484152,
    BATCH_MAGIC = 0x42415443,
    TOKEN_SLOTS = 512, /* A power of two: key conflicts are looked for by slot. */
    GATHERED_OPS_MAX = 16384,
    GATHERED_SIZE_MAX = 64 << 20,
    WAITING_OPS_MAX = 65536, /* Held, blocked, or waiting for a read point. */
    NOTED_KEYS_MAX = 64,     /* Of one command, for the meter. */
    ENTRY_OPS_MAX = 1024,
    READ_LARGE_SIZE = 16 << 10, /* Replies that are not made for whoever is owed much already. */
    ENTRY_SIZE_MAX = 1 << 20,   /* One larger command still makes an entry, alone. */
    ENTRY_KEPT_MAX = 64 << 20,  /* Replies of scripts that are too long for it: the same. */
};

/* One entry under way. */
struct shard_batch {
    uint32_t magic;
    struct proposal proposal;
    struct shard *shard;
    struct list link; /* In shard->batches, by rising seq. */
    uint64_t seq;
    uint64_t first; /* Number of its first write, or of the next one if it has none. */
    bool tried;     /* Its commands were tried before: the trial has seen all. */
    bool finished;  /* Its ops are done; older batches are not. */
    struct list ops;
    struct buf replies;
    size_t kept;       /* Bytes of replies of scripts that are not in the entry. */
    bool changes;      /* It is a change of the range, */
    struct op *change; /* who asked for it; NULL: nobody. */
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
    struct list blocked;  /* Reads that wait for writes, by rising op->barrier. */
    struct list batches;  /* Not finished, or behind one that is not. */
    uint64_t batch_next;  /* Number of the next batch. */
    uint64_t batch_done;  /* Batches up to here are finished. */
    uint64_t writes_seen; /* Number of the newest write that was gathered. */
    size_t reads_pending; /* Blocked, or waiting for a read point. */
    size_t reads_slow;
    bool fenced;       /* No entry begins. */
    uint64_t installs; /* Snapshots that began and ended being installed: odd while one is. */
    size_t scripts;    /* Gathered writes that run on trial. */
    bool in_trial;     /* What ends now is told to nobody before the trial is over: */
    struct list over;  /* whoever hears of it may send more, which must not see what is tried. */
    struct op *trying; /* The one that runs off the loop: everything gathered waits for it. */
    size_t writes_pending; /* Gathered or in flight. */
    size_t writes_keyless;
    size_t reads_keyless;
    uint32_t writing[TOKEN_SLOTS]; /* Pending writes per slot of their keys' tokens. */
    uint32_t reading[TOKEN_SLOTS];

    struct waiting waiting;
    struct map waits;    /* Session -> struct op: those that may wait, until they are done. */
    struct list rereads; /* Reads that may find something now. */
    struct buf ready;    /* What an entry wrote that others wait for. */
    struct buf keys;     /* Scratch. */
    size_t confirming;   /* Their time is over; it is being asked whether we still lead. */

    struct shard_desc kin[SHARD_KIN_MAX]; /* A ring. */
    size_t kin_count;                     /* Ever. */
    size_t changing;                      /* Changes of the range that are under way. */
    bool refuse;                          /* It was frozen: what is not in the log is refused. */
    bool moved;                           /* Tokens went: who waits for them is to be told. */
    bool spread;                          /* The others are to hear soon what is committed. */

    uint64_t stamp_ms;     /* The latest time that was used here. */
    uint64_t stored_index; /* Of the state that was written last. */
    uint64_t flush_index;
    bool releasing;
    struct shard_stats stats;
    uint64_t ops[MACHINE_DATABASES]; /* Since the last tick. */
    uint64_t ticked_ms;
    struct machine_load load; /* As of the last tick. */
    struct shard_meter meter;
};

/* What running a script came to. */
struct tried {
    enum trial_result result;
    enum status status;
    uint64_t index, term; /* Of the applied state that it ran on, */
    uint64_t stamp_ms;    /* and the time. */
    struct buf planned;
    struct buf reply; /* An error, or a reply that is too long for the log. */
};
struct tried *tried_new(void);
/* May be NULL. */
void tried_free(struct tried *tried);

/* shard_script.c */
struct trial_op script_trial_op(const struct op *op, uint64_t seed);
/* SCRIPT KILL: answers at once. */
void script_kill(struct shard *shard, struct op *op);
/* Reads by script, on the loop. */
MUST_USE enum status script_read(struct shard *shard, const struct op *op, struct buf *reply);
/* Gives the first of what is gathered to a thread of its own. */
void script_start_slow(struct shard *shard);
/* On the pool. */
void script_run_slow(struct slow_read *read);
/* Back on the loop. */
void script_end_slow(struct slow_read *read);
/* True if op was tried on the pool and that still is what it would do, if nothing is before it in
 * its entry. */
bool script_holds(const struct shard *shard, const struct op *op);
/* Begins trying what will become an entry. */
MUST_USE enum status script_begin(struct shard *shard, uint64_t stamp_ms);
/* One op of the entry, first of all or not: its planned command is appended to env->planned; if
 * not, env->reply has what it is answered. */
MUST_USE enum trial_result script_try(struct shard *shard,
                                      struct op *op,
                                      bool first,
                                      enum status *status);

void shard_finish(struct op *op, enum status status, struct slice reply);
/* now as the shard sees it: never before what was applied, proposed, or shown to a reader: a key
 * that was seen expired stays so. */
uint64_t shard_now_ms(struct shard *shard);
/* Adds sign to the conflict counters of the op's keys. */
void shard_count(struct shard *shard, const struct op *op, int sign);
bool shard_conflicts(const struct shard *shard, const struct op *op);
/* Notes for the meter which keys the op names; reply_size: 0 if not known. */
void shard_note_keys(struct shard *shard, const struct op *op, bool absent, size_t reply_size);
/* Takes what was held as far as it may go now. */
void shard_release(struct shard *shard);

/* shard_wait.c */
/* It comes, it goes. */
void shard_wait_begin(struct shard *shard, struct op *op);
void shard_wait_end(struct shard *shard, struct op *op);
/* Was planned, and may be proposed: false if there is nothing for it; then it is parked, or done.
 */
bool shard_wait_try(struct shard *shard, struct op *op);
/* Gathers, next of all, those that the planned write may be something for. */
void shard_wait_attach(struct shard *shard, struct slice planned);
/* Ends those whose keys are not the shard's any more. */
void shard_wait_moved(struct shard *shard);
/* It was applied, or read, and found nothing. */
void shard_wait_return(struct shard *shard, struct op *op);
/* After an entry: gathers those that shard->ready may be something for. */
void shard_wait_wake(struct shard *shard);
void shard_wait_reread(struct shard *shard);
void shard_wait_fail(struct shard *shard, enum status status);

/* Puts an op that may wait in front of what was gathered. */
void shard_write_regather(struct shard *shard, struct op *op);
/* A write on one of the op's keys, other than by those that wait, is gathered or in flight. */
bool shard_write_pending(const struct shard *shard, const struct op *op);

/* False: BUSY. */
bool shard_write_fits(const struct shard *shard);
void shard_write_submit(struct shard *shard, struct op *op);
void shard_write_fail(struct shard *shard, enum status status);
/* A script that was tried elsewhere: it is proposed now; it is over. */
/* Takes the first of what is gathered; it stays pending. */
struct op *shard_write_first(struct shard *shard);
void shard_write_again(struct shard *shard, struct op *op);
void shard_write_end(struct shard *shard, struct op *op, enum status status);
/* An entry without commands, which nobody waits for. */
void shard_propose_empty(struct shard *shard);
void shard_apply(void *ctx,
                 const struct group_state *state,
                 struct slice entry,
                 struct proposal *mine);

struct shard_batch *shard_batch_new(struct shard *shard);

/* shard_change.c */
MUST_USE enum status shard_change_apply(struct shard *shard,
                                        struct slice entry,
                                        struct shard_batch *batch);
/* The entry of a change was applied; or was not. */
void shard_change_done(struct shard *shard, struct shard_batch *batch, enum status status);
struct range_change;
/* op: who asked; NULL: nobody. */
void shard_change_propose(struct shard *shard, struct range_change *change, struct op *op);
/* Everybody votes, and the change has one member on the node of each. */
bool shard_members_match(const struct group_conf *conf, const struct range_change *change);
/* In shard_turn(): what changes have left to do. */
void shard_change_turn(struct shard *shard);

/* shard_merge.c */
/* Appends an error if the shard cannot be frozen now; false then. */
bool shard_merge_check(struct shard *shard,
                       const struct range_change *change,
                       struct buf *reply,
                       enum status *status);
MUST_USE enum status shard_merge_apply(struct shard *shard,
                                       const struct range_change *change,
                                       struct buf *reply);
/* Whatever was not proposed yet ends so. */
void shard_refuse_all(struct shard *shard, enum status status);

void shard_read_submit(struct shard *shard, struct op *op);
/* Writes have ended: reads that are behind no other go on. */
void shard_read_unblock(struct shard *shard);
/* Number of the oldest write that is pending; UINT64_MAX: there is none. */
uint64_t shard_write_oldest(const struct shard *shard);
void shard_read_fail(struct shard *shard, enum status status);

/* shard_replica.c: at a replica that does not lead. */
bool shard_replica_may_read(const struct shard *shard, const struct op *op);
void shard_replica_submit(struct shard *shard, struct op *op);
/* The applied state is readable. */
void shard_read_now(struct shard *shard, struct op *op);

#endif
