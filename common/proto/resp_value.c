#include "common/base/number.h"
#include "common/proto/resp.h"

enum { TAG_SIZE = 4 /* "txt:" of a verbatim string */ };

static bool is_aggregate(uint8_t type)
{
    return type != 0 && strchr("*%~>|^&<;", type) != NULL;
}

static bool has_known_type(uint8_t type)
{
    return type != 0 && strchr("+-:$*%~>|#,=(_!^&<;", type) != NULL;
}

/* The text between the type byte and CRLF. */
static enum status take_line(struct slice input, struct slice *line)
{
    const uint8_t *end = input.len == 0 ? NULL : memchr(input.data, '\r', input.len);
    if (end == NULL || end + 1 == input.data + input.len) {
        return STATUS_AGAIN;
    }
    *line = slice_of(input.data + 1, (size_t)(end - input.data) - 1);
    return end[1] == '\n' ? STATUS_OK : STATUS_PROTOCOL;
}

static enum status read_string(struct slice input, struct resp_value *value)
{
    if (value->number == -1 && value->type == '$') {
        value->null = true;
        return STATUS_OK;
    }
    if (value->number < 0 || value->number > INT32_MAX * INT64_C(2)) {
        return STATUS_PROTOCOL;
    }
    size_t len = (size_t)value->number;
    size_t at = value->size_used;
    value->number = 0;
    if (input.len - at < len + 2) {
        return STATUS_AGAIN;
    }
    if (input.data[at + len] != '\r' || input.data[at + len + 1] != '\n') {
        return STATUS_PROTOCOL;
    }
    value->bytes = slice_of(input.data + at, len);
    value->size_used = at + len + 2;
    if (value->type == '=') {
        if (len < TAG_SIZE || value->bytes.data[TAG_SIZE - 1] != ':') {
            return STATUS_PROTOCOL;
        }
        value->bytes = slice_of(value->bytes.data + TAG_SIZE, len - TAG_SIZE);
    }
    return STATUS_OK;
}

static enum status read_aggregate(struct resp_value *value)
{
    if (value->number == -1 && value->type == '*') {
        value->null = true;
        value->number = 0;
        return STATUS_OK;
    }
    if (value->number < 0 || value->number > INT32_MAX) {
        return STATUS_PROTOCOL;
    }
    if (value->type == '%' || value->type == '|') {
        value->number *= 2;
    }
    return STATUS_OK;
}

static enum status read_bool(struct slice line, struct resp_value *value)
{
    if (line.len != 1 || (line.data[0] != 't' && line.data[0] != 'f')) {
        return STATUS_PROTOCOL;
    }
    value->number = line.data[0] == 't';
    return STATUS_OK;
}

enum status resp_value_read(struct slice input, struct resp_value *value)
{
    *value = (struct resp_value){0};
    if (input.len == 0) {
        return STATUS_AGAIN;
    }
    uint8_t type = input.data[0];
    if (!has_known_type(type)) {
        return STATUS_PROTOCOL;
    }
    struct slice line;
    enum status status = take_line(input, &line);
    if (status != STATUS_OK) {
        return status;
    }
    value->type = type;
    value->size_used = line.len + 3;
    if (type == '+' || type == '-' || type == ',' || type == '(') {
        value->bytes = line;
        return STATUS_OK;
    }
    if (type == '_') {
        value->null = true;
        return line.len == 0 ? STATUS_OK : STATUS_PROTOCOL;
    }
    if (type == '#') {
        return read_bool(line, value);
    }
    if (!number_parse_i64(line, &value->number)) {
        return STATUS_PROTOCOL;
    }
    if (is_aggregate(type)) {
        return read_aggregate(value);
    }
    return type == ':' ? STATUS_OK : read_string(input, value);
}

enum status resp_value_size(struct slice input, size_t size_max, size_t *size)
{
    uint64_t left[RESP_DEPTH_MAX]; /* Values that are still to come, per level. */
    size_t depth = 0;
    left[0] = 1;
    size_t at = 0;
    while (true) {
        while (left[depth] == 0) {
            if (depth == 0) {
                *size = at;
                return STATUS_OK;
            }
            depth--;
        }
        struct resp_value value;
        enum status status = resp_value_read(slice_of(input.data + at, input.len - at), &value);
        if (status == STATUS_AGAIN && input.len > size_max) {
            return STATUS_TOO_BIG;
        }
        if (status != STATUS_OK) {
            return status;
        }
        at += value.size_used;
        if (at > size_max) {
            return STATUS_TOO_BIG;
        }
        left[depth] -= value.type == '|' ? 0 : 1; /* An attribute goes before its value. */
        if (is_aggregate(value.type) && value.number > 0) {
            if (++depth == RESP_DEPTH_MAX) {
                return STATUS_TOO_BIG;
            }
            left[depth] = (uint64_t)value.number;
        }
    }
}
