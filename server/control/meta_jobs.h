#ifndef SERVER_CONTROL_META_JOBS_H
#define SERVER_CONTROL_META_JOBS_H

#include "server/control/meta_change.h"
#include "server/control/meta_order.h"

/* What the meta group's state machine makes of orders about jobs and nodes. Each appends one reply:
 *
 *   ADD       the ids of the new jobs, in order
 *   others    OK; also if it was done before
 *
 * Errors begin with a code: CONFLICT (not as the cluster is now), UNSAFE (data or its availability
 * would be at risk), GONE (no such job), LIMIT, ERR. Nothing is changed then. */

void meta_jobs_add(struct meta_change *change, const struct meta_order *order);
void meta_jobs_step(struct meta_change *change, const struct meta_order *order);
void meta_jobs_end(struct meta_change *change, const struct meta_order *order);
void meta_jobs_set(struct meta_change *change, const struct meta_order *order);
void meta_jobs_node(struct meta_change *change, const struct meta_order *order);
void meta_jobs_mode(struct meta_change *change, const struct meta_order *order);

/* The disk of the node is lost: moves from or to it end, and take nothing with them. */
void meta_jobs_lost(struct meta_change *change, uint64_t node);

/* Whatever is under way about the node, or the shard (0: none), ends. */
void meta_jobs_drop(struct meta_change *change, uint64_t node, uint64_t shard, const char *why);

#endif
