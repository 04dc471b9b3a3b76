#include "common/rdb/rdb_source.h"

#include <liblzf/lzf.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"

/* First byte of a length: the two upper bits say what it is. */
enum {
    LENGTH_6 = 0,
    LENGTH_14 = 1,
    LENGTH_BYTES = 2,
    LENGTH_ENCODED = 3,
    LENGTH_32_BYTE = 0x80,
    LENGTH_64_BYTE = 0x81,
};
/* What an encoded string is. */
enum { STRING_INT8, STRING_INT16, STRING_INT32, STRING_LZF };
/* Three bytes of LZF stand for at most so many. */
enum { LZF_TRIPLE = 3, LZF_RUN_MAX = 264 };
/* A score in text: its length, or one of these. */
enum { SCORE_NAN = 253, SCORE_INF = 254, SCORE_MINUS_INF = 255 };

struct rdb_source rdb_source_of(struct slice bytes, size_t size_max, struct buf *text)
{
    return (struct rdb_source){
        .rest = bytes, .status = STATUS_OK, .size_max = size_max, .text = text};
}

void rdb_source_fail(struct rdb_source *source, enum status status)
{
    assert(status != STATUS_OK);
    if (source->status == STATUS_OK) {
        source->status = status;
    }
}

struct slice rdb_source_raw(struct rdb_source *source, uint64_t len)
{
    if (source->status == STATUS_OK && source->rest.len < len) {
        rdb_source_fail(source, STATUS_AGAIN);
    }
    if (source->status != STATUS_OK) {
        return slice_of(NULL, 0);
    }
    struct slice taken = slice_of(source->rest.data, len);
    source->rest = slice_of(source->rest.data + len, source->rest.len - len);
    return taken;
}

/* At most eight bytes. */
static uint64_t take_little(struct rdb_source *source, size_t size)
{
    struct slice bytes = rdb_source_raw(source, size);
    uint64_t value = 0;
    for (size_t i = bytes.len; i > 0; i--) {
        value = value << 8 | bytes.data[i - 1];
    }
    return value;
}

static uint64_t take_big(struct rdb_source *source, size_t size)
{
    struct slice bytes = rdb_source_raw(source, size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | bytes.data[i];
    }
    return value;
}

uint8_t rdb_source_u8(struct rdb_source *source)
{
    return (uint8_t)take_little(source, 1);
}

uint32_t rdb_source_u32(struct rdb_source *source)
{
    return (uint32_t)take_little(source, 4);
}

uint64_t rdb_source_u64(struct rdb_source *source)
{
    return take_little(source, 8);
}

/* A length, or, if *encoded, what the string is that follows. */
static uint64_t take_length(struct rdb_source *source, bool *encoded)
{
    uint8_t first = rdb_source_u8(source);
    *encoded = false;
    if (first >> 6 == LENGTH_6) {
        return first;
    }
    if (first >> 6 == LENGTH_14) {
        return (uint64_t)(first & 0x3f) << 8 | rdb_source_u8(source);
    }
    if (first == LENGTH_32_BYTE) {
        return take_big(source, 4);
    }
    if (first == LENGTH_64_BYTE) {
        return take_big(source, 8);
    }
    if (first >> 6 == LENGTH_BYTES) {
        rdb_source_fail(source, STATUS_CORRUPT);
        return 0;
    }
    *encoded = true;
    return first & 0x3f;
}

uint64_t rdb_source_length(struct rdb_source *source)
{
    bool encoded = false;
    uint64_t length = take_length(source, &encoded);
    if (encoded) {
        rdb_source_fail(source, STATUS_CORRUPT);
    }
    return source->status == STATUS_OK ? length : 0;
}

static struct slice integer_text(struct rdb_source *source, int64_t value)
{
    char text[NUMBER_I64_SIZE_MAX];
    if (source->status != STATUS_OK) {
        return slice_of(NULL, 0);
    }
    buf_clear(source->text);
    buf_append(source->text, text, number_format_i64(value, text));
    return buf_slice(source->text);
}

static struct slice take_compressed(struct rdb_source *source)
{
    uint64_t packed_len = rdb_source_length(source);
    uint64_t len = rdb_source_length(source);
    struct slice packed = rdb_source_raw(source, packed_len);
    bool possible = packed.len > 0 && len > 0 &&
                    len <= (packed.len / LZF_TRIPLE + 1) * LZF_RUN_MAX && len <= UINT32_MAX &&
                    packed.len <= UINT32_MAX;
    if (source->status == STATUS_OK && !possible) {
        rdb_source_fail(source, STATUS_CORRUPT);
    } else if (source->status == STATUS_OK && len > source->size_max) {
        rdb_source_fail(source, STATUS_TOO_BIG);
    }
    if (source->status != STATUS_OK) {
        return slice_of(NULL, 0);
    }
    buf_clear(source->text);
    uint8_t *out = buf_reserve(source->text, len);
    if (lzf_decompress(packed.data, (unsigned)packed.len, out, (unsigned)len) != len) {
        rdb_source_fail(source, STATUS_CORRUPT);
        return slice_of(NULL, 0);
    }
    source->text->len = len;
    return buf_slice(source->text);
}

struct slice rdb_source_string(struct rdb_source *source)
{
    bool encoded = false;
    uint64_t length = take_length(source, &encoded);
    if (!encoded) {
        if (source->status == STATUS_OK && length > source->size_max) {
            rdb_source_fail(source, STATUS_TOO_BIG);
        }
        return rdb_source_raw(source, length);
    }
    switch (length) {
    case STRING_INT8: return integer_text(source, (int8_t)take_little(source, 1));
    case STRING_INT16: return integer_text(source, (int16_t)take_little(source, 2));
    case STRING_INT32: return integer_text(source, (int32_t)take_little(source, 4));
    case STRING_LZF: return take_compressed(source);
    default: rdb_source_fail(source, STATUS_CORRUPT); return slice_of(NULL, 0);
    }
}

void rdb_source_skip_string(struct rdb_source *source)
{
    bool encoded = false;
    uint64_t length = take_length(source, &encoded);
    if (encoded && length == STRING_LZF) {
        length = rdb_source_length(source);
        (void)rdb_source_length(source);
    } else if (encoded && length <= STRING_INT32) {
        length = UINT64_C(1) << length;
    } else if (encoded) {
        rdb_source_fail(source, STATUS_CORRUPT);
    }
    (void)rdb_source_raw(source, length);
}

double rdb_source_score(struct rdb_source *source)
{
    uint8_t len = rdb_source_u8(source);
    if (len == SCORE_INF || len == SCORE_MINUS_INF) {
        return len == SCORE_INF ? (double)INFINITY : -(double)INFINITY;
    }
    if (len == SCORE_NAN) {
        return (double)NAN;
    }
    struct slice text = rdb_source_raw(source, len);
    char copy[UINT8_MAX + 1];
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\0';
    char *end = NULL;
    double score = strtod(copy, &end);
    if (source->status == STATUS_OK && (text.len == 0 || end != copy + text.len)) {
        rdb_source_fail(source, STATUS_CORRUPT);
    }
    return score;
}
