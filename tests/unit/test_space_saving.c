#include "common/base/space_saving.h"

#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

static void add(struct space_saving *top, uint64_t number, uint32_t weight, bool write)
{
    char name[32];
    int len = snprintf(name, sizeof(name), "key:%llu", (unsigned long long)number);
    struct space_saving_hit hit = {
        .place = number, .key = slice_of(name, (size_t)len), .weight = weight, .write = write};
    space_saving_add(top, &hit);
}

static uint64_t weight_of(const struct space_saving *top, uint64_t number)
{
    for (size_t i = 0; i < top->count; i++) {
        if (top->items[i].place == number) {
            return top->weights[i];
        }
    }
    return 0;
}

TEST(space_saving_add, counts_exactly_while_there_is_room)
{
    struct space_saving top;
    space_saving_init(&top);
    for (uint64_t key = 0; key < SPACE_SAVING_COUNTERS; key++) {
        add(&top, key, (uint32_t)key + 1, key % 2 == 1);
    }
    add(&top, 5, 1000, false);
    CHECK_EQ(top.count, SPACE_SAVING_COUNTERS);
    CHECK_EQ(weight_of(&top, 5), 1006);
    size_t best[2];
    CHECK_EQ(space_saving_top(&top, best, 2), 2);
    CHECK_EQ(top.items[best[0]].place, 5);
    CHECK_EQ(top.items[best[0]].writes, 6);
    CHECK_EQ(top.items[best[0]].over, 0);
    CHECK_EQ(top.items[best[1]].place, 127);
    CHECK_BYTES(slice_of(top.items[best[1]].key, top.items[best[1]].key_len), "key:127");
}

TEST(space_saving_add, tells_databases_apart)
{
    struct space_saving top;
    space_saving_init(&top);
    for (uint8_t db = 0; db < 3; db++) {
        struct space_saving_hit hit = {.key = slice_str("k"), .db = db, .weight = 1};
        space_saving_add(&top, &hit);
    }
    CHECK_EQ(top.count, 3);
}

TEST(space_saving_add, keeps_the_beginning_of_a_long_key)
{
    struct space_saving top;
    space_saving_init(&top);
    uint8_t name[300];
    memset(name, 'x', sizeof(name));
    struct space_saving_hit hit = {.key = slice_of(name, sizeof(name)), .weight = 1};
    space_saving_add(&top, &hit);
    CHECK_EQ(top.items[0].key_size, 300);
    CHECK_EQ(top.items[0].key_len, SPACE_SAVING_KEY_SIZE_MAX);
}

/* The two promises of the paper, on a stream where most keys come once. */
TEST(space_saving_add, never_misses_a_frequent_key_and_bounds_its_error)
{
    struct space_saving top;
    space_saving_init(&top);
    struct rand rand;
    rand_init(&rand, 7);
    uint64_t truth[4] = {0};
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t dice = rand_below(&rand, 100);
        if (dice < 4) {
            truth[dice]++;
            add(&top, dice, 1, false);
        } else {
            add(&top, 1000 + i, 1, false);
        }
    }
    CHECK_EQ(top.total, 200000);
    for (uint64_t key = 0; key < 4; key++) {
        uint64_t weight = weight_of(&top, key);
        CHECK(weight >= truth[key]);
        CHECK(weight <= truth[key] + 200000 / SPACE_SAVING_COUNTERS);
    }
}

TEST(space_saving_halve, forgets_what_came_once)
{
    struct space_saving top;
    space_saving_init(&top);
    add(&top, 1, 9, true);
    add(&top, 2, 1, true);
    space_saving_halve(&top);
    CHECK_EQ(top.count, 1);
    CHECK_EQ(top.total, 5);
    CHECK_EQ(weight_of(&top, 1), 4);
    CHECK_EQ(weight_of(&top, 2), 0);
}

TEST(space_saving_keep, leaves_what_lies_within)
{
    struct space_saving top;
    space_saving_init(&top);
    for (uint64_t key = 0; key < 10; key++) {
        add(&top, key, 10, false);
    }
    space_saving_keep(&top, 3, 6);
    CHECK_EQ(top.count, 4);
    CHECK_EQ(top.total, 40);
    CHECK_EQ(weight_of(&top, 2), 0);
    CHECK_EQ(weight_of(&top, 3), 10);
    CHECK_EQ(weight_of(&top, 6), 10);
    space_saving_keep(&top, 100, 200);
    CHECK_EQ(top.count, 0);
    CHECK_EQ(top.total, 0);
}
