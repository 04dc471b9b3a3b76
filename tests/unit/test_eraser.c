#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/disk.h"
#include "common/base/rand.h"
#include "server/store/engine.h"
#include "tests/support/test.h"

/* What a walk sees, says and costs where ranges were deleted, and where it goes from file to file.
 */

enum {
    KEY_SIZE = 16,
    PATH_SIZE = 128,
    HIDDEN_ROWS = 20000,
    SEEKS = 200,
    COMPARISONS_MAX = 500, /* Of one seek: a skip list of some thousand rows takes about 20. */
    FILES = 4,
    FILE_ROWS = 1000,
    VALUE_SIZE = 900,
    WALKS = 2000,
    WALK_ROWS_MAX = 200,
};

static const struct store_options small = {.cache_size = 8 << 20, .memtable_size = 64 << 20};

static struct slice key_of(int n, char key[KEY_SIZE])
{
    (void)snprintf(key, KEY_SIZE, "row%07d", n);
    return slice_str(key);
}

static struct store *open_store(const char *path)
{
    struct store *store = NULL;
    CHECK_EQ(disk_make_folder(path), STATUS_OK);
    CHECK_EQ(store_open(path, &small, &store), STATUS_OK);
    return store;
}

/* The folders lie where the test is started, and are kept for a look after a failure. */
static void run(void (*test_case)(const char *folder))
{
    char folder[] = "eraser-XXXXXX";
    char command[64];
    CHECK(mkdtemp(folder) != NULL);
    test_case(folder);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    CHECK_EQ(system(command), 0);
}

static void put_rows(struct txn *txn, int from, int to, int step)
{
    char key[KEY_SIZE];
    uint8_t value[VALUE_SIZE];
    struct rand rand;
    rand_init(&rand, (uint64_t)from + 1);
    for (int n = from; n < to; n += step) {
        for (size_t i = 0; i < sizeof(value); i++) {
            value[i] = (uint8_t)rand_u64(&rand);
        }
        txn_put(txn, STORE_DATA, key_of(n, key), slice_of(value, sizeof(value)));
    }
    CHECK_EQ(txn_commit(txn), STATUS_OK);
}

static void delete_rows(struct txn *txn)
{
    txn_delete_range(txn, STORE_DATA, slice_str("row"), slice_str("rox"));
    CHECK_EQ(txn_commit(txn), STATUS_OK);
}

static int count_rows(struct txn *txn, enum status wanted)
{
    struct store_iter *iter = iter_open(txn, STORE_DATA, slice_str("a"), slice_str("z"));
    int count = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        count++;
    }
    int back = 0;
    for (iter_seek_last(iter); iter_valid(iter); iter_prev(iter)) {
        back++;
    }
    CHECK_EQ(iter_status(iter), wanted);
    CHECK(wanted != STATUS_OK || count == back);
    iter_close(iter);
    return count;
}

static uint64_t seek_all(struct txn *txn, rocksdb_perfcontext_t *work)
{
    struct rand rand;
    rand_init(&rand, 3);
    rocksdb_perfcontext_reset(work);
    char key[KEY_SIZE];
    char lower[KEY_SIZE];
    char upper[KEY_SIZE];
    for (int i = 0; i < SEEKS; i++) {
        int at = (int)rand_below(&rand, HIDDEN_ROWS);
        struct store_iter *iter =
            iter_open(txn, STORE_DATA, key_of(at, lower), key_of(at + 10, upper));
        if (i % 3 == 0) {
            iter_seek_for_prev(iter, key_of(at + 5, key));
        } else if (i % 3 == 1) {
            iter_seek_last(iter);
        } else {
            iter_seek(iter, key_of(at + 5, key));
        }
        CHECK(!iter_valid(iter));
        CHECK_EQ(iter_status(iter), STATUS_OK);
        iter_close(iter);
    }
    return rocksdb_perfcontext_metric(work, rocksdb_user_key_comparison_count) / SEEKS;
}

static void cost_case(const char *folder)
{
    rocksdb_perfcontext_t *work = rocksdb_perfcontext_create();
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    put_rows(txn, 0, HIDDEN_ROWS, 1);
    delete_rows(txn);
    rocksdb_set_perf_level(rocksdb_enable_count);
    uint64_t hidden = seek_all(txn, work);
    engine_drain(store);
    uint64_t erased = seek_all(txn, work);
    rocksdb_set_perf_level(rocksdb_disable);
    fprintf(stderr, "comparisons per seek: %llu, later %llu\n", (unsigned long long)hidden,
            (unsigned long long)erased);
    CHECK(hidden > 0 && hidden < COMPARISONS_MAX);
    CHECK(erased < COMPARISONS_MAX);
    txn_free(txn);
    store_close(store);
    rocksdb_perfcontext_destroy(work);
}

