#ifndef SERVER_WORKER_RECOVER_H
#define SERVER_WORKER_RECOVER_H

#include "server/worker.h"

/* What is asked of a node when groups have lost their majority for good
 * (docs/decisions/0015-recovery.md): which replicas it has, and to make one of them a group of its
 * own. Thread: asked on any loop of the node, done on that loop. */

enum { RECOVER_REPLICA_BITS = 40 }; /* Ids have no more. */

struct recover_ask {
    struct worker_mail mail;
    struct worker *origin;
    bool rebirth;                          /* Else: appends one map per replica of the loop. */
    uint64_t shard;                        /* Of a rebirth: */
    uint64_t replica;                      /* as which it is here now, */
    uint64_t fresh;                        /* and as which it goes on: greater. */
    void *owner;                           /* The asker's. */
    void (*done)(struct recover_ask *ask); /* On the loop of origin, exactly once. */

    /* NO_SHARD: there is no such replica. BUSY: it leads or knows a leader, who may be about to
     * step down, it is not quiet, or a snapshot is being installed. BAD_ARGUMENT: it has nothing,
     * or fresh is not greater. OK: it is being made; it leads within a moment. Also if it was done
     * before. */
    enum status status;
    size_t count;     /* Elements in reply. */
    struct buf reply; /* The asker initialises and frees it. */
};

void worker_recover_ask(struct worker *origin, unsigned loop, struct recover_ask *ask);

#endif
