#include "server/machine/zset.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "common/base/reader.h"
#include "server/machine/score.h"
#include "server/machine/zset_cursor.h"
#include "tests/support/call_rig.h"
#include "tests/support/test.h"

enum {
    MEMBERS = 3000,
    SUB_KEY_MAX = 160,
    COMMIT_EVERY = 8,
    WALK_MAX = 40, /* Elements that a check looks at. */
};

struct element {
    size_t len;
    uint8_t sub_key[SUB_KEY_MAX];
};

/* A shard of one store with one sorted set, and the same as a sorted array: the model. */
struct world {
    struct call_rig rig;
    struct rand rand;
    struct element *model;
    size_t count;
    size_t changes;
    struct zset zset;
};

static struct slice sub_key_of(const struct element *element)
{
    return slice_of(element->sub_key, element->len);
}

static void begin(struct world *world, uint64_t seed)
{
    *world = (struct world){0};
    call_rig_open(&world->rig, "zset");
    rand_init(&world->rand, seed);
    world->model = calloc(MEMBERS + 1, sizeof(*world->model));
    CHECK(world->model != NULL);
}

static void end(struct world *world)
{
    call_rig_close(&world->rig);
    free(world->model);
}

static struct zset *load(struct world *world)
{
    world->rig.state.version++;
    if (++world->changes % COMMIT_EVERY == 0) {
        CHECK_EQ(txn_commit(world->rig.txn), STATUS_OK);
    }
    CHECK_EQ(zset_load(&world->rig.call, SLOT_A, slice_str("key"), &world->zset), STATUS_OK);
    CHECK_EQ(world->zset.size, world->count);
    return &world->zset;
}

/* Some are short; some are longer than what bounds hold, and alike for as long. */
static struct slice member_of(uint64_t n, char text[SUB_KEY_MAX])
{
    if (n % 5 == 0) {
        (void)snprintf(text, SUB_KEY_MAX, "%0100d-%llu", 7, (unsigned long long)n);
    } else {
        (void)snprintf(text, SUB_KEY_MAX, "m%llu", (unsigned long long)n);
    }
    return slice_str(text);
}

static size_t place_of(const struct world *world, struct slice sub_key)
{
    size_t at = 0;
    while (at < world->count && zset_packed_compare(sub_key_of(&world->model[at]), sub_key) < 0) {
        at++;
    }
    return at;
}

static size_t find_member(const struct world *world, struct slice member)
{
    size_t at = 0;
    while (at < world->count &&
           !slice_equal(zset_packed_member(sub_key_of(&world->model[at])), member)) {
        at++;
    }
    return at;
}

static void forget(struct world *world, size_t at, size_t count)
{
    memmove(&world->model[at], &world->model[at + count],
            (world->count - at - count) * sizeof(*world->model));
    world->count -= count;
}

static void remember(struct world *world, double score, struct slice member)
{
    struct buf sub_key;
    buf_init(&sub_key, SUB_KEY_MAX);
    zset_sub_key(score, member, &sub_key);
    size_t at = place_of(world, buf_slice(&sub_key));
    memmove(&world->model[at + 1], &world->model[at], (world->count - at) * sizeof(*world->model));
    world->model[at].len = sub_key.len;
    memcpy(world->model[at].sub_key, sub_key.data, sub_key.len);
    world->count++;
    buf_deinit(&sub_key);
}

static void put(struct world *world, uint64_t n, double score)
{
    char text[SUB_KEY_MAX];
    struct slice member = member_of(n, text);
    struct zset *zset = load(world);
    bool found = false;
    double old = 0;
    CHECK_EQ(zset_find(zset, member, &found, &old), STATUS_OK);
    size_t at = find_member(world, member);
    CHECK(found == (at < world->count));
    if (found) {
        CHECK(old == zset_packed_score(sub_key_of(&world->model[at])));
        forget(world, at, 1);
    }
    remember(world, score, member);
    CHECK_EQ(zset_put(zset, member, score, found ? &old : NULL), STATUS_OK);
    zset_save(zset);
}

static void drop(struct world *world, size_t at)
{
    struct element element = world->model[at];
    struct slice sub_key = sub_key_of(&element);
    struct zset *zset = load(world);
    CHECK_EQ(zset_remove(zset, zset_packed_member(sub_key), zset_packed_score(sub_key)), STATUS_OK);
    zset_save(zset);
    forget(world, at, 1);
}

static struct zset_range random_range(struct world *world, struct element ends[2])
{
    if (rand_below(&world->rand, 4) == 0) {
        return zset_range_all();
    }
    for (size_t i = 0; i < 2; i++) {
        ends[i] = world->model[rand_below(&world->rand, world->count)];
        if (rand_below(&world->rand, 3) == 0) {
            ends[i].len = SCORE_SIZE;
        }
    }
    size_t first = zset_packed_compare(sub_key_of(&ends[0]), sub_key_of(&ends[1])) > 0 ? 1 : 0;
    return (struct zset_range){.from = sub_key_of(&ends[first]),
                               .to = sub_key_of(&ends[1 - first])};
}

