#include "server/store/overlay.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"

enum {
    BUCKET_COUNT_MIN = 1024,
    CLEAN_VALUE_SIZE_MAX = 64 * 1024,
    CLOCK_STEPS_MAX = 64, /* Per insertion: dirty rows may be all there is. */
};

int overlay_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

void overlay_init(struct overlay *overlay, size_t size_max)
{
    *overlay = (struct overlay){.size_max = size_max, .bucket_count = BUCKET_COUNT_MIN};
    overlay->buckets = calloc(overlay->bucket_count, sizeof(*overlay->buckets));
    assert(overlay->buckets != NULL);
    list_init(&overlay->ring);
    list_init(&overlay->dirty);
}

static size_t row_size(const struct overlay_row *row)
{
    return sizeof(*row) + row->key_len + row->value_size;
}

static struct overlay_row *ring_row(struct list *node)
{
    return list_entry(node, struct overlay_row, ring);
}

static struct overlay_row *dirty_row(struct list *node)
{
    return list_entry(node, struct overlay_row, dirty);
}

static struct overlay_row **bucket_of(const struct overlay *overlay, uint64_t hash)
{
    return &overlay->buckets[hash & (overlay->bucket_count - 1)];
}

static void unchain(struct overlay *overlay, struct overlay_row *row)
{
    struct overlay_row **at = bucket_of(overlay, row->hash);
    while (*at != row) {
        assert(*at != NULL);
        at = &(*at)->chain;
    }
    *at = row->chain;
}

static void unmark_dirty(struct overlay *overlay, struct overlay_row *row)
{
    if (list_empty(&row->dirty)) {
        return;
    }
    assert(overlay->dirty_count > 0);
    assert(overlay->dirty_size >= row_size(row));
    list_remove(&row->dirty);
    overlay->dirty_count--;
    overlay->dirty_size -= row_size(row);
}

static void drop(struct overlay *overlay, struct overlay_row *row)
{
    unchain(overlay, row);
    list_remove(&row->ring);
    unmark_dirty(overlay, row);
    overlay->count--;
    assert(overlay->size >= row_size(row));
    overlay->size -= row_size(row);
    free(row);
}

static void clear_ranges(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->range_count; i++) {
        free(overlay->ranges[i].from);
    }
    overlay->range_count = 0;
}

void overlay_deinit(struct overlay *overlay)
{
    while (!list_empty(&overlay->ring)) {
        drop(overlay, ring_row(overlay->ring.next));
    }
    assert(overlay->count == 0 && overlay->size == 0);
    clear_ranges(overlay);
    free(overlay->ranges);
    free(overlay->buckets);
    *overlay = (struct overlay){0};
}

static uint64_t hash_of(enum store_family family, struct slice key)
{
    return hash_bytes_seeded(key, (uint64_t)family);
}

static struct overlay_row *find(const struct overlay *overlay,
                                enum store_family family,
                                struct slice key,
                                uint64_t hash)
{
    struct overlay_row *row = *bucket_of(overlay, hash);
    while (row != NULL && (row->hash != hash || row->family != (uint8_t)family ||
                           !slice_equal(overlay_row_key(row), key))) {
        row = row->chain;
    }
    return row;
}

const struct overlay_row *overlay_find(struct overlay *overlay,
                                       enum store_family family,
                                       struct slice key)
{
    struct overlay_row *row = find(overlay, family, key, hash_of(family, key));
    if (row != NULL) {
        row->referenced = true;
    }
    return row;
}

static bool range_covers(const struct overlay_range *range,
                         enum store_family family,
                         struct slice key)
{
    return range->family == (uint8_t)family &&
           overlay_compare(overlay_range_from(range), key) <= 0 &&
           overlay_compare(key, overlay_range_to(range)) < 0;
}

bool overlay_covers(const struct overlay *overlay, enum store_family family, struct slice key)
{
    for (size_t i = 0; i < overlay->range_count; i++) {
        if (range_covers(&overlay->ranges[i], family, key)) {
            return true;
        }
    }
    return false;
}

static void grow(struct overlay *overlay)
{
    size_t old_count = overlay->bucket_count;
    struct overlay_row **old = overlay->buckets;
    overlay->bucket_count = old_count * 2;
    overlay->buckets = calloc(overlay->bucket_count, sizeof(*overlay->buckets));
    assert(overlay->buckets != NULL);
    for (size_t i = 0; i < old_count; i++) {
        struct overlay_row *row = old[i];
        while (row != NULL) {
            struct overlay_row *next = row->chain;
            struct overlay_row **bucket = bucket_of(overlay, row->hash);
            row->chain = *bucket;
            *bucket = row;
            row = next;
        }
    }
    free(old);
}

static void evict(struct overlay *overlay)
{
    for (int i = 0; i < CLOCK_STEPS_MAX && overlay->size > overlay->size_max; i++) {
        if (list_empty(&overlay->ring)) {
            return;
        }
        struct overlay_row *row = ring_row(overlay->ring.next);
        if (list_empty(&row->dirty) && !row->referenced) {
            drop(overlay, row);
            continue;
        }
        row->referenced = false;
        list_remove(&row->ring);
        list_push_back(&overlay->ring, &row->ring);
    }
}

