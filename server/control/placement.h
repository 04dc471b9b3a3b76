#ifndef SERVER_CONTROL_PLACEMENT_H
#define SERVER_CONTROL_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/* Where replicas go. Rendezvous hashing (Thaler, Ravishankar 1998) orders the nodes for every
 * shard; quotas make the result even. Pure and deterministic: the same input gives the same output
 * on every replica of the meta group, so the algorithm is part of the state machine and its output
 * for a given input never changes. Any thread. */

struct placement_node {
    uint64_t id;
    const char *zone; /* Nodes with an equal zone fail together; "" is a zone like any other. */
    uint64_t load;    /* Replicas that it has; for placement_choose(). */
};

struct placement_input {
    const struct placement_node *nodes; /* By rising id. */
    size_t node_count;
    size_t shards;
    unsigned replicas;
    uint64_t seed;
};

/* Writes shards * replicas node ids to `out`, a row per shard; the first of a row is the preferred
 * leader. Promises:
 *  - the nodes of a row are distinct, and no zone has more of them than it must;
 *  - replicas per node are as even as the zones allow: within one of each other if they allow it;
 *  - preferred leaders per node are as even as the rows allow: within one of each other if the
 *    replicas are.
 * BAD_ARGUMENT: fewer nodes than replicas, or a count of 0. */
MUST_USE enum status placement_make(const struct placement_input *input, uint64_t *out);

/* The node for one more replica of a shard that has replicas on `used`: one that is not in `used`,
 * in the zone with the fewest of them, least loaded, then by rendezvous. 0 if there is none. */
uint64_t placement_choose(const struct placement_node *nodes,
                          size_t node_count,
                          const uint64_t *used,
                          size_t used_count,
                          uint64_t shard);

#endif
