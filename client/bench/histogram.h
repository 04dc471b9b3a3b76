#ifndef CLIENT_BENCH_HISTOGRAM_H
#define CLIENT_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Counts durations in nanoseconds with a relative error below 1 %: every power of two is cut into
 * HISTOGRAM_PARTS equal buckets, as in HdrHistogram (Tene 2012). Values of HISTOGRAM_VALUE_MAX and
 * more are counted there. Thread: one owner. */

enum {
    HISTOGRAM_PART_BITS = 7,
    HISTOGRAM_PARTS = 1 << HISTOGRAM_PART_BITS,
    HISTOGRAM_VALUE_BITS = 40, /* About 18 minutes. */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_PART_BITS + 1) * HISTOGRAM_PARTS,
};
#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
    double sum;
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value that share (0..1) of all values do not exceed, at most 1 % too high; 0 if empty. */
uint64_t histogram_at(const struct histogram *histogram, double share);
double histogram_mean(const struct histogram *histogram);

#endif