TEST(iter_seek_for_prev, does_not_walk_over_rows_of_deleted_ranges)
{
    run(cost_case);
}

static void view_case(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    put_rows(txn, 0, HIDDEN_ROWS, 1);
    struct txn *before = txn_view(store);
    delete_rows(txn);
    put_rows(txn, 0, HIDDEN_ROWS, 1000);
    struct txn *after = txn_view(store);
    CHECK_EQ(store_flush(store), STATUS_OK);
    CHECK_EQ(count_rows(before, STATUS_OK), HIDDEN_ROWS);
    CHECK_EQ(count_rows(after, STATUS_OK), HIDDEN_ROWS / 1000);
    CHECK_EQ(count_rows(txn, STATUS_OK), HIDDEN_ROWS / 1000);
    txn_set_cache_only(txn, true);
    CHECK_EQ(count_rows(txn, STATUS_AGAIN), 0);
    txn_set_cache_only(txn, false);
    txn_free(before);
    engine_drain(store);
    CHECK_EQ(count_rows(after, STATUS_OK), HIDDEN_ROWS / 1000);
    CHECK_EQ(count_rows(txn, STATUS_OK), HIDDEN_ROWS / 1000);
    txn_set_cache_only(txn, true);
    CHECK_EQ(count_rows(txn, STATUS_OK), HIDDEN_ROWS / 1000);
    txn_free(after);
    txn_free(txn);
    store_close(store);
}

TEST(txn_view, sees_one_moment_while_ranges_are_erased)
{
    run(view_case);
}

/* flushed: else the deletion may be lost with the crash, and its row on the list then too. */
static void reopen(const char *folder, bool flushed)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    put_rows(txn, 0, HIDDEN_ROWS, 1);
    CHECK_EQ(store_flush(store), STATUS_OK);
    struct txn *view = txn_view(store); /* Keeps the rows from being erased. */
    delete_rows(txn);
    if (flushed) {
        CHECK_EQ(store_flush(store), STATUS_OK);
    }
    txn_free(view);
    txn_free(txn);
    store_close(store);
    store = open_store(folder);
    txn = txn_new(store);
    /* The eraser may have flushed it. */
    int expected = count_rows(txn, STATUS_OK);
    CHECK(expected == 0 || (expected == HIDDEN_ROWS && !flushed));
    engine_drain(store);
    CHECK_EQ(count_rows(txn, STATUS_OK), expected);
    txn_free(txn);
    store_close(store);
}

static void flushed_case(const char *folder)
{
    reopen(folder, true);
}

static void lost_case(const char *folder)
{
    reopen(folder, false);
}

TEST(store_open, goes_on_with_what_is_to_be_erased)
{
    run(flushed_case);
}

TEST(store_open, knows_nothing_of_deletions_that_were_lost)
{
    run(lost_case);
}

/* A store that was written before there was a list. */
static void old_case(const char *folder)
{
    char *error = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_writeoptions_t *writes = rocksdb_writeoptions_create();
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_t *db = rocksdb_open(options, folder, &error);
    rocksdb_put(db, writes, "Drow1", 5, "x", 1, &error);
    rocksdb_flush(db, flush, &error);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, "Drow", 4, "Drox", 4);
    rocksdb_writebatch_put(batch, "Drow2", 5, "x", 1);
    rocksdb_write(db, writes, batch, &error);
    rocksdb_flush(db, flush, &error);
    CHECK(error == NULL);
    rocksdb_close(db);
    rocksdb_writebatch_destroy(batch);
    rocksdb_flushoptions_destroy(flush);
    rocksdb_writeoptions_destroy(writes);
    rocksdb_options_destroy(options);
    for (int i = 0; i < 2; i++) {
        struct store *store = open_store(folder);
        struct txn *txn = txn_new(store);
        CHECK_EQ(count_rows(txn, STATUS_OK), 1);
        engine_drain(store);
        CHECK_EQ(count_rows(txn, STATUS_OK), 1);
        txn_free(txn);
        store_close(store);
    }
}

TEST(store_open, erases_what_older_stores_left)
{
    run(old_case);
}

