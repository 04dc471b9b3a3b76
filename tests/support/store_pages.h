#ifndef TESTS_SUPPORT_STORE_PAGES_H
#define TESTS_SUPPORT_STORE_PAGES_H

#include "common/base/slice.h"

/* A sorted map whose versions live side by side: a version is an array of pages, a page an array of
 * rows; both are shared until they differ. For store_memory.c. Thread: one for all. */

enum { PAGES_ROW_COUNT_MAX = 64 };

struct pages_row {
    unsigned refs;
    size_t key_len;
    size_t value_len;
    uint8_t bytes[]; /* Key, value. */
};

struct pages_page {
    unsigned refs;
    size_t count; /* At least one. */
    struct pages_row *rows[PAGES_ROW_COUNT_MAX];
};

struct pages {
    unsigned refs;
    size_t count;
    size_t size;
    struct pages_page **pages;
};

/* Where a row is; page == pages->count: behind the last. */
struct pages_at {
    size_t page;
    size_t row;
};

struct pages *pages_new(void);
struct pages *pages_ref(struct pages *pages);
void pages_unref(struct pages *pages);
/* A version of its own that may be changed; the caller owns one reference. */
struct pages *pages_copy(const struct pages *pages);

/* The version has one reference. */
void pages_put(struct pages *pages, struct slice key, struct slice value);
void pages_delete_range(struct pages *pages, struct slice from, struct slice to);
void pages_delete(struct pages *pages, struct slice key);

/* The first row with a key >= key. */
struct pages_at pages_seek(const struct pages *pages, struct slice key);
struct pages_at pages_after(const struct pages *pages, struct pages_at at);
/* at may be behind the last row, not at the first. */
struct pages_at pages_before(const struct pages *pages, struct pages_at at);
/* NULL behind the last. */
const struct pages_row *pages_row_at(const struct pages *pages, struct pages_at at);

static inline struct slice pages_key(const struct pages_row *row)
{
    return slice_of(row->bytes, row->key_len);
}

static inline struct slice pages_value(const struct pages_row *row)
{
    return slice_of(row->bytes + row->key_len, row->value_len);
}

#endif
