#include "common/base/sha1.h"

#include "tests/support/test.h"

/* FIPS 180-4, examples; the last from sha1sum. */
TEST(sha1_hex, is_that_of_the_standard)
{
    static const struct {
        const char *text;
        const char *sum;
    } rows[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    };
    char sum[SHA1_HEX_SIZE + 1];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sha1_hex(slice_str(rows[i].text), sum);
        CHECK_BYTES(slice_str(sum), rows[i].sum);
    }
    char many[1000];
    memset(many, 'a', sizeof(many));
    sha1_hex(slice_of(many, sizeof(many)), sum);
    CHECK_BYTES(slice_str(sum), "291e9a6c66994949b57ba5e650361e98fc36b1ba");
}

TEST(sha1_parse, takes_40_digits_of_either_case)
{
    uint8_t sum[SHA1_SIZE];
    uint8_t parsed[SHA1_SIZE];
    sha1_bytes(slice_str("abc"), sum);
    CHECK(sha1_parse(slice_str("a9993e364706816aba3e25717850c26c9cd0d89d"), parsed));
    CHECK(memcmp(sum, parsed, SHA1_SIZE) == 0);
    CHECK(sha1_parse(slice_str("A9993E364706816ABA3E25717850C26C9CD0D89D"), parsed));
    CHECK(memcmp(sum, parsed, SHA1_SIZE) == 0);
    CHECK(!sha1_parse(slice_str("a9993e364706816aba3e25717850c26c9cd0d89"), parsed));
    CHECK(!sha1_parse(slice_str("g9993e364706816aba3e25717850c26c9cd0d89d"), parsed));
}
