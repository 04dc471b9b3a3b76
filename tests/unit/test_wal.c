/* The shared log on real files. */

#include "replication/log/wal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/disk.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "replication/log/wal_segment.h"
#include "tests/support/test.h"

enum { PATH_SIZE = 256, FILE_PATH_SIZE = 512 };

struct folder {
    char path[PATH_SIZE];
};

static struct folder folder_make(void)
{
    struct folder folder = {.path = "/tmp/test_wal.XXXXXX"};
    CHECK(mkdtemp(folder.path) != NULL);
    log_set_level(LOG_ERROR);
    return folder;
}

static void on_name_unlink(void *arg, const char *name)
{
    char path[FILE_PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/%s", ((struct folder *)arg)->path, name);
    CHECK_EQ(disk_unlink(path), STATUS_OK);
}

static void folder_remove(struct folder *folder)
{
    CHECK_EQ(disk_list(folder->path, on_name_unlink, folder), STATUS_OK);
    CHECK_EQ(rmdir(folder->path), 0);
}

static void file_path(const struct folder *folder, uint64_t sequence, char path[FILE_PATH_SIZE])
{
    (void)snprintf(path, FILE_PATH_SIZE, "%s/%016llx.log", folder->path,
                   (unsigned long long)sequence);
}

static struct wal *open_log(const struct folder *folder, uint64_t segment_size)
{
    struct wal_options options = {.segment_size = segment_size, .spares_max = 2};
    struct wal *wal;
    CHECK_EQ(wal_open(folder->path, &options, &wal), STATUS_OK);
    return wal;
}

static enum status try_open(const struct folder *folder)
{
    struct wal_options options = {.segment_size = 65536, .spares_max = 2};
    struct wal *wal;
    enum status status = wal_open(folder->path, &options, &wal);
    if (status == STATUS_OK) {
        wal_abandon(wal);
    }
    return status;
}

static void on_wake(void *arg)
{
    if (arg != NULL) {
        ++*(unsigned *)arg;
    }
}

static uint64_t append(struct wal_port *port, uint64_t group, uint64_t index, const char *text)
{
    struct wal_entry entry = {.term = 2, .type = 1, .data = slice_str(text)};
    return wal_port_append(port, group, index, &entry, 1);
}

static void submit(struct wal *wal, struct wal_port *port)
{
    wal_port_submit(port);
    CHECK(wal_step(wal));
}

static void crash(struct wal *wal, struct wal_port *port)
{
    wal_port_close(port);
    wal_abandon(wal);
}

/* Texts of entries, one after the other with a space behind each. */
struct text {
    char at[4096];
    size_t len;
};

static void on_entry(void *arg, uint64_t index, const struct wal_entry *entry)
{
    struct text *text = arg;
    text->len += (size_t)snprintf(text->at + text->len, sizeof(text->at) - text->len, "%llu:%.*s ",
                                  (unsigned long long)index, (int)entry->data.len,
                                  entry->data.len == 0 ? "" : (const char *)entry->data.data);
    CHECK(text->len < sizeof(text->at));
}

static void check_entries(struct wal *wal, uint64_t group, uint64_t from, const char *want)
{
    struct text text = {.len = 0};
    CHECK_EQ(wal_load(wal, group, from, on_entry, &text), STATUS_OK);
    CHECK_BYTES(slice_of(text.at, text.len), want);
}

TEST(wal_open, finds_what_was_written)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 65536);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    CHECK_EQ(wal_port_reset(port, 5, 10, 1, slice_str("conf")), 1);
    CHECK_EQ(wal_port_vote(port, 5, 4, 77), 2);
    CHECK_EQ(append(port, 5, 11, "a"), 3);
    CHECK_EQ(append(port, 5, 12, "b"), 4);
    CHECK_EQ(append(port, 6, 1, "other"), 5);
    CHECK_EQ(wal_port_truncate(port, 5, 12), 6);
    CHECK_EQ(append(port, 5, 12, "c"), 7);
    CHECK_EQ(wal_port_drop(port, 6), 8);
    CHECK_EQ(wal_port_durable(port), 0);
    submit(wal, port);
    CHECK_EQ(wal_port_durable(port), 8);
    check_entries(wal, 5, 0, "11:a 12:c ");
    crash(wal, port);

    wal = open_log(&folder, 65536);
    struct wal_group group;
    CHECK(!wal_find_group(wal, 6, &group));
    size_t at = 0;
    CHECK(wal_next_group(wal, &at, &group));
    CHECK_EQ(group.id, 5);
    CHECK_EQ(group.term, 4);
    CHECK_EQ(group.vote, 77);
    CHECK_EQ(group.base_index, 10);
    CHECK_EQ(group.base_term, 1);
    CHECK_BYTES(group.base_data, "conf");
    CHECK_EQ(group.first_index, 11);
    CHECK_EQ(group.last_index, 12);
    CHECK(!wal_next_group(wal, &at, &group));
    check_entries(wal, 5, 0, "11:a 12:c ");
    check_entries(wal, 5, 12, "12:c ");
    check_entries(wal, 5, 13, "");
    struct text text = {.len = 0};
    CHECK_EQ(wal_load(wal, 6, 0, on_entry, &text), STATUS_NOT_FOUND);
    wal_abandon(wal);
    folder_remove(&folder);
}

