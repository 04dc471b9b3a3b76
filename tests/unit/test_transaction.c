#include "common/proto/transaction.h"

#include <stdlib.h>

#include "tests/support/test.h"

enum { WORDS_MAX = 8 };

/* A command of words with one blank between. */
struct sample {
    struct slice argv[WORDS_MAX];
    struct transaction_item item;
};

static struct transaction_item *make(struct sample *sample, const char *line, uint8_t db)
{
    size_t count = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, " ");
        CHECK(count < WORDS_MAX);
        sample->argv[count++] = slice_of(line, len);
        line += len + (line[len] != '\0');
    }
    sample->item = (struct transaction_item){.command = command_find(sample->argv[0]),
                                             .db = db,
                                             .args = {.argv = sample->argv, .argc = count}};
    CHECK(sample->item.command != NULL);
    return &sample->item;
}

TEST(transaction_form_init, is_taken_apart_again)
{
    struct sample samples[3];
    struct transaction_item items[] = {*make(&samples[0], "set a 1", 2),
                                       *make(&samples[1], "mget b c", 2),
                                       *make(&samples[2], "get a", 2)};
    struct transaction_watch watches[] = {{.db = 2, .version = 77, .key = slice_str("w")}};
    struct transaction_form form;
    transaction_form_init(&form, items, 3, watches, 1);
    CHECK_EQ(form.db, 2);
    CHECK_BYTES(form.args.argv[0], "batch");
    const struct command *batch = command_at(CMD_batch);
    static const char *const keys[] = {"w", "a", "b", "c", "a"};
    for (size_t i = 0; i < 5; i++) {
        CHECK_BYTES(form.args.argv[command_key_at(batch, form.args, i)], keys[i]);
    }
    CHECK_EQ(command_key_at(batch, form.args, 5), 0);
    struct transaction transaction;
    CHECK_EQ(transaction_open(form.args, &transaction), STATUS_OK);
    CHECK(transaction.grows);
    CHECK_EQ(transaction.key_count, 5);
    struct transaction_item item;
    for (size_t i = 0; i < 3; i++) {
        CHECK(transaction_next_item(&transaction, &item));
        CHECK(item.command == items[i].command);
        CHECK_EQ(item.db, 2);
        CHECK_EQ(item.args.argc, items[i].args.argc);
        CHECK(slice_equal(item.args.argv[1], items[i].args.argv[1]));
    }
    CHECK(!transaction_next_item(&transaction, &item));
    struct transaction_watch watch;
    CHECK(transaction_next_watch(&transaction, &watch));
    CHECK_EQ(watch.version, 77);
    CHECK_BYTES(watch.key, "w");
    CHECK(!transaction_next_watch(&transaction, &watch));
    transaction_form_deinit(&form);
}

static size_t keys_of(const char *line, uint8_t db, const char *other, uint8_t other_db)
{
    struct sample samples[2];
    struct transaction_item items[] = {*make(&samples[0], line, db),
                                       *make(&samples[1], other, other_db)};
    struct transaction_form form;
    transaction_form_init(&form, items, 2, NULL, 0);
    struct transaction transaction;
    CHECK_EQ(transaction_open(form.args, &transaction), STATUS_OK);
    size_t count = transaction.key_count;
    transaction_form_deinit(&form);
    return count;
}

TEST(transaction_form_init, names_no_keys_unless_it_can_name_all)
{
    CHECK_EQ(keys_of("get a", 1, "get b", 1), 2);
    CHECK_EQ(keys_of("get a", 1, "get b", 2), 0);
    CHECK_EQ(keys_of("get a", 1, "dbsize", 1), 0);
    CHECK_EQ(keys_of("get a", 1, "move b 3", 1), 0);
    CHECK_EQ(keys_of("get a", 1, "copy b c DB 3", 1), 0);
    CHECK_EQ(keys_of("get a", 1, "copy b c DB 1", 1), 3);
    CHECK_EQ(keys_of("get a", 1, "flushdb", 1), 0);
}

TEST(transaction_form_init, says_whether_it_needs_room)
{
    static const struct {
        const char *line;
        bool grows;
    } cases[] = {{"set a 1", true}, {"del a", false}, {"get a", false}, {"incr a", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sample sample;
        struct transaction_form form;
        transaction_form_init(&form, make(&sample, cases[i].line, 0), 1, NULL, 0);
        struct transaction transaction;
        CHECK_EQ(transaction_open(form.args, &transaction), STATUS_OK);
        CHECK_EQ(transaction.grows, cases[i].grows);
        transaction_form_deinit(&form);
    }
}

static enum status open_changed(const struct transaction_form *form, size_t at, const char *word)
{
    struct slice argv[16];
    CHECK(form->args.argc <= 16);
    memcpy(argv, form->args.argv, form->args.argc * sizeof(*argv));
    argv[at] = slice_str(word);
    struct transaction transaction;
    return transaction_open((struct args){.argv = argv, .argc = form->args.argc}, &transaction);
}

TEST(transaction_open, refuses_what_is_none)
{
    struct sample samples[2];
    struct transaction_item items[] = {*make(&samples[0], "set a 1", 0),
                                       *make(&samples[1], "get a", 0)};
    struct transaction_watch watch = {.key = slice_str("a")};
    struct transaction_form form;
    transaction_form_init(&form, items, 2, &watch, 1);
    /* batch 3 a a a FRAME set a 1 get a */
    CHECK_EQ(form.args.argc, 11);
    CHECK_EQ(open_changed(&form, 4, "b"), STATUS_OK);
    CHECK_EQ(open_changed(&form, 1, "2"), STATUS_BAD_ARGUMENT);
    CHECK_EQ(open_changed(&form, 1, "4"), STATUS_BAD_ARGUMENT);
    CHECK_EQ(open_changed(&form, 1, "-1"), STATUS_BAD_ARGUMENT);
    CHECK_EQ(open_changed(&form, 1, "9999999999"), STATUS_BAD_ARGUMENT);
    CHECK_EQ(open_changed(&form, 5, ""), STATUS_BAD_ARGUMENT);
    static const char *const bad[] = {"get", "nosuch", "ping", "batch", "versions", "mset"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum status wanted = i == 5 ? STATUS_OK : STATUS_BAD_ARGUMENT;
        CHECK_EQ(open_changed(&form, 6, bad[i]), wanted);
    }
    struct transaction transaction;
    for (size_t argc = 0; argc < form.args.argc; argc++) {
        struct args args = {.argv = form.args.argv, .argc = argc};
        CHECK_EQ(transaction_open(args, &transaction), STATUS_BAD_ARGUMENT);
    }
    struct buf *frame = &form.frame;
    for (size_t len = 0; len < frame->len; len++) {
        form.argv[5] = slice_of(frame->data, len);
        CHECK_EQ(transaction_open(form.args, &transaction), STATUS_BAD_ARGUMENT);
    }
    transaction_form_deinit(&form);
}
