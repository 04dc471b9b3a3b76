#include "replication/log/wal_segment.h"

#include "common/base/hash.h"
#include "tests/support/test.h"

static const struct wal_header header = {
    .sequence = 7, .salt = 0x1122334455667788, .previous_end = 8192, .batch_first = 99};

/* Puts the checksum right again after a change. */
static void sign(uint8_t *bytes)
{
    uint64_t sum = hash_bytes_seeded(slice_of(bytes, 48), 7);
    for (size_t i = 0; i < 8; i++) {
        bytes[48 + i] = (uint8_t)(sum >> (8 * i));
    }
}

TEST(wal_segment_encode, writes_the_bytes_of_the_format)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_SIZE];
    wal_segment_encode(&header, bytes);
    static const uint8_t want[48] = {
        'S', 'H',  'E', 'R', 'D', 'L', 'O', 'G', 1,    0,    0,    0,    0,    0,    0,    0,
        7,   0,    0,   0,   0,   0,   0,   0,   0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        0,   0x20, 0,   0,   0,   0,   0,   0,   99,   0,    0,    0,    0,    0,    0,    0,
    };
    CHECK(memcmp(bytes, want, sizeof(want)) == 0);
    struct wal_header got;
    CHECK_EQ(wal_segment_decode(bytes, &got), STATUS_OK);
    CHECK_EQ(got.sequence, 7);
    CHECK_EQ(got.salt, 0x1122334455667788);
    CHECK_EQ(got.previous_end, 8192);
    CHECK_EQ(got.batch_first, 99);
}

TEST(wal_segment_decode, notices_every_flipped_bit)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_SIZE];
    wal_segment_encode(&header, bytes);
    struct wal_header got;
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_EQ(wal_segment_decode(bytes, &got), STATUS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

TEST(wal_segment_decode, tells_a_newer_format_from_damage)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_SIZE];
    struct wal_header got;
    wal_segment_encode(&header, bytes);
    bytes[8] = WAL_SEGMENT_FORMAT + 1;
    sign(bytes);
    CHECK_EQ(wal_segment_decode(bytes, &got), STATUS_NEWER_FORMAT);
    bytes[8] = 0;
    sign(bytes);
    CHECK_EQ(wal_segment_decode(bytes, &got), STATUS_CORRUPT);
}

TEST(wal_segment_seed, differs_with_sequence_and_salt)
{
    struct wal_header other = header;
    other.sequence++;
    CHECK(wal_segment_seed(&header) != wal_segment_seed(&other));
    other = header;
    other.salt++;
    CHECK(wal_segment_seed(&header) != wal_segment_seed(&other));
}
