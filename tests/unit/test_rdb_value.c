#include "common/rdb/rdb_payload.h"
#include "common/rdb/rdb_sink.h"
#include "common/rdb/rdb_value.h"
#include "tests/support/test.h"

enum { SIZE_MAX_HERE = 1 << 20 };

/* DUMPs of redis-server 7.0.15. */
static const uint8_t compressed[] = {0x00, 0xc3, 0x0d, 0x40, 0x46, 0x01, 0x61, 0x61, 0xe0, 0x31,
                                     0x00, 0x00, 0x62, 0xa0, 0x00, 0x01, 0x62, 0x62, 0x0a, 0x00,
                                     0x3c, 0x75, 0x45, 0xff, 0x59, 0xbb, 0x4d, 0x81};
static const uint8_t intset16[] = {0x0b, 0x0e, 0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00,
                                   0x00, 0xfb, 0xff, 0x01, 0x00, 0x03, 0x00, 0x0a, 0x00,
                                   0x4f, 0x4d, 0x94, 0xe2, 0xa3, 0x6f, 0x6d, 0x63};
static const uint8_t intset64[] = {0x0b, 0xc3, 0x13, 0x18, 0x04, 0x08, 0x00, 0x00, 0x00,
                                   0x02, 0x20, 0x03, 0x00, 0x03, 0x20, 0x03, 0xe0, 0x00,
                                   0x00, 0x02, 0x01, 0x00, 0x00, 0x0a, 0x00, 0xa6, 0x5f,
                                   0x4a, 0x77, 0x94, 0xac, 0xe4, 0x72};

static enum status open_payload(struct slice payload, size_t size_max, struct rdb_value *value)
{
    struct slice bytes;
    CHECK(rdb_payload_open(payload, &bytes));
    rdb_value_init(value, size_max);
    return rdb_value_decode(bytes.data[0], slice_of(bytes.data + 1, bytes.len - 1), value);
}

TEST(rdb_value_decode, reads_compressed_strings)
{
    struct rdb_value value;
    CHECK(open_payload(slice_of(compressed, sizeof(compressed)), 70, &value) == STATUS_OK);
    CHECK(value.kind == RDB_STRING);
    CHECK_BYTES(buf_slice(&value.bytes),
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbb");
    rdb_value_deinit(&value);
}

TEST(rdb_value_decode, takes_no_more_memory_than_it_may)
{
    struct rdb_value value;
    CHECK(open_payload(slice_of(compressed, sizeof(compressed)), 69, &value) == STATUS_TOO_BIG);
    rdb_value_deinit(&value);
    /* A length that three bytes cannot become. */
    static const uint8_t liar[] =
        "\xc3\x03\x80\x00\x01\x00\x00"
        "abc";
    rdb_value_init(&value, 1 << 20);
    CHECK(rdb_value_decode(RDB_TYPE_STRING, slice_of(liar, sizeof(liar) - 1), &value) ==
          STATUS_CORRUPT);
    rdb_value_deinit(&value);
}

TEST(rdb_value_decode, reads_sets_of_integers)
{
    struct rdb_value value;
    CHECK(open_payload(slice_of(intset16, sizeof(intset16)), SIZE_MAX_HERE, &value) == STATUS_OK);
    CHECK(value.kind == RDB_SET && value.count == 3);
    CHECK(slice_equal(buf_slice(&value.bytes), slice_of("\2\0\0\0-5\1\0\0\0001\1\0\0\0003", 16)));
    rdb_value_deinit(&value);
    CHECK(open_payload(slice_of(intset64, sizeof(intset64)), SIZE_MAX_HERE, &value) == STATUS_OK);
    CHECK(value.count == 2);
    CHECK(
        slice_equal(buf_slice(&value.bytes), slice_of("\1\0\0\0003\15\0\0\0001099511627776", 22)));
    rdb_value_deinit(&value);
}

static enum status decode(uint8_t type, const char *bytes, size_t len)
{
    struct rdb_value value;
    rdb_value_init(&value, SIZE_MAX_HERE);
    enum status status = rdb_value_decode(type, slice_of(bytes, len), &value);
    rdb_value_deinit(&value);
    return status;
}
#define DECODE(type, text) decode(type, text, sizeof(text) - 1)

TEST(rdb_value_decode, refuses_what_redis_refuses)
{
    CHECK(DECODE(RDB_TYPE_SET, "\2\1a\1b") == STATUS_OK);
    CHECK(DECODE(RDB_TYPE_SET, "\2\1a\1a") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_SET, "\0") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_SET, "\2\1a") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_HASH, "\2\1a\1v\1b\1v") == STATUS_OK);
    CHECK(DECODE(RDB_TYPE_HASH, "\2\1a\1v\1a\1w") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_ZSET_2, "\1\1a\0\0\0\0\0\0\xf0\x3f") == STATUS_OK);
    CHECK(DECODE(RDB_TYPE_ZSET_2, "\1\1a\0\0\0\0\0\0\xf8\x7f") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_ZSET,
                 "\1\1a\3"
                 "1.5") == STATUS_OK);
    CHECK(DECODE(RDB_TYPE_ZSET,
                 "\1\1a\3"
                 "1.x") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_ZSET, "\1\1a\xfd") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_LIST_QUICKLIST_2, "\1\1\2ab") == STATUS_OK);
    CHECK(DECODE(RDB_TYPE_LIST_QUICKLIST_2, "\1\3\2ab") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_STRING, "\x82") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_STRING, "\xc4") == STATUS_CORRUPT);
    CHECK(DECODE(RDB_TYPE_MODULE_2, "\0\0") == STATUS_CORRUPT);
    CHECK(DECODE(99, "") == STATUS_CORRUPT);
}

