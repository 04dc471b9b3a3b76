#ifndef COMMON_BASE_SPACE_SAVING_H
#define COMMON_BASE_SPACE_SAVING_H

#include "common/base/slice.h"

/* The most frequent keys of a stream, in fixed memory (Space-Saving: Metwally, Agrawal, El Abbadi,
 * "Efficient computation of frequent and top-k elements in data streams", ICDT 2005). A key whose
 * weight is more than 1/SPACE_SAVING_COUNTERS of the total is always among the items; the weight of
 * an item is never under the true one, and at most `over` above it.
 *
 * A key is known by its id, a 64-bit hash of where it is and what it is called; its first bytes are
 * kept for people. Both searches walk an array of SPACE_SAVING_COUNTERS numbers: with a sampled
 * stream that is cheaper than the list of the paper.
 *
 * About 13 KB. Pure. Thread: one owner. */

enum {
    SPACE_SAVING_COUNTERS = 128,
    SPACE_SAVING_KEY_SIZE_MAX = 56,
};

struct space_saving_item {
    uint64_t place;  /* The caller's: the token. */
    uint64_t over;   /* What it took over from the item that it replaced. */
    uint64_t writes; /* Of the weight, without `over`. */
    uint64_t absent;
    uint32_t key_size; /* Of the whole key. */
    uint8_t db;
    uint8_t key_len; /* Of what is kept of it: */
    uint8_t key[SPACE_SAVING_KEY_SIZE_MAX];
};

struct space_saving {
    uint64_t total; /* Of all weights. */
    size_t count;
    uint64_t ids[SPACE_SAVING_COUNTERS];
    uint64_t weights[SPACE_SAVING_COUNTERS];
    struct space_saving_item items[SPACE_SAVING_COUNTERS];
};

/* One access. */
struct space_saving_hit {
    uint64_t place;
    struct slice key;
    uint8_t db;
    bool write;
    bool absent; /* A read that found nothing. */
    uint32_t weight;
};

void space_saving_init(struct space_saving *top);
void space_saving_add(struct space_saving *top, const struct space_saving_hit *hit);
/* What is long ago counts less: halves everything, and drops what became nothing. */
void space_saving_halve(struct space_saving *top);
/* Leaves the items whose place lies in first..last; the total becomes what they add up to, and what
 * is not in any item in proportion. */
void space_saving_keep(struct space_saving *top, uint64_t first, uint64_t last);
/* Indexes of the heaviest items, the heaviest first; returns how many, at most `max`. */
size_t space_saving_top(const struct space_saving *top, size_t *indexes, size_t max);

#endif