static struct overlay_row *add(struct overlay *overlay,
                               enum store_family family,
                               struct slice key,
                               uint64_t hash,
                               size_t value_size)
{
    assert(key.len <= UINT32_MAX && value_size <= UINT32_MAX);
    evict(overlay);
    if (overlay->count >= overlay->bucket_count) {
        grow(overlay);
    }
    struct overlay_row *row = malloc(sizeof(*row) + key.len + value_size);
    assert(row != NULL);
    *row = (struct overlay_row){.hash = hash,
                                .family = (uint8_t)family,
                                .key_len = (uint32_t)key.len,
                                .value_size = (uint32_t)value_size};
    if (key.len > 0) {
        memcpy(row->bytes, key.data, key.len);
    }
    struct overlay_row **bucket = bucket_of(overlay, hash);
    row->chain = *bucket;
    *bucket = row;
    list_init(&row->dirty);
    list_push_back(&overlay->ring, &row->ring);
    overlay->count++;
    overlay->size += row_size(row);
    return row;
}

static void set_value(struct overlay_row *row, struct slice value)
{
    assert(value.len <= row->value_size);
    row->present = true;
    row->value_len = (uint32_t)value.len;
    if (value.len > 0) {
        memcpy(row->bytes + row->key_len, value.data, value.len);
    }
}

static void mark_dirty(struct overlay *overlay, struct overlay_row *row)
{
    if (list_empty(&row->dirty)) {
        list_push_back(&overlay->dirty, &row->dirty);
        overlay->dirty_count++;
        overlay->dirty_size += row_size(row);
    }
}

void overlay_put(struct overlay *overlay,
                 enum store_family family,
                 struct slice key,
                 struct slice value)
{
    uint64_t hash = hash_of(family, key);
    struct overlay_row *row = find(overlay, family, key, hash);
    bool grown = row != NULL && row->value_size < value.len;
    if (grown) {
        drop(overlay, row);
        row = NULL;
    }
    if (row == NULL) {
        /* A value that grew once will grow again. */
        row = add(overlay, family, key, hash, value.len + (grown ? value.len / 2 : 0));
    }
    set_value(row, value);
    mark_dirty(overlay, row);
}

void overlay_delete(struct overlay *overlay, enum store_family family, struct slice key)
{
    uint64_t hash = hash_of(family, key);
    struct overlay_row *row = find(overlay, family, key, hash);
    if (row == NULL) {
        row = add(overlay, family, key, hash, 0);
    }
    row->present = false;
    row->value_len = 0;
    mark_dirty(overlay, row);
}

void overlay_delete_range(struct overlay *overlay,
                          enum store_family family,
                          struct slice from,
                          struct slice to)
{
    assert(overlay_compare(from, to) < 0);
    if (overlay->range_count == overlay->range_size) {
        overlay->range_size = overlay->range_size == 0 ? 8 : overlay->range_size * 2;
        overlay->ranges = realloc(overlay->ranges, overlay->range_size * sizeof(*overlay->ranges));
        assert(overlay->ranges != NULL);
    }
    struct overlay_range *range = &overlay->ranges[overlay->range_count++];
    *range =
        (struct overlay_range){.family = (uint8_t)family, .from_len = from.len, .to_len = to.len};
    range->from = malloc(from.len + to.len);
    assert(range->from != NULL);
    if (from.len > 0) {
        memcpy(range->from, from.data, from.len);
    }
    memcpy(range->from + from.len, to.data, to.len);
    struct list *node = overlay->ring.next;
    while (node != &overlay->ring) {
        struct overlay_row *row = ring_row(node);
        node = node->next;
        if (range_covers(range, family, overlay_row_key(row)) && row->family == (uint8_t)family) {
            drop(overlay, row);
        }
    }
}

void overlay_remember(struct overlay *overlay,
                      enum store_family family,
                      struct slice key,
                      const struct slice *value)
{
    size_t value_len = value == NULL ? 0 : value->len;
    if (value_len > CLEAN_VALUE_SIZE_MAX) {
        return;
    }
    struct overlay_row *row = add(overlay, family, key, hash_of(family, key), value_len);
    if (value != NULL) {
        set_value(row, *value);
    }
}

void overlay_settle(struct overlay *overlay)
{
    while (!list_empty(&overlay->dirty)) {
        struct overlay_row *row = dirty_row(overlay->dirty.next);
        unmark_dirty(overlay, row);
        if (row->value_size > CLEAN_VALUE_SIZE_MAX) {
            drop(overlay, row);
        }
    }
    clear_ranges(overlay);
}

void overlay_forget(struct overlay *overlay)
{
    struct list *node = overlay->ring.next;
    while (node != &overlay->ring) {
        struct overlay_row *row = ring_row(node);
        node = node->next;
        if (list_empty(&row->dirty)) {
            drop(overlay, row);
        }
    }
}

static int compare_rows(const void *a, const void *b)
{
    const struct overlay_row *const *left = a;
    const struct overlay_row *const *right = b;
    return overlay_compare(overlay_row_key(*left), overlay_row_key(*right));
}

const struct overlay_row **overlay_collect(const struct overlay *overlay,
                                           enum store_family family,
                                           struct slice lower,
                                           struct slice upper,
                                           size_t *count)
{
    const struct overlay_row **rows = NULL;
    size_t size = 0;
    *count = 0;
    for (struct list *node = overlay->dirty.next; node != &overlay->dirty; node = node->next) {
        const struct overlay_row *row = dirty_row(node);
        if (row->family != (uint8_t)family || overlay_compare(overlay_row_key(row), lower) < 0 ||
            overlay_compare(overlay_row_key(row), upper) >= 0) {
            continue;
        }
        if (*count == size) {
            size = size == 0 ? 16 : size * 2;
            rows = realloc(rows, size * sizeof(*rows)); /* NOLINT(bugprone-sizeof-expression) */
            assert(rows != NULL);
        }
        rows[(*count)++] = row;
    }
    if (*count > 1) {
        qsort(rows, *count, sizeof(*rows), compare_rows);
    }
    return rows;
}
