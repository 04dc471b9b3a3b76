#ifndef SERVER_CONTROL_JOB_CHECK_H
#define SERVER_CONTROL_JOB_CHECK_H

#include "common/cluster/cluster_job.h"

/* Whether a job may be done to the cluster as the map has it. Pure: a part of the meta group's
 * state machine, and what a plan is checked with before anybody is asked. Any thread.
 *
 * Zones: a set of replicas is fine if no zone has more of them than it must, given the nodes that
 * are up, or more than the shard has in one zone already. A move goes from the old set by way of
 * old and new together to the new one; both must be fine. */

enum { JOB_FAULT_SIZE = 256 };

/* NULL if it may be done, else why not, with its code: CONFLICT (the map is not so), UNSAFE (data
 * or its availability would be at risk). Written to text, of JOB_FAULT_SIZE bytes. A SPLIT without
 * a token is given the middle. */
const char *job_check(const struct shard_map *map, struct job_spec *spec, char *text);

/* How many of `count` replicas must share a zone of the nodes that are up at least. */
unsigned job_check_zone_cap(const struct shard_map *map, unsigned count);
/* How many of the nodes share a zone at most. */
unsigned job_check_crowd(const struct shard_map *map, const uint64_t *nodes, unsigned count);

#endif
