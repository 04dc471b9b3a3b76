#include "common/base/glob.h"

#include <stdlib.h>

#include "tests/support/test.h"

static bool match(const char *pattern, const char *text)
{
    return glob_match(slice_str(pattern), slice_str(text));
}

/* tests/machine/differential.py compares many more with KEYS of a real redis-server. */
TEST(glob_match, knows_the_signs)
{
    CHECK(match("*", "abc"));
    CHECK(match("a*c", "abbbc"));
    CHECK(match("a*b*c", "axbxbxc"));
    CHECK(!match("a*c", "abcd"));
    CHECK(match("a?c", "abc"));
    CHECK(!match("a?c", "ac"));
    CHECK(match("a[b-d]e", "ace"));
    CHECK(match("a[d-b]e", "ace"));
    CHECK(!match("a[^b-d]e", "ace"));
    CHECK(match("a[\\]]", "a]"));
    CHECK(match("a\\*", "a*"));
    CHECK(!match("a\\*", "ab"));
    CHECK(match("abc***", "abc"));
}

TEST(glob_match, has_the_corner_cases_of_redis)
{
    CHECK(!match("*", ""));
    CHECK(match("", ""));
    CHECK(!match("", "a"));
    CHECK(match("a[bc", "ab"));
    CHECK(!match("a[", "ab"));
    CHECK(match("a[^", "ab"));
    CHECK(match("a\\", "a\\"));
    CHECK(match("[\x80-\x01]", "\xff"));
}

TEST(glob_match, does_not_explode)
{
    enum { LEN = 20000 };
    char *pattern = malloc(2 * LEN + 2);
    char *text = malloc(LEN + 1);
    CHECK(pattern != NULL && text != NULL);
    for (size_t i = 0; i < LEN; i++) {
        pattern[2 * i] = '*';
        pattern[2 * i + 1] = 'a';
        text[i] = 'a';
    }
    CHECK(!glob_match(slice_of("*a*a*a*a*a*a*a*a*a*a*a*a*b", 26), slice_of(text, LEN)));
    CHECK(glob_match(slice_of(pattern, 2 * LEN), slice_of(text, LEN)));
    pattern[2 * LEN] = 'b';
    CHECK(!glob_match(slice_of(pattern, 2 * LEN + 1), slice_of(text, LEN)));
    free(pattern);
    free(text);
}
