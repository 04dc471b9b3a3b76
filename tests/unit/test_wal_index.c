#include "replication/log/wal_index.h"

#include "tests/support/test.h"

enum { SIZE = 64, GROUP = 4 };

static void put(struct wal_index *index,
                enum wal_record_type type,
                uint64_t first,
                uint32_t count,
                uint32_t segment)
{
    struct wal_record record = {.type = type, .group = GROUP, .index = first, .count = count};
    wal_index_apply(index, &record, segment, 4096, SIZE);
}

static void check_run(
    const struct wal_index *index, uint32_t i, uint64_t first, uint32_t count, uint32_t segment)
{
    const struct wal_index_group *group = wal_index_find(index, GROUP);
    CHECK(group != NULL);
    CHECK(i < group->count);
    CHECK_EQ(wal_index_run(group, i)->first, first);
    CHECK_EQ(wal_index_run(group, i)->count, count);
    CHECK_EQ(wal_index_run(group, i)->segment, segment);
}

static uint32_t runs(const struct wal_index *index)
{
    return wal_index_find(index, GROUP)->count;
}

TEST(wal_index_apply, counts_what_is_live_per_segment)
{
    struct wal_index index;
    wal_index_init(&index);
    put(&index, WAL_ENTRIES, 1, 5, 1);
    put(&index, WAL_ENTRIES, 6, 5, 1);
    put(&index, WAL_ENTRIES, 11, 5, 2);
    CHECK_EQ(wal_index_usage(&index, 1).items, 2);
    CHECK_EQ(wal_index_usage(&index, 1).bytes, 2 * SIZE);
    CHECK_EQ(index.bytes, 3 * SIZE);
    put(&index, WAL_COMPACT, 5, 0, 2);
    CHECK_EQ(wal_index_usage(&index, 1).items, 1);
    put(&index, WAL_COMPACT, 9, 0, 2);
    CHECK_EQ(wal_index_usage(&index, 1).items, 1);
    put(&index, WAL_COMPACT, 10, 0, 2);
    CHECK_EQ(wal_index_usage(&index, 1).items, 0);
    wal_index_forget(&index, 1);
    CHECK_EQ(wal_index_usage(&index, 2).items, 1);
    put(&index, WAL_DROP, 0, 0, 3);
    CHECK_EQ(wal_index_usage(&index, 2).items, 0);
    CHECK_EQ(index.bytes, 0);
    CHECK(wal_index_find(&index, GROUP) == NULL);
    wal_index_deinit(&index);
}

TEST(wal_index_apply, cuts_a_run_in_the_middle)
{
    struct wal_index index;
    wal_index_init(&index);
    put(&index, WAL_ENTRIES, 1, 5, 1);
    put(&index, WAL_ENTRIES, 6, 5, 1);
    put(&index, WAL_TRUNCATE, 4, 0, 2);
    CHECK_EQ(runs(&index), 1);
    check_run(&index, 0, 1, 3, 1);
    put(&index, WAL_ENTRIES, 3, 4, 2);
    check_run(&index, 0, 1, 2, 1);
    check_run(&index, 1, 3, 4, 2);
    CHECK_EQ(wal_index_last(wal_index_find(&index, GROUP)), 6);
    wal_index_deinit(&index);
}

TEST(wal_index_apply, puts_moved_entries_in_place_of_the_old)
{
    struct wal_index index;
    wal_index_init(&index);
    put(&index, WAL_ENTRIES, 1, 10, 1);
    put(&index, WAL_ENTRIES, 11, 10, 2);
    put(&index, WAL_MOVED, 4, 3, 9);
    CHECK_EQ(runs(&index), 4);
    check_run(&index, 0, 1, 3, 1);
    check_run(&index, 1, 4, 3, 9);
    check_run(&index, 2, 7, 4, 1);
    check_run(&index, 3, 11, 10, 2);
    put(&index, WAL_MOVED, 1, 20, 10);
    CHECK_EQ(runs(&index), 1);
    check_run(&index, 0, 1, 20, 10);
    CHECK_EQ(wal_index_usage(&index, 1).items, 0);
    CHECK_EQ(wal_index_usage(&index, 2).items, 0);
    CHECK_EQ(wal_index_usage(&index, 9).items, 0);
    CHECK_EQ(wal_index_usage(&index, 10).items, 1);
    wal_index_deinit(&index);
}