TEST(wal_port_reset, drops_entries_and_keeps_the_vote)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 65536);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    (void)wal_port_vote(port, 5, 4, 77);
    (void)append(port, 5, 1, "a");
    (void)wal_port_reset(port, 5, 100, 3, slice_of(NULL, 0));
    submit(wal, port);
    crash(wal, port);
    wal = open_log(&folder, 65536);
    struct wal_group group;
    CHECK(wal_find_group(wal, 5, &group));
    CHECK_EQ(group.term, 4);
    CHECK_EQ(group.first_index, 101);
    CHECK_EQ(group.last_index, 100);
    check_entries(wal, 5, 0, "");
    wal_abandon(wal);
    folder_remove(&folder);
}

TEST(wal_step, wakes_each_port_once_and_only_after_it_submitted)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 65536);
    unsigned woken[2] = {0, 0};
    struct wal_port *a = wal_port_open(wal, on_wake, &woken[0]);
    struct wal_port *b = wal_port_open(wal, on_wake, &woken[1]);
    CHECK(!wal_step(wal));
    (void)append(a, 1, 1, "x");
    CHECK(!wal_step(wal));
    wal_port_submit(a);
    (void)append(a, 1, 2, "y");
    wal_port_submit(a);
    (void)append(a, 1, 3, "z");
    CHECK(wal_step(wal));
    CHECK_EQ(woken[0], 1);
    CHECK_EQ(woken[1], 0);
    CHECK_EQ(wal_port_durable(a), 2);
    struct wal_stats stats;
    wal_stats(wal, &stats);
    CHECK_EQ(stats.syncs, 1);
    CHECK_EQ(stats.records, 2);
    CHECK(!wal_step(wal));
    wal_port_close(a);
    wal_port_close(b);
    wal_close(wal);
    folder_remove(&folder);
}

TEST(wal_port_close, leaves_what_was_submitted_to_be_written)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 65536);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    (void)append(port, 1, 1, "kept");
    wal_port_submit(port);
    (void)append(port, 1, 2, "never submitted");
    wal_port_close(port);
    wal_close(wal);
    wal = open_log(&folder, 65536);
    check_entries(wal, 1, 0, "1:kept ");
    wal_abandon(wal);
    folder_remove(&folder);
}

/* 32 bytes, then four records of 24 + 16 + 16 + 8. */
enum { BATCH = 32 + 4 * 64, THIRD_BATCH = WAL_SEGMENT_START + 2 * BATCH };

/* Three batches of four records; a copy of the file is cut short at every byte of the last one, and
 * in another copy everything from there on is garbage. */
static void check_tail(struct slice file, size_t cut, bool garbage)
{
    struct folder copy = folder_make();
    char path[FILE_PATH_SIZE];
    file_path(&copy, 1, path);
    uint8_t *bytes = malloc(file.len);
    CHECK(bytes != NULL);
    memcpy(bytes, file.data, file.len);
    memset(bytes + cut, garbage ? 0xa5 : 0, file.len - cut);
    size_t len = cut % 2 == 0 || garbage ? file.len : cut;
    CHECK_EQ(disk_replace_file(path, slice_of(bytes, len)), STATUS_OK);
    free(bytes);
    struct wal *wal = open_log(&copy, 65536);
    struct wal_group group;
    CHECK(wal_find_group(wal, 1, &group));
    size_t third = THIRD_BATCH;
    size_t whole = cut < third + 32 ? 0 : (cut - third - 32) / 64;
    CHECK_EQ(group.last_index, 8 + whole);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    (void)append(port, 1, group.last_index + 1, "afterwd");
    submit(wal, port);
    crash(wal, port);
    wal = open_log(&copy, 65536);
    CHECK(wal_find_group(wal, 1, &group));
    CHECK_EQ(group.last_index, 9 + whole);
    wal_abandon(wal);
    folder_remove(&copy);
}

