#include "common/proto/resp.h"

#include <stdlib.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

enum { BULK_SIZE_MAX = 1000 };

/* Feeds a copy of just the bytes, so that a read behind them is seen by the sanitizer. */
static enum status parse(
    struct resp_parser *parser, const char *text, size_t len, struct args *args, size_t *used)
{
    uint8_t *copy = malloc(len + 1);
    CHECK(copy != NULL);
    memcpy(copy, text, len);
    enum status status = resp_parse(parser, slice_of(copy, len), args, used);
    free(copy);
    return status;
}

static void check_error(const char *text, enum status want, const char *error)
{
    struct resp_parser parser;
    resp_parser_init(&parser, BULK_SIZE_MAX);
    struct args args;
    size_t used = 0;
    CHECK_EQ(parse(&parser, text, strlen(text), &args, &used), want);
    CHECK_BYTES(slice_str(parser.error), error);
    resp_parser_deinit(&parser);
}

TEST(resp_parse, takes_requests_one_by_one)
{
    struct resp_parser parser;
    resp_parser_init(&parser, BULK_SIZE_MAX);
    const char *text = "*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n*0\r\n";
    struct slice input = slice_str(text);
    struct args args;
    size_t used = 0;
    CHECK_EQ(resp_parse(&parser, input, &args, &used), STATUS_OK);
    CHECK_EQ(args.argc, 2);
    CHECK_BYTES(args.argv[0], "GET");
    CHECK_BYTES(args.argv[1], "");
    CHECK_EQ(used, 19);
    input = slice_of(input.data + used, input.len - used);
    CHECK_EQ(resp_parse(&parser, input, &args, &used), STATUS_OK);
    CHECK_BYTES(args.argv[0], "PING");
    input = slice_of(input.data + used, input.len - used);
    CHECK_EQ(resp_parse(&parser, input, &args, &used), STATUS_OK);
    CHECK_EQ(args.argc, 0);
    CHECK_EQ(used, input.len);
    resp_parser_deinit(&parser);
}

TEST(resp_parse, needs_more_bytes_at_every_split)
{
    const char *text = "*3\r\n$3\r\nSET\r\n$5\r\nab\r\nc\r\n$10\r\n0123456789\r\n";
    size_t len = strlen(text);
    struct resp_parser whole;
    resp_parser_init(&whole, BULK_SIZE_MAX);
    for (size_t cut = 0; cut < len; cut++) {
        struct resp_parser parser;
        resp_parser_init(&parser, BULK_SIZE_MAX);
        struct args args;
        size_t used = 0;
        CHECK_EQ(parse(&parser, text, cut, &args, &used), STATUS_AGAIN);
        CHECK(used > cut && used <= len);
        /* The bytes may have moved before the rest comes. */
        CHECK_EQ(resp_parse(&parser, slice_of(text, len), &args, &used), STATUS_OK);
        CHECK_EQ(used, len);
        CHECK_EQ(args.argc, 3);
        CHECK_BYTES(args.argv[1], "ab\r\nc");
        CHECK_BYTES(args.argv[2], "0123456789");
        resp_parser_deinit(&parser);
    }
    resp_parser_deinit(&whole);
}

TEST(resp_parse, says_how_much_a_large_argument_needs)
{
    struct resp_parser parser;
    resp_parser_init(&parser, BULK_SIZE_MAX);
    struct args args;
    size_t used = 0;
    CHECK_EQ(parse(&parser, "*1\r\n$900\r\nabc", 13, &args, &used), STATUS_AGAIN);
    CHECK_EQ(used, 4 + 6 + 900 + 2);
    resp_parser_deinit(&parser);
}

