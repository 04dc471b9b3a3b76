#ifndef SERVER_CONTROL_STEWARD_H
#define SERVER_CONTROL_STEWARD_H

#include "common/cluster/cluster_job.h"
#include "common/cluster/errand.h"
#include "server/control/meta_order.h"

/* Drives the jobs of the cluster, on the node that leads the meta group. It looks at what is - the
 * map, the rows of the jobs, what the leaders of shards say of their groups - and takes the next
 * step, one at a time for each job: an order to the meta group, or a request to a shard's leader.
 * Both may be repeated, and every order names the step that it goes on from, so that another
 * steward can go on at any moment where this one stopped, and two at once do no harm: nodes refuse
 * requests of a meta leader of an older term.
 *
 * What it knows besides (how far a job is, why it waits) is forgotten with its leadership. No
 * sockets, no clock. Thread: loop 0. */

struct steward;

enum {
    STEWARD_TICK_MS = 100,
    STEWARD_MOVES_IN_MAX = 2,   /* At a time, to one node; */
    STEWARD_MOVES_OUT_MAX = 2,  /* and from one that is up. */
    STEWARD_MOVES_LOST_MAX = 8, /* From one that is not. */
    STEWARD_GONE_MS = 60000,    /* A node that is to take a replica, without a word: given up. */
};

struct steward_env {
    void *ctx;
    bool (*leader)(void *ctx, uint64_t shard, struct leader_hint *hint);
    bool (*is_up)(void *ctx, uint64_t node); /* Connected to this one, or this one. */
    void (*ask)(void *ctx, const struct errand_order *order);
    /* Bytes of a shard on one disk, about; 0: not known. May be NULL. */
    uint64_t (*size)(void *ctx, uint64_t shard);
};

struct steward *steward_new(const struct steward_env *env);
void steward_free(struct steward *steward);

/* A node that is down for so long, and does not hold the only copies, is rebuilt elsewhere; 0:
 * never. */
void steward_set_rebuild(struct steward *steward, uint64_t after_ms);

/* What the meta group's rows say; both are taken over, and left empty. */
void steward_take(struct steward *steward, struct shard_map *map, struct job_list *jobs);

/* Every STEWARD_TICK_MS or so. term: of this node's leadership of the meta group; 0: it does not
 * lead. */
void steward_tick(struct steward *steward, uint64_t now_ms, uint64_t term);

/* Getters. */
const struct shard_map *steward_map(const struct steward *steward);
const struct job_list *steward_jobs(const struct steward *steward);
bool steward_leads(const struct steward *steward);
uint64_t steward_term(const struct steward *steward);

/* How far a job is, as the one who drives it knows. */
struct steward_progress {
    unsigned percent;
    uint64_t bytes, size;         /* Of the move at hand; size 0: not known. */
    uint64_t rate;                /* Bytes a second. */
    uint64_t eta_ms;              /* UINT64_MAX: not known. */
    char text[JOB_TEXT_SIZE_MAX]; /* What it does or waits for. */
};
void steward_progress(const struct steward *steward,
                      const struct cluster_job *job,
                      struct steward_progress *progress);

struct steward_counts {
    uint64_t running, waiting, done, failed, bytes; /* The last three since this process began. */
};
void steward_count(const struct steward *steward, struct steward_counts *counts);

#endif
