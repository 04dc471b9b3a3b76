#include "client/bench/histogram.h"

#include <math.h>
#include <string.h>

#include "common/base/assert.h"

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

/* Values below HISTOGRAM_PARTS have a bucket each; above, the leading bits choose it. */
static size_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_PARTS) {
        return (size_t)value;
    }
    unsigned top = 63U - (unsigned)__builtin_clzll(value);
    unsigned shift = top - HISTOGRAM_PART_BITS;
    return (size_t)(shift + 1) * HISTOGRAM_PARTS + (size_t)((value >> shift) - HISTOGRAM_PARTS);
}

/* The largest value of a bucket. */
static uint64_t top_of(size_t bucket)
{
    if (bucket < HISTOGRAM_PARTS) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / HISTOGRAM_PARTS) - 1;
    uint64_t part = bucket % HISTOGRAM_PARTS + HISTOGRAM_PARTS;
    return ((part + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    uint64_t counted = value < HISTOGRAM_VALUE_MAX ? value : HISTOGRAM_VALUE_MAX;
    size_t bucket = bucket_of(counted);
    assert(bucket < HISTOGRAM_BUCKETS);
    histogram->counts[bucket]++;
    histogram->count++;
    histogram->sum += (double)value;
    histogram->max = value > histogram->max ? value : histogram->max;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->counts[i] += from->counts[i];
    }
    into->count += from->count;
    into->sum += from->sum;
    into->max = from->max > into->max ? from->max : into->max;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    assert(share >= 0 && share <= 1);
    if (histogram->count == 0) {
        return 0;
    }
    uint64_t wanted = (uint64_t)ceil(share * (double)histogram->count);
    wanted = wanted == 0 ? 1 : wanted;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            uint64_t top = top_of(i);
            return top < histogram->max ? top : histogram->max;
        }
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum / (double)histogram->count;
}
