#include "common/base/chain.h"
#include "tests/support/test.h"

struct item {
    int name;
    struct chain chain;
};

static int count(const struct map *map, uint64_t hash, const struct item *item)
{
    int found = 0;
    for (struct chain *at = chain_first(map, hash); at != NULL; at = at->next) {
        found += chain_entry(at, struct item, chain) == item;
    }
    return found;
}

TEST(chain_add, keeps_all_that_have_the_same_hash)
{
    struct map map;
    map_init(&map);
    struct item items[3] = {{.name = 0}, {.name = 1}, {.name = 2}};
    for (int i = 0; i < 3; i++) {
        chain_add(&map, &items[i].chain, 7);
    }
    struct item other = {.name = 3};
    chain_add(&map, &other.chain, 8);
    CHECK(map.count == 2);
    for (int i = 0; i < 3; i++) {
        CHECK(count(&map, 7, &items[i]) == 1);
        CHECK(count(&map, 8, &items[i]) == 0);
    }
    CHECK(count(&map, 8, &other) == 1);
    CHECK(chain_first(&map, 9) == NULL);
    map_deinit(&map);
}

TEST(chain_remove, takes_out_the_first_the_middle_and_the_last)
{
    for (int gone = 0; gone < 3; gone++) {
        struct map map;
        map_init(&map);
        struct item items[3] = {{.name = 0}, {.name = 1}, {.name = 2}};
        for (int i = 0; i < 3; i++) {
            chain_add(&map, &items[i].chain, 7);
        }
        chain_remove(&map, &items[gone].chain);
        for (int i = 0; i < 3; i++) {
            CHECK(count(&map, 7, &items[i]) == (i == gone ? 0 : 1));
        }
        map_deinit(&map);
    }
}

TEST(chain_remove, leaves_no_entry_when_the_only_one_goes)
{
    struct map map;
    map_init(&map);
    struct item item = {.name = 0};
    chain_add(&map, &item.chain, 7);
    chain_remove(&map, &item.chain);
    CHECK(map.count == 0);
    CHECK(chain_first(&map, 7) == NULL);
    map_deinit(&map);
}