static struct buf write_three_batches(struct folder *folder)
{
    struct wal *wal = open_log(folder, 65536);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    for (uint64_t index = 1; index <= 12; index++) {
        (void)append(port, 1, index, "8 bytes.");
        if (index % 4 == 0) {
            submit(wal, port);
        }
    }
    crash(wal, port);
    char path[FILE_PATH_SIZE];
    file_path(folder, 1, path);
    struct buf file;
    buf_init(&file, 1 << 20);
    CHECK_EQ(disk_read_file(path, &file), STATUS_OK);
    return file;
}

TEST(wal_open, cuts_a_torn_last_batch_at_every_byte)
{
    struct folder folder = folder_make();
    struct buf file = write_three_batches(&folder);
    size_t third = THIRD_BATCH;
    for (size_t cut = third; cut <= third + BATCH; cut++) {
        check_tail(buf_slice(&file), cut, false);
        check_tail(buf_slice(&file), cut, true);
    }
    buf_deinit(&file);
    folder_remove(&folder);
}

TEST(wal_open, refuses_damage_at_every_byte_before_the_last_batch)
{
    struct folder folder = folder_make();
    struct buf file = write_three_batches(&folder);
    char path[FILE_PATH_SIZE];
    file_path(&folder, 1, path);
    size_t third = THIRD_BATCH;
    for (size_t at = 0; at < third; at++) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t bad = (uint8_t)(file.data[at] ^ 0x10);
        CHECK(fd >= 0 && pwrite(fd, &bad, 1, (off_t)at) == 1);
        CHECK_EQ(try_open(&folder), STATUS_CORRUPT);
        CHECK_EQ(pwrite(fd, &file.data[at], 1, (off_t)at), 1);
        close(fd);
        if (at == WAL_SEGMENT_HEADER_SIZE - 1) {
            at = WAL_SEGMENT_START - 1; /* What is between is not looked at. */
        }
    }
    CHECK_EQ(try_open(&folder), STATUS_OK);
    buf_deinit(&file);
    folder_remove(&folder);
}

/* After a clean end the last batch is known to be synced as well. */
TEST(wal_close, makes_damage_in_the_last_batch_known)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 65536);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    (void)append(port, 1, 1, "8 bytes.");
    wal_port_submit(port);
    wal_port_close(port);
    wal_close(wal);
    char path[FILE_PATH_SIZE];
    file_path(&folder, 1, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, "X", 1, WAL_SEGMENT_START + 32 + 24 + 16 + 16) == 1);
    close(fd);
    CHECK_EQ(try_open(&folder), STATUS_CORRUPT);
    folder_remove(&folder);
}

TEST(wal_open, refuses_damage_and_gaps_in_old_segments)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 8192);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (uint64_t index = 1; index <= 15; index++) {
        (void)append(port, 1, index, text);
        submit(wal, port);
    }
    struct wal_stats stats;
    wal_stats(wal, &stats);
    CHECK_EQ(stats.segments, 5);
    crash(wal, port);
    char path[FILE_PATH_SIZE];
    char away[FILE_PATH_SIZE + 8];
    file_path(&folder, 3, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    /* The last record of an old segment: a torn tail anywhere else. */
    off_t at = WAL_SEGMENT_START + 2 * (32 + 24 + 16 + 16 + 1000) + 500;
    CHECK(fd >= 0 && pwrite(fd, "y", 1, at) == 1);
    CHECK_EQ(try_open(&folder), STATUS_CORRUPT);
    CHECK_EQ(pwrite(fd, "x", 1, at), 1);
    CHECK_EQ(ftruncate(fd, at), 0);
    CHECK_EQ(try_open(&folder), STATUS_CORRUPT);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(try_open(&folder), STATUS_CORRUPT);
    close(fd);
    (void)snprintf(away, sizeof(away), "%s.away", path);
    CHECK_EQ(disk_rename(path, away), STATUS_OK);
    CHECK_EQ(try_open(&folder), STATUS_CORRUPT);
    folder_remove(&folder);
}

/* Puts a checksum over bytes[from, from + len) at `at`, as a later version would. */
static void sign(uint8_t *at, const uint8_t *from, size_t len, uint64_t seed)
{
    uint64_t sum = hash_bytes_seeded(slice_of(from, len), seed);
    for (size_t i = 0; i < 8; i++) {
        at[i] = (uint8_t)(sum >> (8 * i));
    }
}