/* Several files side by side in the last level: what is ingested apart stays apart. */
static void fill_files(const char *folder)
{
    char path[PATH_SIZE];
    char dir[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/from", folder);
    (void)snprintf(dir, sizeof(dir), "%s/files", folder);
    CHECK_EQ(disk_make_folder(dir), STATUS_OK);
    struct store *from = open_store(path);
    struct txn *txn = txn_new(from);
    put_rows(txn, 0, FILES * FILE_ROWS, 2);
    struct txn *view = txn_view(from);
    (void)snprintf(path, sizeof(path), "%s/to", folder);
    struct store *to = open_store(path);
    for (int i = 0; i < FILES; i++) {
        char low[KEY_SIZE];
        char high[KEY_SIZE];
        struct store_range range = {.family = STORE_DATA,
                                    .from = key_of(i * FILE_ROWS, low),
                                    .to = key_of((i + 1) * FILE_ROWS, high)};
        int len = snprintf(path, sizeof(path), "%s/%s-0.sst", dir, low);
        CHECK(len > 0 && (size_t)len < sizeof(path));
        struct store_export *export = store_export_begin(view, &range, UINT64_MAX);
        enum export_progress progress = EXPORT_GOES_ON;
        CHECK_EQ(store_export_step(export, path, UINT64_MAX, &progress), STATUS_OK);
        CHECK_EQ(progress, EXPORT_ENDED);
        store_export_end(export);
        const char *name = path;
        CHECK_EQ(store_ingest(to, &range, &name, 1), STATUS_OK);
        engine_drain(to);
    }
    CHECK_EQ(store_flush(to), STATUS_OK);
    txn_free(view);
    txn_free(txn);
    store_close(from);
    store_close(to);
}

static void touch(struct txn *txn, int n)
{
    struct buf value;
    char key[KEY_SIZE];
    buf_init(&value, VALUE_SIZE);
    CHECK_EQ(txn_get(txn, STORE_DATA, key_of(n & ~1, key), &value), STATUS_OK);
    buf_deinit(&value);
}

/* Rows are at even numbers from <= n < to. What is shown is right up to where the walk ends, and
 * all of it if that is said to be the end. */
static bool walk(struct txn *txn, int from, int to, bool backward)
{
    char lower[KEY_SIZE];
    char upper[KEY_SIZE];
    char key[KEY_SIZE];
    int next = backward ? (to - 1) & ~1 : (from + 1) & ~1;
    struct store_iter *iter = iter_open(txn, STORE_DATA, key_of(from, lower), key_of(to, upper));
    if (backward) {
        iter_seek_last(iter);
    }
    while (iter_valid(iter)) {
        CHECK(slice_equal(iter_key(iter), key_of(next, key)));
        next += backward ? -2 : 2;
        if (backward) {
            iter_prev(iter);
        } else {
            iter_next(iter);
        }
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    CHECK(status == STATUS_OK || status == STATUS_AGAIN);
    CHECK(status == STATUS_AGAIN || (backward ? next < from : next >= to));
    return status == STATUS_OK;
}

static void cold_walks(struct store *store, uint64_t seed, int whole[2])
{
    struct txn *txn = txn_new(store);
    struct rand rand;
    rand_init(&rand, seed);
    /* A file of other rows, through which each walk has to pass. */
    (void)walk(txn, FILES * FILE_ROWS + 1, FILES * FILE_ROWS + 2, false);
    for (int i = 0; i < WALKS; i++) {
        int from = (int)rand_below(&rand, FILES * FILE_ROWS - WALK_ROWS_MAX);
        int to = from + 2 + (int)rand_below(&rand, WALK_ROWS_MAX - 2);
        bool backward = rand_below(&rand, 2) == 0;
        if (i % 4 == 0) {
            touch(txn, from + (int)rand_below(&rand, (uint64_t)(to - from)));
        }
        txn_set_cache_only(txn, true);
        whole[backward] += walk(txn, from, to, backward) ? 1 : 0;
        txn_set_cache_only(txn, false);
    }
    txn_free(txn);
}

static void cold_case(const char *folder)
{
    char path[PATH_SIZE];
    fill_files(folder);
    (void)snprintf(path, sizeof(path), "%s/to", folder);
    int whole[2] = {0, 0};
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct store *store = open_store(path); /* Nothing is in memory. */
        cold_walks(store, seed, whole);
        store_close(store);
    }
    CHECK(whole[0] > 100 && whole[0] < 5 * WALKS / 2);
    CHECK(whole[1] > 100 && whole[1] < 5 * WALKS / 2);
}

TEST(iter_status, says_again_where_a_walk_comes_to_a_file_that_is_not_in_memory)
{
    run(cold_case);
}
