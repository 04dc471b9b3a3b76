#include <stdio.h>
#include <stdlib.h>

#include "tests/support/engine_cases.h"
#include "tests/support/engine_model.h"
#include "tests/support/test.h"

/* The folders lie where the test is started, and are kept for a look after a failure. */
static void run(void (*engine_case)(const char *folder))
{
    char folder[] = "store-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    engine_case(folder);
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    CHECK_EQ(system(command), 0);
}

TEST(txn_get, reads_own_writes)
{
    run(engine_case_reads_own_writes);
}

TEST(store_flush, makes_commits_durable)
{
    run(engine_case_commits_and_reopens);
}

TEST(store_close, does_not_flush)
{
    run(engine_case_forgets_unflushed);
}

TEST(txn_delete_range, hides_and_deletes)
{
    run(engine_case_deletes_ranges);
}

TEST(txn_mark, takes_back_or_keeps)
{
    run(engine_case_marks);
}

TEST(store_iter, merges_own_rows)
{
    run(engine_case_iterates);
}

TEST(store_iter, walks_backward_and_turns)
{
    run(engine_case_walks_backward);
}

TEST(store_iter, sees_the_newest_state_at_every_open)
{
    run(engine_case_walks_anew);
}

enum { COLD_ROWS = 4000 };

static size_t count_rows(struct txn *txn, bool cache_only, enum status wanted)
{
    size_t count = 0;
    txn_set_cache_only(txn, cache_only);
    struct store_iter *iter = iter_open(txn, STORE_DATA, slice_str("k"), slice_str("l"));
    for (; iter_valid(iter); iter_next(iter)) {
        count++;
    }
    CHECK_EQ(iter_status(iter), wanted);
    /* A later seek does not make it right. */
    iter_seek_last(iter);
    CHECK_EQ(iter_status(iter), wanted);
    iter_close(iter);
    return count;
}

static void cold_case(const char *folder)
{
    struct store_options options = {.cache_size = 8 << 20, .memtable_size = 8 << 20};
    struct store *store = NULL;
    CHECK_EQ(store_open(folder, &options, &store), STATUS_OK);
    struct txn *txn = txn_new(store);
    for (int n = 0; n < COLD_ROWS; n++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%06d", n);
        txn_put(txn, STORE_DATA, slice_str(key), slice_str("a value that takes some room"));
    }
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    CHECK_EQ(store_flush(store), STATUS_OK);
    txn_free(txn);
    store_close(store);
    CHECK_EQ(store_open(folder, &options, &store), STATUS_OK);
    txn = txn_new(store);
    CHECK(count_rows(txn, true, STATUS_AGAIN) < COLD_ROWS);
    CHECK(count_rows(txn, true, STATUS_AGAIN) < COLD_ROWS);
    CHECK_EQ(count_rows(txn, false, STATUS_OK), COLD_ROWS);
    CHECK_EQ(count_rows(txn, true, STATUS_OK), COLD_ROWS);
    txn_free(txn);
    store_close(store);
}

TEST(iter_status, tells_that_rows_are_not_in_memory)
{
    run(cold_case);
}

TEST(txn_view, sees_one_moment)
{
    run(engine_case_views);
}

TEST(store_ingest, replaces_the_range)
{
    run(engine_case_exports_and_ingests);
}

static void random_case(const char *folder)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%llu", folder, (unsigned long long)seed);
        engine_model_run(path, seed);
    }
}

TEST(txn, agrees_with_a_model)
{
    run(random_case);
}

TEST(store_open, refuses_what_is_no_folder)
{
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20};
    struct store *store = NULL;
    CHECK_EQ(store_open("/dev/null/store", &options, &store), STATUS_IO);
    CHECK(store == NULL);
}
