#ifndef COMMON_CLUSTER_TRANSACTION_HOME_H
#define COMMON_CLUSTER_TRANSACTION_HOME_H

#include "common/base/buf.h"
#include "common/cluster/shard_map.h"
#include "common/proto/transaction.h"

/* Which shard a transaction belongs to. Pure. Any thread. */

/* Where a command of one database lies: OK and *position in map->shards; CONFLICT: on several. A
 * command that needs none (a script without keys) leaves *position as it is. */
MUST_USE enum status transaction_home_of_item(const struct transaction_item *item,
                                              const struct shard_map *map,
                                              size_t *position);

/* The arguments of a `batch`. OK: *position in map->shards, which has some. BAD_ARGUMENT: it is
 * none. CONFLICT: it needs several shards. Then *error gets the text with its code. */
MUST_USE enum status transaction_home(struct args args,
                                      const struct shard_map *map,
                                      size_t *position,
                                      struct buf *error);

#endif
