#ifndef ROUTER_PART_TOKENS_H
#define ROUTER_PART_TOKENS_H

#include "common/base/map.h"
#include "router/core.h"

/* What of the ring a part needs: the tokens of its keys, all of which its shard has to own. Pure.
 * Thread: the part's. */

/* One of them, always the same: who owns it today is who knows what became of the part. False: it
 * needs none, as it is about a shard and not about keys. */
bool part_tokens_first(const struct lane_part *part, uint64_t *token);
/* One of these, which are the keys of the map. */
bool part_tokens_any(const struct lane_part *part, const struct map *tokens);
/* All lie there. */
bool part_tokens_within(const struct lane_part *part, const struct shard_desc *shard);

#endif