TEST(wal_open, refuses_a_newer_format_and_changes_nothing)
{
    struct folder folder = folder_make();
    char path[FILE_PATH_SIZE];
    file_path(&folder, 1, path);
    struct wal_header header = {.sequence = 1, .batch_first = 1};
    uint8_t bytes[WAL_SEGMENT_START + 64] = {0};
    wal_segment_encode(&header, bytes);
    bytes[8] = WAL_SEGMENT_FORMAT + 1;
    sign(bytes + 48, bytes, 48, 1);
    CHECK_EQ(disk_replace_file(path, slice_of(bytes, sizeof(bytes))), STATUS_OK);
    CHECK_EQ(try_open(&folder), STATUS_NEWER_FORMAT);
    struct buf now;
    buf_init(&now, 1 << 20);
    CHECK_EQ(disk_read_file(path, &now), STATUS_OK);
    CHECK(slice_equal(buf_slice(&now), slice_of(bytes, sizeof(bytes))));
    buf_deinit(&now);
    folder_remove(&folder);
}

TEST(wal_open, refuses_a_record_type_of_a_later_version)
{
    struct folder folder = folder_make();
    char path[FILE_PATH_SIZE];
    file_path(&folder, 1, path);
    struct wal_header header = {.sequence = 1, .batch_first = 1};
    uint8_t bytes[WAL_SEGMENT_START + 64] = {0};
    wal_segment_encode(&header, bytes);
    struct buf batch;
    buf_init(&batch, 64);
    wal_record_append(&batch, &(struct wal_record){.type = WAL_BATCH, .index = 1});
    wal_record_seal(batch.data, wal_segment_seed(&header));
    memcpy(bytes + WAL_SEGMENT_START, batch.data, batch.len);
    uint8_t *record = bytes + WAL_SEGMENT_START + batch.len;
    record[12] = WAL_TYPE_END;
    sign(record, record + 8, 16, wal_segment_seed(&header));
    CHECK_EQ(disk_replace_file(path, slice_of(bytes, sizeof(bytes))), STATUS_OK);
    CHECK_EQ(try_open(&folder), STATUS_NEWER_FORMAT);
    buf_deinit(&batch);
    folder_remove(&folder);
}

static void compact_and_append(struct wal *wal, struct wal_port *port, uint64_t from, uint64_t to)
{
    char text[500];
    memset(text, 'b', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (uint64_t index = from; index <= to; index++) {
        (void)append(port, 2, index, text);
        wal_port_compact(port, 2, index - 1);
        submit(wal, port);
    }
}

TEST(wal_step, recycles_segments_and_writes_idle_groups_again)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 16384);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    (void)wal_port_reset(port, 1, 10, 1, slice_str("conf"));
    (void)wal_port_vote(port, 1, 9, 3);
    (void)append(port, 1, 11, "one");
    (void)append(port, 1, 12, "two");
    (void)append(port, 1, 13, "three");
    (void)wal_port_truncate(port, 1, 13);
    wal_port_compact(port, 1, 11);
    submit(wal, port);
    compact_and_append(wal, port, 1, 1000);
    struct wal_stats stats;
    wal_stats(wal, &stats);
    CHECK(stats.segments <= 9);
    CHECK(stats.rewritten > 0);
    CHECK(stats.rewritten < 10000);
    CHECK(stats.bytes_written > UINT64_C(50) * 16384);
    check_entries(wal, 1, 0, "12:two ");
    crash(wal, port);
    wal = open_log(&folder, 16384);
    struct wal_group group;
    CHECK(wal_find_group(wal, 1, &group));
    CHECK_EQ(group.term, 9);
    CHECK_EQ(group.vote, 3);
    CHECK_EQ(group.base_index, 10);
    CHECK_BYTES(group.base_data, "conf");
    check_entries(wal, 1, 0, "12:two ");
    CHECK(wal_find_group(wal, 2, &group));
    CHECK_EQ(group.last_index, 1000);
    port = wal_port_open(wal, on_wake, NULL);
    compact_and_append(wal, port, 1001, 1100);
    wal_stats(wal, &stats);
    CHECK(stats.segments <= 9);
    crash(wal, port);
    folder_remove(&folder);
}

