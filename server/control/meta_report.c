#include "server/control/meta_report.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"

static bool overlaps(const struct shard_desc *a, const struct shard_desc *b)
{
    return a->start <= b->last && b->start <= a->last;
}

static int by_start(const void *a, const void *b)
{
    const struct shard_desc *left = a;
    const struct shard_desc *right = b;
    return left->start < right->start ? -1 : left->start > right->start;
}

static const struct shard_desc *known(const struct shard_map *map, uint64_t shard)
{
    return shard == SHARD_META ? NULL : shard_map_shard(map, shard);
}

static bool is_news(const struct shard_map *map, const struct shard_desc *desc)
{
    const struct shard_desc *old = known(map, desc->id);
    return old == NULL || desc->ver > old->ver;
}

/* Newer than all that it overlaps. */
static bool is_newer(const struct shard_map *map, const struct shard_desc *desc)
{
    for (size_t i = 0; i < map->shard_count; i++) {
        if (overlaps(&map->shards[i], desc) && map->shards[i].ver >= desc->ver) {
            return false;
        }
    }
    return true;
}

/* A shard that the map does not have: only ids that were given out can be true. */
static bool is_child(const struct meta_rows *rows, const struct shard_desc *desc)
{
    if (desc->parent == 0 || desc->id >= rows->cluster.next_shard) {
        return false;
    }
    for (unsigned i = 0; i < desc->replica_count; i++) {
        if (desc->replicas[i].id >= rows->cluster.next_replica ||
            shard_map_node(&rows->map, desc->replicas[i].node) == NULL) {
            return false;
        }
    }
    return true;
}

/* A child of a shard that had a member on a node which was given up while the shard was divided:
 * the node that took its place in the parent takes it here too. */
static void mend(struct meta_change *change, struct shard_desc *child)
{
    const struct shard_map *map = &change->rows.map;
    const struct shard_desc *parent = known(map, child->parent);
    for (unsigned i = 0; i < child->replica_count; i++) {
        const struct node_desc *node = shard_map_node(map, child->replicas[i].node);
        if (parent == NULL || node->state != NODE_GONE) {
            continue;
        }
        for (unsigned k = 0; k < parent->replica_count; k++) {
            uint64_t other = parent->replicas[k].node;
            if (shard_map_replica_on(child, other) == NULL &&
                shard_map_node(map, other)->state != NODE_GONE) {
                child->replicas[i] =
                    (struct replica_desc){.id = change->rows.cluster.next_replica++, .node = other};
                child->conf_ver++;
                break;
            }
        }
    }
}

/* The ranges of the report, with the replicas that the map wants. Returns how many are news, or
 * SIZE_MAX if one cannot be taken. */
static size_t collect(struct meta_change *change,
                      const struct meta_order *order,
                      struct shard_desc *fresh)
{
    const struct shard_map *map = &change->rows.map;
    struct reader in = reader_of(order->items);
    size_t count = 0;
    for (uint32_t i = 0; i < order->count; i++) {
        struct shard_desc desc;
        bool read = shard_desc_decode(&in, &desc);
        assert(read); /* meta_order_decode() has looked. */
        if (!is_news(map, &desc)) {
            continue;
        }
        const struct shard_desc *old = known(map, desc.id);
        if (!is_newer(map, &desc) || (old == NULL && !is_child(&change->rows, &desc))) {
            return SIZE_MAX;
        }
        if (old != NULL) {
            uint64_t start = desc.start;
            uint64_t last = desc.last;
            uint64_t ver = desc.ver;
            desc = *old;
            desc.start = start;
            desc.last = last;
            desc.ver = ver;
        } else {
            mend(change, &desc);
        }
        fresh[count++] = desc;
    }
    return count;
}

static bool replaced(const struct shard_desc *shard, const struct shard_desc *fresh, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fresh[i].id == shard->id || overlaps(&fresh[i], shard)) {
            return true;
        }
    }
    return false;
}

static bool is_in(const struct shard_desc *shards, size_t count, uint64_t shard)
{
    for (size_t i = 0; i < count; i++) {
        if (shards[i].id == shard) {
            return true;
        }
    }
    return false;
}

/* Swaps the map's shards for the new ones if they cover the ring. */
static bool install(struct meta_change *change, const struct shard_desc *fresh, size_t count)
{
    struct shard_map *map = &change->rows.map;
    struct shard_map next = *map;
    next.shards = calloc(map->shard_count + count, sizeof(*next.shards));
    assert(next.shards != NULL);
    next.shard_count = 0;
    for (size_t i = 0; i < map->shard_count; i++) {
        if (!replaced(&map->shards[i], fresh, count)) {
            next.shards[next.shard_count++] = map->shards[i];
        }
    }
    memcpy(next.shards + next.shard_count, fresh, count * sizeof(*fresh));
    next.shard_count += count;
    qsort(next.shards, next.shard_count, sizeof(*next.shards), by_start);
    if (next.shard_count > MAP_SHARDS_MAX || shard_map_check(&next) != STATUS_OK) {
        free(next.shards);
        return false;
    }
    for (size_t i = 0; i < map->shard_count; i++) {
        if (!is_in(next.shards, next.shard_count, map->shards[i].id)) {
            meta_rows_drop_shard(change->txn, map->shards[i].id);
        }
    }
    free(map->shards);
    *map = next;
    for (size_t i = 0; i < count; i++) {
        meta_change_put_shard(change, &fresh[i]);
    }
    return true;
}

void meta_report_take(struct meta_change *change, const struct meta_order *order)
{
    struct shard_desc fresh[META_REPORT_MAX];
    size_t count = change->rows.exists ? collect(change, order, fresh) : SIZE_MAX;
    bool taken = count != SIZE_MAX && (count == 0 || install(change, fresh, count));
    if (!taken) {
        resp_write_error(change->reply,
                         "CONFLICT the ranges do not fit what is known: report all that changed");
        return;
    }
    meta_change_settle(change);
    resp_write_int(change->reply, (int64_t)change->rows.cluster.version);
}
