#include "replication/log/wal_record.h"

#include "tests/support/test.h"

enum { SEED = 77 };

static struct buf sealed(const struct wal_record *record)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    wal_record_append(&out, record);
    wal_record_seal(out.data, SEED);
    return out;
}

static struct buf sealed_entries(enum wal_record_type type)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    struct wal_entry first = {.term = 0x0102, .type = 3, .data = slice_str("abc")};
    struct wal_entry second = {.term = 0x0103, .type = 1, .data = slice_of(NULL, 0)};
    size_t begin = wal_record_begin(&out, type, 9, 5);
    wal_record_pack(&out, &first);
    wal_record_pack(&out, &second);
    wal_record_end(&out, begin, 2);
    wal_record_seal(out.data, SEED);
    return out;
}

TEST(wal_record_begin, writes_the_bytes_of_the_format)
{
    struct buf out = sealed_entries(WAL_ENTRIES);
    static const uint8_t want[] = {
        51, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,                /* Length, type, group. */
        5,  0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,                /* First, count. */
        2,  1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c', /* Term, length, type. */
        3,  1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,                /* Term, length, type. */
        0,  0, 0, 0, 0,                                                 /* Padding. */
    };
    CHECK_EQ(out.len, 8 + sizeof(want));
    CHECK(memcmp(out.data + 8, want, sizeof(want)) == 0);
    CHECK_EQ(wal_record_size(out.data), out.len);
    buf_deinit(&out);
}

static void check_round_trip(const struct wal_record *want)
{
    struct buf out = sealed(want);
    size_t size;
    struct wal_record got;
    CHECK_EQ(wal_record_check(buf_slice(&out), SEED, &size), STATUS_OK);
    CHECK_EQ(size, out.len);
    CHECK_EQ(size % WAL_RECORD_ALIGN, 0);
    CHECK_EQ(wal_record_parse(out.data, &got), STATUS_OK);
    CHECK_EQ(got.type, want->type);
    CHECK_EQ(got.group, want->group);
    CHECK_EQ(got.index, want->index);
    CHECK_EQ(got.term, want->term);
    CHECK_EQ(got.vote, want->vote);
    CHECK_EQ(got.base_term, want->base_term);
    CHECK(slice_equal(got.data, want->data));
    buf_deinit(&out);
}

TEST(wal_record_append, is_read_back_by_parse)
{
    static const struct wal_record records[] = {
        {.type = WAL_BATCH, .index = 12},
        {.type = WAL_TRUNCATE, .group = 1, .index = 2},
        {.type = WAL_VOTE, .group = UINT64_MAX, .term = 3, .vote = 4},
        {.type = WAL_RESET, .group = 5, .index = 6, .base_term = 7},
        {.type = WAL_DROP, .group = 8},
        {.type = WAL_STATE, .group = 9, .index = 1, .term = 2, .vote = 3, .base_term = 4},
    };
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        check_round_trip(&records[i]);
        struct wal_record record = records[i];
        record.data = slice_str("manifest");
        if (record.type == WAL_RESET || record.type == WAL_STATE) {
            check_round_trip(&record);
        }
    }
}

TEST(wal_record_unpack, gives_the_entries_in_order)
{
    struct buf out = sealed_entries(WAL_MOVED);
    struct wal_record record;
    struct wal_entry entry;
    CHECK_EQ(wal_record_parse(out.data, &record), STATUS_OK);
    CHECK_EQ(record.type, WAL_MOVED);
    CHECK_EQ(record.index, 5);
    CHECK_EQ(record.count, 2);
    CHECK(wal_record_unpack(&record.data, &entry));
    CHECK_EQ(entry.term, 0x0102);
    CHECK_EQ(entry.type, 3);
    CHECK_BYTES(entry.data, "abc");
    CHECK(wal_record_unpack(&record.data, &entry));
    CHECK_EQ(entry.term, 0x0103);
    CHECK_EQ(entry.data.len, 0);
    CHECK(!wal_record_unpack(&record.data, &entry));
    buf_deinit(&out);
}