/* Nothing may be copied round and round while most of the log is live. */
TEST(wal_step, leaves_a_log_alone_that_is_mostly_live)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 16384);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    char text[500];
    memset(text, 'b', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (uint64_t index = 1; index <= 800; index++) {
        (void)append(port, 1 + index % 4, 1 + index / 4, text);
        submit(wal, port);
    }
    struct wal_stats stats;
    wal_stats(wal, &stats);
    CHECK(stats.segments > 20);
    CHECK_EQ(stats.rewritten, 0);
    for (uint64_t group = 1; group <= 4; group++) {
        wal_port_compact(port, group, 1000);
    }
    submit(wal, port);
    wal_stats(wal, &stats);
    CHECK_EQ(stats.segments, 1);
    crash(wal, port);
    folder_remove(&folder);
}

TEST(wal_open, does_not_pile_up_segments_over_many_restarts)
{
    struct folder folder = folder_make();
    for (uint64_t start = 1; start <= 40; start++) {
        struct wal *wal = open_log(&folder, 65536);
        struct wal_port *port = wal_port_open(wal, on_wake, NULL);
        (void)append(port, 1, start, "entry");
        wal_port_submit(port);
        while (wal_step(wal)) {
        }
        struct wal_stats stats;
        wal_stats(wal, &stats);
        CHECK(stats.segments <= 9);
        struct wal_group group;
        CHECK(wal_find_group(wal, 1, &group));
        CHECK_EQ(group.first_index, 1);
        CHECK_EQ(group.last_index, start);
        wal_port_close(port);
        wal_close(wal);
    }
    folder_remove(&folder);
}

static void on_huge(void *arg, uint64_t index, const struct wal_entry *entry)
{
    CHECK_EQ(index, 2);
    CHECK_EQ(entry->data.len, *(size_t *)arg);
    for (size_t i = 0; i < entry->data.len; i += 4093) {
        CHECK_EQ(entry->data.data[i], (uint8_t)(i % 251));
    }
}

TEST(wal_port_append, takes_an_entry_larger_than_a_segment)
{
    struct folder folder = folder_make();
    size_t len = (size_t)40 << 20;
    uint8_t *bytes = malloc(len);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i % 251);
    }
    struct wal *wal = open_log(&folder, 65536);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    (void)append(port, 1, 1, "before");
    struct wal_entry entry = {.term = 1, .type = 1, .data = slice_of(bytes, len)};
    (void)wal_port_append(port, 1, 2, &entry, 1);
    (void)append(port, 1, 3, "behind");
    submit(wal, port);
    CHECK_EQ(wal_port_durable(port), 3);
    (void)wal_port_truncate(port, 1, 3);
    submit(wal, port);
    crash(wal, port);
    wal = open_log(&folder, 65536);
    CHECK_EQ(wal_load(wal, 1, 2, on_huge, &len), STATUS_OK);
    port = wal_port_open(wal, on_wake, NULL);
    (void)append(port, 1, 3, "behind");
    wal_port_compact(port, 1, 2);
    submit(wal, port);
    check_entries(wal, 1, 0, "3:behind ");
    crash(wal, port);
    free(bytes);
    folder_remove(&folder);
}

TEST(wal_port_append, packs_many_entries_into_few_records)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 1 << 20);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    enum { COUNT = 1000, LEN = 3000 };
    struct wal_entry *entries = calloc(COUNT, sizeof(*entries));
    uint8_t *data = calloc(1, LEN);
    CHECK(entries != NULL && data != NULL);
    for (size_t i = 0; i < COUNT; i++) {
        entries[i] = (struct wal_entry){.term = 1, .type = 2, .data = slice_of(data, LEN)};
    }
    CHECK_EQ(wal_port_append(port, 1, 1, entries, COUNT), 1);
    submit(wal, port);
    CHECK_EQ(wal_port_durable(port), 1);
    struct wal_stats stats;
    wal_stats(wal, &stats);
    CHECK_EQ(stats.records, 3);
    crash(wal, port);
    wal = open_log(&folder, 1 << 20);
    struct wal_group group;
    CHECK(wal_find_group(wal, 1, &group));
    CHECK_EQ(group.last_index, COUNT);
    wal_abandon(wal);
    free(data);
    free(entries);
    folder_remove(&folder);
}

