#ifndef SERVER_MACHINE_STAGE_H
#define SERVER_MACHINE_STAGE_H

#include "server/machine/keyspace.h"

/* A value too large for one log entry comes in pieces, each a command of its own; then a small SET
 * makes the key of them. The pieces are written at once as what they will be: chunks of the key's
 * row, under a version that no row names yet. A row of LOCAL remembers how far that has come, so
 * that nothing is left of a value that is never finished: docs/storage_format.md. Pure. */

enum {
    STAGE_PIECE = 1 << 5,           /* Among the flags of a planned SET: its value is a piece. */
    STAGE_IDLE_MS = 10 * 60 * 1000, /* Without a new piece for so long it is given up. */
    STAGE_SWEEP_COUNT = 4,          /* So many are removed at once. */
};

struct stage {
    struct machine_stage ref;
    uint64_t version; /* Of the chunks. */
    uint64_t have;    /* Bytes that have come. */
};

/* Leader: an error text if the command cannot take a staged value, or the piece is malformed. */
const char *stage_refuse(const struct machine_plan_input *input);
/* The fifth argument of a planned SET. */
void stage_plan(struct plan *plan, const struct machine_stage *ref);
/* CORRUPT. */
MUST_USE enum status stage_read_ref(struct slice arg, struct machine_stage *ref);

/* A piece of the value of row, which was just loaded; replies. */
MUST_USE enum status stage_apply_piece(struct call *call,
                                       const struct row *row,
                                       const struct machine_stage *ref,
                                       struct slice piece);
/* *whole: all pieces are there. If not, the error was replied. */
MUST_USE enum status stage_find(struct call *call,
                                const struct row *row,
                                const struct machine_stage *ref,
                                struct stage *stage,
                                bool *whole);
/* The chunks are a row's now. */
void stage_forget(struct call *call, const struct stage *stage);
/* The chunks go. */
void stage_drop(struct call *call, const struct row *row, const struct stage *stage);
/* Drops some of those that are idle; all of them, whatever they are. */
MUST_USE enum status stage_sweep(struct call *call);
MUST_USE enum status stage_drop_all(struct call *call);
/* Those of a shard whose keys are in the scope. */
MUST_USE enum status stage_drop_scope(struct txn *txn,
                                      uint64_t shard,
                                      const struct machine_scope *scope);

#endif
