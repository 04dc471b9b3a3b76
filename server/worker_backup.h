#ifndef SERVER_WORKER_BACKUP_H
#define SERVER_WORKER_BACKUP_H

#include "server/worker.h"

/* A backup as the loops of a node see it (docs/decisions/0014-backups.md). Every shard that is led
 * here is fenced: no new entry begins. When all that was proposed before is applied, a view is
 * taken of each. The fence is lifted by a release, which asks every group whether it was led here
 * all the time, or by itself when its time is over; then the cut is void and says so. The views are
 * exported file by file. A backup that nobody speaks of for a minute ends by itself. One at a time.
 *
 * Thread: asked on any loop of the node, done on that loop. */

enum backup_verb {
    BACKUP_SHARDS,  /* Appends one map per shard that is led here, but for the meta group. */
    BACKUP_BEGIN,   /* CONFLICT: another one is under way. */
    BACKUP_FENCE,   /* The same maps, with the state as of the views. TIMEOUT, NOT_LEADER. */
    BACKUP_RELEASE, /* CONFLICT: the cut is void. */
    BACKUP_KEEP,    /* Nothing but that somebody still wants it. */
    BACKUP_NEXT,    /* Makes the next file of a shard, and removes the one before. */
    BACKUP_READ,    /* Appends a part of it, as a bulk string. */
    BACKUP_END,
};

enum { BACKUP_HOLD_MS_MAX = 5000, BACKUP_READ_SIZE_MAX = 4 << 20 };

struct backup_ask {
    struct worker_mail mail;
    struct list link; /* The worker's. */
    struct worker *origin;
    enum backup_verb verb;
    uint64_t id;                          /* Of the backup: not 0. */
    uint64_t shard;                       /* NEXT, READ */
    uint64_t offset;                      /* READ */
    uint32_t len;                         /* READ */
    uint32_t hold_ms;                     /* FENCE: when it is lifted at the latest. */
    void *owner;                          /* The asker's. */
    void (*done)(struct backup_ask *ask); /* On the loop of origin, exactly once. */

    enum status status; /* NOT_FOUND: there is no such backup, or not this shard in it. */
    uint64_t held_us;   /* RELEASE: how long the fence was up. */
    size_t count;       /* Elements in reply. */
    struct buf reply;   /* The asker initialises and frees it. */
};

/* Asks the worker of a loop; the ask lives until done. */
void worker_backup_ask(struct worker *origin, unsigned loop, struct backup_ask *ask);

#endif
