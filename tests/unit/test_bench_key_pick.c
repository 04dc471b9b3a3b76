#include "client/bench/key_pick.h"
#include "tests/support/test.h"

enum { KEYS = 1000, PICKS = 200000 };

static void count(enum key_pick_kind kind, uint64_t *counts)
{
    struct key_pick pick;
    key_pick_init(&pick, kind, KEYS, 0.99, 42);
    for (int i = 0; i < PICKS; i++) {
        uint64_t key = key_pick_next(&pick);
        CHECK(key < KEYS);
        counts[key]++;
    }
}

TEST(key_pick_next, takes_all_keys_equally_often_when_uniform)
{
    uint64_t counts[KEYS] = {0};
    count(KEY_PICK_UNIFORM, counts);
    for (int i = 0; i < KEYS; i++) {
        CHECK(counts[i] > PICKS / KEYS / 2 && counts[i] < PICKS / KEYS * 2);
    }
}

TEST(key_pick_next, goes_round_when_sequential)
{
    struct key_pick pick;
    key_pick_init(&pick, KEY_PICK_SEQUENTIAL, 3, 0, 1);
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_EQ(key_pick_next(&pick), i % 3);
    }
}

/* Shares of the most popular keys by Zipf's law: 1 / (rank^0.99 * sum of all). */
TEST(key_pick_next, follows_zipf)
{
    uint64_t counts[KEYS] = {0};
    count(KEY_PICK_ZIPF, counts);
    double sum = 0;
    double power[3] = {1, 0.50348, 0.33701}; /* 2^-0.99, 3^-0.99 */
    for (int i = 0; i < KEYS; i++) {
        sum += (double)counts[i];
    }
    CHECK((int)sum == PICKS);
    double zeta = 7.7290; /* sum of n^-0.99 for n = 1 to 1000 */
    for (int rank = 0; rank < 2; rank++) {
        double want = PICKS * power[rank] / zeta;
        CHECK((double)counts[rank] > 0.95 * want && (double)counts[rank] < 1.05 * want);
    }
    CHECK(counts[10] > counts[100] && counts[100] > counts[999]);
}

TEST(key_pick_next, gives_the_same_keys_for_the_same_seed)
{
    struct key_pick a;
    struct key_pick b;
    key_pick_init(&a, KEY_PICK_ZIPF, 100, 0.9, 5);
    key_pick_init(&b, KEY_PICK_ZIPF, 100, 0.9, 5);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(key_pick_next(&a), key_pick_next(&b));
    }
}

TEST(key_pick_next, works_with_one_key)
{
    for (int kind = KEY_PICK_UNIFORM; kind <= KEY_PICK_SEQUENTIAL; kind++) {
        struct key_pick pick;
        key_pick_init(&pick, (enum key_pick_kind)kind, 1, 0.99, 1);
        for (int i = 0; i < 100; i++) {
            CHECK_EQ(key_pick_next(&pick), 0);
        }
    }
}
