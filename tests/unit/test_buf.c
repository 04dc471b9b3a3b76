#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/reader.h"
#include "tests/support/test.h"

TEST(buf_append, numbers_come_back_through_a_reader)
{
    struct buf buf;
    buf_init(&buf, 4096);
    buf_append_u8(&buf, 0xfe);
    buf_append_u16(&buf, 0x1234);
    buf_append_u32(&buf, UINT32_MAX - 1);
    buf_append_u64(&buf, UINT64_C(0x0102030405060708));
    buf_append_u64_be(&buf, UINT64_C(0x0102030405060708));
    buf_append_bytes(&buf, slice_str("hello"));
    CHECK_EQ(buf.data[7], 0x08); /* Little endian begins with the lowest byte, */
    CHECK_EQ(buf.data[14], 0x01);
    CHECK_EQ(buf.data[15], 0x01); /* big endian with the highest. */
    CHECK_EQ(buf.data[22], 0x08);
    struct reader in = reader_of(buf_slice(&buf));
    CHECK_EQ(reader_u8(&in), 0xfe);
    CHECK_EQ(reader_u16(&in), 0x1234);
    CHECK_EQ(reader_u32(&in), UINT32_MAX - 1);
    CHECK(reader_u64(&in) == UINT64_C(0x0102030405060708));
    CHECK(reader_u64_be(&in) == UINT64_C(0x0102030405060708));
    CHECK_BYTES(reader_bytes(&in, 5), "hello");
    CHECK(reader_done(&in));
    buf_deinit(&buf);
}

TEST(buf_append_format, grows_to_what_is_printed)
{
    struct buf buf;
    buf_init(&buf, 4096);
    for (int i = 0; i < 100; i++) {
        buf_append_format(&buf, "%d,", i);
    }
    CHECK_EQ(buf.len, 10 * 2 + 90 * 3);
    buf_truncate(&buf, 4);
    CHECK_BYTES(buf_slice(&buf), "0,1,");
    buf_consume(&buf, 2);
    CHECK_BYTES(buf_slice(&buf), "1,");
    buf_deinit(&buf);
}

TEST(buf_take, leaves_an_empty_buffer)
{
    struct buf buf;
    buf_init(&buf, 64);
    buf_append_text(&buf, "abc");
    size_t len = 0;
    uint8_t *bytes = buf_take(&buf, &len);
    CHECK_EQ(len, 3);
    CHECK_EQ(buf.len, 0);
    buf_append_text(&buf, "d");
    CHECK_BYTES(buf_slice(&buf), "d");
    CHECK_EQ(bytes[0], 'a');
    free(bytes);
    buf_deinit(&buf);
}

TEST(reader, fails_once_and_for_good)
{
    struct reader in = reader_of(slice_of("\x01\x02\x03", 3));
    CHECK_EQ(reader_u16(&in), 0x0201);
    CHECK_EQ(reader_u16(&in), 0);
    CHECK(in.failed);
    CHECK_EQ(reader_u8(&in), 0); /* Though there is a byte left. */
    CHECK(!reader_done(&in));
}

TEST(reader_bytes, refuses_what_is_longer_than_allowed_or_than_there_is)
{
    struct buf buf;
    buf_init(&buf, 64);
    buf_append_bytes(&buf, slice_str("hello"));
    struct reader in = reader_of(buf_slice(&buf));
    CHECK_EQ(reader_bytes(&in, 4).len, 0);
    CHECK(in.failed);
    in = reader_of(slice_of(buf.data, buf.len - 1));
    CHECK_EQ(reader_bytes(&in, 100).len, 0);
    CHECK(in.failed);
    buf_deinit(&buf);
}
