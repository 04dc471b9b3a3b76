#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"

void buf_init(struct buf *buf, size_t size_max)
{
    assert(size_max > 0);
    *buf = (struct buf){.size_max = size_max};
}

void buf_deinit(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

uint8_t *buf_grow(struct buf *buf, size_t len)
{
    assert(buf->len <= buf->size && buf->len <= buf->size_max);
    assert(len <= buf->size_max - buf->len);
    size_t size_needed = buf->len + len;
    size_t size = buf->size == 0 ? 64 : buf->size;
    while (size < size_needed) {
        size *= 2;
    }
    /* Never more than size_max: buf_reserve() looks at the size alone. */
    size = size < buf->size_max ? size : buf->size_max;
    buf->data = realloc(buf->data, size);
    assert(buf->data != NULL);
    buf->size = size;
    return buf->data + buf->len;
}

void buf_append_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_append_format(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *at = (char *)buf_reserve(buf, (size_t)len + 1);
    va_start(args, format);
    (void)vsnprintf(at, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

void buf_append_shown(struct buf *buf, struct slice bytes, size_t len_max)
{
    size_t shown = bytes.len < len_max ? bytes.len : len_max;
    buf_append_u8(buf, '\'');
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = bytes.data[i];
        bool plain = byte >= ' ' && byte < 0x7f && byte != '\'' && byte != '\\';
        if (plain) {
            buf_append_u8(buf, byte);
        } else {
            buf_append_format(buf, "\\x%02x", byte);
        }
    }
    buf_append_text(buf, shown < bytes.len ? "...'" : "'");
}

void buf_append_bytes(struct buf *buf, struct slice bytes)
{
    assert(bytes.len <= UINT32_MAX);
    buf_append_u32(buf, (uint32_t)bytes.len);
    buf_append_slice(buf, bytes);
}

void buf_put_u32(struct buf *buf, size_t offset, uint32_t value)
{
    assert(offset + 4 <= buf->len);
    little_put_u32(buf->data + offset, value);
}

void buf_consume(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    if (len == 0) {
        return;
    }
    memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
}

void buf_truncate(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len = len;
}

uint8_t *buf_take(struct buf *buf, size_t *len)
{
    uint8_t *data = buf->data;
    *len = buf->len;
    buf->data = NULL;
    buf->len = 0;
    buf->size = 0;
    return data;
}
