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
