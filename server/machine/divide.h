#ifndef SERVER_MACHINE_DIVIDE_H
#define SERVER_MACHINE_DIVIDE_H

#include "server/machine/machine.h"

/* A split, and a merge, as the machine sees them: the rows of STORE_DATA stay where they are, as
 * they are addressed by token; the counters and the rows of STORE_LOCAL are divided. A function of
 * the applied state, like everything here. Pure. Thread: the txn's.
 *
 * The child gets: the time and the version, so that times and versions of its keys go on rising;
 * scripts; which events are published; the removed collections of its range; its expiry index; a
 * copy of what sessions wrote (dedup_hand_on()), since it is asked from now on about writes of its
 * keys whose outcome is unknown. Values in pieces on their way to a key of the child are dropped,
 * their sender begins anew.
 *
 * The counters are exact at once if the smaller half is small (DIVIDE_ROWS places); else both count
 * their keys in the background: recount.h. */

enum {
    DIVIDE_ROWS = 4096,        /* Places that are looked at on either side, */
    DIVIDE_SIZE = 16 << 20,    /* and bytes. */
    DIVIDE_GARBAGE_MAX = 1024, /* Rows of removed collections, and values in pieces: with */
    DIVIDE_STAGED_MAX = 64,    /* more the split waits until they are fewer. */
};

/* *why is NULL if the state may be divided, else what stands against it for now. IO, CORRUPT. */
MUST_USE enum status divide_check(struct txn *txn,
                                  const struct machine_state *state,
                                  struct machine_scope scope,
                                  const char **why);

/* scope is what the shard has been until now, of which child becomes the end. *state becomes what
 * is left, *born what the child begins with. divide_check() has nothing against it. IO, CORRUPT. */
MUST_USE enum status divide_split(struct txn *txn,
                                  struct machine_state *state,
                                  struct machine_scope scope,
                                  struct machine_scope child,
                                  struct machine_state *born);

/* *why is NULL if two states may be made one, else what stands against it for now. Of the source
 * all rows of STORE_LOCAL are moved at once, so they may not be too many. IO, CORRUPT. */
enum { DIVIDE_JOIN_ROWS_MAX = 32768 };
MUST_USE enum status divide_check_join(struct txn *txn,
                                       const struct machine_state *state,
                                       uint64_t shard,
                                       const char **why);

/* *state takes over what the source has, but for the rows of STORE_DATA, which stay. What the
 * source leaves of its own in STORE_LOCAL is no use any more. IO, CORRUPT. */
MUST_USE enum status divide_join(struct txn *txn,
                                 uint64_t shard,
                                 struct machine_state *state,
                                 struct machine_scope source,
                                 const struct machine_state *source_state);

#endif
