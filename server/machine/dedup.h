#ifndef SERVER_MACHINE_DEDUP_H
#define SERVER_MACHINE_DEDUP_H

#include "server/machine/handlers.h"

/* Writes are applied once per (session, seq), however often they are sent (RIFL, Ousterhout 2015).
 * Each session has a row in the shard, its window:
 *   u8 format (1) | u64 time_ms | u64 floor | u64 seq_max | u32 count | count * (u64 seq, u32 size,
 *   the reply if it is small)
 * in the order of application. All seqs below floor were acknowledged. A reply of medium size has a
 * row of its own; of a large one only the fact is kept. Pure. */

enum {
    DEDUP_OPEN_MAX = 4096,            /* Unacknowledged writes that a session may have. */
    DEDUP_INLINE_SIZE_MAX = 128,      /* Replies in the window. */
    DEDUP_REPLY_SIZE_MAX = 64 * 1024, /* Longer ones are not kept. */
    DEDUP_IDLE_MS = 10 * 60 * 1000,   /* A session unheard of for so long is forgotten. */
    DEDUP_SWEEP_MS = 60 * 1000,       /* How often that is looked at, at most, */
    DEDUP_SWEEP_COUNT = 256,          /* and how many sessions per log entry. */
};

struct dedup {
    uint64_t session;
    uint64_t seq;
    uint64_t first_unacked;
    struct buf *window; /* In scratch. */
};

/* Loads the window. *known: (session, seq) was applied before; its reply was appended to
 * call->reply and nothing is to be done. IO, CORRUPT. */
MUST_USE enum status dedup_check(struct call *call,
                                 const struct machine_apply_input *input,
                                 struct dedup *dedup,
                                 bool *known);
/* Records the reply of what was not known. */
MUST_USE enum status dedup_record(struct call *call, struct dedup *dedup, struct slice reply);

/* What shard `from` has recorded becomes also what shard `to`, whose state is *to_state, knows of
 * under session_number_inherited(): at a split of what its child may be asked again, at a merge of
 * what the absorbing shard may be. Nothing counts as acknowledged there, as only what is still open
 * is ever asked for under such a number. Costs a few rows per session of the last minutes. IO,
 * CORRUPT. */
MUST_USE enum status dedup_hand_on(struct txn *txn,
                                   uint64_t from,
                                   uint64_t to,
                                   struct machine_state *to_state);

/* Forgets sessions whose time has come; a bounded number. */
MUST_USE enum status dedup_sweep(struct call *call);

#endif