TEST(wal_record_check, asks_for_more_at_every_cut)
{
    struct buf out = sealed_entries(WAL_ENTRIES);
    for (size_t len = 0; len < out.len; len++) {
        size_t size;
        CHECK_EQ(wal_record_check(slice_of(out.data, len), SEED, &size), STATUS_AGAIN);
        CHECK(size > len);
        CHECK(size <= out.len);
    }
    buf_deinit(&out);
}

TEST(wal_record_check, notices_every_flipped_bit)
{
    struct buf out = sealed_entries(WAL_ENTRIES);
    size_t covered = 24 + 51;
    for (size_t bit = 0; bit < covered * 8; bit++) {
        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        size_t size;
        CHECK(wal_record_check(buf_slice(&out), SEED, &size) != STATUS_OK);
        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_deinit(&out);
}

TEST(wal_record_check, refuses_the_record_of_another_segment_and_zeros)
{
    struct buf out = sealed_entries(WAL_ENTRIES);
    size_t size;
    CHECK_EQ(wal_record_check(buf_slice(&out), SEED + 1, &size), STATUS_CORRUPT);
    memset(out.data, 0, out.len);
    CHECK_EQ(wal_record_check(buf_slice(&out), SEED, &size), STATUS_CORRUPT);
    buf_deinit(&out);
}

TEST(wal_record_check, refuses_a_length_over_the_limit)
{
    uint8_t header[24] = {[8] = 1, [11] = 0x40, [12] = WAL_ENTRIES};
    size_t size;
    CHECK_EQ(wal_record_check(slice_of(header, sizeof(header)), SEED, &size), STATUS_CORRUPT);
    header[8] = 0;
    CHECK_EQ(wal_record_check(slice_of(header, sizeof(header)), SEED, &size), STATUS_AGAIN);
    CHECK_EQ(size, (1u << 30) + 24);
}

TEST(wal_record_parse, tells_an_unknown_type_from_damage)
{
    struct wal_record record = {.type = WAL_DROP, .group = 1};
    struct buf out = sealed(&record);
    out.data[12] = WAL_TYPE_END;
    CHECK_EQ(wal_record_parse(out.data, &record), STATUS_NEWER_FORMAT);
    out.data[12] = WAL_COMPACT;
    CHECK_EQ(wal_record_parse(out.data, &record), STATUS_NEWER_FORMAT);
    out.data[12] = WAL_VOTE; /* Its payload is missing. */
    CHECK_EQ(wal_record_parse(out.data, &record), STATUS_CORRUPT);
    out.data[12] = WAL_DROP;
    out.data[13] = 1;
    CHECK_EQ(wal_record_parse(out.data, &record), STATUS_CORRUPT);
    buf_deinit(&out);
}

TEST(wal_record_parse, refuses_entries_that_do_not_fill_the_record)
{
    struct wal_record record;
    static const struct {
        size_t at;
        uint8_t value;
    } faults[] = {
        {24 + 8, 1},   /* Count too small: bytes are left. */
        {24 + 8, 3},   /* Count too large. */
        {24 + 8, 0},   /* No entry. */
        {24 + 12, 1},  /* Not zero. */
        {40 + 8, 200}, /* The first entry is longer than the record. */
        {40 + 13, 1},  /* Type above 255. */
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct buf out = sealed_entries(WAL_ENTRIES);
        out.data[faults[i].at] = faults[i].value;
        CHECK_EQ(wal_record_parse(out.data, &record), STATUS_CORRUPT);
        buf_deinit(&out);
    }
    struct buf out = sealed_entries(WAL_ENTRIES);
    memset(out.data + 24, 0xff, 8); /* The index would overflow. */
    CHECK_EQ(wal_record_parse(out.data, &record), STATUS_CORRUPT);
    memset(out.data + 24, 0, 8);
    CHECK_EQ(wal_record_parse(out.data, &record), STATUS_CORRUPT);
    buf_deinit(&out);
}
