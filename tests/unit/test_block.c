#include "common/proto/block.h"

#include "tests/support/test.h"

static uint64_t seconds(const char *text)
{
    uint64_t timeout_ms = 0;
    CHECK(block_seconds(slice_str(text), &timeout_ms) == NULL);
    return timeout_ms;
}

static const char *bad_seconds(const char *text)
{
    uint64_t timeout_ms = 0;
    const char *error = block_seconds(slice_str(text), &timeout_ms);
    CHECK(error != NULL && timeout_ms == 0);
    return error;
}

TEST(block_seconds, rounds_up_to_milliseconds)
{
    CHECK_EQ(seconds("1"), 1000);
    CHECK_EQ(seconds("0.0001"), 1);
    CHECK_EQ(seconds("2.5001"), 2501);
    CHECK_EQ(seconds("0x10"), 16000);
    CHECK(seconds("0") == BLOCK_FOREVER);
    CHECK(seconds("-0.0001") == BLOCK_FOREVER); /* As Redis rounds. */
    CHECK(seconds("9223372036854774") == UINT64_C(9223372036854774000));
}

TEST(block_seconds, says_what_redis_says)
{
    CHECK_BYTES(slice_str(bad_seconds("x")), "ERR timeout is not a float or out of range");
    CHECK_BYTES(slice_str(bad_seconds("")), "ERR timeout is not a float or out of range");
    CHECK_BYTES(slice_str(bad_seconds(" 1")), "ERR timeout is not a float or out of range");
    CHECK_BYTES(slice_str(bad_seconds("nan")), "ERR timeout is not a float or out of range");
    CHECK_BYTES(slice_str(bad_seconds("-1")), "ERR timeout is negative");
    CHECK_BYTES(slice_str(bad_seconds("-inf")), "ERR timeout is negative");
    CHECK_BYTES(slice_str(bad_seconds("inf")), "ERR timeout is negative");
    CHECK_BYTES(slice_str(bad_seconds("1e30")), "ERR timeout is negative");
    CHECK_BYTES(slice_str(bad_seconds("9300000000000000")), "ERR timeout is negative");
}

TEST(block_milliseconds, takes_whole_numbers)
{
    uint64_t timeout_ms = 0;
    CHECK(block_milliseconds(slice_str("250"), &timeout_ms) == NULL);
    CHECK_EQ(timeout_ms, 250);
    CHECK(block_milliseconds(slice_str("0"), &timeout_ms) == NULL);
    CHECK(timeout_ms == BLOCK_FOREVER);
    CHECK_BYTES(slice_str(block_milliseconds(slice_str("1.5"), &timeout_ms)),
                "ERR timeout is not an integer or out of range");
    CHECK_BYTES(slice_str(block_milliseconds(slice_str("-1"), &timeout_ms)),
                "ERR timeout is negative");
}

static uint64_t timeout_of(const char *name, const char *const *words, size_t count)
{
    struct slice argv[8] = {slice_str(name)};
    for (size_t i = 0; i < count; i++) {
        argv[i + 1] = slice_str(words[i]);
    }
    const struct command *command = command_find(argv[0]);
    CHECK(command != NULL);
    return block_timeout(command, (struct args){.argv = argv, .argc = count + 1});
}

TEST(block_timeout, stands_where_the_command_has_it)
{
    const char *blpop[] = {"a", "b", "3"};
    CHECK_EQ(timeout_of("blpop", blpop, 3), 3000);
    const char *blmove[] = {"a", "b", "left", "right", "0.5"};
    CHECK_EQ(timeout_of("blmove", blmove, 5), 500);
    const char *blmpop[] = {"2", "1", "7", "left"};
    CHECK_EQ(timeout_of("blmpop", blmpop, 4), 2000);
    CHECK_EQ(timeout_of("lpop", blpop, 1), 0);
    const char *bad[] = {"a", "x"};
    CHECK_EQ(timeout_of("brpop", bad, 2), 0);
}
