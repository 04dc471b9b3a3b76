#include "common/cluster/shard_map_take.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/map.h"

/* A descriptor that is newer than all it overlaps. */
struct fresh {
    struct shard_desc desc;
    bool ends;    /* From its end on the rest of the ring can be covered. */
    bool dropped; /* It would bring an id in twice. */
};

struct take {
    const struct shard_map *map;
    struct fresh *fresh; /* By start; of the same start the newest first. */
    size_t count;
};

static size_t entry_at(const struct shard_map *map, uint64_t token)
{
    const struct shard_desc *entry = shard_map_find(map, token);
    assert(entry != NULL); /* It covers the ring. */
    return (size_t)(entry - map->shards);
}

static bool is_newer(const struct shard_desc *desc, const struct shard_desc *entry)
{
    if (desc->id != entry->id || desc->ver != entry->ver) {
        return desc->ver > entry->ver;
    }
    return desc->conf_ver > entry->conf_ver && desc->start == entry->start &&
           desc->last == entry->last;
}

/* Appends it to the fresh ones unless something that it overlaps is as new. */
static void consider(struct take *take, const struct shard_desc *desc)
{
    const struct shard_map *map = take->map;
    if (desc->id < SHARD_FIRST || desc->start > desc->last || !shard_desc_fits(map, desc)) {
        return;
    }
    struct fresh *fresh = &take->fresh[take->count];
    *fresh = (struct fresh){.desc = *desc};
    size_t at = entry_at(map, desc->start);
    for (; at < map->shard_count && map->shards[at].start <= desc->last; at++) {
        const struct shard_desc *entry = &map->shards[at];
        if (!is_newer(desc, entry)) {
            return;
        }
        /* Who changes the range may not have heard yet that replicas were exchanged. */
        if (entry->id == desc->id && entry->conf_ver > desc->conf_ver) {
            fresh->desc.conf_ver = entry->conf_ver;
            fresh->desc.replica_count = entry->replica_count;
            memcpy(fresh->desc.replicas, entry->replicas, sizeof(entry->replicas));
        }
    }
    take->count++;
}

static int compare_fresh(const void *a, const void *b)
{
    const struct shard_desc *left = &((const struct fresh *)a)->desc;
    const struct shard_desc *right = &((const struct fresh *)b)->desc;
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    if (left->ver != right->ver) {
        return left->ver > right->ver ? -1 : 1;
    }
    if (left->conf_ver != right->conf_ver) {
        return left->conf_ver > right->conf_ver ? -1 : 1;
    }
    return left->id < right->id ? -1 : left->id > right->id;
}

/* The first whose start is not below. */
static size_t fresh_from(const struct take *take, uint64_t start)
{
    size_t low = 0;
    size_t high = take->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (take->fresh[middle].desc.start < start) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The newest that begins there and from which the ring can be covered; NULL: none. */
static struct fresh *fresh_at(const struct take *take, uint64_t start)
{
    for (size_t i = fresh_from(take, start); i < take->count && take->fresh[i].desc.start == start;
         i++) {
        if (take->fresh[i].ends && !take->fresh[i].dropped) {
            return &take->fresh[i];
        }
    }
    return NULL;
}

/* From the last to the first, so that what a fresh one ends at is known already. An entry of the
 * map can always be followed by the next entry. */
static void find_ends(struct take *take)
{
    const struct shard_map *map = take->map;
    for (size_t i = take->count; i > 0; i--) {
        struct fresh *fresh = &take->fresh[i - 1];
        uint64_t next = fresh->desc.last + 1;
        fresh->ends = next == 0 || map->shards[entry_at(map, next)].start == next ||
                      fresh_at(take, next) != NULL;
    }
}

/* Covers the ring, with fresh ones wherever they lead on. How many fresh ones; used[], which has
 * room for all, says which. */
static size_t cover(const struct take *take,
                    struct shard_desc *shards,
                    size_t *shard_count,
                    struct fresh **used)
{
    size_t used_count = 0;
    size_t count = 0;
    uint64_t next = 0;
    do {
        struct fresh *fresh = fresh_at(take, next);
        const struct shard_desc *desc = &take->map->shards[entry_at(take->map, next)];
        if (fresh != NULL) {
            desc = &fresh->desc;
            used[used_count++] = fresh;
        }
        assert(desc->start == next && desc->last >= next);
        shards[count++] = *desc;
        next = desc->last + 1;
    } while (next != 0);
    *shard_count = count;
    return used_count;
}

/* Drops fresh ones whose ids come twice: an id that moved on the ring without the whole story. */
static bool drop_twins(const struct shard_desc *shards,
                       size_t shard_count,
                       struct fresh **used,
                       size_t used_count)
{
    struct map by_id;
    map_init(&by_id);
    bool dropped = false;
    for (size_t i = 0; i < used_count; i++) {
        struct fresh *before = map_get(&by_id, used[i]->desc.id);
        struct fresh *older = before;
        if (before == NULL || used[i]->desc.ver > before->desc.ver) {
            (void)map_put(&by_id, used[i]->desc.id, used[i]);
        } else {
            older = used[i];
        }
        if (older != NULL) {
            older->dropped = true;
            dropped = true;
        }
    }
    for (size_t i = 0; i < shard_count; i++) {
        struct fresh *fresh = map_get(&by_id, shards[i].id);
        if (fresh != NULL && fresh->desc.start != shards[i].start) {
            fresh->dropped = true;
            dropped = true;
        }
    }
    map_deinit(&by_id);
    return dropped;
}

static bool take_fresh(struct take *take, struct shard_map *map)
{
    size_t room = map->shard_count + take->count;
    struct shard_desc *shards = calloc(room, sizeof(*shards));
    struct fresh **used = calloc(take->count, sizeof(struct fresh *));
    assert(shards != NULL && used != NULL);
    size_t shard_count = 0;
    size_t used_count = 0;
    do {
        find_ends(take);
        used_count = cover(take, shards, &shard_count, used);
        assert(shard_count <= room);
    } while (used_count > 0 && drop_twins(shards, shard_count, used, used_count));
    free(used);
    if (used_count == 0 || shard_count > MAP_SHARDS_MAX) {
        free(shards);
        return false;
    }
    free(map->shards);
    map->shards = shards;
    map->shard_count = shard_count;
    return true;
}

bool shard_map_take(struct shard_map *map, const struct shard_desc *descs, size_t count)
{
    if (map->shard_count == 0 || count == 0) {
        return false;
    }
    struct take take = {.map = map, .fresh = calloc(count, sizeof(struct fresh))};
    assert(take.fresh != NULL);
    for (size_t i = 0; i < count; i++) {
        consider(&take, &descs[i]);
    }
    bool changed = false;
    if (take.count > 0) {
        qsort(take.fresh, take.count, sizeof(*take.fresh), compare_fresh);
        changed = take_fresh(&take, map);
    }
    free(take.fresh);
    return changed;
}
