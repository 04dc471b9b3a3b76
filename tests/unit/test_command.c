#include "common/proto/command.h"

#include <ctype.h>

#include "tests/support/test.h"

TEST(command_find, finds_every_row_in_any_case)
{
    for (size_t n = 0; n < CMD_COUNT; n++) {
        const struct command *command = command_at(n);
        CHECK_EQ(command->id, n);
        CHECK(command_find(slice_str(command->name)) == command);
        char upper[32] = {0};
        for (size_t i = 0; command->name[i] != '\0'; i++) {
            upper[i] = (char)toupper(command->name[i]);
        }
        CHECK(command_find(slice_str(upper)) == command);
        CHECK(command_by_code(command->code) == command);
        CHECK(command->arity != 0);
    }
}

TEST(command_find, knows_no_other_names)
{
    static const char *const names[] = {
        "",       "ge",  "gett",     "get ",
        "g\xc7t", "[et", "nonesuch", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK(command_find(slice_str(names[i])) == NULL);
    }
    CHECK(command_by_code(0) == NULL);
    CHECK(command_by_code(1000) == NULL);
    CHECK(command_by_code(UINT16_MAX) == NULL);
}

/* They stand in logs. */
TEST(command_by_code, has_the_codes_of_the_first_release)
{
    CHECK_EQ(command_by_code(1)->id, CMD_get);
    CHECK_EQ(command_by_code(2)->id, CMD_set);
    CHECK_EQ(command_by_code(35)->id, CMD_incrby);
    CHECK_EQ(command_by_code(38)->id, CMD_del);
    CHECK_EQ(command_by_code(43)->id, CMD_pexpireat);
    CHECK_EQ(command_by_code(50)->id, CMD_setbit);
}

TEST(command_check, counts_the_name)
{
    const struct command *get = command_find(slice_str("get"));
    CHECK_EQ(command_check(get, 1), STATUS_BAD_ARITY);
    CHECK_EQ(command_check(get, 2), STATUS_OK);
    CHECK_EQ(command_check(get, 3), STATUS_BAD_ARITY);
    const struct command *mset = command_find(slice_str("mset"));
    CHECK_EQ(command_check(mset, 2), STATUS_BAD_ARITY);
    CHECK_EQ(command_check(mset, 300), STATUS_OK);
}

TEST(command_key_at, walks_the_keys)
{
    const struct command *mset = command_find(slice_str("mset"));
    CHECK_EQ(command_key_at(mset, 5, 0), 1);
    CHECK_EQ(command_key_at(mset, 5, 1), 3);
    CHECK_EQ(command_key_at(mset, 5, 2), 0);
    CHECK_EQ(command_key_at(mset, 5, SIZE_MAX), 0);
    const struct command *rename = command_find(slice_str("rename"));
    CHECK_EQ(command_key_at(rename, 3, 1), 2);
    CHECK_EQ(command_key_at(rename, 3, 2), 0);
    const struct command *object = command_find(slice_str("object"));
    CHECK_EQ(command_key_at(object, 3, 0), 2);
    CHECK_EQ(command_key_at(object, 2, 0), 0);
    CHECK_EQ(command_key_at(command_find(slice_str("dbsize")), 1, 0), 0);
}

TEST(command_word, ignores_case_only)
{
    CHECK(command_word(slice_str("KeepTtl"), "keepttl"));
    CHECK(!command_word(slice_str("keepttl "), "keepttl"));
    CHECK(!command_word(slice_str("keep"), "keepttl"));
    CHECK(!command_word(slice_of("ex\0", 3), "ex"));
    CHECK(!command_word(slice_str("@x"), "`x"));
}
