#include "tests/support/store_memory.h"

#include <stdio.h>

#include "tests/support/engine_cases.h"
#include "tests/support/engine_model.h"
#include "tests/support/test.h"

TEST(store_memory, does_what_an_engine_does)
{
    engine_case_reads_own_writes("/case/own");
    engine_case_commits_and_reopens("/case/commit");
    engine_case_forgets_unflushed("/case/forget");
    engine_case_deletes_ranges("/case/range");
    engine_case_marks("/case/mark");
    engine_case_iterates("/case/iterate");
    engine_case_walks_backward("/case/backward");
    engine_case_walks_anew("/case/anew");
    engine_case_views("/case/view");
    engine_case_exports_and_ingests("/case/export");
    for (uint64_t seed = 1; seed <= 20; seed++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/case/random/%llu", (unsigned long long)seed);
        engine_model_run(path, seed);
    }
    store_memory_wipe("/case");
}

static const struct store_options options = {.cache_size = 1, .memtable_size = 1};

static void commit_number(struct txn *txn, uint8_t n)
{
    txn_put(txn, STORE_DATA, slice_str("data"), slice_of(&n, 1));
    txn_put(txn, STORE_LOCAL, slice_str("applied"), slice_of(&n, 1));
    CHECK_EQ(txn_commit(txn), STATUS_OK);
}

static uint8_t read_number(struct store *store, enum store_family family, const char *key)
{
    struct txn *txn = txn_new(store);
    struct buf value;
    buf_init(&value, 64);
    CHECK_EQ(txn_get(txn, family, slice_str(key), &value), STATUS_OK);
    CHECK_EQ(value.len, 1);
    uint8_t n = value.data[0];
    buf_deinit(&value);
    txn_free(txn);
    return n;
}

TEST(store_memory_crash, keeps_whole_commits_in_order)
{
    struct rand rand;
    rand_init(&rand, 5);
    bool seen_flushed = false;
    bool seen_more = false;
    for (int round = 0; round < 200; round++) {
        struct store *store = NULL;
        CHECK_EQ(store_open("/crash/a", &options, &store), STATUS_OK);
        struct txn *txn = txn_new(store);
        for (uint8_t n = 1; n <= 20; n++) {
            commit_number(txn, n);
            if (n == 10) {
                CHECK_EQ(store_flush(store), STATUS_OK);
            }
        }
        store_memory_crash("/crash", &rand);
        txn_put(txn, STORE_DATA, slice_str("late"), slice_str("x"));
        CHECK_EQ(txn_commit(txn), STATUS_IO);
        CHECK_EQ(store_flush(store), STATUS_IO);
        struct store *again = NULL;
        CHECK_EQ(store_open("/crash/a", &options, &again), STATUS_OK);
        txn_free(txn);
        store_close(store);
        uint8_t n = read_number(again, STORE_DATA, "data");
        CHECK(n >= 10 && n <= 20);
        CHECK_EQ(read_number(again, STORE_LOCAL, "applied"), n);
        seen_flushed |= n == 10;
        seen_more |= n > 10;
        store_close(again);
        store_memory_wipe("/crash");
    }
    CHECK(seen_flushed && seen_more);
}

TEST(store_memory_hash, tells_states_apart)
{
    struct store *a = NULL;
    struct store *b = NULL;
    CHECK_EQ(store_open("/hash/a", &options, &a), STATUS_OK);
    CHECK_EQ(store_open("/hash/b", &options, &b), STATUS_OK);
    struct txn *in_a = txn_new(a);
    struct txn *in_b = txn_new(b);
    commit_number(in_a, 1);
    commit_number(in_b, 2);
    CHECK(store_memory_hash(a, STORE_DATA) != store_memory_hash(b, STORE_DATA));
    commit_number(in_b, 1);
    CHECK(store_memory_hash(a, STORE_DATA) == store_memory_hash(b, STORE_DATA));
    txn_free(in_a);
    txn_free(in_b);
    store_close(a);
    store_close(b);
    store_memory_wipe("/hash");
}
