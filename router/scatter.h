#ifndef ROUTER_SCATTER_H
#define ROUTER_SCATTER_H

#include "router/core.h"

/* A transaction whose keys lie on several shards, for those who prefer that to an error (setting
 * multi-across-shards): one transaction on each shard, several at a time, and their replies in the
 * order of the commands. Each is atomic by itself; together they are neither atomic nor isolated.
 * Commands that are spread over shards themselves (MGET, DEL, DBSIZE) run on their own, behind
 * those before them and before those behind them. Watched keys are checked on all shards before
 * anything is done, and on each shard again when its part is done. Thread: the core's. */

/* A `batch` that needs several shards of today's map. */
bool scatter_wanted(const struct core *core, const struct core_request *request);
/* As core_execute(). */
void scatter_execute(struct core *core, struct core_request *request);

#endif
