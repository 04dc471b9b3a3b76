#include "router/fanout.h"

#include "tests/support/test.h"

static struct fanout_part part_of(const char *reply, const uint32_t *keys, size_t count)
{
    return (struct fanout_part){.reply = slice_str(reply), .keys = keys, .key_count = count};
}

static void check(const char *name, const struct fanout_part *parts, size_t count, const char *want)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    const struct command *command = command_find(slice_str(name));
    CHECK(command != NULL);
    fanout_merge(command, parts, count, &out);
    CHECK_BYTES(buf_slice(&out), want);
    buf_deinit(&out);
}

static void check_error(const char *name, const struct fanout_part *parts, size_t count)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    fanout_merge(command_find(slice_str(name)), parts, count, &out);
    CHECK(fanout_is_error(buf_slice(&out)));
    buf_deinit(&out);
}

TEST(fanout_merge, puts_values_where_their_keys_stood)
{
    const uint32_t first[] = {2, 4};
    const uint32_t second[] = {1, 3, 5};
    struct fanout_part parts[] = {part_of("*2\r\n$1\r\nb\r\n_\r\n", first, 2),
                                  part_of("*3\r\n$1\r\na\r\n$3\r\ncc\n\r\n$0\r\n\r\n", second, 3)};
    check("mget", parts, 2, "*5\r\n$1\r\na\r\n$1\r\nb\r\n$3\r\ncc\n\r\n_\r\n$0\r\n\r\n");
}

TEST(fanout_merge, adds_integers)
{
    struct fanout_part parts[] = {part_of(":3\r\n", NULL, 0), part_of(":0\r\n", NULL, 0),
                                  part_of(":4\r\n", NULL, 0)};
    check("del", parts, 3, ":7\r\n");
    check("dbsize", parts, 3, ":7\r\n");
}

TEST(fanout_merge, is_ok_if_all_are)
{
    struct fanout_part parts[] = {part_of("+OK\r\n", NULL, 0), part_of("+OK\r\n", NULL, 0)};
    check("mset", parts, 2, "+OK\r\n");
    check("flushall", parts, 2, "+OK\r\n");
}

TEST(fanout_merge, joins_arrays)
{
    struct fanout_part parts[] = {part_of("*1\r\n$1\r\na\r\n", NULL, 0), part_of("*0\r\n", NULL, 0),
                                  part_of("*2\r\n$1\r\nb\r\n$1\r\nc\r\n", NULL, 0)};
    check("keys", parts, 3, "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
}

TEST(fanout_merge, fails_as_a_whole_with_the_first_error)
{
    const uint32_t keys[] = {1};
    struct fanout_part parts[] = {part_of("*1\r\n_\r\n", keys, 1),
                                  part_of("-TIMEOUT shard 5\r\n", NULL, 0),
                                  part_of("-ERR other\r\n", NULL, 0)};
    check("mget", parts, 3, "-TIMEOUT shard 5\r\n");
    check("del", parts + 1, 2, "-TIMEOUT shard 5\r\n");
}

TEST(fanout_merge, refuses_forms_that_do_not_fit)
{
    const uint32_t keys[] = {1, 2};
    struct fanout_part few[] = {part_of("*1\r\n_\r\n", keys, 2)};
    check_error("mget", few, 1);
    struct fanout_part many[] = {part_of("*3\r\n_\r\n_\r\n_\r\n", keys, 2)};
    check_error("mget", many, 1);
    struct fanout_part torn[] = {part_of("*2\r\n_\r\n$5\r\nab", keys, 2)};
    check_error("mget", torn, 1);
    struct fanout_part text[] = {part_of("+OK\r\n", NULL, 0)};
    check_error("del", text, 1);
    check_error("keys", text, 1);
    struct fanout_part number[] = {part_of(":1\r\n", NULL, 0)};
    check_error("mset", number, 1);
    struct fanout_part big[] = {part_of(":9223372036854775807\r\n", NULL, 0),
                                part_of(":1\r\n", NULL, 0)};
    check_error("dbsize", big, 2);
}

static void check_scan(const char *reply, uint64_t last, const char *want)
{
    struct buf out;
    buf_init(&out, 4096);
    fanout_scan(slice_str(reply), last, &out);
    CHECK_BYTES(buf_slice(&out), want);
    buf_deinit(&out);
}

TEST(fanout_scan, goes_on_at_the_next_shard)
{
    check_scan("*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", 99, "*2\r\n$3\r\n100\r\n*1\r\n$1\r\na\r\n");
    check_scan("*2\r\n$1\r\n0\r\n*0\r\n", UINT64_MAX, "*2\r\n$1\r\n0\r\n*0\r\n");
    check_scan("*2\r\n$2\r\n17\r\n*0\r\n", 99, "*2\r\n$2\r\n17\r\n*0\r\n");
    check_scan("-ERR syntax error\r\n", 99, "-ERR syntax error\r\n");
}

TEST(fanout_is_null, knows_all_nulls)
{
    CHECK(fanout_is_null(slice_str("_\r\n")));
    CHECK(fanout_is_null(slice_str("*-1\r\n")));
    CHECK(!fanout_is_null(slice_str("$1\r\na\r\n")));
    CHECK(!fanout_is_null(slice_str("-ERR\r\n")));
}

TEST(fanout_merge, takes_what_was_found_anywhere)
{
    struct fanout_part parts[] = {part_of("*4\r\n_\r\n$1\r\nb\r\n_\r\n_\r\n", NULL, 0),
                                  part_of("-TIMEOUT\r\n", NULL, 0),
                                  part_of("*4\r\n$1\r\na\r\n$1\r\nx\r\n_\r\n$0\r\n\r\n", NULL, 0)};
    check("script_find", parts, 3, "*4\r\n$1\r\na\r\n$1\r\nb\r\n_\r\n$0\r\n\r\n");
    struct fanout_part flags[] = {part_of("-TIMEOUT\r\n", NULL, 0),
                                  part_of("*3\r\n:0\r\n:1\r\n:0\r\n", NULL, 0),
                                  part_of("*3\r\n:1\r\n:0\r\n:0\r\n", NULL, 0)};
    check("script_exists", flags, 3, "*3\r\n:1\r\n:1\r\n:0\r\n");
    struct fanout_part errors[] = {part_of("-A\r\n", NULL, 0), part_of("-B\r\n", NULL, 0)};
    check("script_exists", errors, 2, "-A\r\n");
    struct fanout_part bad[] = {part_of("*2\r\n:0\r\n", NULL, 0), part_of("+OK\r\n", NULL, 0)};
    check_error("script_exists", bad, 2);
    check_error("script_exists", bad + 1, 1);
}
