#ifndef SERVER_SHARD_WAITING_H
#define SERVER_SHARD_WAITING_H

#include "common/base/buf.h"
#include "common/base/chain.h"

/* Who waits at a shard for which keys, in the order of arrival, and until when. Finding the oldest
 * for a key and the next whose time is over costs the same for any number of them. Decides nothing:
 * server/shard/shard_wait.c does. Thread: the shard's. */

struct op;
struct wait_key;

/* An op that waits for one of several keys. */
struct wait_place {
    struct list link; /* At its key, by arrival. */
    struct wait_key *key;
    struct waiter *waiter;
};

struct waiter {
    struct op *op;
    struct list link; /* In waiting->parked. */
    uint64_t arrival;
    uint64_t until_ms; /* UINT64_MAX: for ever. */
    size_t heap_at;
    bool parked; /* It is at its keys; else it is being looked at, or not there yet. */
    size_t size; /* Bytes of memory. */
    size_t place_count;
    struct wait_place places[];
};

struct waiting {
    struct map keys;      /* Hash -> struct wait_key, those with the same hash chained. */
    struct waiter **heap; /* Parked, with an end, the soonest first. */
    size_t heap_count;
    size_t heap_size;
    struct list parked;
    size_t count; /* Parked. */
    size_t size;  /* Bytes of all waiters. */
    uint64_t arrivals;
};

void waiting_init(struct waiting *waiting);
void waiting_deinit(struct waiting *waiting); /* Nobody waits any more. */

/* keys: count times u8 type | u32 length, key of a metadata row. It is the youngest, and not parked
 * yet. Freed by waiter_free(), which takes it away from where it is parked. */
struct waiter *waiter_new(struct waiting *waiting, struct op *op, struct slice keys, size_t count);
void waiter_free(struct waiting *waiting, struct waiter *waiter);

/* Puts it at its keys, behind those that arrived before it; takes it away again. */
void waiting_park(struct waiting *waiting, struct waiter *waiter);
void waiting_leave(struct waiting *waiting, struct waiter *waiter);

/* The oldest that is parked at the key; with before, the next younger one than that, which is
 * parked there. NULL: none. */
struct waiter *waiting_next(const struct waiting *waiting,
                            uint8_t type,
                            struct slice row_key,
                            const struct waiter *before);
/* One whose time is over; NULL: none. */
struct waiter *waiting_due(const struct waiting *waiting, uint64_t now_ms);
/* Any that is parked; NULL: none. */
struct waiter *waiting_any(const struct waiting *waiting);
/* When the next one's time is over; UINT64_MAX: never. */
uint64_t waiting_end_ms(const struct waiting *waiting);

#endif
