#include <stdio.h>
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/rand.h"
#include "tests/support/test.h"

TEST(map_put, replaces_and_returns_the_old_value)
{
    struct map map;
    map_init(&map);
    int a = 1;
    int b = 2;
    CHECK(map_get(&map, 7) == NULL);
    CHECK(map_put(&map, 7, &a) == NULL);
    CHECK(map_put(&map, 7, &b) == &a);
    CHECK(map_get(&map, 7) == &b);
    CHECK(map_remove(&map, 7) == &b);
    CHECK(map_remove(&map, 7) == NULL);
    CHECK_EQ(map.count, 0);
    map_deinit(&map);
}

/* Against an array that is a map by itself. */
TEST(map, agrees_with_an_array_over_random_operations)
{
    enum { KEYS = 500, STEPS = 200000 };
    static char values[KEYS];
    void *model[KEYS] = {0};
    struct map map;
    struct rand rand;
    map_init(&map);
    rand_init(&rand, 42);
    size_t live = 0;
    for (int i = 0; i < STEPS; i++) {
        uint64_t key = rand_below(&rand, KEYS);
        if (rand_below(&rand, 2) == 0) {
            void *value = &values[rand_below(&rand, KEYS)];
            CHECK(map_put(&map, key, value) == model[key]);
            live += model[key] == NULL;
            model[key] = value;
        } else {
            CHECK(map_remove(&map, key) == model[key]);
            live -= model[key] != NULL;
            model[key] = NULL;
        }
        CHECK_EQ(map.count, live);
    }
    size_t at = 0;
    size_t seen = 0;
    while (map_next(&map, &at) != NULL) {
        seen++;
    }
    CHECK_EQ(seen, live);
    map_deinit(&map);
}

TEST(rand_below, stays_below_and_reaches_every_value)
{
    struct rand rand;
    rand_init(&rand, 1);
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rand_below(&rand, 10);
        CHECK(value < 10);
        seen |= 1U << value;
    }
    CHECK_EQ(seen, (1U << 10) - 1);
    CHECK_EQ(rand_below(&rand, 1), 0);
}
