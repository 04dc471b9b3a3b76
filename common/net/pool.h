#ifndef COMMON_NET_POOL_H
#define COMMON_NET_POOL_H

#include "common/net/mailbox.h"

/* A few threads for what would block a loop: slow reads, exports, files. Work is embedded in its
 * owner, runs once on some pool thread, and comes back as mail to the loop that it names. First in,
 * first out. The queue is bounded by its users: work is embedded, so nothing is allocated here. */
struct pool;

struct work {
    struct mail mail;                /* Used by the pool. */
    struct work *next;               /* Used by the pool. */
    struct loop *loop;               /* Used by the pool. */
    void (*run)(struct work *work);  /* On a pool thread. */
    void (*done)(struct work *work); /* On the loop, exactly once; may free the work. */
};

/* threads: at least 1. */
struct pool *pool_new(unsigned threads);
/* Runs what is queued, then ends the threads. The loops that are to get it are still alive; whether
 * they still handle it is theirs. */
void pool_free(struct pool *pool);
/* Any thread. run and done are set. */
void pool_submit(struct pool *pool, struct loop *loop, struct work *work);
/* Any thread: how much waits or runs at this moment. */
size_t pool_pending(struct pool *pool);

#endif
