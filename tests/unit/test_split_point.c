#include "server/shard/split_point.h"

#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

enum { KEYS = 20000 };

/* Keys spread over start..last, of which the first weigh more. */
struct crowd {
    struct rand rand;
    struct heat heat;
    struct space_saving top;
};

static void begin(struct crowd *crowd, uint64_t start, uint64_t last)
{
    rand_init(&crowd->rand, 42);
    heat_init(&crowd->heat, start, last);
    space_saving_init(&crowd->top);
}

static void hit(struct crowd *crowd, uint64_t token, bool absent)
{
    char name[24];
    int len = snprintf(name, sizeof(name), "%llx", (unsigned long long)token);
    heat_add(&crowd->heat, token, 1, !absent);
    space_saving_add(
        &crowd->top,
        &(struct space_saving_hit){
            .place = token, .key = slice_of(name, (size_t)len), .absent = absent, .weight = 1});
}

static uint64_t anywhere(struct crowd *crowd, uint64_t first, uint64_t last)
{
    return first + rand_below(&crowd->rand, last - first);
}

static struct split_point find(struct crowd *crowd)
{
    struct split_point point;
    split_point_find(&crowd->heat, &crowd->top, &point);
    return point;
}

TEST(split_point_find, cuts_even_load_in_the_middle)
{
    struct crowd crowd;
    begin(&crowd, 0, UINT64_MAX);
    for (int i = 0; i < KEYS; i++) {
        hit(&crowd, rand_u64(&crowd.rand), false);
    }
    struct split_point point = find(&crowd);
    CHECK_EQ(point.verdict, SPLIT_GOOD);
    CHECK(point.left >= 490 && point.left <= 510);
    CHECK(point.token > UINT64_MAX / 2 - UINT64_MAX / 64);
    CHECK(point.token < UINT64_MAX / 2 + UINT64_MAX / 64);
    CHECK(point.hot_share < 50);
    CHECK_EQ(point.cut_count, SHARD_LOAD_CUTS);
    for (size_t i = 0; i < SHARD_LOAD_CUTS; i++) {
        int off = (int)point.cuts[i].left - 125 * (int)(i + 1);
        CHECK(off > -15 && off < 15);
    }
}

TEST(split_point_find, finds_the_middle_of_a_narrow_hot_range)
{
    struct crowd crowd;
    begin(&crowd, UINT64_C(1) << 60, (UINT64_C(1) << 61) - 1);
    uint64_t low = (UINT64_C(1) << 60) + 12345;
    for (int i = 0; i < KEYS; i++) {
        hit(&crowd,
            i % 10 == 0 ? anywhere(&crowd, UINT64_C(1) << 60, UINT64_C(1) << 61)
                        : anywhere(&crowd, low, low + 1000),
            false);
    }
    struct split_point point = find(&crowd);
    CHECK_EQ(point.verdict, SPLIT_GOOD);
    CHECK(point.token > low && point.token < low + 1000);
    CHECK(point.left >= 300 && point.left <= 700);
}

TEST(split_point_find, says_that_one_key_is_the_load)
{
    struct crowd crowd;
    begin(&crowd, 0, UINT64_MAX);
    for (int i = 0; i < KEYS; i++) {
        hit(&crowd, i % 5 < 3 ? 777 : rand_u64(&crowd.rand), false);
    }
    struct split_point point = find(&crowd);
    CHECK_EQ(point.verdict, SPLIT_ONE_KEY);
    CHECK_EQ(point.hot_token, 777);
    CHECK(point.hot_share >= 580 && point.hot_share <= 640);
}

/* A third of the load is one key: cut beside it, two thirds to one third at worst. */
TEST(split_point_find, cuts_beside_a_heavy_key)
{
    struct crowd crowd;
    begin(&crowd, 0, UINT64_MAX);
    uint64_t heavy = UINT64_MAX / 8 * 3 + 99;
    for (int i = 0; i < KEYS; i++) {
        hit(&crowd, i % 3 == 0 ? heavy : rand_u64(&crowd.rand), false);
    }
    struct split_point point = find(&crowd);
    CHECK_EQ(point.verdict, SPLIT_GOOD);
    CHECK_EQ(point.hot_token, heavy);
    CHECK(point.left >= 400 && point.left <= 600);
}

