#include "common/base/buf.h"
#include "common/rdb/crc64.h"
#include "common/rdb/rdb_file.h"
#include "common/rdb/rdb_value.h"
#include "tests/support/test.h"

/* As rdb.c writes them: a note, a database with sizes, three keys, functions, notes of a module,
 * and the end. */
static const char body[] =
    "REDIS0010"
    "\xfa\x09redis-ver\x06"
    "7.0.15"
    "\xf5\x04"
    "code"
    "\xf7\x07\x02\x05\x05\x02hi\x00"
    "\xfe\x02\xfb\x03\x01"
    "\x00\x01k\x01v"
    "\xfc\x01\x02\x00\x00\x00\x00\x00\x00\xf9\x07\x02\x03set\x01\x01m"
    "\xfd\x03\x00\x00\x00\xf8\x05\x00\xc0\x0c\xc1\x00\x01"
    "\xff";

static struct buf made(void)
{
    struct buf file;
    buf_init(&file, 1 << 20);
    buf_append(&file, body, sizeof(body) - 1);
    buf_append_u64(&file, crc64_extend(0, buf_slice(&file)));
    return file;
}

struct seen {
    size_t keys;
    size_t notes;
    size_t functions;
    size_t modules;
    bool end;
};

static void look(const struct rdb_item *item, struct seen *seen)
{
    static const char *const keys[] = {"k", "set", "12"};
    static const uint64_t times[] = {0, 0x201, 3000};
    static const uint8_t types[] = {RDB_TYPE_STRING, RDB_TYPE_SET, RDB_TYPE_STRING};
    static const size_t sizes[] = {2, 3, 3};
    switch (item->kind) {
    case RDB_ITEM_KEY:
        CHECK(seen->keys < 3 && item->db == 2);
        CHECK_BYTES(item->key, keys[seen->keys]);
        CHECK(item->expire_ms == times[seen->keys] && item->type == types[seen->keys]);
        CHECK(item->value.len == sizes[seen->keys]);
        seen->keys++;
        break;
    case RDB_ITEM_NOTE:
        CHECK_BYTES(item->key, "redis-ver");
        CHECK_BYTES(item->value, "7.0.15");
        seen->notes++;
        break;
    case RDB_ITEM_FUNCTIONS: seen->functions++; break;
    case RDB_ITEM_MODULE: seen->modules++; break;
    case RDB_ITEM_SIZES: CHECK(item->db == 2); break;
    case RDB_ITEM_END: seen->end = true; break;
    }
}

/* The window grows by one byte whenever that is asked for. */
static enum status read_all(struct rdb_file *file, struct slice bytes, struct seen *seen)
{
    size_t len = 0;
    while (!seen->end) {
        struct rdb_item item;
        uint64_t at = file->at.offset;
        struct slice window = slice_of(bytes.data + at, len);
        enum status status = rdb_file_next(file, window, &item);
        if (status == STATUS_OK) {
            CHECK(file->at.offset > at && file->at.offset <= at + len);
            len -= (size_t)(file->at.offset - at);
            look(&item, seen);
        } else if (status == STATUS_CORRUPT || at + len == bytes.len) {
            CHECK(file->at.offset == at);
            return status;
        } else {
            len++;
        }
    }
    return STATUS_OK;
}

static enum status read_file(struct slice bytes, struct seen *seen)
{
    struct rdb_file file;
    *seen = (struct seen){0};
    rdb_file_init(&file, (struct rdb_mark){0});
    enum status status = read_all(&file, bytes, seen);
    rdb_file_deinit(&file);
    return status;
}

TEST(rdb_file_next, gives_all_there_is)
{
    struct buf bytes = made();
    struct seen seen;
    CHECK(read_file(buf_slice(&bytes), &seen) == STATUS_OK);
    CHECK(seen.keys == 3 && seen.notes == 1 && seen.functions == 1 && seen.modules == 1);
    buf_deinit(&bytes);
}

TEST(rdb_file_next, goes_on_from_every_mark)
{
    struct buf bytes = made();
    struct rdb_file file;
    struct rdb_item item = {0};
    rdb_file_init(&file, (struct rdb_mark){0});
    struct seen before = {0};
    while (item.kind != RDB_ITEM_END) {
        struct rdb_file other;
        struct seen seen = before;
        rdb_file_init(&other, file.at);
        CHECK(read_all(&other, buf_slice(&bytes), &seen) == STATUS_OK && seen.keys == 3);
        rdb_file_deinit(&other);
        struct slice rest = slice_of(bytes.data + file.at.offset, bytes.len - file.at.offset);
        CHECK(rdb_file_next(&file, rest, &item) == STATUS_OK);
        look(&item, &before);
    }
    rdb_file_deinit(&file);
    buf_deinit(&bytes);
}

TEST(rdb_file_next, wants_more_of_every_beginning)
{
    struct buf bytes = made();
    struct seen seen;
    for (size_t len = 0; len < bytes.len; len++) {
        CHECK(read_file(slice_of(bytes.data, len), &seen) == STATUS_AGAIN);
    }
    buf_deinit(&bytes);
}

TEST(rdb_file_next, compares_the_checksum)
{
    struct buf bytes = made();
    struct seen seen;
    bytes.data[bytes.len - 1] ^= 1;
    CHECK(read_file(buf_slice(&bytes), &seen) == STATUS_CORRUPT);
    memset(bytes.data + bytes.len - 8, 0, 8); /* Redis was told not to compute it. */
    CHECK(read_file(buf_slice(&bytes), &seen) == STATUS_OK);
    buf_deinit(&bytes);
}

static const char *fault_of(const char *bytes, size_t len)
{
    struct rdb_file file;
    struct rdb_item item;
    rdb_file_init(&file, (struct rdb_mark){0});
    enum status status = rdb_file_next(&file, slice_of(bytes, len), &item);
    const char *fault = status == STATUS_CORRUPT ? file.fault : "";
    rdb_file_deinit(&file);
    return fault;
}
#define FAULT(bytes) fault_of(bytes, sizeof(bytes) - 1)

TEST(rdb_file_next, says_what_it_cannot_read)
{
    CHECK(strstr(FAULT("REDIS0012\xff"), "after 7.2") != NULL);
    CHECK(strstr(FAULT("VALKEY080"), "no RDB file") != NULL);
    CHECK(strstr(FAULT("REDIS001x"), "no RDB file") != NULL);
    CHECK(strstr(FAULT("REDIS0010\x06\x01k\x01"), "module") != NULL);
    CHECK(strstr(FAULT("REDIS0010\x50\x01k\x01"), "not known") != NULL);
    CHECK(strstr(FAULT("REDIS0010\xf6\x01k\x01"), "release candidate") != NULL);
    CHECK(strstr(FAULT("REDIS0010\xfe\xc5"), "damaged") != NULL);
}
