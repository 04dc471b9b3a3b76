#include "common/rdb/rdb_sink.h"

enum { LENGTH_14 = 0x40, LENGTH_32 = 0x80, LENGTH_64 = 0x81 };

void rdb_sink_length(struct buf *out, uint64_t length)
{
    if (length < 1 << 6) {
        buf_append_u8(out, (uint8_t)length);
    } else if (length < 1 << 14) {
        buf_append_u8(out, (uint8_t)(LENGTH_14 | length >> 8));
        buf_append_u8(out, (uint8_t)length);
    } else if (length <= UINT32_MAX) {
        buf_append_u8(out, LENGTH_32);
        buf_append_u32(out, __builtin_bswap32((uint32_t)length));
    } else {
        buf_append_u8(out, LENGTH_64);
        buf_append_u64_be(out, length);
    }
}

void rdb_sink_string(struct buf *out, struct slice bytes)
{
    rdb_sink_length(out, bytes.len);
    buf_append_slice(out, bytes);
}
