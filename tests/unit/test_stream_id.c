#include "server/machine/stream_id.h"

#include "tests/support/test.h"

static struct stream_id id_of(const char *text)
{
    struct stream_id id = {0};
    CHECK(stream_id_parse_strict(slice_str(text), &id));
    return id;
}

TEST(stream_id_compare, orders_by_time_and_then_by_number)
{
    static const char *const ids[] = {"0-0",
                                      "0-1",
                                      "0-18446744073709551615",
                                      "1-0",
                                      "1-7",
                                      "2-0",
                                      "18446744073709551615-18446744073709551615"};
    size_t count = sizeof(ids) / sizeof(ids[0]);
    for (size_t a = 0; a < count; a++) {
        for (size_t b = 0; b < count; b++) {
            int order = stream_id_compare(id_of(ids[a]), id_of(ids[b]));
            CHECK_EQ(order < 0, a < b);
            CHECK_EQ(order > 0, a > b);
            struct buf left;
            struct buf right;
            buf_init(&left, 64);
            buf_init(&right, 64);
            stream_id_append(&left, id_of(ids[a]));
            stream_id_append(&right, id_of(ids[b]));
            CHECK_EQ(left.len, STREAM_ID_SIZE);
            int bytes = memcmp(left.data, right.data, STREAM_ID_SIZE);
            CHECK_EQ(bytes < 0, a < b);
            CHECK_EQ(bytes > 0, a > b);
            struct reader in = reader_of(buf_slice(&left));
            CHECK_EQ(stream_id_compare(stream_id_read(&in), id_of(ids[a])), 0);
            buf_deinit(&left);
            buf_deinit(&right);
        }
    }
}

TEST(stream_id_next, steps_over_the_end_of_a_time)
{
    struct stream_id id = id_of("5-18446744073709551615");
    CHECK(stream_id_next(&id));
    CHECK_EQ(stream_id_compare(id, id_of("6-0")), 0);
    CHECK(stream_id_previous(&id));
    CHECK_EQ(stream_id_compare(id, id_of("5-18446744073709551615")), 0);
    id = STREAM_ID_MAX;
    CHECK(!stream_id_next(&id));
    CHECK(stream_id_zero(id));
    CHECK(!stream_id_previous(&id));
    CHECK_EQ(stream_id_compare(id, STREAM_ID_MAX), 0);
}

TEST(stream_id_parse, takes_both_forms_and_both_ends)
{
    struct stream_id id;
    CHECK(stream_id_parse(slice_str("12"), 7, &id) && id.ms == 12 && id.seq == 7);
    CHECK(stream_id_parse(slice_str("12-3"), 7, &id) && id.ms == 12 && id.seq == 3);
    CHECK(stream_id_parse(slice_str("-"), 7, &id) && stream_id_zero(id));
    CHECK(stream_id_parse(slice_str("+"), 7, &id));
    CHECK_EQ(stream_id_compare(id, STREAM_ID_MAX), 0);
    static const char *const bad[] = {"",
                                      "x",
                                      "1-",
                                      "-1",
                                      "1-x",
                                      "1-2-3",
                                      "--",
                                      "1.5",
                                      "18446744073709551616",
                                      "1-18446744073709551616",
                                      "1-*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!stream_id_parse(slice_str(bad[i]), 0, &id));
        CHECK(!stream_id_parse_strict(slice_str(bad[i]), &id));
    }
    CHECK(!stream_id_parse_strict(slice_str("-"), &id));
    CHECK(!stream_id_parse_strict(slice_str("+"), &id));
    bool given = true;
    CHECK(stream_id_parse_new(slice_str("9-*"), &id, &given) && !given && id.ms == 9);
    CHECK(stream_id_parse_new(slice_str("9-1"), &id, &given) && given && id.seq == 1);
}

TEST(stream_id_parse_start, leaves_out_what_stands_behind_a_parenthesis)
{
    struct stream_id id;
    CHECK(stream_id_parse_start(slice_str("(5"), &id) == NULL && id.ms == 5 && id.seq == 1);
    CHECK(stream_id_parse_end(slice_str("(5"), &id) == NULL && id.seq == UINT64_MAX - 1);
    CHECK(stream_id_parse_end(slice_str("(5-0"), &id) == NULL && id.ms == 4);
    CHECK(stream_id_parse_end(slice_str("5"), &id) == NULL && id.seq == UINT64_MAX);
    CHECK(stream_id_parse_end(slice_str("(0-0"), &id) != NULL);
    CHECK(stream_id_parse_start(slice_str("(-"), &id) != NULL);
    CHECK(stream_id_parse_start(slice_str("("), &id) != NULL);
}
