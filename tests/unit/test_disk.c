#include "common/base/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "tests/support/test.h"

enum { PATH_SIZE = 256 };

struct folder {
    char path[PATH_SIZE];
    char file[PATH_SIZE];
    char sub[PATH_SIZE];
};

static struct folder folder_make(void)
{
    struct folder folder;
    char path[] = "/tmp/test_disk.XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    (void)snprintf(folder.path, PATH_SIZE, "%s", path);
    (void)snprintf(folder.file, PATH_SIZE, "%s/file", path);
    (void)snprintf(folder.sub, PATH_SIZE, "%s/one/two", path);
    log_set_level(LOG_ERROR);
    return folder;
}

static void folder_remove(const struct folder *folder)
{
    (void)unlink(folder->file);
    CHECK_EQ(rmdir(folder->path), 0);
}

TEST(disk_open, does_not_find_what_is_not_there)
{
    struct folder folder = folder_make();
    struct disk_file *file;
    CHECK_EQ(disk_open(folder.file, DISK_READ, &file), STATUS_NOT_FOUND);
    CHECK_EQ(disk_open(folder.file, DISK_WRITE, &file), STATUS_NOT_FOUND);
    CHECK_EQ(disk_open(folder.sub, DISK_CREATE, &file), STATUS_NOT_FOUND);
    CHECK(!disk_exists(folder.file));
    folder_remove(&folder);
}

TEST(disk_write, reads_back_and_keeps_what_it_did_not_touch)
{
    struct folder folder = folder_make();
    struct disk_file *file;
    CHECK_EQ(disk_open(folder.file, DISK_CREATE, &file), STATUS_OK);
    CHECK_EQ(disk_write(file, 0, "abcdef", 6), STATUS_OK);
    CHECK_EQ(disk_sync(file), STATUS_OK);
    disk_close(file);
    CHECK_EQ(disk_open(folder.file, DISK_WRITE, &file), STATUS_OK);
    CHECK_EQ(disk_write(file, 2, "XY", 2), STATUS_OK);
    char got[6];
    CHECK_EQ(disk_read(file, 0, got, 6), STATUS_OK);
    CHECK_BYTES(slice_of(got, 6), "abXYef");
    CHECK_EQ(disk_read(file, 1, got, 6), STATUS_NOT_FOUND);
    disk_close(file);
    CHECK_EQ(disk_open(folder.file, DISK_CREATE, &file), STATUS_OK);
    uint64_t size = 1;
    CHECK_EQ(disk_size(file, &size), STATUS_OK);
    CHECK_EQ(size, 0);
    disk_close(file);
    folder_remove(&folder);
}

/* Whole pages past the cache and parts of pages through it, in one file: each sees the other's. */
TEST(disk_set_direct, mixes_with_the_page_cache)
{
    struct folder folder = folder_make();
    struct disk_file *file;
    uint8_t *pages = aligned_alloc(DISK_PAGE_SIZE, (size_t)3 * DISK_PAGE_SIZE);
    uint8_t *expected = calloc(3, DISK_PAGE_SIZE);
    uint8_t *got = malloc((size_t)3 * DISK_PAGE_SIZE);
    CHECK(pages != NULL && expected != NULL && got != NULL);
    CHECK_EQ(disk_open(folder.file, DISK_CREATE, &file), STATUS_OK);
    disk_set_direct(file);
    CHECK_EQ(disk_fill(file, (uint64_t)3 * DISK_PAGE_SIZE), STATUS_OK);
    for (unsigned round = 0; round < 64; round++) {
        size_t at = round * 991 % (2 * DISK_PAGE_SIZE);
        size_t page = round % 2;
        memset(pages, 'a' + (int)(round % 26), (size_t)2 * DISK_PAGE_SIZE);
        bool whole = round % 3 != 0;
        uint64_t offset = whole ? page * DISK_PAGE_SIZE : at;
        size_t len = whole ? (1 + round % 2) * (size_t)DISK_PAGE_SIZE : 1 + round * 37;
        memcpy(expected + offset, pages, len);
        CHECK_EQ(disk_write(file, offset, pages, len), STATUS_OK);
        CHECK_EQ(disk_read(file, 0, got, (size_t)3 * DISK_PAGE_SIZE), STATUS_OK);
        CHECK(memcmp(got, expected, (size_t)3 * DISK_PAGE_SIZE) == 0);
    }
    CHECK_EQ(disk_sync(file), STATUS_OK);
    disk_close(file);
    free(pages);
    free(expected);
    free(got);
    folder_remove(&folder);
}

