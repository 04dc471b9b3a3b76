#ifndef COMMON_BASE_CHAIN_H
#define COMMON_BASE_CHAIN_H

#include "common/base/list.h"
#include "common/base/map.h"

/* What a map has under one hash: an element embeds a `struct chain` and is found again with
 * chain_entry(); the map's value is the first of those with the same hash. Owns nothing. */
struct chain {
    struct chain *next;
    uint64_t hash;
};

#define chain_entry(node, type, member) list_entry(node, type, member)

/* NULL: none. */
static inline struct chain *chain_first(const struct map *map, uint64_t hash)
{
    return map_get(map, hash);
}

void chain_add(struct map *map, struct chain *node, uint64_t hash);
/* It is there. */
void chain_remove(struct map *map, struct chain *node);

#endif
