#ifndef SERVER_SCRIPT_TRIAL_H
#define SERVER_SCRIPT_TRIAL_H

#include "server/machine/machine.h"
#include "server/script/script_engine.h"

/* Runs commands before the log to learn what they do. A script runs on the state that its entry
 * will be applied to, within a mark of the txn; what it did is written down as one planned command
 * (server/machine/effects.h), and everything is taken back. Ordinary commands of the same entry are
 * applied on the way, so that scripts behind them see them.
 *
 * The caller makes sure that nothing is applied to the shard between trial_begin() and the entry.
 * Thread: one owner at a time. */

struct trial;

struct trial_limits {
    size_t memory_max;
    uint64_t time_ms_max;  /* Of a script that has a thread to itself; */
    uint64_t slice_ms_max; /* of one on a loop, */
    uint64_t slice_steps_max;
    uint64_t transaction_slices; /* How many slices a transaction has; 0: one. */
};

struct trial *trial_new(const struct trial_limits *limits);
void trial_free(struct trial *trial);

/* Sources (trial_source.c). A script that a shard ran with EVAL is known to it by its SHA-1 from
 * then on, as long as this trial keeps it; what EVALSHA finds so is stored with the shard
 * (SCRIPT LOAD), and known to every later leader. */

/* The shard knows none any more. */
void trial_forget(struct trial *trial, uint64_t shard);
/* What was run elsewhere is known here, too: of a transaction the first 128 sources that are new.
 */
void trial_learn(struct trial *trial,
                 uint64_t shard,
                 const struct command *command,
                 struct args args);
/* Appends the sources that the shard knows of those that the command runs by SHA-1; another trial
 * takes them. */
void trial_pack(struct trial *trial,
                uint64_t shard,
                const struct command *command,
                struct args args,
                struct buf *out);
void trial_unpack(struct trial *trial, uint64_t shard, struct slice sources);

struct trial_place {
    struct txn *txn;
    const struct machine_state *state; /* Copied. */
    struct machine_scope scope;
    uint64_t now_ms;    /* The entry's stamp. */
    bool slice;         /* On a loop: what takes long is AGAIN, and so is what needs the disk. */
    bool refuse_growth; /* Little disk is left. */
    const atomic_bool *killed; /* May be NULL. */
};

/* Marks the txn, which can be written to, and moves the shard's time. IO, CORRUPT: then there is
 * nothing to end. */
MUST_USE enum status trial_begin(struct trial *trial, const struct trial_place *place);
/* Takes everything back. */
void trial_end(struct trial *trial);

/* True if a command is to be tried: one with CMD_TRIAL, a transaction that holds one. */
bool trial_wanted(const struct command *command, struct args args);

/* A command to be tried. */
struct trial_op {
    const struct command *command;
    struct args args;
    uint8_t db;
    uint64_t session, seq, first_unacked; /* Of writes. */
    uint64_t seed;
    bool sought; /* A script that is unknown here is so everywhere. */
};

enum trial_result {
    TRIAL_PLANNED, /* *planned has what goes into the log. *reply: the reply, if the log has not. */
    TRIAL_REFUSED, /* *reply has an error; nothing is to be logged. */
    TRIAL_STOPPED, /* The same, but the trial is spoilt: end it. */
    TRIAL_AGAIN,   /* It takes too long for a loop. Spoilt. */
    TRIAL_FAILED,  /* *status; NOT_OWNER: nothing was done. Spoilt. */
    TRIAL_UNKNOWN, /* A script is to be looked for elsewhere: NO_SCRIPT. Nothing was done. */
};

/* Appends to *planned and *reply. */
MUST_USE enum trial_result trial_run(struct trial *trial,
                                     const struct trial_op *op,
                                     struct buf *planned,
                                     struct buf *reply,
                                     enum status *status);
/* An ordinary command of the entry, planned. AGAIN, IO, CORRUPT: the trial is spoilt. */
MUST_USE enum status trial_apply(struct trial *trial,
                                 const struct trial_op *op,
                                 struct slice planned);

/* True if the command can only read: EVAL_RO, and a script that says so. */
bool trial_only_reads(struct trial *trial, const struct command *command, struct args args);
/* Such a command, or what SCRIPT asks, outside of begin and end; the txn may be a view. NO_SCRIPT,
 * AGAIN, IO, CORRUPT. */
MUST_USE enum status trial_read(struct trial *trial,
                                const struct trial_place *place,
                                const struct trial_op *op,
                                struct buf *reply);

struct trial_stats {
    uint64_t scripts;  /* Run to the end. */
    uint64_t stopped;  /* Killed, or over their time or memory. */
    uint64_t too_long; /* Slices used up. */
    uint64_t commands; /* Called by scripts. */
    uint64_t memory;   /* Of the engine, now. */
    uint64_t kept;     /* Compiled scripts, now. */
};
/* A script ended so in another engine. */
void trial_count(struct trial *trial, enum trial_result result);
void trial_stats(const struct trial *trial, struct trial_stats *stats);

#endif
