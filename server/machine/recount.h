#ifndef SERVER_MACHINE_RECOUNT_H
#define SERVER_MACHINE_RECOUNT_H

#include "server/machine/keyspace.h"

/* After a split of a large shard nobody knows how many of its keys lie on which side: both sides
 * begin with estimates, whose sum is right, and count their keys in small steps, by one log entry
 * after the other. The side that is new writes the rows of its expiry index on the way. When the
 * count has come to the end, the counters of database 0 are exact again.
 *
 * The walk has a cursor, a row key. What is written behind the cursor changes the count, what is
 * written at or before it will be seen. Decided by the log alone, as all replicas must agree.
 *
 * The row (LOCAL_RECOUNT): u8 format (1) | u64 keys | u64 keys with an expiry | cursor. Pure. */

enum {
    RECOUNT_ROWS = 512,       /* Places that one step looks at, */
    RECOUNT_SIZE = 512 << 10, /* and bytes. */
    RECOUNT_PAUSE_MS = 10,    /* Between two steps, at least. */
};

static inline bool recount_active(const struct machine_state *state)
{
    return state->recount_ms != 0;
}

/* Begins with the shard's first token. */
void recount_begin(struct txn *txn, struct machine_state *state, const struct machine_scope *scope);
/* A key of the row came to be or went (keys 1 or -1), or its expiry did. What goes wrong is in
 * call->failed. */
void recount_note(struct call *call, const struct row *row, int keys, int expires);
/* If it is time. IO, CORRUPT. */
MUST_USE enum status recount_step(struct call *call);
/* Database 0 was flushed, or all. */
void recount_flushed(struct call *call, bool all);

#endif
