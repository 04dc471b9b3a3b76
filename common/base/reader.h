#ifndef COMMON_BASE_READER_H
#define COMMON_BASE_READER_H

#include "common/base/little.h"
#include "common/base/slice.h"

/* Takes numbers and bytes off the front of bytes that came from outside. The first take that
 * does not fit sets `failed`; from then on every take gives zeros, so a decoder checks once, at
 * its end, with reader_done(). Nothing is copied: slices borrow from the input. Any thread. */
struct reader {
    struct slice rest;
    bool failed;
};

static inline struct reader reader_of(struct slice bytes)
{
    return (struct reader){.rest = bytes};
}

/* NULL, and failed is set, if there are not so many bytes. */
static inline const uint8_t *reader_take(struct reader *reader, size_t len)
{
    if (reader->failed || len > reader->rest.len) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->rest.data;
    reader->rest = slice_of(at + len, reader->rest.len - len);
    return at;
}

static inline uint8_t reader_u8(struct reader *reader)
{
    const uint8_t *at = reader_take(reader, sizeof(uint8_t));
    return at == NULL ? 0 : *at;
}

static inline uint16_t reader_u16(struct reader *reader)
{
    const uint8_t *at = reader_take(reader, sizeof(uint16_t));
    return at == NULL ? 0 : little_u16(at);
}

static inline uint32_t reader_u32(struct reader *reader)
{
    const uint8_t *at = reader_take(reader, sizeof(uint32_t));
    return at == NULL ? 0 : little_u32(at);
}

static inline uint64_t reader_u64(struct reader *reader)
{
    const uint8_t *at = reader_take(reader, sizeof(uint64_t));
    return at == NULL ? 0 : little_u64(at);
}

static inline uint64_t reader_u64_be(struct reader *reader)
{
    return __builtin_bswap64(reader_u64(reader));
}

/* Exactly len bytes. */
static inline struct slice reader_raw(struct reader *reader, size_t len)
{
    const uint8_t *at = reader_take(reader, len);
    return slice_of(at, at == NULL ? 0 : len);
}

/* What buf_append_bytes() wrote; fails if it is longer than len_max. */
struct slice reader_bytes(struct reader *reader, size_t len_max);
/* True if nothing failed and nothing is left. */
bool reader_done(const struct reader *reader);

#endif
