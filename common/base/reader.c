#include "common/base/reader.h"

static const uint8_t *take(struct reader *reader, size_t len)
{
    if (reader->failed || len > reader->rest.len) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->rest.data;
    reader->rest = slice_of(at + len, reader->rest.len - len);
    return at;
}

static uint64_t take_le(struct reader *reader, size_t size)
{
    const uint8_t *at = take(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; at != NULL && i < size; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

uint8_t reader_u8(struct reader *reader)
{
    return (uint8_t)take_le(reader, 1);
}

uint16_t reader_u16(struct reader *reader)
{
    return (uint16_t)take_le(reader, 2);
}

uint32_t reader_u32(struct reader *reader)
{
    return (uint32_t)take_le(reader, 4);
}

uint64_t reader_u64(struct reader *reader)
{
    return take_le(reader, 8);
}

uint64_t reader_u64_be(struct reader *reader)
{
    return __builtin_bswap64(take_le(reader, 8));
}

struct slice reader_raw(struct reader *reader, size_t len)
{
    const uint8_t *at = take(reader, len);
    return slice_of(at, at == NULL ? 0 : len);
}

struct slice reader_bytes(struct reader *reader, size_t len_max)
{
    size_t len = reader_u32(reader);
    if (len > len_max) {
        reader->failed = true;
        return slice_of(NULL, 0);
    }
    return reader_raw(reader, len);
}

bool reader_done(const struct reader *reader)
{
    return !reader->failed && reader->rest.len == 0;
}
