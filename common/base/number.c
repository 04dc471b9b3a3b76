#include "common/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"

enum { U64_DIGITS_MAX = 20 };

bool number_parse_u64(struct slice text, uint64_t *value)
{
    if (text.len == 0 || text.len > U64_DIGITS_MAX) {
        return false;
    }
    if (text.data[0] == '0' && text.len > 1) {
        return false;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, UINT64_C(10), &sum) ||
            __builtin_add_overflow(sum, (uint64_t)digit, &sum)) {
            return false;
        }
    }
    *value = sum;
    return true;
}

bool number_parse_i64(struct slice text, int64_t *value)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    size_t skip = negative ? 1 : 0;
    uint64_t size = 0;
    if (text.len == 0 || !number_parse_u64(slice_of(text.data + skip, text.len - skip), &size)) {
        return false;
    }
    uint64_t size_max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (size > size_max || (negative && size == 0)) {
        return false;
    }
    *value = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

bool number_parse_float(struct slice text, long double *value)
{
    char copy[NUMBER_FLOAT_SIZE_MAX];
    if (text.len == 0 || text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    errno = 0;
    char *end = NULL;
    long double parsed = strtold(copy, &end);
    bool whole = (size_t)(end - copy) == text.len && !isspace((unsigned char)copy[0]);
    bool range = errno == ERANGE && (isinf(parsed) || fpclassify(parsed) == FP_ZERO);
    if (!whole || range || errno == EINVAL || isnan(parsed)) {
        return false;
    }
    *value = parsed;
    return true;
}

size_t number_format_u64(uint64_t value, char out[NUMBER_I64_SIZE_MAX])
{
    char digits[U64_DIGITS_MAX];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

size_t number_format_i64(int64_t value, char out[NUMBER_I64_SIZE_MAX])
{
    if (value >= 0) {
        return number_format_u64((uint64_t)value, out);
    }
    char digits[NUMBER_I64_SIZE_MAX];
    size_t len = number_format_u64(0 - (uint64_t)value, digits);
    assert(len < NUMBER_I64_SIZE_MAX);
    out[0] = '-';
    memcpy(out + 1, digits, len);
    return len + 1;
}

size_t number_format_float(long double value, char out[NUMBER_FLOAT_SIZE_MAX])
{
    if (isinf(value)) {
        const char *text = value > 0 ? "inf" : "-inf";
        memcpy(out, text, strlen(text));
        return strlen(text);
    }
    int printed = snprintf(out, NUMBER_FLOAT_SIZE_MAX, "%.17Lf", value);
    assert(printed > 0);
    if (printed >= NUMBER_FLOAT_SIZE_MAX) {
        return 0;
    }
    size_t len = (size_t)printed;
    while (out[len - 1] == '0') {
        len--;
    }
    if (out[len - 1] == '.') {
        len--;
    }
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    return len;
}
