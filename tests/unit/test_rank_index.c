#include "server/machine/rank_index.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "common/base/reader.h"
#include "tests/support/folder.h"
#include "tests/support/test.h"

enum {
    UNIVERSE = 4096, /* Sub-keys are these numbers, BE, some with a tail. */
    TAIL_EVERY = 3,
    CHECK_EVERY = 500,
    COMMIT_EVERY = 16,
};

/* Rows and their index in a store, and which numbers there are: the model. */
struct world {
    char folder[FOLDER_SIZE];
    struct store *store;
    struct txn *txn;
    struct rank_index index;
    bool there[UNIVERSE];
    size_t count;
    size_t changes;
    struct buf low;
    struct buf high;
    struct rand rand;
};

static struct slice sub_key(uint64_t number, struct buf *out)
{
    buf_clear(out);
    buf_append_u64_be(out, number);
    if (number % TAIL_EVERY == 0) {
        buf_append_text(out, "tail");
    }
    return buf_slice(out);
}

static void begin(struct world *world, uint32_t leaf_max, uint32_t fan_max, uint64_t seed)
{
    *world = (struct world){0};
    folder_make(world->folder, "rank");
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK_EQ(store_open(world->folder, &options, &world->store), STATUS_OK);
    world->txn = txn_new(world->store);
    buf_init(&world->low, 64);
    buf_init(&world->high, 64);
    rand_init(&world->rand, seed);
    world->index = (struct rank_index){.txn = world->txn,
                                       .rows = slice_str("rows"),
                                       .nodes = slice_str("nodes"),
                                       .leaf_max = leaf_max,
                                       .fan_max = fan_max};
}

static void end(struct world *world)
{
    CHECK_EQ(txn_commit(world->txn), STATUS_OK);
    txn_free(world->txn);
    store_close(world->store);
    buf_deinit(&world->low);
    buf_deinit(&world->high);
    folder_remove(world->folder);
}

static struct slice row_key(uint64_t number, struct buf *out)
{
    struct buf sub;
    buf_init(&sub, 64);
    buf_clear(out);
    buf_append_text(out, "rows");
    buf_append_slice(out, sub_key(number, &sub));
    buf_deinit(&sub);
    return buf_slice(out);
}

/* The bounds are told after a change, as the index wants them from before. */
static void tell_bounds(struct world *world)
{
    if (++world->changes % COMMIT_EVERY == 0) {
        CHECK_EQ(txn_commit(world->txn), STATUS_OK);
    }
    uint64_t first = 0;
    uint64_t last = UNIVERSE;
    world->index.size = world->count;
    buf_clear(&world->low);
    buf_clear(&world->high);
    while (world->count > 0 && !world->there[first]) {
        first++;
    }
    while (world->count > 0 && !world->there[last - 1]) {
        last--;
    }
    if (world->count > 0) {
        (void)sub_key(first, &world->low);
        (void)sub_key(last - 1, &world->high);
        buf_append_u8(&world->high, 0);
    }
    world->index.low = buf_slice(&world->low);
    world->index.high = buf_slice(&world->high);
}

static void put(struct world *world, uint64_t number)
{
    struct buf key;
    buf_init(&key, 64);
    CHECK(!world->there[number]);
    txn_put(world->txn, STORE_DATA, row_key(number, &key), slice_of(NULL, 0));
    world->there[number] = true;
    world->count++;
    if (world->index.levels > 0) {
        CHECK_EQ(rank_index_add(&world->index, sub_key(number, &key)), STATUS_OK);
    }
    tell_bounds(world);
    if (world->index.levels == 0 && world->count > 2 * (uint64_t)world->index.leaf_max) {
        CHECK_EQ(rank_index_build(&world->index), STATUS_OK);
    }
    buf_deinit(&key);
}

static void drop_row(struct world *world, uint64_t number)
{
    struct buf key;
    buf_init(&key, 64);
    CHECK(world->there[number]);
    txn_delete(world->txn, STORE_DATA, row_key(number, &key));
    world->there[number] = false;
    world->count--;
    buf_deinit(&key);
}

