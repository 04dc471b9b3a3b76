#include "common/base/map.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum { SLOT_EMPTY, SLOT_LIVE, SLOT_TOMBSTONE, SIZE_MIN = 16 };

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_deinit(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

/* The finaliser of splitmix64: ids are small and dense, so the low bits alone would cluster. */
static size_t slot_of(const struct map *map, uint64_t key)
{
    key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)(key ^ (key >> 31)) & (map->size - 1);
}

static struct map_slot *find(const struct map *map, uint64_t key)
{
    if (map->size == 0) {
        return NULL;
    }
    for (size_t i = slot_of(map, key);; i = (i + 1) & (map->size - 1)) {
        struct map_slot *slot = &map->slots[i];
        if (slot->state == SLOT_EMPTY) {
            return NULL;
        }
        if (slot->state == SLOT_LIVE && slot->key == key) {
            return slot;
        }
    }
}

static void insert(struct map *map, uint64_t key, void *value)
{
    size_t i = slot_of(map, key);
    while (map->slots[i].state == SLOT_LIVE) {
        i = (i + 1) & (map->size - 1);
    }
    map->used += map->slots[i].state == SLOT_EMPTY;
    map->count++;
    map->slots[i] = (struct map_slot){.key = key, .value = value, .state = SLOT_LIVE};
}

static void rehash(struct map *map)
{
    struct map old = *map;
    size_t size = SIZE_MIN;
    while (size < old.count * 4) {
        size *= 2;
    }
    *map = (struct map){.slots = calloc(size, sizeof(*map->slots)), .size = size};
    assert(map->slots != NULL);
    for (size_t i = 0; i < old.size; i++) {
        if (old.slots[i].state == SLOT_LIVE) {
            insert(map, old.slots[i].key, old.slots[i].value);
        }
    }
    assert(map->count == old.count);
    free(old.slots);
}

void *map_get(const struct map *map, uint64_t key)
{
    struct map_slot *slot = find(map, key);
    return slot == NULL ? NULL : slot->value;
}

void *map_put(struct map *map, uint64_t key, void *value)
{
    assert(value != NULL);
    struct map_slot *slot = find(map, key);
    if (slot != NULL) {
        void *old = slot->value;
        slot->value = value;
        return old;
    }
    if ((map->used + 1) * 4 > map->size * 3) {
        rehash(map);
    }
    insert(map, key, value);
    return NULL;
}

void *map_remove(struct map *map, uint64_t key)
{
    struct map_slot *slot = find(map, key);
    if (slot == NULL) {
        return NULL;
    }
    slot->state = SLOT_TOMBSTONE;
    map->count--;
    return slot->value;
}

void *map_next(const struct map *map, size_t *at)
{
    while (*at < map->size) {
        struct map_slot *slot = &map->slots[(*at)++];
        if (slot->state == SLOT_LIVE) {
            return slot->value;
        }
    }
    return NULL;
}
