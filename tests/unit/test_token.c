#include "common/cluster/token.h"

#include "common/base/hash.h"
#include "tests/support/test.h"

static uint64_t plain(const char *text)
{
    return hash_bytes(slice_str(text));
}

static uint64_t token(const char *key)
{
    return token_of_key(slice_str(key));
}

TEST(token_of_key, is_the_hash_of_a_key_without_a_tag)
{
    CHECK(token("user:1000") == plain("user:1000"));
    CHECK(token_of_key(slice_of(NULL, 0)) == hash_bytes(slice_of(NULL, 0)));
    CHECK(token("") == plain(""));
}

/* The examples of the Redis Cluster specification, "Hash tags". */
TEST(token_of_key, takes_the_first_tag_only)
{
    CHECK(token("{user1000}.following") == token("{user1000}.followers"));
    CHECK(token("{user1000}.following") == plain("user1000"));
    CHECK(token("foo{}{bar}") == plain("foo{}{bar}"));
    CHECK(token("foo{{bar}}zap") == plain("{bar"));
    CHECK(token("foo{bar}{zap}") == plain("bar"));
}

TEST(token_of_key, needs_both_braces)
{
    CHECK(token("a{b") == plain("a{b"));
    CHECK(token("a}b") == plain("a}b"));
    CHECK(token("}a{") == plain("}a{"));
    CHECK(token("{") == plain("{"));
    CHECK(token("{}") == plain("{}"));
    CHECK(token("}{a}") == plain("a"));
}

TEST(token_of_key, takes_any_bytes)
{
    CHECK(token_of_key(slice_of("\0{\0}\0", 5)) == hash_bytes(slice_of("\0", 1)));
}

TEST(token_of, shards_database_0_by_key_and_keeps_the_others_whole)
{
    CHECK(token_of(0, slice_str("a")) == plain("a"));
    for (uint8_t db = 1; db < 16; db++) {
        CHECK(token_of(db, slice_str("a")) == token_of(db, slice_str("b{c}")));
        for (uint8_t other = 0; other < db; other++) {
            CHECK(token_of(db, slice_str("a")) != token_of(other, slice_str("a")));
        }
    }
}

TEST(token_of_key, spreads_keys_over_the_ring)
{
    size_t count[16] = {0};
    for (unsigned i = 0; i < 16000; i++) {
        char key[16] = {'k',
                        (char)('0' + i / 10000),
                        (char)('0' + i / 1000 % 10),
                        (char)('0' + i / 100 % 10),
                        (char)('0' + i / 10 % 10),
                        (char)('0' + i % 10)};
        count[token(key) >> 60]++;
    }
    for (unsigned i = 0; i < 16; i++) {
        CHECK(count[i] > 850 && count[i] < 1150); /* 1000, and five standard deviations. */
    }
}
