#include "common/proto/command.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

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

static struct args argc(size_t count)
{
    static const struct slice words[8];
    return (struct args){.argv = words, .argc = count};
}

TEST(command_key_at, walks_the_keys)
{
    const struct command *mset = command_find(slice_str("mset"));
    CHECK_EQ(command_key_at(mset, argc(5), 0), 1);
    CHECK_EQ(command_key_at(mset, argc(5), 1), 3);
    CHECK_EQ(command_key_at(mset, argc(5), 2), 0);
    CHECK_EQ(command_key_at(mset, argc(5), SIZE_MAX), 0);
    const struct command *rename = command_find(slice_str("rename"));
    CHECK_EQ(command_key_at(rename, argc(3), 1), 2);
    CHECK_EQ(command_key_at(rename, argc(3), 2), 0);
    const struct command *object = command_find(slice_str("object"));
    CHECK_EQ(command_key_at(object, argc(3), 0), 2);
    CHECK_EQ(command_key_at(object, argc(2), 0), 0);
    CHECK(command_has_keys(object));
    CHECK(!command_has_keys(command_find(slice_str("dbsize"))));
    CHECK_EQ(command_key_at(command_find(slice_str("dbsize")), argc(1), 0), 0);
}

/* Shapes that no fixed places describe. */
static size_t key_of(struct command shape, const char *line, size_t nth)
{
    struct slice words[16];
    size_t count = 0;
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s", line);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        words[count++] = slice_str(word);
    }
    return command_key_at(&shape, (struct args){.argv = words, .argc = count}, nth);
}

TEST(command_key_at, finds_counted_keys)
{
    struct command eval = {.flags = CMD_NUMKEYS(2)};
    CHECK_EQ(key_of(eval, "eval s 2 a b c", 0), 3);
    CHECK_EQ(key_of(eval, "eval s 2 a b c", 1), 4);
    CHECK_EQ(key_of(eval, "eval s 2 a b c", 2), 0);
    CHECK_EQ(key_of(eval, "eval s 9 a", 0), 3);
    CHECK_EQ(key_of(eval, "eval s 9 a", 1), 0);
    CHECK_EQ(key_of(eval, "eval s x a", 0), 0);
    CHECK_EQ(key_of(eval, "eval s -1 a", 0), 0);
    CHECK_EQ(key_of(eval, "eval s", 0), 0);
    struct command store = {.flags = CMD_NUMKEYS(2), .key_first = 1, .key_last = 1, .key_step = 1};
    CHECK_EQ(key_of(store, "zunionstore to 2 a b", 0), 1);
    CHECK_EQ(key_of(store, "zunionstore to 2 a b", 1), 3);
    CHECK_EQ(key_of(store, "zunionstore to 2 a b", 2), 4);
    CHECK_EQ(key_of(store, "zunionstore to 2 a b", 3), 0);
}

TEST(command_key_at, finds_keys_behind_words)
{
    struct command xread = {.flags = CMD_STREAMS};
    CHECK_EQ(key_of(xread, "xread count 2 streams a b 0 0", 0), 4);
    CHECK_EQ(key_of(xread, "xread count 2 streams a b 0 0", 1), 5);
    CHECK_EQ(key_of(xread, "xread count 2 streams a b 0 0", 2), 0);
    CHECK_EQ(key_of(xread, "xread count 2", 0), 0);
    CHECK_EQ(key_of(xread, "xreadgroup group streams streams noack STREAMS a >", 0), 6);
    CHECK_EQ(key_of(xread, "xreadgroup group streams", 0), 0);
    CHECK_EQ(key_of(xread, "xread STREAMS", 0), 0);
    struct command sort = {.flags = CMD_STORE, .key_first = 1, .key_last = 1, .key_step = 1};
    CHECK_EQ(key_of(sort, "sort a by b store c", 0), 1);
    CHECK_EQ(key_of(sort, "sort a by b store c", 1), 5);
    CHECK_EQ(key_of(sort, "sort a by b store c", 2), 0);
    CHECK_EQ(key_of(sort, "sort a by store", 1), 0);
    CHECK_EQ(key_of(sort, "sort a by store get b", 1), 0);
    CHECK_EQ(key_of(sort, "sort a get store desc", 1), 0);
    CHECK_EQ(key_of(sort, "sort a get store store c", 1), 5);
    CHECK_EQ(key_of(sort, "sort a store b store c", 1), 5);
    struct command near = {
        .arity = -5, .flags = CMD_STORE, .key_first = 1, .key_last = 1, .key_step = 1};
    CHECK_EQ(key_of(near, "georadiusbymember a store 1 km", 1), 0);
    CHECK_EQ(key_of(near, "georadiusbymember a store 1 km storedist b", 1), 6);
}

TEST(command_word, ignores_case_only)
{
    CHECK(command_word(slice_str("KeepTtl"), "keepttl"));
    CHECK(!command_word(slice_str("keepttl "), "keepttl"));
    CHECK(!command_word(slice_str("keep"), "keepttl"));
    CHECK(!command_word(slice_of("ex\0", 3), "ex"));
    CHECK(!command_word(slice_str("@x"), "`x"));
}