TEST(split_point_find, adds_up_the_keys_of_one_tag)
{
    struct crowd crowd;
    begin(&crowd, 0, UINT64_MAX);
    for (int i = 0; i < KEYS; i++) {
        bool tagged = i % 10 < 7;
        uint64_t token = tagged ? 5555 : rand_u64(&crowd.rand);
        char name[32];
        int len =
            snprintf(name, sizeof(name), "{tag}%llu", (unsigned long long)rand_u64(&crowd.rand));
        heat_add(&crowd.heat, token, 1, true);
        space_saving_add(&crowd.top,
                         &(struct space_saving_hit){
                             .place = token, .key = slice_of(name, (size_t)len), .weight = 1});
    }
    struct split_point point = find(&crowd);
    CHECK_EQ(point.verdict, SPLIT_ONE_KEY);
    CHECK_EQ(point.hot_token, 5555);
}

TEST(split_point_find, does_not_split_where_nothing_is_stored)
{
    struct crowd crowd;
    begin(&crowd, 0, UINT64_MAX);
    for (int i = 0; i < KEYS; i++) {
        hit(&crowd, rand_u64(&crowd.rand), true);
    }
    CHECK_EQ(find(&crowd).verdict, SPLIT_NO_DATA);
    /* All that is stored lies in front of what is asked for: again no point has both sides. */
    begin(&crowd, 0, UINT64_MAX);
    for (int i = 0; i < KEYS; i++) {
        bool absent = i % 10 != 0;
        hit(&crowd, absent ? anywhere(&crowd, UINT64_MAX / 2, UINT64_MAX) : 4, absent);
    }
    CHECK_EQ(find(&crowd).verdict, SPLIT_NO_DATA);
}

TEST(split_point_find, knows_a_single_token)
{
    struct crowd crowd;
    begin(&crowd, 99, 99);
    for (int i = 0; i < KEYS; i++) {
        hit(&crowd, 99, false);
    }
    CHECK_EQ(find(&crowd).verdict, SPLIT_ONE_TOKEN);
}

TEST(split_point_find, needs_to_have_seen_something)
{
    struct crowd crowd;
    begin(&crowd, 0, UINT64_MAX);
    for (int i = 0; i < 100; i++) {
        hit(&crowd, rand_u64(&crowd.rand), false);
    }
    CHECK_EQ(find(&crowd).verdict, SPLIT_UNKNOWN);
}

/* Each third of the load is one key: whatever the cut, two of them are on one side, 2/3 of it. */
TEST(split_point_find, halves_a_few_keys_as_well_as_it_can)
{
    struct crowd crowd;
    begin(&crowd, 1000, 1999);
    for (int i = 0; i < KEYS; i++) {
        hit(&crowd, 1100 + (uint64_t)(i % 3) * 300, false);
    }
    struct split_point point = find(&crowd);
    CHECK_EQ(point.verdict, SPLIT_GOOD);
    CHECK(point.token > 1100 && point.token <= 1700);
    CHECK(point.left == 333 || point.left == 666);
}

/* Random ranges, random cuts: nothing is lost, and nothing lands outside. */
TEST(heat_copy, conserves_load_over_any_cut)
{
    struct rand rand;
    rand_init(&rand, 5);
    for (int round = 0; round < 200; round++) {
        uint64_t start = rand_u64(&rand);
        uint64_t span = rand_u64(&rand) >> rand_below(&rand, 60);
        uint64_t last = UINT64_MAX - start < span ? UINT64_MAX : start + span;
        if (last == start) {
            continue;
        }
        struct heat whole;
        heat_init(&whole, start, last);
        for (int i = 0; i < 1000; i++) {
            heat_add(&whole, start + rand_below(&rand, last - start), 16, true);
        }
        uint64_t cut = start + 1 + rand_below(&rand, last - start);
        struct heat left;
        struct heat right;
        heat_copy(&left, &whole, start, cut - 1);
        heat_copy(&right, &whole, cut, last);
        uint64_t sum = heat_total(&left) + heat_total(&right);
        CHECK(sum <= 16000 && sum >= 15990);
        heat_copy(&whole, &left, start, last);
        heat_merge(&whole, &right);
        CHECK(heat_total(&whole) <= sum && heat_total(&whole) + 10 >= sum);
    }
}

TEST(heat_shares, follow_the_load)
{
    struct heat heat;
    heat_init(&heat, 0, UINT64_MAX);
    for (int i = 0; i < 1000; i++) {
        heat_add(&heat, UINT64_MAX / 4 * 3 + 1000 + (uint64_t)i, 1, true);
    }
    uint16_t shares[4];
    heat_shares(&heat, shares, 4);
    CHECK_EQ(shares[0], 0);
    CHECK_EQ(shares[2], 0);
    CHECK(shares[3] >= 990);
}
