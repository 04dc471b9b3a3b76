#ifndef SERVER_STORE_OVERLAY_H
#define SERVER_STORE_OVERLAY_H

#include "common/base/list.h"
#include "common/base/slice.h"
#include "server/store/store.h"

/* What a txn knows by itself, in one hash table by (family, key): the rows that it wrote and has
 * not committed (dirty), and rows that it read or committed before (clean), the absent too. Dirty
 * rows stay; clean ones are evicted by CLOCK when the table holds more than size_max bytes.
 *
 * Range deletes come before all dirty rows: overlay_delete_range() drops the rows that it covers,
 * so what is dirty in a deleted range was written after it. Thread: one owner. */

struct overlay_row {
    struct overlay_row *chain;
    struct list ring;
    struct list dirty; /* Empty: the row is clean. */
    uint64_t hash;
    uint8_t family;
    bool present; /* False: known to be absent, or deleted. */
    bool referenced;
    uint32_t key_len;
    uint32_t value_len;
    uint32_t value_size;
    uint8_t bytes[]; /* Key, then room for the value. */
};

struct overlay_range {
    uint8_t family;
    uint8_t *from; /* Owned, and holds to behind it. */
    size_t from_len;
    size_t to_len;
};

struct overlay {
    struct overlay_row **buckets;
    size_t bucket_count; /* A power of two. */
    size_t count;
    size_t size; /* Bytes. */
    size_t size_max;
    struct list ring; /* All rows; the hand of the clock is at its front. */
    struct list dirty;
    size_t dirty_count;
    size_t dirty_size; /* Bytes. */
    struct overlay_range *ranges;
    size_t range_count;
    size_t range_size;
};

void overlay_init(struct overlay *overlay, size_t size_max);
void overlay_deinit(struct overlay *overlay);

/* NULL if nothing is known of the key. */
const struct overlay_row *overlay_find(struct overlay *overlay,
                                       enum store_family family,
                                       struct slice key);
/* True if a range delete that is not committed covers the key. */
bool overlay_covers(const struct overlay *overlay, enum store_family family, struct slice key);

void overlay_put(struct overlay *overlay,
                 enum store_family family,
                 struct slice key,
                 struct slice value);
void overlay_delete(struct overlay *overlay, enum store_family family, struct slice key);
void overlay_delete_range(struct overlay *overlay,
                          enum store_family family,
                          struct slice from,
                          struct slice to);
/* Remembers what the engine said of a key that overlay_find() did not know. value NULL: absent. */
void overlay_remember(struct overlay *overlay,
                      enum store_family family,
                      struct slice key,
                      const struct slice *value);
/* Everything dirty is committed: becomes clean, or is dropped if it is large. */
void overlay_settle(struct overlay *overlay);
/* Drops the clean rows. */
void overlay_forget(struct overlay *overlay);

static inline bool overlay_clean(const struct overlay *overlay)
{
    return list_empty(&overlay->dirty) && overlay->range_count == 0;
}

static inline struct slice overlay_row_key(const struct overlay_row *row)
{
    return slice_of(row->bytes, row->key_len);
}

static inline struct slice overlay_row_value(const struct overlay_row *row)
{
    return slice_of(row->bytes + row->key_len, row->value_len);
}

static inline struct slice overlay_range_from(const struct overlay_range *range)
{
    return slice_of(range->from, range->from_len);
}

static inline struct slice overlay_range_to(const struct overlay_range *range)
{
    return slice_of(range->from + range->from_len, range->to_len);
}

/* Order of keys: as bytes, a prefix first. */
int overlay_compare(struct slice a, struct slice b);

/* The dirty rows with lower <= key < upper in order; the caller frees the array. *count may be 0
 * and the array NULL. */
const struct overlay_row **overlay_collect(const struct overlay *overlay,
                                           enum store_family family,
                                           struct slice lower,
                                           struct slice upper,
                                           size_t *count);

#endif