TEST(wal_open, finds_ten_thousand_groups)
{
    struct folder folder = folder_make();
    enum { GROUPS = 10000 };
    struct wal *wal = open_log(&folder, 4 << 20);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    for (uint64_t id = 1; id <= GROUPS; id++) {
        (void)wal_port_reset(port, id, 10, 1, slice_str("configuration"));
        (void)wal_port_vote(port, id, id, id % 3);
        for (uint64_t index = 11; index < 16; index++) {
            (void)append(port, id, index, "a small entry");
        }
    }
    submit(wal, port);
    crash(wal, port);
    wal = open_log(&folder, 4 << 20);
    struct wal_group group;
    size_t at = 0;
    uint64_t sum = 0;
    size_t count = 0;
    while (wal_next_group(wal, &at, &group)) {
        CHECK_EQ(group.term, group.id);
        CHECK_EQ(group.last_index, 15);
        sum += group.id;
        count++;
    }
    CHECK_EQ(count, GROUPS);
    CHECK_EQ(sum, (uint64_t)GROUPS * (GROUPS + 1) / 2);
    check_entries(wal, 7777, 15, "15:a small entry ");
    wal_abandon(wal);
    folder_remove(&folder);
}

/* A loop of its own: appends, submits, waits for durability. */
struct loop {
    struct wal *wal;
    uint64_t group;
    struct mutex lock;
    struct cond woken;
    unsigned wakes;
};

enum { LOOP_ROUNDS = 200, LOOP_BATCH = 20, LOOPS = 4 };

static void on_loop_wake(void *arg)
{
    struct loop *loop = arg;
    mutex_lock(&loop->lock);
    loop->wakes++;
    cond_signal(&loop->woken);
    mutex_unlock(&loop->lock);
}

static void run_loop(void *arg)
{
    struct loop *loop = arg;
    struct wal_port *port = wal_port_open(loop->wal, on_loop_wake, loop);
    uint64_t index = 0;
    for (int round = 0; round < LOOP_ROUNDS; round++) {
        uint64_t lsn = 0;
        for (int i = 0; i < LOOP_BATCH; i++) {
            lsn = append(port, loop->group, ++index, "entry of a loop");
        }
        wal_port_compact(port, loop->group, index - LOOP_BATCH);
        wal_port_submit(port);
        if (round % 3 == 0) {
            continue;
        }
        mutex_lock(&loop->lock);
        while (wal_port_durable(port) < lsn) {
            cond_wait(&loop->woken, &loop->lock);
        }
        mutex_unlock(&loop->lock);
        struct wal_group group;
        CHECK(wal_find_group(loop->wal, loop->group, &group));
        CHECK_EQ(group.last_index, index);
        struct text text = {.len = 0};
        CHECK_EQ(wal_load(loop->wal, loop->group, index - 2, on_entry, &text), STATUS_OK);
        CHECK(text.len > 0);
    }
    wal_port_close(port);
}

TEST(wal_start, serves_many_loops_at_once)
{
    struct folder folder = folder_make();
    struct wal *wal = open_log(&folder, 16384);
    wal_start(wal);
    struct loop loops[LOOPS];
    struct thread threads[LOOPS];
    for (size_t i = 0; i < LOOPS; i++) {
        loops[i] = (struct loop){.wal = wal, .group = i + 1};
        mutex_init(&loops[i].lock);
        cond_init(&loops[i].woken);
        thread_start(&threads[i], "test-loop", run_loop, &loops[i]);
    }
    for (size_t i = 0; i < LOOPS; i++) {
        thread_join(&threads[i]);
        CHECK(loops[i].wakes > 0);
    }
    wal_close(wal);
    for (size_t i = 0; i < LOOPS; i++) {
        mutex_deinit(&loops[i].lock);
        cond_deinit(&loops[i].woken);
    }
    wal = open_log(&folder, 16384);
    for (size_t i = 0; i < LOOPS; i++) {
        struct wal_group group;
        CHECK(wal_find_group(wal, i + 1, &group));
        CHECK_EQ(group.last_index, LOOP_ROUNDS * LOOP_BATCH);
    }
    wal_abandon(wal);
    folder_remove(&folder);
}

/* In a child: files may not grow, so that the write fails. Says through the pipe how far it got. */
static void write_until_it_fails(const struct folder *folder, int out)
{
    struct wal *wal = open_log(folder, 1 << 20);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
    (void)append(port, 1, 1, "x");
    wal_port_submit(port);
    CHECK_EQ(write(out, "1", 1), 1);
    (void)wal_step(wal);
    CHECK_EQ(write(out, "2", 1), 1);
    _exit(0);
}

TEST(wal_step, ends_the_process_when_a_write_fails)
{
    struct folder folder = folder_make();
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        write_until_it_fails(&folder, ends[1]);
    }
    close(ends[1]);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    char got[4];
    CHECK_EQ(read(ends[0], got, sizeof(got)), 1);
    close(ends[0]);
    folder_remove(&folder);
}
