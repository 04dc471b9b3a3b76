#ifndef SERVER_SCRIPT_TRIAL_PRIVATE_H
#define SERVER_SCRIPT_TRIAL_PRIVATE_H

#include "common/base/map.h"
#include "common/base/rand.h"
#include "server/machine/effects.h"
#include "server/script/trial.h"

/* What trial.c and trial_batch.c share. Private to them. */

struct trial {
    struct trial_limits limits;
    struct script_engine *engine;
    struct trial_place place;
    struct machine_state state;
    bool begun;

    /* What all scripts of one op have left. */
    uint64_t steps_left;
    uint64_t end_ms; /* clock_now_ms() */

    /* The script at work. */
    bool writes; /* It may. */
    bool script; /* Its command, not one of a transaction. */
    uint8_t db;
    struct rand rand;
    struct effects effects; /* Of the op. */
    struct map fresh;       /* Sources that were stored since trial_begin(), by their SHA-1. */
    struct buf planned;
    struct buf source;
    struct buf reply;
    struct trial_stats stats;
};

struct machine_apply_input trial_input(const struct trial *trial, const struct trial_op *op);
/* True if the shard has all keys that the command names. */
bool trial_owns(const struct trial *trial, const struct trial_op *op);
/* AGAIN or FAILED. */
enum trial_result trial_failed(enum status from, enum status *status);

/* One script, or one other command of a transaction. PLANNED: its effects are collected and its
 * reply was appended to *reply, which was empty. */
MUST_USE enum trial_result trial_script(struct trial *trial,
                                        const struct trial_op *op,
                                        struct buf *reply,
                                        enum status *status);
MUST_USE enum trial_result trial_command(struct trial *trial,
                                         const struct trial_op *op,
                                         struct buf *reply,
                                         enum status *status);
/* SCRIPT LOAD: only what compiles is kept. Its reply is trial->reply, or that it is refused in
 * *reply. */
MUST_USE enum trial_result trial_load(struct trial *trial,
                                      const struct trial_op *op,
                                      struct buf *planned,
                                      struct buf *reply,
                                      enum status *status);
/* Writes the effects down; the reply stays in *reply only if it is too long for them. */
MUST_USE enum status trial_conclude(struct trial *trial,
                                    const struct trial_op *op,
                                    struct buf *planned,
                                    struct buf *reply);

/* trial_source.c */

/* EVALSHA. */
bool trial_by_sha(const struct command *command);
/* OK: the engine has it, and the shard knows it; NOT_FOUND, AGAIN, IO, CORRUPT. */
MUST_USE enum status trial_source_find(struct trial *trial, struct slice sha, unsigned *flags);
/* It is stored by what is on trial. */
void trial_source_fresh(struct trial *trial, struct slice source);
/* One that was found is stored with the shard among the effects, if it is not yet. AGAIN, IO,
 * CORRUPT. */
MUST_USE enum status trial_source_store(struct trial *trial, struct slice sha);
/* PLANNED: every script that op runs by SHA-1 is known, or brought by what is before it; UNKNOWN,
 * AGAIN, FAILED. */
MUST_USE enum trial_result trial_source_check(struct trial *trial,
                                              const struct trial_op *op,
                                              enum status *status);
/* script_exists, script_find. AGAIN, IO, CORRUPT. */
MUST_USE enum status trial_source_show(struct trial *trial,
                                       const struct trial_op *op,
                                       struct buf *reply);

/* trial_batch.c: a transaction with scripts. As trial_run(). */
MUST_USE enum trial_result trial_batch(struct trial *trial,
                                       const struct trial_op *op,
                                       struct buf *planned,
                                       struct buf *reply,
                                       enum status *status);

#endif
