#include <stdlib.h>

#include "common/proto/resp.h"
#include "tests/support/test.h"

static void check_convert(const char *reply, int protocol, const char *want)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    resp_convert(slice_str(reply), protocol, &out);
    CHECK_BYTES(buf_slice(&out), want);
    buf_deinit(&out);
}

TEST(resp_convert, makes_resp2)
{
    check_convert("+OK\r\n", 2, "+OK\r\n");
    check_convert("$3\r\n_\r\n\r\n", 2, "$3\r\n_\r\n\r\n");
    check_convert("_\r\n", 2, "$-1\r\n");
    check_convert("*-1\r\n", 2, "*-1\r\n");
    check_convert("#t\r\n", 2, ":1\r\n");
    check_convert(",1.5\r\n", 2, "$3\r\n1.5\r\n");
    check_convert("=6\r\ntxt:hi\r\n", 2, "$2\r\nhi\r\n");
    check_convert("%1\r\n+a\r\n*2\r\n~1\r\n:1\r\n_\r\n", 2,
                  "*2\r\n+a\r\n*2\r\n*1\r\n:1\r\n$-1\r\n");
    check_convert(">1\r\n+x\r\n", 2, "*1\r\n+x\r\n");
    check_convert("^2\r\n&2\r\n+a\r\n,1\r\n&2\r\n+b\r\n_\r\n", 2,
                  "*4\r\n+a\r\n$1\r\n1\r\n+b\r\n$-1\r\n");
    check_convert("^0\r\n", 2, "*0\r\n");
    check_convert("<2\r\n;2\r\n+a\r\n%1\r\n:1\r\n:2\r\n;2\r\n+b\r\n*-1\r\n", 2,
                  "*2\r\n*2\r\n+a\r\n*2\r\n:1\r\n:2\r\n*2\r\n+b\r\n*-1\r\n");
}

TEST(resp_convert, makes_resp3)
{
    check_convert("*-1\r\n", 3, "_\r\n");
    check_convert("_\r\n", 3, "_\r\n");
    check_convert("%1\r\n+a\r\n*2\r\n,1\r\n*-1\r\n", 3, "%1\r\n+a\r\n*2\r\n,1\r\n_\r\n");
    check_convert("$1\r\na\r\n", 3, "$1\r\na\r\n");
    check_convert("^2\r\n&2\r\n+a\r\n,1\r\n&2\r\n+b\r\n_\r\n", 3,
                  "*2\r\n*2\r\n+a\r\n,1\r\n*2\r\n+b\r\n_\r\n");
    check_convert("<2\r\n;2\r\n+a\r\n%1\r\n:1\r\n:2\r\n;2\r\n+b\r\n*-1\r\n", 3,
                  "%2\r\n+a\r\n%1\r\n:1\r\n:2\r\n+b\r\n_\r\n");
}

TEST(resp_insert_array, goes_before_what_was_written)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    resp_write_int(&out, 7);
    size_t at = out.len;
    resp_write_text(&out, "a");
    resp_write_text(&out, "b");
    resp_insert_array(&out, at, 2);
    resp_insert_entries(&out, out.len, 0);
    CHECK_BYTES(buf_slice(&out), ":7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n<0\r\n");
    buf_deinit(&out);
}

TEST(resp_value_size, wants_the_whole_value)
{
    static const char *const values[] = {"+OK\r\n",
                                         "-ERR x\r\n",
                                         ":5\r\n",
                                         "$3\r\nabc\r\n",
                                         "$-1\r\n",
                                         "*-1\r\n",
                                         "*0\r\n",
                                         "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
                                         "%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n,1\r\n",
                                         "_\r\n",
                                         "=7\r\ntxt:abc\r\n",
                                         "|1\r\n+k\r\n+v\r\n:5\r\n",
                                         "<1\r\n;2\r\n+a\r\n:1\r\n",
                                         "(123\r\n",
                                         "^1\r\n&2\r\n+a\r\n+b\r\n",
                                         "#f\r\n"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        size_t len = strlen(values[i]);
        size_t size = 0;
        CHECK_EQ(resp_value_size(slice_of(values[i], len), 1000, &size), STATUS_OK);
        CHECK_EQ(size, len);
        for (size_t cut = 0; cut < len; cut++) {
            uint8_t *copy = malloc(cut + 1);
            CHECK(copy != NULL);
            memcpy(copy, values[i], cut);
            CHECK_EQ(resp_value_size(slice_of(copy, cut), 1000, &size), STATUS_AGAIN);
            free(copy);
        }
    }
}

TEST(resp_value_size, refuses)
{
    size_t size = 0;
    CHECK_EQ(resp_value_size(slice_str("x\r\n"), 100, &size), STATUS_PROTOCOL);
    CHECK_EQ(resp_value_size(slice_str("$-2\r\n"), 100, &size), STATUS_PROTOCOL);
    CHECK_EQ(resp_value_size(slice_str("$1\r\nabc"), 100, &size), STATUS_PROTOCOL);
    CHECK_EQ(resp_value_size(slice_str(":1x\r\n"), 100, &size), STATUS_PROTOCOL);
    CHECK_EQ(resp_value_size(slice_str("#x\r\n"), 100, &size), STATUS_PROTOCOL);
    CHECK_EQ(resp_value_size(slice_str("$5\r\nabcde\r\n"), 10, &size), STATUS_TOO_BIG);
    char deep[RESP_DEPTH_MAX * 4 + 1];
    for (size_t i = 0; i < RESP_DEPTH_MAX; i++) {
        memcpy(deep + 4 * i, "*1\r\n", 4);
    }
    CHECK_EQ(resp_value_size(slice_of(deep, sizeof(deep) - 1), 1000, &size), STATUS_TOO_BIG);
    CHECK_EQ(resp_value_size(slice_of(deep, sizeof(deep) - 5), 1000, &size), STATUS_AGAIN);
}

TEST(resp_value_read, takes_apart)
{
    struct resp_value value;
    CHECK_EQ(resp_value_read(slice_str("%3\r\n"), &value), STATUS_OK);
    CHECK_EQ(value.number, 6);
    CHECK_EQ(resp_value_read(slice_str("=5\r\ntxt:a\r\n"), &value), STATUS_OK);
    CHECK_BYTES(value.bytes, "a");
    CHECK_EQ(resp_value_read(slice_str("-ERR no\r\n+"), &value), STATUS_OK);
    CHECK_EQ(value.type, '-');
    CHECK_BYTES(value.bytes, "ERR no");
    CHECK_EQ(value.size_used, 9);
    CHECK_EQ(resp_value_read(slice_str("$-1\r\n"), &value), STATUS_OK);
    CHECK(value.null);
}