TEST(resp_parse, takes_inline_requests)
{
    static const struct {
        const char *text;
        const char *words[4];
    } cases[] = {
        {"PING\r\n", {"PING"}},
        {"  set  k v\n", {"set", "k", "v"}},
        {"echo \"a b\\n\\x41\\\"\" 'c\\'d'\r\n", {"echo", "a b\nA\"", "c'd"}},
        {"a \"\" b\r\n", {"a", "", "b"}},
        {"\\x41 'a\\n'\r\n", {"\\x41", "a\\n"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resp_parser parser;
        resp_parser_init(&parser, BULK_SIZE_MAX);
        struct args args;
        size_t used = 0;
        size_t len = strlen(cases[i].text);
        CHECK_EQ(parse(&parser, cases[i].text, len - 1, &args, &used), STATUS_AGAIN);
        CHECK_EQ(resp_parse(&parser, slice_of(cases[i].text, len), &args, &used), STATUS_OK);
        CHECK_EQ(used, len);
        size_t n = 0;
        for (; cases[i].words[n] != NULL; n++) {
            CHECK(n < args.argc);
            CHECK_BYTES(args.argv[n], cases[i].words[n]);
        }
        CHECK_EQ(args.argc, n);
        resp_parser_deinit(&parser);
    }
}

TEST(resp_parse, skips_empty_lines)
{
    struct resp_parser parser;
    resp_parser_init(&parser, BULK_SIZE_MAX);
    struct args args;
    size_t used = 0;
    CHECK_EQ(parse(&parser, "\r\nPING\r\n", 8, &args, &used), STATUS_OK);
    CHECK_EQ(args.argc, 0);
    CHECK_EQ(used, 2);
    resp_parser_deinit(&parser);
}

/* Texts: Redis 7.0 networking.c. */
TEST(resp_parse, refuses_as_redis_does)
{
    check_error("*1\r\n+PING\r\n", STATUS_PROTOCOL, "Protocol error: expected '$', got '+'");
    check_error("*x\r\n", STATUS_PROTOCOL, "Protocol error: invalid multibulk length");
    check_error("*1048577\r\n", STATUS_PROTOCOL, "Protocol error: invalid multibulk length");
    check_error("*99999999999999999999\r\n", STATUS_PROTOCOL,
                "Protocol error: invalid multibulk length");
    check_error("*1\r\n$-1\r\n", STATUS_PROTOCOL, "Protocol error: invalid bulk length");
    check_error("*1\r\n$1001\r\n", STATUS_PROTOCOL, "Protocol error: invalid bulk length");
    check_error("*1\r\n$1 \r\n", STATUS_PROTOCOL, "Protocol error: invalid bulk length");
    check_error("*1\r\n$1\r\nabc", STATUS_PROTOCOL, "Protocol error: bulk string without CRLF");
    check_error("a \"b\r\n", STATUS_PROTOCOL, "Protocol error: unbalanced quotes in request");
    check_error("a 'b'c\r\n", STATUS_PROTOCOL, "Protocol error: unbalanced quotes in request");
}

TEST(resp_parse, bounds_lines)
{
    size_t len = RESP_INLINE_SIZE_MAX + 2;
    char *text = malloc(len + 1);
    CHECK(text != NULL);
    memset(text, 'a', len);
    text[len] = '\0';
    check_error(text, STATUS_TOO_BIG, "Protocol error: too big inline request");
    text[0] = '*';
    check_error(text, STATUS_TOO_BIG, "Protocol error: too big mbulk count string");
    memcpy(text, "*1\r\n$", 5);
    text = realloc(text, len + 5);
    CHECK(text != NULL);
    memset(text + 5, '1', len - 1);
    text[len + 4] = '\0';
    check_error(text, STATUS_TOO_BIG, "Protocol error: too big bulk count string");
    free(text);
}

TEST(resp_parse, gives_strangers_little)
{
    struct resp_parser parser;
    resp_parser_init(&parser, 16384);
    parser.argc_max = 10;
    struct args args;
    size_t used = 0;
    CHECK_EQ(parse(&parser, "*11\r\n", 5, &args, &used), STATUS_PROTOCOL);
    CHECK_BYTES(slice_str(parser.error), "Protocol error: unauthenticated multibulk length");
    resp_parser_deinit(&parser);
    resp_parser_init(&parser, 16384);
    parser.argc_max = 10;
    CHECK_EQ(parse(&parser, "*1\r\n$16385\r\n", 12, &args, &used), STATUS_PROTOCOL);
    CHECK_BYTES(slice_str(parser.error), "Protocol error: unauthenticated bulk length");
    resp_parser_deinit(&parser);
}

TEST(resp_write_request, is_parsed_again)
{
    struct slice words[3] = {slice_str("SET"), slice_str(""), slice_of("\r\n\0", 3)};
    struct buf out;
    buf_init(&out, 1 << 16);
    resp_write_request(&out, (struct args){.argv = words, .argc = 3});
    struct resp_parser parser;
    resp_parser_init(&parser, BULK_SIZE_MAX);
    struct args args;
    size_t used = 0;
    CHECK_EQ(resp_parse(&parser, buf_slice(&out), &args, &used), STATUS_OK);
    CHECK_EQ(args.argc, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(slice_equal(args.argv[i], words[i]));
    }
    resp_parser_deinit(&parser);
    buf_deinit(&out);
}

TEST(resp_write, has_the_bytes_of_the_protocol)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    resp_write_ok(&out);
    resp_write_int(&out, INT64_MIN);
    resp_write_error(&out, "ERR two\r\nlines");
    resp_write_errorf(&out, "ERR %d", 5);
    resp_write_double(&out, 0.1);
    resp_write_bool(&out, true);
    resp_write_verbatim(&out, slice_str("hi"));
    resp_write_push(&out, 2);
    CHECK_BYTES(buf_slice(&out),
                "+OK\r\n:-9223372036854775808\r\n-ERR two  lines\r\n-ERR 5\r\n"
                ",0.10000000000000001\r\n#t\r\n=6\r\ntxt:hi\r\n>2\r\n");
    buf_deinit(&out);
}