static void drop_range(struct world *world, struct zset_removal removal)
{
    size_t first = place_of(world, removal.range.from);
    size_t behind = place_of(world, removal.range.to);
    size_t count = behind - first < removal.limit ? behind - first : (size_t)removal.limit;
    first = removal.reverse ? behind - count : first;
    struct buf removed;
    buf_init(&removed, 1 << 20);
    removal.removed = rand_below(&world->rand, 2) == 0 ? &removed : NULL;
    struct zset *zset = load(world);
    CHECK_EQ(zset_remove_range(zset, &removal), STATUS_OK);
    CHECK_EQ(removal.count, count);
    struct reader in = reader_of(buf_slice(&removed));
    for (size_t n = 0; n < count && removal.removed != NULL; n++) {
        size_t at = removal.reverse ? first + count - 1 - n : first + n;
        struct slice got = reader_bytes(&in, UINT32_MAX);
        CHECK(slice_equal(got, sub_key_of(&world->model[at])));
    }
    CHECK(reader_done(&in));
    zset_save(zset);
    buf_deinit(&removed);
    forget(world, first, count);
}

static void check_walk(struct world *world)
{
    struct element ends[2];
    struct zset_range range = random_range(world, ends);
    bool reverse = rand_below(&world->rand, 2) == 0;
    size_t first = place_of(world, range.from);
    size_t behind = place_of(world, range.to);
    uint64_t skip = rand_below(&world->rand, 3) == 0 ? 0 : rand_below(&world->rand, world->count);
    struct zset_cursor cursor;
    struct slice sub_key;
    zset_cursor_open(&cursor, load(world), range, reverse, skip);
    for (size_t n = 0; n < WALK_MAX; n++) {
        bool more = zset_cursor_next(&cursor, &sub_key);
        CHECK(more == (skip + n < behind - first));
        if (!more) {
            break;
        }
        size_t at = reverse ? behind - 1 - (size_t)skip - n : first + (size_t)skip + n;
        CHECK(slice_equal(sub_key, sub_key_of(&world->model[at])));
    }
    CHECK_EQ(zset_cursor_close(&cursor), STATUS_OK);
}

static void check_count(struct world *world)
{
    size_t at = rand_below(&world->rand, world->count);
    uint64_t before = 0;
    CHECK_EQ(zset_count(load(world), sub_key_of(&world->model[at]), &before), STATUS_OK);
    CHECK_EQ(before, at);
}

/* Bounds are exact, but for sub-keys that are too long for them. */
static void check_bounds(struct world *world)
{
    struct zset *zset = load(world);
    if (zset->packed || world->count == 0) {
        return;
    }
    struct slice first = sub_key_of(&world->model[0]);
    struct slice last = sub_key_of(&world->model[world->count - 1]);
    struct slice low = slice_of(zset->low.bytes, zset->low.size);
    struct slice high = slice_of(zset->high.bytes, zset->high.size);
    CHECK(zset_packed_compare(low, first) <= 0 && zset_packed_compare(last, high) < 0);
    CHECK(first.len >= ZSET_BOUND_SIZE_MAX || slice_equal(low, first));
    CHECK(last.len >= ZSET_BOUND_SIZE_MAX ||
          (high.len == last.len + 1 && memcmp(high.data, last.data, last.len) == 0));
}

static void step(struct world *world, bool fewer)
{
    uint64_t choice = rand_below(&world->rand, 20);
    struct element ends[2];
    double score = (double)rand_below(&world->rand, 40) - 20;
    score = choice % 2 == 0 ? score : score / 7;
    if (world->count == 0 || choice < (fewer ? 4 : 10)) {
        put(world, rand_below(&world->rand, MEMBERS), score);
    } else if (choice < 12) {
        drop(world, rand_below(&world->rand, world->count));
    } else if (choice < 14) {
        uint64_t limit = 1 + rand_below(&world->rand, fewer ? 30 : 3);
        drop_range(world, (struct zset_removal){
                              .range = zset_range_all(), .limit = limit, .reverse = choice == 13});
    } else if (choice == 14 && rand_below(&world->rand, fewer ? 100 : 3000) == 0) {
        uint64_t limit = rand_below(&world->rand, 2) == 0 ? UINT64_MAX : 100;
        struct zset_range range = random_range(world, ends);
        bool reverse = rand_below(&world->rand, 2) == 0;
        drop_range(world,
                   (struct zset_removal){.range = range, .limit = limit, .reverse = reverse});
    } else if (choice < 18) {
        check_walk(world);
    } else {
        check_count(world);
    }
    check_bounds(world);
}