TEST(wal_index_finish, keeps_the_last_unbroken_stretch)
{
    struct wal_index index;
    wal_index_init(&index);
    put(&index, WAL_ENTRIES, 20, 5, 3);
    put(&index, WAL_ENTRIES, 25, 5, 3);
    put(&index, WAL_MOVED, 1, 3, 4);
    put(&index, WAL_MOVED, 10, 10, 4);
    CHECK_EQ(runs(&index), 4);
    wal_index_finish(&index);
    CHECK_EQ(runs(&index), 3);
    check_run(&index, 0, 10, 10, 4);
    wal_index_deinit(&index);
}

TEST(wal_index_apply, goes_on_behind_a_gap_once_recovered)
{
    struct wal_index index;
    wal_index_init(&index);
    put(&index, WAL_ENTRIES, 1, 5, 1);
    wal_index_finish(&index);
    put(&index, WAL_ENTRIES, 9, 2, 2);
    CHECK_EQ(runs(&index), 1);
    check_run(&index, 0, 9, 2, 2);
    CHECK_EQ(wal_index_usage(&index, 1).items, 0);
    wal_index_deinit(&index);
}

TEST(wal_index_apply, keeps_votes_and_bases_live_where_they_were_last_written)
{
    struct wal_index index;
    wal_index_init(&index);
    struct wal_record vote = {.type = WAL_VOTE, .group = GROUP, .term = 3, .vote = 2};
    struct wal_record base = {
        .type = WAL_RESET, .group = GROUP, .index = 7, .base_term = 2, .data = slice_str("data")};
    wal_index_apply(&index, &vote, 1, 4096, 40);
    wal_index_apply(&index, &base, 1, 4136, 48);
    put(&index, WAL_ENTRIES, 8, 1, 1);
    CHECK_EQ(wal_index_usage(&index, 1).items, 3);
    struct wal_record state = {.type = WAL_STATE,
                               .group = GROUP,
                               .term = 3,
                               .vote = 2,
                               .index = 7,
                               .base_term = 2,
                               .data = slice_str("data")};
    const uint8_t *data = wal_index_find(&index, GROUP)->base_data;
    wal_index_apply(&index, &state, 2, 4096, 64);
    CHECK_EQ(wal_index_usage(&index, 1).items, 1);
    CHECK_EQ(wal_index_usage(&index, 2).items, 2);
    CHECK(wal_index_find(&index, GROUP)->base_data == data);
    CHECK_EQ(runs(&index), 1);
    base.index = 100;
    wal_index_apply(&index, &base, 3, 4096, 48);
    CHECK_EQ(runs(&index), 0);
    CHECK_EQ(wal_index_last(wal_index_find(&index, GROUP)), 100);
    CHECK_EQ(wal_index_find(&index, GROUP)->term, 3);
    wal_index_deinit(&index);
}

TEST(wal_index_seek, finds_the_run_of_an_entry)
{
    struct wal_index index;
    wal_index_init(&index);
    for (uint32_t i = 0; i < 1000; i++) {
        put(&index, WAL_ENTRIES, 10 + i * 3, 3, 1);
    }
    const struct wal_index_group *group = wal_index_find(&index, GROUP);
    CHECK_EQ(wal_index_seek(group, 0), 0);
    CHECK_EQ(wal_index_seek(group, 12), 0);
    CHECK_EQ(wal_index_seek(group, 13), 1);
    CHECK_EQ(wal_index_seek(group, 3009), 999);
    CHECK_EQ(wal_index_seek(group, 3010), 1000);
    put(&index, WAL_COMPACT, 3009 - 3, 0, 1);
    CHECK_EQ(group->count, 1);
    CHECK(group->size < 100);
    wal_index_deinit(&index);
}

TEST(wal_index_apply, uses_the_place_of_a_dropped_group_again)
{
    struct wal_index index;
    wal_index_init(&index);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t id = 1; id <= 100; id++) {
            struct wal_record record = {.type = WAL_VOTE, .group = round * 1000 + id, .term = 1};
            wal_index_apply(&index, &record, 1, 4096, 40);
        }
        for (uint64_t id = 1; id <= 100; id++) {
            struct wal_record record = {.type = WAL_DROP, .group = round * 1000 + id};
            wal_index_apply(&index, &record, 1, 4096, 24);
        }
    }
    CHECK_EQ(index.slots_count, 100);
    CHECK_EQ(wal_index_usage(&index, 1).items, 0);
    wal_index_deinit(&index);
}