TEST(disk_fill, adds_zeros_behind_and_never_shortens)
{
    struct folder folder = folder_make();
    struct disk_file *file;
    CHECK_EQ(disk_open(folder.file, DISK_CREATE, &file), STATUS_OK);
    CHECK_EQ(disk_write(file, 0, "abc", 3), STATUS_OK);
    CHECK_EQ(disk_fill(file, 300001), STATUS_OK);
    CHECK_EQ(disk_fill(file, 10), STATUS_OK);
    uint64_t size;
    CHECK_EQ(disk_size(file, &size), STATUS_OK);
    CHECK_EQ(size, 300001);
    char got[4] = "....";
    CHECK_EQ(disk_read(file, 0, got, 4), STATUS_OK);
    CHECK(memcmp(got, "abc\0", 4) == 0);
    CHECK_EQ(disk_read(file, 300000, got, 1), STATUS_OK);
    CHECK_EQ(got[0], 0);
    disk_close(file);
    folder_remove(&folder);
}

static void on_name(void *arg, const char *name)
{
    CHECK(strcmp(name, "file") == 0);
    ++*(unsigned *)arg;
}

TEST(disk_replace_file, puts_new_bytes_in_place_of_the_old)
{
    struct folder folder = folder_make();
    CHECK_EQ(disk_replace_file(folder.file, slice_str("old and long")), STATUS_OK);
    CHECK_EQ(disk_replace_file(folder.file, slice_str("new")), STATUS_OK);
    struct buf got;
    buf_init(&got, 4);
    buf_append_text(&got, "a");
    CHECK_EQ(disk_read_file(folder.file, &got), STATUS_OK);
    CHECK_BYTES(buf_slice(&got), "anew");
    CHECK_EQ(disk_read_file(folder.file, &got), STATUS_TOO_BIG);
    CHECK_EQ(got.len, 4);
    buf_deinit(&got);
    unsigned names = 0;
    CHECK_EQ(disk_list(folder.path, on_name, &names), STATUS_OK);
    CHECK_EQ(names, 1);
    folder_remove(&folder);
}

TEST(disk_make_folder, makes_parents_and_takes_what_is_there)
{
    struct folder folder = folder_make();
    CHECK_EQ(disk_make_folder(folder.sub), STATUS_OK);
    CHECK_EQ(disk_make_folder(folder.sub), STATUS_OK);
    CHECK(disk_exists(folder.sub));
    CHECK_EQ(disk_sync_folder(folder.sub), STATUS_OK);
    uint64_t bytes = 0;
    CHECK_EQ(disk_free(folder.sub, &bytes), STATUS_OK);
    CHECK(bytes > 0);
    CHECK_EQ(rmdir(folder.sub), 0);
    folder.sub[strlen(folder.sub) - 4] = '\0';
    CHECK_EQ(rmdir(folder.sub), 0);
    unsigned names = 0;
    CHECK_EQ(disk_list(folder.sub, on_name, &names), STATUS_NOT_FOUND);
    CHECK_EQ(disk_sync_folder(folder.sub), STATUS_NOT_FOUND);
    folder_remove(&folder);
}

TEST(disk_make_folder, refuses_a_file_in_the_way)
{
    struct folder folder = folder_make();
    CHECK_EQ(disk_replace_file(folder.file, slice_str("x")), STATUS_OK);
    CHECK_EQ(disk_make_folder(folder.file), STATUS_IO);
    folder_remove(&folder);
}

TEST(disk_rename, moves_a_file)
{
    struct folder folder = folder_make();
    char to[PATH_SIZE + 8];
    (void)snprintf(to, sizeof(to), "%s.to", folder.file);
    CHECK_EQ(disk_replace_file(folder.file, slice_str("x")), STATUS_OK);
    CHECK_EQ(disk_rename(folder.file, to), STATUS_OK);
    CHECK(!disk_exists(folder.file) && disk_exists(to));
    CHECK_EQ(disk_rename(folder.file, to), STATUS_NOT_FOUND);
    CHECK_EQ(disk_unlink(to), STATUS_OK);
    CHECK_EQ(disk_unlink(to), STATUS_NOT_FOUND);
    folder_remove(&folder);
}
