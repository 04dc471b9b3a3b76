#include "common/proto/notify.h"

#include "tests/support/test.h"

/* Pairs of what is set and what redis-server 7.0.15 then answers to CONFIG GET. */
TEST(notify_format, shows_what_redis_shows)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"KEA", "AKE"},
        {"Ex", "xE"},
        {"KE$lshzxeg", "g$lshzxeKE"},
        {"Km", "Km"},
        {"AKEmn", "AKEm"},
        {"g$lshzxetdKE", "AKE"},
        {"nE", "nE"},
        {"td", "td"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        uint32_t flags = 0;
        char text[NOTIFY_TEXT_SIZE];
        CHECK(notify_parse(slice_str(pairs[i][0]), &flags));
        notify_format(flags, text);
        CHECK_BYTES(slice_str(text), pairs[i][1]);
    }
}

TEST(notify_parse, refuses_other_letters)
{
    uint32_t flags = 0;
    CHECK(!notify_parse(slice_str("KEy"), &flags));
    CHECK(!notify_parse(slice_str(" "), &flags));
    CHECK(!notify_parse(slice_of("K\0", 2), &flags));
    CHECK(notify_class('x') == 1 << 8);
    CHECK(notify_class('n') == 1 << 14);
}
