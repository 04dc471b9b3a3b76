#ifndef COMMON_BASE_NUMBER_H
#define COMMON_BASE_NUMBER_H

#include "common/base/slice.h"

/* Numbers as text, exactly as Redis 7.0 reads and writes them (util.c: string2ll, string2ld,
 * ll2string, ld2string with LD_STR_HUMAN). Pure. Any thread. */

enum {
    NUMBER_I64_SIZE_MAX = 20,         /* "-9223372036854775808" */
    NUMBER_FLOAT_SIZE_MAX = 5 * 1024, /* The longest text of a float that is read or written. */
};

/* True if text is the one canonical form of an integer: no spaces, no '+', no leading zeros, no
 * "-0". */
bool number_parse_i64(struct slice text, int64_t *value);
/* The same for 0 .. 2^64-1. */
bool number_parse_u64(struct slice text, uint64_t *value);
/* What strtold() takes in full, without leading space, that is neither NaN nor out of range. */
bool number_parse_float(struct slice text, long double *value);

/* Both write no NUL and return the length. */
size_t number_format_i64(int64_t value, char out[NUMBER_I64_SIZE_MAX]);
size_t number_format_u64(uint64_t value, char out[NUMBER_I64_SIZE_MAX]);
/* 17 digits behind the point without trailing zeros; inf, -inf. 0 if it does not fit. */
size_t number_format_float(long double value, char out[NUMBER_FLOAT_SIZE_MAX]);

/* True if a + b does not fit; else *sum is it. */
static inline bool number_add_overflows(int64_t a, int64_t b, int64_t *sum)
{
    return __builtin_add_overflow(a, b, sum);
}

#endif
