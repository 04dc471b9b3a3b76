#include "server/archive/archive.h"

#include <stdio.h>

#include "tests/support/test.h"

static void add(struct archive *archive, uint64_t id, uint64_t start, uint64_t last)
{
    struct archive_shard *shard = archive_add_shard(archive);
    shard->id = id;
    shard->start = start;
    shard->last = last;
    shard->keys = 10 * id;
    for (unsigned i = 0; i < 3; i++) {
        struct archive_file *file = archive_add_file(archive);
        (void)snprintf(file->name, sizeof(file->name), "shard-%u/file-%u", (unsigned)id, i);
        file->kind = (enum archive_kind)i;
        file->size = 1000 + i;
        file->sum = UINT64_MAX - i;
    }
}

static enum status written_and_read(const struct archive *archive, struct archive *got)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    archive_encode(archive, &bytes);
    enum status status = archive_decode(buf_slice(&bytes), got);
    buf_deinit(&bytes);
    return status;
}

TEST(archive, is_read_as_it_was_written)
{
    struct archive archive;
    struct archive got;
    archive_init(&archive);
    (void)snprintf(archive.cluster, sizeof(archive.cluster), "0123456789abcdef0123456789abcdef");
    archive.cut_ms = 12345;
    archive.held_us = 678;
    add(&archive, 7, 0, 99);
    add(&archive, 3, 100, UINT64_MAX);
    CHECK_EQ(written_and_read(&archive, &got), STATUS_OK);
    CHECK_EQ(got.shard_count, 2);
    CHECK_EQ(got.file_count, 6);
    CHECK_EQ(got.cut_ms, 12345);
    CHECK_EQ(got.held_us, 678);
    CHECK_EQ(archive_keys(&got), 100);
    CHECK_EQ(archive_size(&got), 2 * (1000 + 1001 + 1002));
    CHECK_EQ(got.shards[1].start, 100);
    CHECK_EQ(got.shards[1].last, UINT64_MAX);
    CHECK_EQ(got.shards[1].file_first, 3);
    CHECK_EQ(got.files[4].sum, UINT64_MAX - 1);
    CHECK_EQ(got.files[5].kind, ARCHIVE_STATE);
    CHECK(strcmp(got.files[4].name, "shard-3/file-1") == 0);
    CHECK(strcmp(got.cluster, archive.cluster) == 0);
    archive_deinit(&got);
    archive_deinit(&archive);
}

static enum status cover(const uint64_t (*ranges)[2], size_t count)
{
    struct archive archive;
    struct archive got;
    archive_init(&archive);
    (void)snprintf(archive.cluster, sizeof(archive.cluster), "a");
    for (size_t i = 0; i < count; i++) {
        add(&archive, i + 2, ranges[i][0], ranges[i][1]);
    }
    enum status status = written_and_read(&archive, &got);
    if (status == STATUS_OK) {
        archive_deinit(&got);
    }
    archive_deinit(&archive);
    return status;
}

TEST(archive, covers_the_ring_exactly_once)
{
    static const uint64_t whole[][2] = {{0, UINT64_MAX}};
    static const uint64_t parts[][2] = {{0, 5}, {6, 6}, {7, UINT64_MAX}};
    static const uint64_t hole[][2] = {{0, 5}, {7, UINT64_MAX}};
    static const uint64_t twice[][2] = {{0, 5}, {5, UINT64_MAX}};
    static const uint64_t begins_late[][2] = {{1, UINT64_MAX}};
    static const uint64_t ends_early[][2] = {{0, UINT64_MAX - 1}};
    static const uint64_t again[][2] = {{0, UINT64_MAX}, {0, UINT64_MAX}};
    CHECK_EQ(cover(whole, 1), STATUS_OK);
    CHECK_EQ(cover(parts, 3), STATUS_OK);
    CHECK_EQ(cover(hole, 2), STATUS_CORRUPT);
    CHECK_EQ(cover(twice, 2), STATUS_CORRUPT);
    CHECK_EQ(cover(begins_late, 1), STATUS_CORRUPT);
    CHECK_EQ(cover(ends_early, 1), STATUS_CORRUPT);
    CHECK_EQ(cover(again, 2), STATUS_CORRUPT);
    CHECK_EQ(cover(whole, 0), STATUS_CORRUPT);
}

TEST(archive, knows_that_a_byte_was_changed)
{
    struct archive archive;
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    archive_init(&archive);
    (void)snprintf(archive.cluster, sizeof(archive.cluster), "a");
    add(&archive, 2, 0, UINT64_MAX);
    archive_encode(&archive, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        struct archive got;
        bytes.data[i] ^= 1;
        CHECK(archive_decode(buf_slice(&bytes), &got) != STATUS_OK);
        CHECK(archive_decode(slice_of(bytes.data, i), &got) != STATUS_OK);
        bytes.data[i] ^= 1;
    }
    archive_deinit(&archive);
    buf_deinit(&bytes);
}

TEST(archive, is_refused_if_it_is_newer)
{
    struct archive got;
    CHECK_EQ(archive_decode(slice_str("sherd-backup 2\nwhatever\n"), &got), STATUS_NEWER_FORMAT);
}
