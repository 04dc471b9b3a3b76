#include "tests/support/text_pool.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"

enum { SLOTS_MIN = 64 };

struct text_pool_item {
    uint8_t *data;
    size_t len;
    uint64_t hash;
};

void text_pool_init(struct text_pool *pool)
{
    *pool = (struct text_pool){.count = 1, .size = 16, .slot_count = SLOTS_MIN};
    pool->items = calloc(pool->size, sizeof *pool->items);
    pool->slots = calloc(pool->slot_count, sizeof *pool->slots);
    assert(pool->items != NULL);
    assert(pool->slots != NULL);
}

void text_pool_deinit(struct text_pool *pool)
{
    for (uint32_t i = 1; i < pool->count; i++) {
        free(pool->items[i].data);
    }
    free(pool->items);
    free(pool->slots);
    *pool = (struct text_pool){0};
}

/* The slot that holds the text, or the free slot where it belongs. */
static uint32_t slot_of(const struct text_pool *pool, struct slice text, uint64_t hash)
{
    uint32_t mask = pool->slot_count - 1;
    uint32_t slot = (uint32_t)hash & mask;
    while (pool->slots[slot] != 0) {
        const struct text_pool_item *item = &pool->items[pool->slots[slot]];
        if (item->hash == hash && slice_equal(slice_of(item->data, item->len), text)) {
            return slot;
        }
        slot = (slot + 1) & mask;
    }
    return slot;
}

static void grow_slots(struct text_pool *pool)
{
    free(pool->slots);
    pool->slot_count *= 2;
    pool->slots = calloc(pool->slot_count, sizeof *pool->slots);
    assert(pool->slots != NULL);
    for (uint32_t i = 1; i < pool->count; i++) {
        uint32_t slot = (uint32_t)pool->items[i].hash & (pool->slot_count - 1);
        while (pool->slots[slot] != 0) {
            slot = (slot + 1) & (pool->slot_count - 1);
        }
        pool->slots[slot] = i;
    }
}

uint32_t text_pool_add(struct text_pool *pool, struct slice text)
{
    if (text.data == NULL) {
        return TEXT_POOL_NONE;
    }
    uint64_t hash = hash_bytes(text);
    uint32_t slot = slot_of(pool, text, hash);
    if (pool->slots[slot] != 0) {
        return pool->slots[slot];
    }
    if (pool->count == pool->size) {
        pool->size *= 2;
        pool->items = realloc(pool->items, pool->size * sizeof *pool->items);
        assert(pool->items != NULL);
    }
    uint8_t *data = malloc(text.len + 1);
    assert(data != NULL);
    memcpy(data, text.data, text.len);
    uint32_t number = pool->count++;
    pool->items[number] = (struct text_pool_item){.data = data, .len = text.len, .hash = hash};
    pool->slots[slot] = number;
    if (pool->count * 2 > pool->slot_count) {
        grow_slots(pool);
    }
    return number;
}

uint32_t text_pool_find(const struct text_pool *pool, struct slice text)
{
    return text.data == NULL ? TEXT_POOL_NONE : pool->slots[slot_of(pool, text, hash_bytes(text))];
}

struct slice text_pool_get(const struct text_pool *pool, uint32_t number)
{
    assert(number < pool->count);
    if (number == TEXT_POOL_NONE) {
        return slice_of(NULL, 0);
    }
    return slice_of(pool->items[number].data, pool->items[number].len);
}