/* Up to `most` numbers that follow `number`, as far as its leaf goes. */
static void drop(struct world *world, uint64_t number, uint64_t most)
{
    struct buf key;
    struct buf end;
    struct buf other;
    buf_init(&key, 64);
    buf_init(&end, 64);
    buf_init(&other, 64);
    (void)sub_key(number, &key);
    if (world->index.levels > 0) {
        CHECK_EQ(rank_index_leaf_end(&world->index, buf_slice(&key), &end), STATUS_OK);
    }
    uint64_t count = 0;
    for (uint64_t n = number; n < UNIVERSE && count < most; n++) {
        struct slice next = sub_key(n, &other);
        size_t len = next.len < end.len ? next.len : end.len;
        if (end.len > 0 && (memcmp(next.data, end.data, len) > 0 ||
                            (memcmp(next.data, end.data, len) == 0 && next.len >= end.len))) {
            break;
        }
        if (world->there[n]) {
            drop_row(world, n);
            count++;
        }
    }
    if (world->index.levels > 0) {
        CHECK_EQ(rank_index_remove(&world->index, buf_slice(&key), count), STATUS_OK);
    }
    if (world->count == 0) {
        world->index.levels = 0;
        CHECK_EQ(world->index.top, 0);
    }
    tell_bounds(world);
    buf_deinit(&key);
    buf_deinit(&end);
    buf_deinit(&other);
}

static void check_count(struct world *world, uint64_t number)
{
    struct buf key;
    buf_init(&key, 64);
    uint64_t want = 0;
    for (uint64_t n = 0; n < number; n++) {
        want += world->there[n];
    }
    uint64_t got = 0;
    CHECK_EQ(rank_index_count(&world->index, sub_key(number, &key), &got), STATUS_OK);
    CHECK_EQ(got, want);
    buf_deinit(&key);
}

static void check_at(struct world *world, uint64_t rank)
{
    struct buf from;
    struct buf row;
    buf_init(&from, 64);
    buf_init(&row, 64);
    uint64_t skip = 0;
    CHECK_EQ(rank_index_at(&world->index, rank, &from, &skip), STATUS_OK);
    CHECK(world->index.levels == 0 || skip < world->index.leaf_max);
    uint64_t number = 0;
    for (uint64_t left = rank + 1; left > 0; number++) {
        left -= world->there[number];
    }
    buf_append_text(&row, "rows");
    buf_append_slice(&row, buf_slice(&from));
    struct store_iter *iter = iter_open(world->txn, STORE_DATA, buf_slice(&row), slice_str("rowt"));
    for (uint64_t n = 0; n < skip; n++) {
        iter_next(iter);
    }
    CHECK(iter_valid(iter));
    CHECK(slice_equal(iter_key(iter), row_key(number - 1, &from)));
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&row);
}

/* Sums and sizes of the nodes of a level; returns how many there are. */
static uint64_t check_level(struct world *world, uint8_t level, uint64_t children)
{
    uint8_t from[] = {'n', 'o', 'd', 'e', 's', level};
    uint8_t to[] = {'n', 'o', 'd', 'e', 's', (uint8_t)(level + 1)};
    struct store_iter *iter =
        iter_open(world->txn, STORE_DATA, slice_of(from, sizeof(from)), slice_of(to, sizeof(to)));
    uint64_t nodes = 0;
    uint64_t sum = 0;
    uint64_t below = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        struct reader in = reader_of(iter_value(iter));
        uint64_t count = reader_u64(&in);
        uint32_t fan = reader_u32(&in);
        CHECK(reader_done(&in) && count > 0);
        CHECK(level > 1 || count <= world->index.leaf_max);
        CHECK(level == 1 || (fan > 0 && fan <= world->index.fan_max));
        sum += count;
        below += fan;
        nodes++;
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
    CHECK_EQ(sum, level <= world->index.levels ? world->count : 0);
    CHECK_EQ(below, level <= world->index.levels ? children : 0);
    return nodes;
}

static void check_all(struct world *world)
{
    uint64_t nodes = 0;
    for (uint8_t level = 1; level <= RANK_INDEX_LEVELS_MAX; level++) {
        uint64_t more = check_level(world, level, nodes);
        CHECK(level != world->index.levels || more == world->index.top);
        nodes = more;
    }
    CHECK(world->index.top <= world->index.fan_max);
}

static uint64_t absent(struct world *world, uint64_t from, uint64_t span)
{
    uint64_t number = (from + rand_below(&world->rand, span)) % UNIVERSE;
    while (world->there[number]) {
        number = (number + 1) % UNIVERSE;
    }
    return number;
}

