#include "common/rdb/compact.h"
#include "common/rdb/listpack.h"
#include "tests/support/test.h"

static struct buf made(void)
{
    struct buf out;
    buf_init(&out, 1 << 24);
    return out;
}

/* One listpack with one text. */
static struct buf packed_text(size_t len)
{
    struct buf text = made();
    struct buf out = made();
    for (size_t i = 0; i < len; i++) {
        buf_append_u8(&text, (uint8_t)i);
    }
    size_t start = listpack_begin(&out);
    listpack_put(&out, buf_slice(&text));
    listpack_end(&out, start, 1);
    buf_deinit(&text);
    return out;
}

static bool reads_one(struct slice bytes, size_t len)
{
    struct compact pack = compact_of(COMPACT_LISTPACK, bytes);
    struct slice text;
    bool read = compact_next(&pack, &text) && text.len == len;
    return read && !compact_next(&pack, &text) && !pack.corrupt;
}

TEST(listpack_put, is_read_again_at_every_border_of_sizes)
{
    static const size_t lens[] = {0,     1,     62,      63,      64,     125,   126,
                                  127,   128,   4095,    4096,    16374,  16375, 16376,
                                  16377, 16378, 16379,   16380,   16381,  16382, 16383,
                                  16384, 70000, 2097140, 2097146, 2097152};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct buf out = packed_text(lens[i]);
        CHECK(reads_one(buf_slice(&out), lens[i]));
        buf_deinit(&out);
    }
}

TEST(listpack_put_number, is_read_again_at_every_border_of_sizes)
{
    struct buf out = made();
    for (unsigned bits = 0; bits < 64; bits++) {
        for (int64_t step = -1; step <= 1; step++) {
            uint64_t number = (UINT64_C(1) << bits) + (uint64_t)step;
            int64_t both[] = {(int64_t)number, (int64_t)(0 - number)};
            for (size_t n = 0; n < 2; n++) {
                buf_clear(&out);
                size_t start = listpack_begin(&out);
                listpack_put_number(&out, both[n]);
                listpack_end(&out, start, 1);
                struct compact pack = compact_of(COMPACT_LISTPACK, buf_slice(&out));
                CHECK(compact_next_number(&pack) == both[n] && !pack.corrupt);
            }
        }
    }
    buf_deinit(&out);
}

static void expect(enum compact_form form,
                   struct slice bytes,
                   const char *const *texts,
                   size_t count)
{
    struct compact pack = compact_of(form, bytes);
    struct slice text;
    for (size_t i = 0; i < count; i++) {
        CHECK(compact_next(&pack, &text));
        CHECK_BYTES(text, texts[i]);
    }
    CHECK(!compact_next(&pack, &text) && !pack.corrupt);
}

/* Not one of its beginnings is taken. */
static void expect_whole(enum compact_form form, struct slice bytes)
{
    for (size_t len = 0; len < bytes.len; len++) {
        struct compact pack = compact_of(form, slice_of(bytes.data, len));
        struct slice text;
        while (compact_next(&pack, &text)) {
        }
        CHECK(pack.corrupt);
    }
}

/* Of redis-server 7.0.15: DUMP of a list of
 * a 1 -1 "" 4095 -4096 4096 32767 -8388608 2147483647 -9223372036854775808. */
static const uint8_t listpack[] = {0x34, 0x00, 0x00, 0x00, 0x0b, 0x00, 0x81, 0x61, 0x02, 0x01, 0x01,
                                   0xdf, 0xff, 0x02, 0x80, 0x01, 0xcf, 0xff, 0x02, 0xd0, 0x00, 0x02,
                                   0xf1, 0x00, 0x10, 0x03, 0xf1, 0xff, 0x7f, 0x03, 0xf2, 0x00, 0x00,
                                   0x80, 0x04, 0xf3, 0xff, 0xff, 0xff, 0x7f, 0x05, 0xf4, 0x00, 0x00,
                                   0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x09, 0xff};

