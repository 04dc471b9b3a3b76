#include <stdlib.h>

#include "client/bench/histogram.h"
#include "common/base/rand.h"
#include "tests/support/test.h"

static struct histogram *fresh(void)
{
    struct histogram *histogram = malloc(sizeof *histogram);
    CHECK(histogram != NULL);
    histogram_clear(histogram);
    return histogram;
}

TEST(histogram_at, is_zero_when_empty)
{
    struct histogram *histogram = fresh();
    CHECK_EQ(histogram_at(histogram, 0.5), 0);
    CHECK(histogram_mean(histogram) <= 0);
    free(histogram);
}

TEST(histogram_at, is_exact_for_small_values)
{
    struct histogram *histogram = fresh();
    for (uint64_t value = 1; value <= 100; value++) {
        histogram_add(histogram, value);
    }
    CHECK_EQ(histogram_at(histogram, 0), 1);
    CHECK_EQ(histogram_at(histogram, 0.5), 50);
    CHECK_EQ(histogram_at(histogram, 0.99), 99);
    CHECK_EQ(histogram_at(histogram, 1), 100);
    CHECK_EQ(histogram->count, 100);
    free(histogram);
}

/* Every value alone: what comes back is not below it and at most 1 % above. */
TEST(histogram_at, errs_by_less_than_one_percent)
{
    struct histogram *histogram = fresh();
    struct rand rand;
    rand_init(&rand, 7);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = rand_u64(&rand) >> (24 + rand_below(&rand, 40));
        histogram_clear(histogram);
        histogram_add(histogram, value);
        histogram_add(histogram, HISTOGRAM_VALUE_MAX);
        uint64_t got = histogram_at(histogram, 0.5);
        CHECK(got >= value);
        CHECK((double)(got - value) <= 0.01 * (double)value);
    }
    free(histogram);
}

TEST(histogram_add, counts_what_is_too_large_at_the_end)
{
    struct histogram *histogram = fresh();
    histogram_add(histogram, UINT64_MAX);
    CHECK_EQ(histogram->count, 1);
    CHECK_EQ(histogram->counts[HISTOGRAM_BUCKETS - 1], 1);
    CHECK(histogram->max == UINT64_MAX);
    free(histogram);
}

TEST(histogram_merge, is_as_if_all_were_added_to_one)
{
    struct histogram *a = fresh();
    struct histogram *b = fresh();
    struct histogram *both = fresh();
    struct rand rand;
    rand_init(&rand, 8);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rand_below(&rand, 1000000);
        histogram_add(i % 3 == 0 ? a : b, value);
        histogram_add(both, value);
    }
    histogram_merge(a, b);
    CHECK_EQ(a->count, both->count);
    CHECK_EQ(a->max, both->max);
    CHECK(memcmp(a->counts, both->counts, sizeof a->counts) == 0);
    free(a);
    free(b);
    free(both);
}
