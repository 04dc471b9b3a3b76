#ifndef COMMON_BASE_READER_H
#define COMMON_BASE_READER_H

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

uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
uint64_t reader_u64_be(struct reader *reader);
/* Exactly len bytes. */
struct slice reader_raw(struct reader *reader, size_t len);
/* What buf_append_bytes() wrote; fails if it is longer than len_max. */
struct slice reader_bytes(struct reader *reader, size_t len_max);
/* True if nothing failed and nothing is left. */
bool reader_done(const struct reader *reader);

#endif
