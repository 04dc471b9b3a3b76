#include "router/scatter.h"

#include <stdio.h>

#include "common/proto/transaction.h"
#include "tests/support/script_nodes.h"
#include "tests/support/test.h"

enum { WORDS_MAX = 8, COMMANDS_MAX = 8 };

struct caller {
    struct core_request request;
    struct slice argv[COMMANDS_MAX][WORDS_MAX];
    struct transaction_item items[COMMANDS_MAX];
    struct transaction_watch watches[2];
    size_t item_count, watch_count;
    struct transaction_form form;
    struct buf reply;
    unsigned done;
};

/* Two shards, a key on each. */
struct bench {
    struct script script;
    struct caller caller;
    char a[SCRIPT_TEXT_SIZE];
    char b[SCRIPT_TEXT_SIZE];
};

static void begin(struct bench *bench)
{
    *bench = (struct bench){0};
    script_open_led(&bench->script, 2);
    script_key(&bench->script, 0, 0, bench->a);
    script_key(&bench->script, 1, 0, bench->b);
    buf_init(&bench->caller.reply, 1 << 16);
}

static void end(struct bench *bench)
{
    transaction_form_deinit(&bench->caller.form);
    buf_deinit(&bench->caller.reply);
    script_close(&bench->script);
}

static void on_done(struct core_request *request, struct slice reply)
{
    struct caller *caller = (struct caller *)(void *)request;
    caller->done++;
    buf_append_slice(&caller->reply, reply);
}

static void add(struct bench *bench, const char *name, const char *one, const char *two)
{
    struct caller *caller = &bench->caller;
    struct slice *argv = caller->argv[caller->item_count];
    size_t argc = 1;
    argv[0] = slice_str(name);
    if (one != NULL) {
        argv[argc++] = slice_str(one);
    }
    if (two != NULL) {
        argv[argc++] = slice_str(two);
    }
    caller->items[caller->item_count++] = (struct transaction_item){
        .command = command_find(argv[0]), .args = {.argv = argv, .argc = argc}};
}

static void watch(struct bench *bench, const char *key)
{
    struct caller *caller = &bench->caller;
    caller->watches[caller->watch_count++] =
        (struct transaction_watch){.version = 7, .key = slice_str(key)};
}

static void start(struct bench *bench)
{
    struct caller *caller = &bench->caller;
    transaction_form_init(&caller->form, caller->items, caller->item_count, caller->watches,
                          caller->watch_count);
    caller->request.command = command_at(CMD_batch);
    caller->request.args = caller->form.args;
    caller->request.on_done = on_done;
    CHECK(scatter_wanted(bench->script.core, &caller->request));
    scatter_execute(bench->script.core, &caller->request);
}

/* The next thing sent; all shards are led by node 1. */
struct sent {
    struct script_request request;
    char name[16];
    size_t items, watches;
};

static void take(struct bench *bench, struct sent *sent)
{
    script_expect(&bench->script, 1, &sent->request);
    struct slice name = sent->request.frame.args.argv[0];
    CHECK(name.len < sizeof(sent->name));
    memcpy(sent->name, name.data, name.len);
    sent->name[name.len] = '\0';
    struct transaction transaction;
    sent->items = 0;
    sent->watches = 0;
    if (strcmp(sent->name, "batch") == 0) {
        CHECK_EQ(transaction_open(sent->request.frame.args, &transaction), STATUS_OK);
        sent->items = transaction.item_count;
        sent->watches = transaction.watch_count;
    }
}

static void answer(struct bench *bench, const struct sent *sent, const char *reply)
{
    script_answer(&bench->script, 1, &sent->request, STATUS_OK, reply);
}

static bool replied(const struct bench *bench, const char *begin_of_reply)
{
    size_t len = strlen(begin_of_reply);
    const struct buf *reply = &bench->caller.reply;
    return bench->caller.done == 1 && reply->len >= len &&
           memcmp(reply->data, begin_of_reply, len) == 0;
}

TEST(scatter_execute, runs_a_transaction_per_shard_and_keeps_the_order_of_replies)
{
    struct bench bench;
    begin(&bench);
    add(&bench, "set", bench.a, "1");
    add(&bench, "set", bench.b, "2");
    add(&bench, "get", bench.a, NULL);
    start(&bench);
    struct sent one;
    struct sent two;
    take(&bench, &one);
    take(&bench, &two);
    CHECK_EQ(one.items, 2);
    CHECK_EQ(two.items, 1);
    answer(&bench, &two, "*1\r\n+OK\r\n");
    CHECK_EQ(bench.caller.done, 0);
    answer(&bench, &one, "*2\r\n+OK\r\n$1\r\n1\r\n");
    CHECK_BYTES(buf_slice(&bench.caller.reply), "*3\r\n+OK\r\n+OK\r\n$1\r\n1\r\n");
    end(&bench);
}

