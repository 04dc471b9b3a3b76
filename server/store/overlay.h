#ifndef SERVER_STORE_OVERLAY_H
#define SERVER_STORE_OVERLAY_H

#include "common/base/list.h"
#include "common/base/slice.h"
#include "server/store/range_set.h"
#include "server/store/row_tree.h"
#include "server/store/store.h"

/* What a txn knows by itself, in one hash table by (family, key): the rows that it wrote and has
 * not committed (dirty), and rows that it read or committed before (clean), the absent too. Dirty
 * rows stay; clean ones are evicted by CLOCK when the table holds more than size_max bytes.
 *
 * Range deletes come before all dirty rows: overlay_delete_range() drops the dirty rows that it
 * covers, so what is dirty in a deleted range was written after it. Clean rows are not looked for:
 * a deleted range is remembered with a stamp, and a clean row that is older than the newest stamp
 * proves at its next use that no range covers it. The clock visits some rows at every range
 * delete, so that a range is forgotten once all clean rows are newer.
 *
 * Dirty rows are put in order when somebody walks: writing alone pays nothing for it.
 *
 * After overlay_mark() a dirty row that is written to is saved as it is and written anew; rows
 * written since are told apart as touched. Thread: one owner. */

/* What a search and the clock look at comes first. */
struct overlay_row {
    struct overlay_row *chain;
    uint32_t hash;
    uint16_t priority; /* In the tree. */
    uint8_t family;
    bool present : 1; /* False: known to be absent, or deleted. */
    bool referenced : 1;
    bool dirty : 1;
    bool ordered : 1; /* Dirty, and in the tree of its family. */
    bool touched : 1; /* Dirty, and written since the mark. */
    uint32_t key_len;
    uint32_t value_size;
    struct list list; /* Of the clean rows, of those dirty ones that are alike, or of the saved. */
    union {
        struct row_node node; /* Ordered. */
        uint64_t stamp;       /* Clean: no range up to here covers the row. */
    };
    uint32_t value_len;
    uint8_t bytes[]; /* Key, then room for the value. */
};

struct overlay_family {
    struct list dirty[2][2]; /* By touched, by ordered. */
    size_t dirty_count;
    struct row_tree tree;
    struct range_set deleted; /* Not committed. */
    struct range_set stale;   /* Deleted, also by earlier commits, with stamps. */
};

/* A range delete since the mark. */
struct overlay_undo {
    enum store_family family;
    size_t from; /* In bytes of undo_keys. */
    size_t from_len;
    size_t replaced_count;
};

struct overlay {
    struct overlay_row **buckets;
    size_t bucket_count; /* A power of two. */
    size_t count;
    size_t size; /* Bytes. */
    size_t size_max;
    struct list clean; /* The hand of the clock is at its front. */
    struct overlay_family families[STORE_FAMILY_COUNT];
    size_t dirty_size; /* Bytes. */
    uint64_t stamp;    /* Of the newest deleted range. */
    uint64_t sweep_stamp;
    size_t sweep_left; /* Clean rows that are older than sweep_stamp are among so many in front. */
    bool disowned;     /* A range was deleted for others to forget. */

    bool marked;
    bool marked_disowned;
    struct list saved; /* Rows as they were at the mark. */
    struct overlay_undo *undo;
    size_t undo_count;
    size_t undo_size;
    struct buf undo_keys;
    struct range_set replaced; /* A stack of ranges, not a set. */
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
/* Drops the clean rows of the range, in time: none of them is found any more. */
void overlay_forget_range(struct overlay *overlay,
                          enum store_family family,
                          struct slice from,
                          struct slice to);
/* Remembers what the engine said of a key that overlay_find() did not know. value NULL: absent. */
void overlay_remember(struct overlay *overlay,
                      enum store_family family,
                      struct slice key,
                      const struct slice *value);
/* Everything dirty is committed: becomes clean, or is dropped if it is large. Not while marked. */
void overlay_settle(struct overlay *overlay);
/* Drops the clean rows. */
void overlay_forget(struct overlay *overlay);

/* See txn_mark() and its like in store.h. */
void overlay_mark(struct overlay *overlay);
void overlay_rollback(struct overlay *overlay);
void overlay_release(struct overlay *overlay);

/* True if nothing is to be committed. */
bool overlay_clean(const struct overlay *overlay);
size_t overlay_dirty_count(const struct overlay *overlay);
/* The dirty rows of a family in order, in a tree that is right until the next write. */
const struct row_tree *overlay_ordered(struct overlay *overlay, enum store_family family);
/* Appends the dirty rows of a family to rows in order; there is room for its dirty_count. */
void overlay_collect(const struct overlay *overlay,
                     enum store_family family,
                     const struct overlay_row **rows);

static inline struct slice overlay_row_key(const struct overlay_row *row)
{
    return slice_of(row->bytes, row->key_len);
}

static inline struct slice overlay_row_value(const struct overlay_row *row)
{
    return slice_of(row->bytes + row->key_len, row->value_len);
}

/* Order of keys: as bytes, a prefix first. */
static inline int overlay_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

#endif