TEST(zset, does_what_a_sorted_array_does)
{
    uint64_t seed = 0;
    rand_os(&seed, sizeof(seed));
    printf("seed %llu\n", (unsigned long long)seed);
    struct world world;
    begin(&world, seed);
    bool fewer = false;
    size_t indexed = 0;
    for (size_t n = 0; n < 20000; n++) {
        /* Up to many and down to few, again and again. */
        fewer = world.count > 1500 || (fewer && world.count > 20);
        step(&world, fewer);
        indexed += world.zset.levels > 0;
    }
    CHECK(indexed > 1000); /* It was large for long enough. */
    end(&world);
}

static size_t count_rows(struct world *world)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(world->rig.call.scope, STORE_DATA, &from, &to);
    struct store_iter *iter =
        iter_open(world->rig.txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    size_t count = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        count++;
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return count;
}

TEST(zset_remove_range, leaves_no_row_behind)
{
    struct world world;
    begin(&world, 1);
    for (uint64_t n = 0; n < 1500; n++) {
        put(&world, n, (double)n);
    }
    CHECK(count_rows(&world) > 2 * world.count + 1);
    struct zset_removal all = {.range = zset_range_all(), .limit = 700, .reverse = true};
    drop_range(&world, all);
    all.reverse = false;
    drop_range(&world, all);
    all.limit = 99;
    drop_range(&world, all);
    CHECK_EQ(world.count, 1);
    drop(&world, 0);
    CHECK_EQ(count_rows(&world), 0);
    CHECK_EQ(world.rig.state.keys[0], 0);
    CHECK_EQ(world.rig.state.garbage, 0);
    end(&world);
}

TEST(zset_cursor, ends_a_long_walk_where_reads_must_be_short)
{
    struct world world;
    begin(&world, 2);
    for (uint64_t n = 0; n < 1200; n++) {
        put(&world, n, 1);
    }
    struct zset *zset = load(&world);
    txn_set_cache_only(world.rig.txn, true);
    struct zset_cursor cursor;
    struct slice sub_key;
    zset_cursor_open(&cursor, zset, zset_range_all(), false, 0);
    size_t walked = 0;
    while (zset_cursor_next(&cursor, &sub_key)) {
        walked++;
    }
    CHECK_EQ(zset_cursor_close(&cursor), STATUS_AGAIN);
    CHECK_EQ(walked, ZSET_CURSOR_FAST_COUNT);
    txn_set_cache_only(world.rig.txn, false);
    zset_cursor_open(&cursor, zset, zset_range_all(), true, 0);
    for (walked = 0; zset_cursor_next(&cursor, &sub_key);) {
        walked++;
    }
    CHECK_EQ(zset_cursor_close(&cursor), STATUS_OK);
    CHECK_EQ(walked, 1200);
    end(&world);
}

struct seen {
    size_t count;
    bool there[MEMBERS];
};

static void take(void *arg, struct slice member, double score)
{
    struct seen *seen = arg;
    (void)score;
    const uint8_t *digits = member.data + (member.data[0] == 'm' ? 1 : 101);
    uint64_t n = 0;
    for (; digits < member.data + member.len; digits++) {
        n = n * 10 + (uint64_t)(*digits - '0');
    }
    CHECK(n < MEMBERS);
    seen->there[n] = true;
    seen->count++;
}

TEST(zset_cursor_scan, meets_all_that_stay_while_others_come_and_go)
{
    struct world world;
    begin(&world, 3);
    struct seen seen = {0};
    for (uint64_t n = 0; n < 2000; n++) {
        put(&world, n, (double)(n % 10));
    }
    uint64_t place = 0;
    uint64_t other = 0;
    do {
        CHECK_EQ(zset_cursor_scan(load(&world), &place, 10, take, &seen), STATUS_OK);
        CHECK(place >> 53 == 0);
        if (other < 500) {
            char text[SUB_KEY_MAX];
            drop(&world, find_member(&world, member_of(1500 + other, text)));
            put(&world, 2000 + other++, 3);
        }
    } while (place != 0);
    for (uint64_t n = 0; n < 1500; n++) {
        CHECK(seen.there[n]);
    }
    CHECK(seen.count < 3000);
    end(&world);
}

TEST(score, keeps_the_order_of_numbers)
{
    const double scores[] = {-1.0 / 0.0, -1e308, -2, -1,    -5e-324,  0,
                             5e-324,     1,      2,  1e308, 1.0 / 0.0};
    size_t count = sizeof(scores) / sizeof(scores[0]);
    for (size_t i = 0; i < count; i++) {
        CHECK(score_decode(score_encode(scores[i])) == scores[i]);
        CHECK(score_valid(score_encode(scores[i])));
        CHECK(i == 0 || score_encode(scores[i - 1]) < score_encode(scores[i]));
    }
    CHECK(score_encode(-0.0) + 1 == score_encode(0.0));
    CHECK(!score_valid(UINT64_MAX) && !score_valid(0));
}