TEST(scatter_execute, runs_a_spread_command_behind_those_before_it)
{
    struct bench bench;
    begin(&bench);
    add(&bench, "set", bench.a, "1");
    add(&bench, "exists", bench.a, bench.b);
    add(&bench, "get", bench.b, NULL);
    start(&bench);
    struct sent sent;
    struct sent other;
    take(&bench, &sent);
    CHECK_EQ(sent.items, 1);
    CHECK(!script_take(&bench.script, 1, &other.request));
    answer(&bench, &sent, "*1\r\n+OK\r\n");
    take(&bench, &sent);
    take(&bench, &other);
    CHECK_BYTES(slice_str(sent.name), "exists");
    answer(&bench, &sent, ":1\r\n");
    answer(&bench, &other, ":1\r\n");
    take(&bench, &sent);
    CHECK_EQ(sent.items, 1);
    answer(&bench, &sent, "*1\r\n$-1\r\n");
    CHECK_BYTES(buf_slice(&bench.caller.reply), "*3\r\n+OK\r\n:2\r\n$-1\r\n");
    end(&bench);
}

TEST(scatter_execute, cuts_anew_what_a_split_took_apart)
{
    struct bench bench;
    begin(&bench);
    char up[SCRIPT_TEXT_SIZE];
    script_split(&bench.script, 0, 50); /* The router has not heard of it. */
    script_key(&bench.script, 0, 0, bench.a);
    script_key(&bench.script, 1, 0, up);
    add(&bench, "set", bench.a, "1");
    add(&bench, "set", up, "2");
    add(&bench, "set", bench.b, "3");
    add(&bench, "get", up, NULL);
    start(&bench);
    struct sent one;
    struct sent two;
    take(&bench, &one);
    take(&bench, &two);
    CHECK_EQ(one.items + two.items, 4);
    const struct sent *large = one.items == 3 ? &one : &two;
    answer(&bench, one.items == 3 ? &two : &one, "*1\r\n+OK\r\n");
    const size_t both[2] = {0, 1};
    script_disown(&bench.script, 1, &large->request, STATUS_NOT_OWNER, both);
    take(&bench, &one);
    take(&bench, &two);
    CHECK_EQ(one.items + two.items, 3); /* What was done is not done again. */
    answer(&bench, &one, one.items == 1 ? "*1\r\n+OK\r\n" : "*2\r\n+OK\r\n$1\r\n2\r\n");
    answer(&bench, &two, two.items == 1 ? "*1\r\n+OK\r\n" : "*2\r\n+OK\r\n$1\r\n2\r\n");
    CHECK_BYTES(buf_slice(&bench.caller.reply), "*4\r\n+OK\r\n+OK\r\n+OK\r\n$1\r\n2\r\n");
    end(&bench);
}

TEST(scatter_execute, checks_all_watches_before_anything)
{
    struct bench bench;
    begin(&bench);
    add(&bench, "set", bench.a, "1");
    add(&bench, "set", bench.b, "1");
    watch(&bench, bench.a);
    watch(&bench, bench.b);
    start(&bench);
    struct sent one;
    struct sent two;
    take(&bench, &one);
    take(&bench, &two);
    CHECK(one.items == 0 && one.watches == 1 && two.items == 0 && two.watches == 1);
    answer(&bench, &one, "*0\r\n");
    answer(&bench, &two, "*-1\r\n");
    CHECK(replied(&bench, "*-1\r\n"));
    CHECK(!script_take(&bench.script, 1, &one.request));
    end(&bench);
}

TEST(scatter_execute, says_which_part_a_late_change_spared)
{
    struct bench bench;
    begin(&bench);
    add(&bench, "set", bench.a, "1");
    add(&bench, "set", bench.b, "1");
    watch(&bench, bench.b);
    start(&bench);
    struct sent one;
    struct sent two;
    take(&bench, &one);
    CHECK(one.items == 0 && one.watches == 1);
    answer(&bench, &one, "*0\r\n");
    take(&bench, &one);
    take(&bench, &two);
    CHECK(one.items == 1 && one.watches == 0 && two.items == 1 && two.watches == 1);
    answer(&bench, &one, "*1\r\n+OK\r\n");
    answer(&bench, &two, "*-1\r\n");
    CHECK(replied(&bench, "*2\r\n+OK\r\n-ABORTED "));
    end(&bench);
}

TEST(scatter_execute, keeps_errors_to_their_part)
{
    struct bench bench;
    begin(&bench);
    add(&bench, "set", bench.a, "1");
    add(&bench, "set", bench.b, "1");
    add(&bench, "rename", bench.a, bench.b);
    start(&bench);
    struct sent one;
    struct sent two;
    take(&bench, &one);
    take(&bench, &two);
    answer(&bench, &one, "-DISKFULL no\r\n");
    answer(&bench, &two, "*2\r\n+OK\r\n+OK\r\n"); /* One more than was asked. */
    CHECK(replied(&bench, "*3\r\n-DISKFULL no\r\n-ERR a shard answered"));
    CHECK(memmem(bench.caller.reply.data, bench.caller.reply.len, "-CROSSSLOT", 10) != NULL);
    end(&bench);
}

TEST(scatter_wanted, is_not_for_one_shard)
{
    struct bench bench;
    begin(&bench);
    add(&bench, "set", bench.a, "1");
    add(&bench, "get", bench.a, NULL);
    struct caller *caller = &bench.caller;
    transaction_form_init(&caller->form, caller->items, caller->item_count, NULL, 0);
    caller->request.command = command_at(CMD_batch);
    caller->request.args = caller->form.args;
    CHECK(!scatter_wanted(bench.script.core, &caller->request));
    end(&bench);
}
