#ifndef COMMON_BASE_MAP_H
#define COMMON_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* u64 -> void *, open addressing. The caller owns the values. No removal while iterating but of
 * the entry just returned. Thread: one owner. */
struct map {
    struct map_slot *slots;
    size_t count; /* Live entries. */
    size_t used;  /* Live entries and tombstones. */
    size_t size;  /* A power of two, or 0. */
};

struct map_slot {
    uint64_t key;
    void *value;
    uint8_t state;
};

void map_init(struct map *map);
void map_deinit(struct map *map);
/* NULL if the key is not there. */
void *map_get(const struct map *map, uint64_t key);
/* Replaces and returns what was there before, or NULL. value is not NULL. */
void *map_put(struct map *map, uint64_t key, void *value);
/* Returns what was removed, or NULL. */
void *map_remove(struct map *map, uint64_t key);
/* Walks all entries: start with *at = 0, stop at NULL. */
void *map_next(const struct map *map, size_t *at);

#endif
