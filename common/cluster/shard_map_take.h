#ifndef COMMON_CLUSTER_SHARD_MAP_TAKE_H
#define COMMON_CLUSTER_SHARD_MAP_TAKE_H

#include "common/cluster/shard_map.h"

/* How a map learns of single shards, in whatever order the news comes. A split, a merge, and
 * whatever else changes who owns a token, gives the new owners a ver above that of all owners
 * before; so of two descriptors that overlap the one with the higher ver is newer. Pure. Thread:
 * that of the map. */

/* Takes those of descs for which every entry that they overlap is older: a lower ver, or the same
 * id and ver and a lower conf_ver. Only as many as leave the ring covered without gap or overlap
 * and with every id once; a half of a split without the other is no use and is left out. Of an
 * entry with the same id and a higher conf_ver the replicas stay. The rest of the map stays as it
 * is, its version too. descs may hold anything: what no map could hold is left out.
 *
 * Returns whether anything changed; costs O(count log shards) if not. A map without shards takes
 * nothing. */
bool shard_map_take(struct shard_map *map, const struct shard_desc *descs, size_t count);

#endif