static uint64_t present(struct world *world)
{
    uint64_t number = rand_below(&world->rand, UNIVERSE);
    while (!world->there[number]) {
        number = (number + 1) % UNIVERSE;
    }
    return number;
}

static void step(struct world *world, bool fewer)
{
    uint64_t choice = rand_below(&world->rand, 12);
    if (choice < (fewer ? 3 : 6) && world->count < UNIVERSE) {
        put(world, absent(world, 0, UNIVERSE));
    } else if (choice < 8 && world->count > 0) {
        drop(world, present(world), 1);
    } else if (choice == 8 && fewer && world->count > 0) {
        drop(world, present(world), 1 + rand_below(&world->rand, 20));
    } else if (choice < 11) {
        check_count(world, rand_below(&world->rand, UNIVERSE));
    } else if (world->count > 0) {
        check_at(world, rand_below(&world->rand, world->count));
    }
}

static void play(uint32_t leaf_max, uint32_t fan_max, uint64_t seed, size_t steps)
{
    struct world world;
    begin(&world, leaf_max, fan_max, seed);
    printf("seed %llu\n", (unsigned long long)seed);
    bool fewer = false;
    for (size_t n = 1; n <= steps; n++) {
        fewer = rand_below(&world.rand, 1000) == 0 ? !fewer : fewer;
        step(&world, fewer);
        if (n % CHECK_EVERY == 0) {
            check_all(&world);
        }
    }
    check_all(&world);
    end(&world);
}

TEST(rank_index, counts_as_a_model_does)
{
    uint64_t seed = 0;
    rand_os(&seed, sizeof(seed));
    play(4, 8, seed, 2500);
    play(2, 16, seed + 1, 2500);
    play(16, 8, seed + 2, 2500);
    play(RANK_INDEX_LEAF_MAX, RANK_INDEX_FAN_MAX, seed + 3, 2500);
}

/* A queue: all that comes is behind, all that goes is in front. */
TEST(rank_index, keeps_what_is_full_of_a_queue)
{
    struct world world;
    begin(&world, 8, 8, 1);
    for (uint64_t n = 0; n < 1000; n++) {
        put(&world, n);
    }
    check_all(&world);
    /* Full leaves, but for what was built first and the last one. */
    CHECK(check_level(&world, 1, 0) <= 1000 / 8 + 3);
    for (uint64_t n = 1000; n < UNIVERSE; n++) {
        put(&world, n);
        drop(&world, n - 1000, 1);
    }
    check_all(&world);
    CHECK(check_level(&world, 1, 0) <= 1000 / 8 + 3);
    for (uint64_t n = UNIVERSE - 1000; n < UNIVERSE; n++) {
        check_at(&world, 0);
        drop(&world, n, 1);
    }
    CHECK_EQ(world.count, 0);
    check_all(&world);
    end(&world);
}

/* The other way round: a stack whose top falls far back, then grows anew at lower and lower keys.
 */
TEST(rank_index, takes_rows_before_all_others)
{
    struct world world;
    begin(&world, 4, 8, 2);
    for (uint64_t n = 0; n < UNIVERSE; n++) {
        put(&world, UNIVERSE - 1 - n);
    }
    check_all(&world);
    check_count(&world, 77);
    check_at(&world, 4000);
    for (uint64_t n = 0; n < UNIVERSE - 100; n++) {
        drop(&world, UNIVERSE - 1 - n, 1);
    }
    for (uint64_t n = 100; n < UNIVERSE; n += 7) {
        put(&world, n);
    }
    check_all(&world);
    for (uint64_t n = 0; n < world.count; n += 13) {
        check_at(&world, n);
    }
    end(&world);
}

TEST(rank_builder, makes_nodes_of_any_number_of_rows)
{
    for (size_t count = 1; count < 600; count = count * 5 / 4 + 1) {
        struct world world;
        begin(&world, 4, 4, 3);
        world.index.leaf_max = UNIVERSE; /* None are made before. */
        for (uint64_t n = 0; n < count; n++) {
            put(&world, n * 6);
        }
        world.index.leaf_max = 4;
        CHECK_EQ(rank_index_build(&world.index), STATUS_OK);
        check_all(&world);
        check_at(&world, count - 1);
        check_count(&world, count * 3);
        end(&world);
    }
}
