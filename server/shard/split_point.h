#ifndef SERVER_SHARD_SPLIT_POINT_H
#define SERVER_SHARD_SPLIT_POINT_H

#include "common/base/space_saving.h"
#include "common/cluster/shard_load.h"

/* Where the load of a range lies, as a histogram over its tokens, and where it is best cut in two.
 * Buckets are 2^shift tokens wide, the first begins at `start`; a range whose size is no power of
 * two leaves up to half of them empty. Pure. */

enum {
    HEAT_BUCKETS = 256,
    HEAT_WORDS = HEAT_BUCKETS / 64,
};

struct heat {
    uint64_t start;
    uint64_t last;
    unsigned shift;
    uint32_t buckets[HEAT_BUCKETS];
    uint64_t found[HEAT_WORDS]; /* Bit per bucket: something is stored there, as far as was seen. */
};

void heat_init(struct heat *heat, uint64_t start, uint64_t last);
/* Tokens outside of the range are left out. */
void heat_add(struct heat *heat, uint64_t token, uint32_t weight, bool found);
uint64_t heat_total(const struct heat *heat);
/* *to covers another range, and has what the two have in common: the parts of buckets in
 * proportion. What was found there is not known of parts. */
void heat_copy(struct heat *to, const struct heat *from, uint64_t start, uint64_t last);
/* Adds what `from` has to what *to covers. */
void heat_merge(struct heat *to, const struct heat *from);
/* Of the range in `count` equal parts: permille of the total. */
void heat_shares(const struct heat *heat, uint16_t *shares, size_t count);

struct split_point {
    enum split_verdict verdict;
    uint64_t token;   /* GOOD: the first of the right side. */
    uint16_t left;    /* Permille of the load on the left. */
    size_t cut_count; /* Others, near the eighths of the load, the half among them. */
    struct load_cut cuts[SHARD_LOAD_CUTS];
    uint64_t hot_token;
    uint16_t hot_share; /* 0: not known. */
};

/* The cut that halves the load best, if its larger side has at most three quarters, and something
 * is stored on both sides. Between the edges of heavy buckets the keys of top (may be NULL) say
 * where the load lies. */
void split_point_find(const struct heat *heat,
                      const struct space_saving *top,
                      struct split_point *point);

#endif
