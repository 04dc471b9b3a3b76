#include "common/rdb/listpack.h"

#include "common/base/assert.h"

enum {
    HEADER_SIZE = 4 + 2,
    END_MARK = 0xff,
    COUNT_UNKNOWN = UINT16_MAX,
    TEXT_6 = 0x80,
    NUMBER_13 = 0xc0,
    TEXT_12 = 0xe0,
    TEXT_32 = 0xf0,
    NUMBER_16 = 0xf1,
    NUMBER_64 = 0xf4,
};

size_t listpack_begin(struct buf *out)
{
    size_t start = out->len;
    memset(buf_reserve(out, HEADER_SIZE), 0, HEADER_SIZE);
    out->len += HEADER_SIZE;
    return start;
}

/* Redis' bounds are one too small in all but the first: a byte more than needed, now and then. */
unsigned listpack_back_size(uint64_t size)
{
    if (size <= 127) {
        return 1;
    }
    unsigned count = 2;
    for (uint64_t bound = (UINT64_C(1) << 14) - 1; count < 5 && size >= bound; count++) {
        bound = (bound << 7) | 0x7f;
    }
    return count;
}

static void put_backwards(struct buf *out, uint64_t size)
{
    unsigned count = listpack_back_size(size);
    for (unsigned i = 0; i < count; i++) {
        uint8_t bits = (uint8_t)(size >> (7 * (count - 1 - i)) & 0x7f);
        buf_append_u8(out, i == 0 ? bits : (uint8_t)(bits | 0x80));
    }
}

void listpack_put(struct buf *out, struct slice text)
{
    assert(text.len < UINT32_MAX);
    size_t start = out->len;
    if (text.len < 64) {
        buf_append_u8(out, (uint8_t)(TEXT_6 | text.len));
    } else if (text.len < 4096) {
        buf_append_u8(out, (uint8_t)(TEXT_12 | text.len >> 8));
        buf_append_u8(out, (uint8_t)text.len);
    } else {
        buf_append_u8(out, TEXT_32);
        buf_append_u32(out, (uint32_t)text.len);
    }
    buf_append_slice(out, text);
    put_backwards(out, out->len - start);
}

void listpack_put_number(struct buf *out, int64_t value)
{
    size_t start = out->len;
    if (value >= 0 && value <= 127) {
        buf_append_u8(out, (uint8_t)value);
    } else if (value >= -4096 && value <= 4095) {
        buf_append_u8(out, (uint8_t)(NUMBER_13 | ((uint64_t)value >> 8 & 0x1f)));
        buf_append_u8(out, (uint8_t)value);
    } else if (value >= INT16_MIN && value <= INT16_MAX) {
        buf_append_u8(out, NUMBER_16);
        buf_append_u16(out, (uint16_t)value);
    } else {
        buf_append_u8(out, NUMBER_64);
        buf_append_u64(out, (uint64_t)value);
    }
    put_backwards(out, out->len - start);
}

void listpack_end(struct buf *out, size_t start, uint64_t count)
{
    assert(out->len - start >= HEADER_SIZE);
    buf_append_u8(out, END_MARK);
    assert(out->len - start <= UINT32_MAX);
    buf_put_u32(out, start, (uint32_t)(out->len - start));
    uint16_t shown = count < COUNT_UNKNOWN ? (uint16_t)count : COUNT_UNKNOWN;
    memcpy(out->data + start + 4, &shown, sizeof(shown));
}
