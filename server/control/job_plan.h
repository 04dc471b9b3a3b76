#ifndef SERVER_CONTROL_JOB_PLAN_H
#define SERVER_CONTROL_JOB_PLAN_H

#include "common/cluster/cluster_job.h"

/* Where replicas and leaderships should go: by counts, within what job_check() allows. Pure: the
 * same view gives the same plan. Thread: one owner. */

struct job_plan_view {
    const struct shard_map *map;
    const struct job_list *jobs; /* Moves that have not ended count as done. May be NULL. */
    /* The node answers. NULL: all do. */
    bool (*is_up)(void *ctx, uint64_t node);
    void *ctx;
};

enum { JOB_PLAN_TEXT_SIZE = 256 };

/* The node that a replica of the shard goes to from `from`: one that is up and not in the shard
 * yet, of a zone that is allowed, with the fewest replicas. 0: none, and text (JOB_PLAN_TEXT_SIZE
 * bytes) says why. */
uint64_t job_plan_target(const struct job_plan_view *view,
                         const struct shard_desc *shard,
                         uint64_t from,
                         char *text);

/* Moves, then transfers, after which replicas and preferred leaderships are spread evenly over the
 * nodes that are up: as few as that takes, at most count_max. Those of one shard are to be done in
 * their order. Returns their number; 0: they are spread evenly, or as evenly as zones allow. */
size_t job_plan_rebalance(const struct job_plan_view *view,
                          struct job_spec *specs,
                          size_t count_max);

/* What a plan and the shards that it touches, as they are, come to. */
uint64_t job_plan_hash(const struct job_spec *specs, size_t count);

#endif