/* a 1 -1 "" 4095 -8388608 2147483647 -9223372036854775808, from the description in ziplist.c, and
 * as redis-server 7.0.15 takes it in a RESTORE. */
static const uint8_t ziplist[] = {
    0x2e, 0x00, 0x00, 0x00, 0x23, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x01, 0x61, 0x03, 0xf2, 0x02,
    0xfe, 0xff, 0x03, 0x00, 0x02, 0xc0, 0xff, 0x0f, 0x04, 0xf0, 0x00, 0x00, 0x80, 0x05, 0xd0, 0xff,
    0xff, 0xff, 0x7f, 0x06, 0xe0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0xff};

static const uint8_t intset[] = {0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00,
                                 0x00, 0xfb, 0xff, 0x01, 0x00, 0x03, 0x00};

static const uint8_t zipmap[] = {0x02, 0x01, 'f',  0x01, 0x02, 'v', 0,
                                 0,    0x00, 0x02, 0x00, 'a',  'b', 0xff};

TEST(compact_next, reads_listpacks)
{
    static const char *const texts[] = {"a",
                                        "1",
                                        "-1",
                                        "",
                                        "4095",
                                        "-4096",
                                        "4096",
                                        "32767",
                                        "-8388608",
                                        "2147483647",
                                        "-9223372036854775808"};
    expect(COMPACT_LISTPACK, slice_of(listpack, sizeof(listpack)), texts, 11);
    expect_whole(COMPACT_LISTPACK, slice_of(listpack, sizeof(listpack)));
}

TEST(compact_next, reads_ziplists)
{
    static const char *const texts[] = {"a",    "1",        "-1",         "",
                                        "4095", "-8388608", "2147483647", "-9223372036854775808"};
    uint8_t copy[sizeof(ziplist)];
    memcpy(copy, ziplist, sizeof(copy));
    expect(COMPACT_ZIPLIST, slice_of(copy, sizeof(copy)), texts, 8);
    expect_whole(COMPACT_ZIPLIST, slice_of(copy, sizeof(copy)));
    copy[8] = 9; /* One more than there are. */
    struct compact pack = compact_of(COMPACT_ZIPLIST, slice_of(copy, sizeof(copy)));
    struct slice text;
    while (compact_next(&pack, &text)) {
    }
    CHECK(pack.corrupt);
}

TEST(compact_next, reads_intsets)
{
    static const char *const texts[] = {"-5", "1", "3"};
    expect(COMPACT_INTSET, slice_of(intset, sizeof(intset)), texts, 3);
    expect_whole(COMPACT_INTSET, slice_of(intset, sizeof(intset)));
}

TEST(compact_next, refuses_intsets_out_of_order)
{
    uint8_t copy[sizeof(intset)];
    struct slice text;
    memcpy(copy, intset, sizeof(copy));
    copy[12] = 1; /* Twice the same. */
    struct compact pack = compact_of(COMPACT_INTSET, slice_of(copy, sizeof(copy)));
    CHECK(compact_next(&pack, &text) && compact_next(&pack, &text));
    CHECK(!compact_next(&pack, &text) && pack.corrupt);
}

TEST(compact_next, reads_zipmaps)
{
    static const char *const texts[] = {"f", "v", "", "ab"};
    expect(COMPACT_ZIPMAP, slice_of(zipmap, sizeof(zipmap)), texts, 4);
    expect_whole(COMPACT_ZIPMAP, slice_of(zipmap, sizeof(zipmap)));
}

TEST(compact_next, refuses_a_length_that_is_read_backwards_wrongly)
{
    uint8_t copy[sizeof(listpack)];
    struct slice text;
    memcpy(copy, listpack, sizeof(copy));
    copy[8]++;
    struct compact pack = compact_of(COMPACT_LISTPACK, slice_of(copy, sizeof(copy)));
    CHECK(!compact_next(&pack, &text) && pack.corrupt);
}
