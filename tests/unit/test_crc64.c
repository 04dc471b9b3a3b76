#include "common/rdb/crc64.h"
#include "tests/support/test.h"

/* Bit by bit, as the polynomial says. */
static uint64_t slowly(uint64_t crc, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? (crc >> 1) ^ UINT64_C(0x95ac9329ac4bc9b5) : crc >> 1;
        }
    }
    return crc;
}

/* The first one is that of Redis 7.0 crc64.c, crc64Test(). */
TEST(crc64_extend, gives_the_sums_of_redis)
{
    static const char text[] = "a longer one, so that eight bytes come at a time";
    CHECK(crc64_extend(0, slice_str("123456789")) == UINT64_C(0xe9c6d914c4b8d9ca));
    CHECK(crc64_extend(0, slice_of(NULL, 0)) == 0);
    CHECK(crc64_extend(0, slice_str(text)) == slowly(0, slice_str(text)));
}

TEST(crc64_extend, goes_on_from_any_place)
{
    uint8_t bytes[61];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    uint64_t whole = slowly(0, slice_of(bytes, sizeof(bytes)));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        uint64_t crc = crc64_extend(0, slice_of(bytes, cut));
        CHECK(crc64_extend(crc, slice_of(bytes + cut, sizeof(bytes) - cut)) == whole);
    }
}