TEST(rdb_value_skip, needs_more_bytes_at_every_split)
{
    static const char hash[] =
        "\2\1a\x81\0\0\0\0\0\0\0\1v\xc0\7\xc3\4\x40\x46"
        "abcd";
    struct buf text;
    buf_init(&text, 1);
    for (size_t len = 0; len < sizeof(hash); len++) {
        struct rdb_source in = rdb_source_of(slice_of(hash, len), 100, &text);
        rdb_value_skip(RDB_TYPE_HASH, &in);
        CHECK(in.status == (len < sizeof(hash) - 1 ? STATUS_AGAIN : STATUS_OK));
    }
    buf_deinit(&text);
}

TEST(rdb_value_skip, passes_over_values_of_modules)
{
    static const char value[] = "\x81\1\2\3\4\5\6\7\x8\2\5\1\x40\x40\3abcd\4abcdefgh\5\2zz\0rest";
    struct buf text;
    buf_init(&text, 1);
    struct rdb_source in = rdb_source_of(slice_of(value, sizeof(value) - 1), 100, &text);
    rdb_value_skip(RDB_TYPE_MODULE_2, &in);
    CHECK(in.status == STATUS_OK);
    CHECK_BYTES(in.rest, "rest");
}

TEST(rdb_payload_open, wants_the_version_and_the_sum)
{
    uint8_t copy[sizeof(intset16)];
    struct slice bytes;
    for (size_t i = 0; i < sizeof(copy); i++) {
        memcpy(copy, intset16, sizeof(copy));
        CHECK(rdb_payload_open(slice_of(copy, sizeof(copy)), &bytes));
        copy[i] ^= 0x10;
        CHECK(!rdb_payload_open(slice_of(copy, sizeof(copy)), &bytes));
    }
    CHECK(!rdb_payload_open(slice_of(copy, 9), &bytes));
}

TEST(rdb_payload_seal, makes_what_redis_makes)
{
    struct buf out;
    buf_init(&out, 1 << 10);
    buf_append(&out, "before", 6);
    buf_append(&out, intset16, sizeof(intset16) - RDB_PAYLOAD_FOOTER_SIZE);
    rdb_payload_seal(&out, 6);
    CHECK(slice_equal(slice_of(out.data + 6, out.len - 6), slice_of(intset16, sizeof(intset16))));
    buf_deinit(&out);
}

TEST(rdb_sink_length, is_read_again)
{
    struct buf out;
    buf_init(&out, 1 << 10);
    for (unsigned bits = 0; bits < 64; bits++) {
        for (uint64_t step = 0; step < 3; step++) {
            uint64_t length = (UINT64_C(1) << bits) + step - 1;
            buf_clear(&out);
            rdb_sink_length(&out, length);
            struct rdb_source in = rdb_source_of(buf_slice(&out), 0, NULL);
            CHECK(rdb_source_length(&in) == length);
            CHECK(in.status == STATUS_OK && in.rest.len == 0);
        }
    }
    buf_deinit(&out);
}
