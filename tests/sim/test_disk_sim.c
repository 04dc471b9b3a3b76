#include "tests/support/disk_sim.h"

#include "common/base/disk.h"
#include "tests/support/test.h"

#define MACHINE "/sim/node1"

static struct disk_file *make(const char *path, uint64_t size)
{
    struct disk_file *file;
    CHECK_EQ(disk_make_folder(MACHINE), STATUS_OK);
    CHECK_EQ(disk_open(path, DISK_CREATE, &file), STATUS_OK);
    CHECK_EQ(disk_fill(file, size), STATUS_OK);
    CHECK_EQ(disk_sync_folder(MACHINE), STATUS_OK);
    return file;
}

static void write_text(struct disk_file *file, uint64_t offset, const char *text)
{
    CHECK_EQ(disk_write(file, offset, text, strlen(text)), STATUS_OK);
}

static uint8_t byte_at(const char *path, uint64_t offset)
{
    struct disk_file *file;
    uint8_t byte;
    CHECK_EQ(disk_open(path, DISK_READ, &file), STATUS_OK);
    CHECK_EQ(disk_read(file, offset, &byte, 1), STATUS_OK);
    disk_close(file);
    return byte;
}

TEST(disk_write, reads_back_over_pages)
{
    struct disk_file *file = make(MACHINE "/a", 16384);
    char got[6];
    write_text(file, 4094, "across");
    CHECK_EQ(disk_read(file, 4094, got, 6), STATUS_OK);
    CHECK_BYTES(slice_of(got, 6), "across");
    CHECK_EQ(disk_read(file, 16380, got, 6), STATUS_NOT_FOUND);
    disk_close(file);
    disk_sim_reset();
}

TEST(disk_sim_crash, tears_what_was_not_synced_sector_by_sector)
{
    unsigned seen[4] = {0, 0, 0, 0};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rand rand;
        rand_init(&rand, seed);
        struct disk_file *file = make(MACHINE "/a", 8192);
        write_text(file, 0, "s");
        CHECK_EQ(disk_sync(file), STATUS_OK);
        write_text(file, 1, "u");
        write_text(file, 512, "v");
        disk_sim_crash(MACHINE, &rand);
        disk_close(file);
        CHECK_EQ(byte_at(MACHINE "/a", 0), 's');
        bool first = byte_at(MACHINE "/a", 1) == 'u';
        bool second = byte_at(MACHINE "/a", 512) == 'v';
        CHECK(first || byte_at(MACHINE "/a", 1) == 0);
        seen[(first ? 2 : 0) + (second ? 1 : 0)]++;
        disk_sim_reset();
    }
    CHECK(seen[0] > 0 && seen[1] > 0 && seen[2] > 0 && seen[3] > 0);
}

TEST(disk_sim_crash, may_undo_names_until_the_folder_is_synced)
{
    unsigned undone = 0;
    unsigned kept = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rand rand;
        rand_init(&rand, seed);
        disk_close(make(MACHINE "/a", 100));
        CHECK_EQ(disk_rename(MACHINE "/a", MACHINE "/b"), STATUS_OK);
        CHECK(!disk_exists(MACHINE "/a") && disk_exists(MACHINE "/b"));
        disk_sim_crash(MACHINE, &rand);
        CHECK(disk_exists(MACHINE "/a") != disk_exists(MACHINE "/b"));
        undone += disk_exists(MACHINE "/a");
        kept += disk_exists(MACHINE "/b");
        disk_sim_reset();
        disk_close(make(MACHINE "/a", 100));
        CHECK_EQ(disk_rename(MACHINE "/a", MACHINE "/b"), STATUS_OK);
        CHECK_EQ(disk_sync_folder(MACHINE), STATUS_OK);
        disk_sim_crash(MACHINE, &rand);
        CHECK(disk_exists(MACHINE "/b"));
        CHECK_EQ(disk_unlink(MACHINE "/b"), STATUS_OK);
        CHECK_EQ(disk_sync_folder(MACHINE), STATUS_OK);
        disk_sim_crash(MACHINE, &rand);
        CHECK(!disk_exists(MACHINE "/b"));
        disk_sim_reset();
    }
    CHECK(undone > 0 && kept > 0);
}

