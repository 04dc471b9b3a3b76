#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/proto/resp.h"

enum { ERROR_SIZE_MAX = 1024 };

/* "<mark><value>\r\n" */
static void write_line(struct buf *out, char mark, int64_t value)
{
    char *at = (char *)buf_reserve(out, NUMBER_I64_SIZE_MAX + 3);
    at[0] = mark;
    size_t len = 1 + number_format_i64(value, at + 1);
    at[len++] = '\r';
    at[len++] = '\n';
    out->len += len;
}

static void write_text(struct buf *out, char mark, const char *text)
{
    buf_append_u8(out, (uint8_t)mark);
    size_t at = out->len;
    buf_append_text(out, text);
    for (; at < out->len; at++) {
        if (out->data[at] == '\r' || out->data[at] == '\n') {
            out->data[at] = ' ';
        }
    }
    buf_append(out, "\r\n", 2);
}

void resp_write_ok(struct buf *out)
{
    buf_append(out, "+OK\r\n", 5);
}

void resp_write_simple(struct buf *out, const char *text)
{
    write_text(out, '+', text);
}

void resp_write_error(struct buf *out, const char *text)
{
    write_text(out, '-', text);
}

void resp_write_errorf(struct buf *out, const char *format, ...)
{
    char text[ERROR_SIZE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    write_text(out, '-', text);
}

void resp_write_null(struct buf *out)
{
    buf_append(out, "_\r\n", 3);
}

void resp_write_null_array(struct buf *out)
{
    buf_append(out, "*-1\r\n", 5);
}

void resp_write_int(struct buf *out, int64_t value)
{
    write_line(out, ':', value);
}

void resp_write_bool(struct buf *out, bool value)
{
    buf_append(out, value ? "#t\r\n" : "#f\r\n", 4);
}

void resp_write_double(struct buf *out, double value)
{
    if (isnan(value)) {
        buf_append(out, ",nan\r\n", 6);
    } else if (isinf(value)) {
        buf_append_text(out, value > 0 ? ",inf\r\n" : ",-inf\r\n");
    } else {
        buf_append_format(out, ",%.17g\r\n", value);
    }
}

void resp_write_bulk(struct buf *out, struct slice bytes)
{
    uint8_t *at = buf_reserve(out, NUMBER_I64_SIZE_MAX + 5 + bytes.len);
    write_line(out, '$', (int64_t)bytes.len);
    at = out->data + out->len;
    if (bytes.len > 0) {
        memcpy(at, bytes.data, bytes.len);
    }
    at[bytes.len] = '\r';
    at[bytes.len + 1] = '\n';
    out->len += bytes.len + 2;
}

void resp_write_text(struct buf *out, const char *text)
{
    resp_write_bulk(out, slice_str(text));
}

void resp_write_verbatim(struct buf *out, struct slice text)
{
    write_line(out, '=', (int64_t)text.len + 4);
    buf_append(out, "txt:", 4);
    buf_append_slice(out, text);
    buf_append(out, "\r\n", 2);
}

void resp_write_array(struct buf *out, size_t count)
{
    write_line(out, '*', (int64_t)count);
}

void resp_write_map(struct buf *out, size_t pairs)
{
    write_line(out, '%', (int64_t)pairs);
}

void resp_write_set(struct buf *out, size_t count)
{
    write_line(out, '~', (int64_t)count);
}

void resp_write_pairs(struct buf *out, size_t count)
{
    write_line(out, '^', (int64_t)count);
}

void resp_write_pair(struct buf *out)
{
    buf_append(out, "&2\r\n", 4);
}

void resp_write_push(struct buf *out, size_t count)
{
    write_line(out, '>', (int64_t)count);
}

void resp_write_entry(struct buf *out)
{
    buf_append(out, ";2\r\n", 4);
}

static void insert(struct buf *out, size_t at, char mark, size_t count)
{
    assert(at <= out->len);
    size_t end = out->len;
    write_line(out, mark, (int64_t)count);
    size_t size = out->len - end;
    uint8_t line[NUMBER_I64_SIZE_MAX + 3];
    memcpy(line, out->data + end, size);
    memmove(out->data + at + size, out->data + at, end - at);
    memcpy(out->data + at, line, size);
}

void resp_insert_array(struct buf *out, size_t at, size_t count)
{
    insert(out, at, '*', count);
}

void resp_close_bulk(struct buf *out, size_t at)
{
    insert(out, at, '$', out->len - at);
    buf_append(out, "\r\n", 2);
}

void resp_insert_entries(struct buf *out, size_t at, size_t count)
{
    insert(out, at, '<', count);
}

void resp_write_request(struct buf *out, struct args args)
{
    assert(args.argc > 0);
    resp_write_array(out, args.argc);
    for (size_t i = 0; i < args.argc; i++) {
        resp_write_bulk(out, args.argv[i]);
    }
}
