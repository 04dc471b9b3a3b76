#ifndef SERVER_STORE_RANGE_SET_H
#define SERVER_STORE_RANGE_SET_H

#include "common/base/slice.h"

/* Ranges of keys, from <= key < to, in order and apart: those that overlap or touch are made one.
 * Owns the keys. Thread: one owner. */

struct range {
    uint8_t *bytes; /* From, then to. */
    size_t from_len;
    size_t to_len;
    uint64_t stamp; /* The newest of those that it was made of. */
};

struct range_set {
    struct range *ranges;
    size_t count;
    size_t size;
};

void range_set_deinit(struct range_set *set);
void range_set_clear(struct range_set *set);

/* from < to. False if nothing changed but a stamp: the range was covered. Else the ranges that are
 * part of the new one are moved to the end of *replaced, in order; NULL: they are dropped. */
bool range_set_add(struct range_set *set,
                   struct slice from,
                   struct slice to,
                   uint64_t stamp,
                   struct range_set *replaced);
/* Takes back what range_set_add() did with from when it moved count ranges to *replaced. */
void range_set_undo(struct range_set *set,
                    struct slice from,
                    struct range_set *replaced,
                    size_t count);
/* Drops the ranges with a stamp <= stamp. */
void range_set_prune(struct range_set *set, uint64_t stamp);

/* True if some key from <= key < to is covered. */
bool range_set_overlaps(const struct range_set *set, struct slice from, struct slice to);
/* NULL if no range covers the key. */
const struct range *range_set_find(const struct range_set *set, struct slice key);

static inline struct slice range_from(const struct range *range)
{
    return slice_of(range->bytes, range->from_len);
}

static inline struct slice range_to(const struct range *range)
{
    return slice_of(range->bytes + range->from_len, range->to_len);
}

#endif