TEST(disk_sim_crash, leaves_other_machines_alone)
{
    struct rand rand;
    rand_init(&rand, 3);
    CHECK_EQ(disk_make_folder("/sim/node10"), STATUS_OK);
    struct disk_file *other;
    CHECK_EQ(disk_open("/sim/node10/a", DISK_CREATE, &other), STATUS_OK);
    write_text(other, 0, "unsynced");
    for (int i = 0; i < 20; i++) {
        disk_sim_crash(MACHINE, &rand);
    }
    char got[8];
    CHECK_EQ(disk_read(other, 0, got, 8), STATUS_OK);
    disk_close(other);
    disk_sim_reset();
}

TEST(disk_sim_cut, undoes_what_came_after_it)
{
    struct rand rand;
    rand_init(&rand, 3);
    struct disk_file *file = make(MACHINE "/a", 4096);
    disk_sim_cut(MACHINE, 2, &rand);
    write_text(file, 0, "1");
    CHECK_EQ(disk_sync(file), STATUS_OK);
    CHECK(!disk_sim_is_cut(MACHINE));
    write_text(file, 0, "2");
    CHECK(disk_sim_is_cut(MACHINE));
    CHECK_EQ(disk_sync(file), STATUS_OK);
    disk_sim_crash(MACHINE, &rand);
    CHECK(!disk_sim_is_cut(MACHINE));
    disk_close(file);
    CHECK_EQ(byte_at(MACHINE "/a", 0), '1');
    disk_sim_reset();
}

TEST(disk_sim_fail_write, fails_the_one_that_was_ordered)
{
    struct disk_file *file = make(MACHINE "/a", 4096);
    disk_sim_fail_write(MACHINE, 1, STATUS_IO);
    disk_sim_fail_sync(MACHINE, 0, STATUS_IO);
    CHECK_EQ(disk_write(file, 0, "1", 1), STATUS_OK);
    CHECK_EQ(disk_write(file, 0, "2", 1), STATUS_IO);
    CHECK_EQ(disk_write(file, 1, "3", 1), STATUS_OK);
    CHECK_EQ(disk_sync(file), STATUS_IO);
    CHECK_EQ(disk_sync(file), STATUS_OK);
    CHECK_EQ(byte_at(MACHINE "/a", 0), '1');
    disk_close(file);
    disk_sim_reset();
}

TEST(disk_sim_set_free, fills_up)
{
    struct disk_file *file = make(MACHINE "/a", 4096);
    uint64_t bytes;
    disk_sim_set_free(MACHINE, 1000);
    CHECK_EQ(disk_write(file, 4096, "1234", 4), STATUS_OK);
    CHECK_EQ(disk_free(MACHINE, &bytes), STATUS_OK);
    CHECK_EQ(bytes, 996);
    CHECK_EQ(disk_fill(file, 4096 + 1001), STATUS_DISK_FULL);
    CHECK_EQ(disk_write(file, 0, "1234", 4), STATUS_OK);
    disk_close(file);
    disk_sim_reset();
}

TEST(disk_replace_file, holds_old_or_new_wherever_the_power_goes)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rand rand;
        rand_init(&rand, seed);
        CHECK_EQ(disk_make_folder(MACHINE), STATUS_OK);
        CHECK_EQ(disk_replace_file(MACHINE "/id", slice_str("old")), STATUS_OK);
        disk_sim_cut(MACHINE, seed % 6, &rand);
        CHECK_EQ(disk_replace_file(MACHINE "/id", slice_str("new")), STATUS_OK);
        bool cut = disk_sim_is_cut(MACHINE);
        disk_sim_crash(MACHINE, &rand);
        struct buf got;
        buf_init(&got, 3);
        CHECK_EQ(disk_read_file(MACHINE "/id", &got), STATUS_OK);
        bool is_new = slice_equal(buf_slice(&got), slice_str("new"));
        CHECK(is_new || (cut && slice_equal(buf_slice(&got), slice_str("old"))));
        buf_deinit(&got);
        disk_sim_reset();
    }
}
