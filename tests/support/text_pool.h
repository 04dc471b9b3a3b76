#ifndef TESTS_SUPPORT_TEXT_POOL_H
#define TESTS_SUPPORT_TEXT_POOL_H

#include <stdbool.h>

#include "common/base/slice.h"

/* Byte strings, each stored once and named by a small number, so that equal strings have equal
 * numbers. Number 0 is "no string" (NULL data), which is not the empty string. Numbers and the
 * bytes behind them stay as they are until _deinit; slices returned are borrowed.
 * Thread: one owner. */
enum { TEXT_POOL_NONE = 0 };

struct text_pool {
    struct text_pool_item *items; /* By number. */
    uint32_t count;
    uint32_t size;
    uint32_t *slots; /* Open addressing; a power of two. */
    uint32_t slot_count;
};

void text_pool_init(struct text_pool *pool);
void text_pool_deinit(struct text_pool *pool);
/* The number of these bytes, which are copied if they are new. NULL data gives TEXT_POOL_NONE. */
uint32_t text_pool_add(struct text_pool *pool, struct slice text);
/* TEXT_POOL_NONE if the bytes were never added. */
uint32_t text_pool_find(const struct text_pool *pool, struct slice text);
struct slice text_pool_get(const struct text_pool *pool, uint32_t number);

#endif
