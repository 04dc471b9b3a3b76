#ifndef SERVER_MACHINE_ZSET_CURSOR_H
#define SERVER_MACHINE_ZSET_CURSOR_H

#include "server/machine/zset.h"

/* Walks over elements of a sorted set, which is not changed meanwhile. A walk that gets long where
 * reads must be short (cache-only txn) ends with AGAIN. Pure. Uses SCRATCH_FROM and SCRATCH_TO. */

enum { ZSET_CURSOR_FAST_COUNT = 1000 }; /* Elements of a short walk. */

struct zset_cursor {
    struct zset *zset;
    bool reverse;
    struct store_iter *iter; /* NULL: packed, or nothing to walk. */
    bool started;
    enum status status;
    uint64_t walked;
    struct slice body;                           /* Packed: the entries, */
    uint16_t offsets[ZSET_PACKED_COUNT_MAX + 1]; /* where each begins, */
    size_t first;                                /* and which are left. */
    size_t behind;
};

/* Elements of an interval, from its end if reverse, without the first `skip`; what is skipped costs
 * little, however much it is. */
void zset_cursor_open(struct zset_cursor *cursor,
                      struct zset *zset,
                      struct zset_range range,
                      bool reverse,
                      uint64_t skip);
/* False at the end. The sub-key is valid until the next call. */
bool zset_cursor_next(struct zset_cursor *cursor, struct slice *sub_key);
/* How the walk went. */
MUST_USE enum status zset_cursor_close(struct zset_cursor *cursor);

/* Calls take() for about `count` elements in an order that stays while others come and go: all that
 * are there throughout are met. *place: 0 at the start and, after the last ones, again. */
typedef void (*zset_take)(void *arg, struct slice member, double score);
MUST_USE enum status zset_cursor_scan(
    struct zset *zset, uint64_t *place, uint64_t count, zset_take take, void *arg);

#endif
