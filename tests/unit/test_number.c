#include "common/base/number.h"

#include <math.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

TEST(number_parse_i64, takes_the_canonical_form_only)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999", false, 0},
        {"18446744073709551616", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"-0", false, 0},
        {"01", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1a", false, 0},
        {"0x1", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 0;
        CHECK_EQ(number_parse_i64(slice_str(cases[i].text), &value), cases[i].ok);
        CHECK_EQ(value, cases[i].value);
    }
}

TEST(number_format_i64, is_parsed_again)
{
    struct rand rand;
    rand_init(&rand, 1);
    for (int i = 0; i < 10000; i++) {
        int64_t value = (int64_t)(rand_u64(&rand) >> rand_below(&rand, 64));
        value = i % 2 == 0 ? value : -value;
        char text[NUMBER_I64_SIZE_MAX];
        size_t len = number_format_i64(value, text);
        int64_t again = 0;
        CHECK(number_parse_i64(slice_of(text, len), &again));
        CHECK_EQ(again, value);
    }
    char text[NUMBER_I64_SIZE_MAX];
    size_t len = number_format_i64(INT64_MIN, text);
    CHECK_BYTES(slice_of(text, len), "-9223372036854775808");
    len = number_format_u64(UINT64_MAX, text);
    CHECK_BYTES(slice_of(text, len), "18446744073709551615");
}

TEST(number_parse_float, is_strict_about_the_ends)
{
    long double value = 0;
    CHECK(number_parse_float(slice_str("3.0e3"), &value));
    CHECK_EQ((int64_t)value, 3000);
    CHECK(number_parse_float(slice_str("inf"), &value));
    CHECK(isinf(value));
    CHECK(!number_parse_float(slice_str(" 1"), &value));
    CHECK(!number_parse_float(slice_str("1 "), &value));
    CHECK(!number_parse_float(slice_str(""), &value));
    CHECK(!number_parse_float(slice_str("nan"), &value));
    CHECK(!number_parse_float(slice_str("1e99999"), &value));
    CHECK(!number_parse_float(slice_str("1e-99999"), &value));
    CHECK(!number_parse_float(slice_of("1\0", 2), &value));
}

/* The replies of Redis' own tests of INCRBYFLOAT (tests/unit/type/incr.tcl). */
TEST(number_format_float, is_as_redis_prints)
{
    static const struct {
        long double value;
        const char *text;
    } cases[] = {
        {1.0L, "1"},
        {1.25L, "1.25"},
        {0.1L, "0.1"},
        {-0.0L, "0"},
        {0.3L, "0.3"},
        {-1.1L, "-1.1"},
        {17000000000000000.0L, "17000000000000000"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[NUMBER_FLOAT_SIZE_MAX];
        size_t len = number_format_float(cases[i].value, text);
        CHECK_BYTES(slice_of(text, len), cases[i].text);
    }
    char text[NUMBER_FLOAT_SIZE_MAX];
    CHECK(number_format_float(__LDBL_MAX__, text) > 4900);
}

TEST(number_add_overflows, sees_both_ends)
{
    int64_t sum = 0;
    CHECK(number_add_overflows(INT64_MAX, 1, &sum));
    CHECK(number_add_overflows(INT64_MIN, -1, &sum));
    CHECK(!number_add_overflows(INT64_MAX, INT64_MIN, &sum));
    CHECK_EQ(sum, -1);
}
