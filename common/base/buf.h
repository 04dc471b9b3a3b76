#ifndef COMMON_BASE_BUF_H
#define COMMON_BASE_BUF_H

#include "common/base/little.h"
#include "common/base/slice.h"

/* Growable bytes with a hard cap. Growing past size_max is a bug of the caller,
 * who checks sizes from outside before appending; running out of memory aborts.
 * Numbers are little endian. Thread: one owner at a time. */
struct buf {
    uint8_t *data;
    size_t len;
    size_t size;
    size_t size_max;
};

void buf_init(struct buf *buf, size_t size_max);
void buf_deinit(struct buf *buf);
void buf_clear(struct buf *buf);

/* What buf_reserve() does when the memory has to grow. */
uint8_t *buf_grow(struct buf *buf, size_t len);

/* Makes room for len more bytes and returns where they go; buf->len is not changed. */
static inline uint8_t *buf_reserve(struct buf *buf, size_t len)
{
    return len <= buf->size - buf->len ? buf->data + buf->len : buf_grow(buf, len);
}

static inline void buf_append(struct buf *buf, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(buf_reserve(buf, len), data, len);
        buf->len += len;
    }
}

static inline void buf_append_slice(struct buf *buf, struct slice bytes)
{
    buf_append(buf, bytes.data, bytes.len);
}

void buf_append_text(struct buf *buf, const char *text);
/* printf into the buffer. */
void buf_append_format(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void buf_append_u8(struct buf *buf, uint8_t value)
{
    *buf_reserve(buf, sizeof(value)) = value;
    buf->len += sizeof(value);
}

static inline void buf_append_u16(struct buf *buf, uint16_t value)
{
    little_put_u16(buf_reserve(buf, sizeof(value)), value);
    buf->len += sizeof(value);
}

static inline void buf_append_u32(struct buf *buf, uint32_t value)
{
    little_put_u32(buf_reserve(buf, sizeof(value)), value);
    buf->len += sizeof(value);
}

static inline void buf_append_u64(struct buf *buf, uint64_t value)
{
    little_put_u64(buf_reserve(buf, sizeof(value)), value);
    buf->len += sizeof(value);
}

/* Big endian, so that the order of the bytes is the order of the numbers. */
static inline void buf_append_u64_be(struct buf *buf, uint64_t value)
{
    buf_append_u64(buf, __builtin_bswap64(value));
}

/* For people: in quotes, odd bytes as \xNN, cut behind len_max bytes. */
void buf_append_shown(struct buf *buf, struct slice bytes, size_t len_max);
/* u32 length, then the bytes. */
void buf_append_bytes(struct buf *buf, struct slice bytes);
/* Overwrites 4 bytes at offset, which were appended before. */
void buf_put_u32(struct buf *buf, size_t offset, uint32_t value);
void buf_consume(struct buf *buf, size_t len);  /* Drops the first len bytes. */
void buf_truncate(struct buf *buf, size_t len); /* Drops what is behind the first len bytes. */
/* Gives the contents to the caller, who frees them; the buffer is empty afterwards. */
uint8_t *buf_take(struct buf *buf, size_t *len);

static inline struct slice buf_slice(const struct buf *buf)
{
    return slice_of(buf->data, buf->len);
}

#endif
