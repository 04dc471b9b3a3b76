#include "server/shard/waiting.h"

#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

enum { MODEL_MAX = 64, KEYS = 5, STEPS = 20000 };

/* Keys "k0".. of type 5, as bytes for waiter_new(). */
static size_t add_key(struct buf *keys, uint64_t number)
{
    char text[8];
    int len = snprintf(text, sizeof(text), "k%llu", (unsigned long long)number);
    buf_append_u8(keys, 5);
    buf_append_bytes(keys, slice_of(text, (size_t)len));
    return 1;
}

static struct waiter *make(struct waiting *waiting, uint64_t key, uint64_t other, uint64_t until_ms)
{
    struct buf keys;
    buf_init(&keys, 256);
    size_t count = add_key(&keys, key);
    count += add_key(&keys, other);
    struct waiter *waiter = waiter_new(waiting, NULL, buf_slice(&keys), count);
    waiter->until_ms = until_ms;
    buf_deinit(&keys);
    return waiter;
}

static struct waiter *first_at(const struct waiting *waiting, const char *key)
{
    return waiting_next(waiting, 5, slice_str(key), NULL);
}

TEST(waiting_next, gives_those_of_a_key_in_the_order_of_arrival)
{
    struct waiting waiting;
    waiting_init(&waiting);
    struct waiter *a = make(&waiting, 1, 2, UINT64_MAX);
    struct waiter *b = make(&waiting, 2, 2, UINT64_MAX);
    struct waiter *c = make(&waiting, 1, 3, UINT64_MAX);
    CHECK(first_at(&waiting, "k1") == NULL);
    waiting_park(&waiting, a);
    waiting_park(&waiting, b);
    waiting_park(&waiting, c);
    CHECK(first_at(&waiting, "k1") == a);
    CHECK(waiting_next(&waiting, 5, slice_str("k1"), a) == c);
    CHECK(waiting_next(&waiting, 5, slice_str("k1"), c) == NULL);
    CHECK(first_at(&waiting, "k2") == a);
    CHECK(waiting_next(&waiting, 5, slice_str("k2"), a) == b);
    CHECK(waiting_next(&waiting, 5, slice_str("k2"), b) == NULL); /* It named the key twice. */
    CHECK(waiting_next(&waiting, 4, slice_str("k2"), NULL) == NULL);
    /* Who comes back has its old place. */
    waiting_leave(&waiting, a);
    CHECK(first_at(&waiting, "k1") == c);
    CHECK(first_at(&waiting, "k2") == b);
    waiting_park(&waiting, a);
    CHECK(first_at(&waiting, "k1") == a);
    CHECK(first_at(&waiting, "k2") == a);
    waiting_leave(&waiting, b);
    waiting_park(&waiting, b);
    CHECK(waiting_next(&waiting, 5, slice_str("k2"), a) == b);
    CHECK_EQ(waiting.count, 3);
    waiter_free(&waiting, a);
    waiter_free(&waiting, b);
    waiter_free(&waiting, c);
    waiting_deinit(&waiting);
}

TEST(waiting_due, gives_the_soonest)
{
    struct waiting waiting;
    waiting_init(&waiting);
    struct waiter *late = make(&waiting, 1, 2, 300);
    struct waiter *soon = make(&waiting, 1, 2, 100);
    struct waiter *never = make(&waiting, 1, 2, UINT64_MAX);
    CHECK(waiting_end_ms(&waiting) == UINT64_MAX);
    waiting_park(&waiting, late);
    waiting_park(&waiting, never);
    waiting_park(&waiting, soon);
    CHECK_EQ(waiting_end_ms(&waiting), 100);
    CHECK(waiting_due(&waiting, 99) == NULL);
    CHECK(waiting_due(&waiting, 100) == soon);
    waiter_free(&waiting, soon);
    CHECK(waiting_due(&waiting, 299) == NULL);
    CHECK(waiting_due(&waiting, 1000) == late);
    waiter_free(&waiting, late);
    CHECK(waiting_due(&waiting, UINT64_MAX - 1) == NULL);
    CHECK(waiting_any(&waiting) == never);
    waiter_free(&waiting, never);
    CHECK(waiting_any(&waiting) == NULL);
    waiting_deinit(&waiting);
}

struct model {
    struct waiter *waiter;
    uint64_t keys[2];
};

/* The parked one of the key with the smallest arrival behind `after`. */
static struct waiter *expected(const struct model *model, uint64_t key, uint64_t after)
{
    struct waiter *found = NULL;
    for (size_t i = 0; i < MODEL_MAX; i++) {
        struct waiter *waiter = model[i].waiter;
        bool fits = waiter != NULL && waiter->parked && waiter->arrival > after &&
                    (model[i].keys[0] == key || model[i].keys[1] == key);
        if (fits && (found == NULL || waiter->arrival < found->arrival)) {
            found = waiter;
        }
    }
    return found;
}

static uint64_t expected_end(const struct model *model)
{
    uint64_t end_ms = UINT64_MAX;
    for (size_t i = 0; i < MODEL_MAX; i++) {
        const struct waiter *waiter = model[i].waiter;
        bool sooner = waiter != NULL && waiter->parked && waiter->until_ms < end_ms;
        end_ms = sooner ? waiter->until_ms : end_ms;
    }
    return end_ms;
}

static void check_key(const struct waiting *waiting, const struct model *model, uint64_t key)
{
    char text[8];
    (void)snprintf(text, sizeof(text), "k%llu", (unsigned long long)key);
    struct waiter *at = NULL;
    do {
        struct waiter *want = expected(model, key, at == NULL ? 0 : at->arrival);
        at = waiting_next(waiting, 5, slice_str(text), at);
        CHECK(at == want);
    } while (at != NULL);
}

static void step(struct waiting *waiting, struct model *model, struct rand *rand)
{
    struct model *one = &model[rand_below(rand, MODEL_MAX)];
    if (one->waiter == NULL) {
        uint64_t until_ms = rand_below(rand, 3) == 0 ? UINT64_MAX : rand_below(rand, 1000);
        one->keys[0] = rand_below(rand, KEYS);
        one->keys[1] = rand_below(rand, KEYS);
        one->waiter = make(waiting, one->keys[0], one->keys[1], until_ms);
    } else if (rand_below(rand, 8) == 0) {
        waiter_free(waiting, one->waiter);
        one->waiter = NULL;
    } else if (one->waiter->parked) {
        waiting_leave(waiting, one->waiter);
    } else {
        waiting_park(waiting, one->waiter);
    }
}

TEST(waiting, is_what_a_plain_list_would_be)
{
    const uint64_t seed = 7;
    printf("seed %llu\n", (unsigned long long)seed);
    struct rand rand;
    rand_init(&rand, seed);
    struct waiting waiting;
    waiting_init(&waiting);
    struct model model[MODEL_MAX] = {0};
    for (int i = 0; i < STEPS; i++) {
        step(&waiting, model, &rand);
        check_key(&waiting, model, rand_below(&rand, KEYS));
        CHECK(waiting_end_ms(&waiting) == expected_end(model));
    }
    for (size_t i = 0; i < MODEL_MAX; i++) {
        if (model[i].waiter != NULL) {
            waiter_free(&waiting, model[i].waiter);
        }
    }
    waiting_deinit(&waiting);
}
