#include "server/store/range_set.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "server/store/overlay.h"
#include "tests/support/test.h"

static struct slice one(const char *text)
{
    return slice_of(text, 1);
}

/* ranges: "ab ef " of all ranges, in order. */
static void check(const struct range_set *set, const char *ranges)
{
    struct buf got;
    buf_init(&got, 1024);
    for (size_t i = 0; i < set->count; i++) {
        buf_append_slice(&got, range_from(&set->ranges[i]));
        buf_append_slice(&got, range_to(&set->ranges[i]));
        buf_append_text(&got, " ");
    }
    CHECK_BYTES(buf_slice(&got), ranges);
    buf_deinit(&got);
}

static void add(struct range_set *set, const char *range, uint64_t stamp)
{
    (void)range_set_add(set, one(range), one(range + 1), stamp, NULL);
}

TEST(range_set_add, joins_what_overlaps_or_touches)
{
    struct range_set set = {0};
    add(&set, "fh", 1);
    add(&set, "bc", 2);
    add(&set, "kl", 3);
    check(&set, "bc fh kl ");
    add(&set, "ef", 4);
    check(&set, "bc eh kl ");
    add(&set, "hi", 5);
    check(&set, "bc ei kl ");
    add(&set, "fg", 6);
    check(&set, "bc ei kl ");
    CHECK_EQ(range_set_find(&set, one("e"))->stamp, 6);
    add(&set, "az", 7);
    check(&set, "az ");
    range_set_deinit(&set);
}

TEST(range_set_find, has_the_first_key_and_not_the_last)
{
    struct range_set set = {0};
    CHECK(range_set_find(&set, one("b")) == NULL);
    add(&set, "bd", 1);
    add(&set, "fg", 2);
    CHECK(range_set_find(&set, one("a")) == NULL);
    CHECK_EQ(range_set_find(&set, one("b"))->stamp, 1);
    CHECK_EQ(range_set_find(&set, slice_str("czz"))->stamp, 1);
    CHECK(range_set_find(&set, one("d")) == NULL);
    CHECK_EQ(range_set_find(&set, one("f"))->stamp, 2);
    CHECK(range_set_find(&set, one("g")) == NULL);
    range_set_deinit(&set);
}

TEST(range_set_prune, drops_the_old)
{
    struct range_set set = {0};
    add(&set, "bc", 1);
    add(&set, "de", 3);
    add(&set, "fg", 2);
    range_set_prune(&set, 2);
    check(&set, "de ");
    range_set_deinit(&set);
}

enum { KEYS = 200, STEPS = 400, UNDO_MAX = 8 };

struct step {
    char from[16];
    size_t replaced;
};

static struct slice number(int n, char text[16])
{
    (void)snprintf(text, 16, "%03d", n);
    return slice_str(text);
}

static void check_covered(const struct range_set *set, const bool *covered, uint64_t seed)
{
    char text[16];
    for (int n = 0; n < KEYS; n++) {
        bool found = range_set_find(set, number(n, text)) != NULL;
        if (found != covered[n]) {
            fprintf(stderr, "seed %llu key %d\n", (unsigned long long)seed, n);
        }
        CHECK_EQ(found, covered[n]);
    }
    for (size_t i = 1; i < set->count; i++) {
        CHECK(overlay_compare(range_to(&set->ranges[i - 1]), range_from(&set->ranges[i])) < 0);
    }
}

static void cover(bool *covered, int from, int to)
{
    for (int n = from; n < to && n < KEYS; n++) {
        covered[n] = true;
    }
}

/* Adds some ranges and takes them back in the opposite order. */
TEST(range_set_overlaps, knows_where_ranges_end)
{
    struct range_set set = {0};
    CHECK(!range_set_overlaps(&set, one("a"), one("z")));
    add(&set, "ce", 1);
    add(&set, "gi", 1);
    CHECK(!range_set_overlaps(&set, one("a"), one("c")));
    CHECK(range_set_overlaps(&set, one("a"), one("d")));
    CHECK(range_set_overlaps(&set, one("d"), one("e")));
    CHECK(range_set_overlaps(&set, one("d"), one("f")));
    CHECK(!range_set_overlaps(&set, one("e"), one("g")));
    CHECK(range_set_overlaps(&set, one("e"), one("h")));
    CHECK(range_set_overlaps(&set, one("a"), one("z")));
    CHECK(!range_set_overlaps(&set, one("i"), one("z")));
    range_set_deinit(&set);
}

static void add_and_undo(struct range_set *set, struct rand *rand)
{
    struct range_set replaced = {0};
    struct step steps[UNDO_MAX];
    size_t count = 0;
    for (int i = 0; i < UNDO_MAX; i++) {
        char to[16];
        int from = (int)rand_below(rand, KEYS);
        size_t before = replaced.count;
        (void)number(from, steps[count].from);
        if (range_set_add(set, slice_str(steps[count].from),
                          number(from + 1 + (int)rand_below(rand, 60), to), 0, &replaced)) {
            steps[count++].replaced = replaced.count - before;
        }
    }
    while (count > 0) {
        count--;
        range_set_undo(set, slice_str(steps[count].from), &replaced, steps[count].replaced);
    }
    CHECK_EQ(replaced.count, 0);
    range_set_deinit(&replaced);
}

static void run_random(uint64_t seed)
{
    struct rand rand;
    rand_init(&rand, seed);
    struct range_set set = {0};
    bool covered[KEYS] = {false};
    for (int i = 0; i < STEPS; i++) {
        char from_text[16];
        char to_text[16];
        int from = (int)rand_below(&rand, KEYS);
        int to = from + 1 + (int)rand_below(&rand, 4);
        bool whole = true;
        for (int n = from; n < to && n < KEYS; n++) {
            whole = whole && covered[n];
        }
        /* A range that ends behind the last key may be new or not. */
        bool added = range_set_add(&set, number(from, from_text), number(to, to_text), 1, NULL);
        CHECK(added == !whole || to > KEYS);
        cover(covered, from, to);
        if (i % 8 == 0) {
            add_and_undo(&set, &rand);
        }
        check_covered(&set, covered, seed);
        if (rand_below(&rand, 40) == 0) {
            range_set_clear(&set);
            memset(covered, 0, sizeof(covered));
        }
    }
    range_set_deinit(&set);
}

TEST(range_set, agrees_with_a_model_and_is_undone)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run_random(seed);
    }
}
