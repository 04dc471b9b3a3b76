#include "common/front/multi.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/front/request.h"
#include "common/proto/transaction.h"
#include "tests/support/front_rig.h"
#include "tests/support/test.h"

/* Texts are those of redis-server 7.0.15, captured from it. */

#define ASK(rig, text, want) CHECK_BYTES(front_rig_ask((rig), (text)), (want))
#define HAS(rig, text, part) CHECK(front_rig_has(front_rig_ask((rig), (text)), (part)))

/* What was sent to the shards last, answered. */
static struct slice answer(struct front_rig *rig, const char *reply)
{
    CHECK(rig->held_count > 0);
    struct request *request = rig->held[--rig->held_count];
    request_finish(request, slice_str(reply));
    return front_rig_take(rig);
}

static struct args sent(const struct front_rig *rig)
{
    CHECK(rig->held_count > 0);
    return rig->held[rig->held_count - 1]->args;
}

static void begin(struct front_rig *rig)
{
    front_rig_start(rig);
    rig->hold = true;
}

TEST(front_multi, answers_errors_as_redis_does)
{
    struct front_rig rig;
    begin(&rig);
    ASK(&rig, "EXEC\r\n", "-ERR EXEC without MULTI\r\n");
    ASK(&rig, "DISCARD\r\n", "-ERR DISCARD without MULTI\r\n");
    ASK(&rig, "UNWATCH\r\n", "+OK\r\n");
    ASK(&rig, "MULTI x\r\n", "-ERR wrong number of arguments for 'multi' command\r\n");
    ASK(&rig, "MULTI\r\n", "+OK\r\n");
    ASK(&rig, "MULTI\r\n", "-ERR MULTI calls can not be nested\r\n");
    ASK(&rig, "WATCH a\r\n", "-ERR WATCH inside MULTI is not allowed\r\n");
    ASK(&rig, "EXEC\r\n", "*0\r\n");
    ASK(&rig, "MULTI\r\nNOSUCH\r\n",
        "+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    ASK(&rig, "SET a b\r\nEXEC\r\n",
        "+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n");
    ASK(&rig, "MULTI\r\nGET\r\nEXEC\r\n",
        "+OK\r\n-ERR wrong number of arguments for 'get' command\r\n"
        "-EXECABORT Transaction discarded because of previous errors.\r\n");
    ASK(&rig, "MULTI\r\nEXEC x\r\nEXEC\r\n",
        "+OK\r\n-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
        "command\r\n-ERR EXEC without MULTI\r\n");
    ASK(&rig, "MULTI\r\nSET a b\r\nDISCARD\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+OK\r\n-ERR EXEC without MULTI\r\n");
    ASK(&rig, "MULTI\r\nSET a b\r\nRESET\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+RESET\r\n-ERR EXEC without MULTI\r\n");
    static const char *const never[] = {"SAVE", "SHUTDOWN", "SYNC", "PSYNC a 1", "MONITOR"};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "MULTI\r\nGET a\r\n%s\r\nEXEC\r\n", never[i]);
        ASK(&rig, text,
            "+OK\r\n+QUEUED\r\n-ERR Command not allowed inside a transaction\r\n"
            "-EXECABORT Transaction discarded because of previous errors.\r\n");
    }
    ASK(&rig, "BATCH 0 x\r\n",
        "-ERR unknown command 'BATCH', with args beginning with: '0' 'x' \r\n");
    CHECK_EQ(rig.held_count, 0);
    front_rig_stop(&rig);
}

TEST(front_exec, sends_one_batch_and_merges_what_the_front_answers)
{
    struct front_rig rig;
    begin(&rig);
    ASK(&rig, "MULTI\r\nPING\r\nSET a 1\r\nECHO hi\r\nSELECT 3\r\nGET a\r\nSELECT 99\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    CHECK_EQ(rig.held_count, 1);
    struct transaction transaction;
    CHECK_EQ(transaction_open(sent(&rig), &transaction), STATUS_OK);
    CHECK_EQ(transaction.item_count, 2);
    struct transaction_item item;
    CHECK(transaction_next_item(&transaction, &item));
    CHECK_EQ(item.command->id, CMD_set);
    CHECK_EQ(item.db, 0);
    CHECK(transaction_next_item(&transaction, &item));
    CHECK_EQ(item.command->id, CMD_get);
    CHECK_EQ(item.db, 3);
    /* What follows waits: SELECT says what it means. */
    ASK(&rig, "GET later\r\n", "");
    CHECK_EQ(rig.held_count, 1);
    CHECK_BYTES(answer(&rig, "*2\r\n+OK\r\n$1\r\n1\r\n"),
                "*6\r\n+PONG\r\n+OK\r\n$2\r\nhi\r\n+OK\r\n$1\r\n1\r\n-ERR DB index is out of "
                "range\r\n");
    HAS(&rig, "CLIENT INFO\r\n", " db=3 ");
    front_rig_stop(&rig);
}

TEST(front_exec, does_what_script_does_where_the_transaction_runs_too)
{
    struct front_rig rig;
    begin(&rig);
    (void)front_rig_ask(&rig,
                        "MULTI\r\nSCRIPT LOAD text\r\nEVALSHA sha 0\r\nSCRIPT EXISTS a b\r\n"
                        "SCRIPT FLUSH sync\r\nSCRIPT FLUSH now\r\nSCRIPT LOAD\r\nEXEC\r\n");
    CHECK_EQ(rig.held_count, 1);
    struct transaction transaction;
    CHECK_EQ(transaction_open(sent(&rig), &transaction), STATUS_OK);
    CHECK(transaction.trial);
    static const struct {
        enum command_id id;
        const char *words[3];
    } wanted[] = {{CMD_script_load, {"script_load", "text", NULL}},
                  {CMD_evalsha, {"EVALSHA", "sha", "0"}},
                  {CMD_script_exists, {"script_exists", "a", "b"}},
                  {CMD_script_flush, {"script_flush", NULL, NULL}}};
    CHECK_EQ(transaction.item_count, 4);
    struct transaction_item item;
    for (size_t i = 0; i < 4; i++) {
        CHECK(transaction_next_item(&transaction, &item));
        CHECK_EQ(item.command->id, wanted[i].id);
        for (size_t n = 0; n < 3 && wanted[i].words[n] != NULL; n++) {
            CHECK(n < item.args.argc);
            CHECK_BYTES(item.args.argv[n], wanted[i].words[n]);
        }
    }
    /* And then in all shards, unless the transaction was not run. */
    CHECK_BYTES(answer(&rig, "*4\r\n$3\r\nsum\r\n$1\r\nx\r\n*2\r\n:1\r\n:0\r\n+OK\r\n"), "");
    CHECK_BYTES(sent(&rig).argv[0], "script_load");
    CHECK_BYTES(sent(&rig).argv[1], "text");
    CHECK_BYTES(answer(&rig, "$3\r\nall\r\n"), "");
    CHECK_BYTES(sent(&rig).argv[0], "script_flush");
    CHECK_BYTES(answer(&rig, "+OK\r\n"),
                "*6\r\n$3\r\nall\r\n$1\r\nx\r\n*2\r\n:1\r\n:0\r\n+OK\r\n"
                "-ERR SCRIPT FLUSH only support SYNC|ASYNC option\r\n"
                "-ERR wrong number of arguments for 'script|load' command\r\n");
    (void)front_rig_ask(&rig, "MULTI\r\nSCRIPT FLUSH\r\nGET a\r\nEXEC\r\n");
    CHECK_BYTES(answer(&rig, "*-1\r\n"), "*-1\r\n");
    /* Alone, it is no transaction. */
    (void)front_rig_ask(&rig, "MULTI\r\nSCRIPT EXISTS a\r\nEXEC\r\n");
    CHECK_BYTES(sent(&rig).argv[0], "script_exists");
    CHECK_BYTES(answer(&rig, "*1\r\n:0\r\n"), "*1\r\n*1\r\n:0\r\n");
    front_rig_stop(&rig);
}

TEST(front_exec, passes_on_what_the_shard_says)
{
    static const char *const replies[] = {"*1\r\n$1\r\n1\r\n", "*-1\r\n", "-CROSSSLOT no\r\n",
                                          "*1\r\n-ERR no\r\n"};
    struct front_rig rig;
    begin(&rig);
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        ASK(&rig, "MULTI\r\nGET a\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n");
        CHECK_BYTES(answer(&rig, replies[i]), replies[i]);
    }
    front_rig_stop(&rig);
}

TEST(front_exec, runs_nothing_of_the_front_if_the_shard_ran_nothing)
{
    static const char *const replies[] = {"*-1\r\n", "-CLUSTERDOWN no\r\n"};
    struct front_rig rig;
    begin(&rig);
    for (size_t i = 0; i < 2; i++) {
        ASK(&rig, "MULTI\r\nSELECT 5\r\nGET a\r\nCLIENT SETNAME x\r\nEXEC\r\n",
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
        CHECK_BYTES(answer(&rig, replies[i]), replies[i]);
        HAS(&rig, "CLIENT INFO\r\n", " db=0 ");
        ASK(&rig, "CLIENT GETNAME\r\n", "$-1\r\n");
    }
    front_rig_stop(&rig);
}

TEST(front_watch, sends_the_versions_along)
{
    struct front_rig rig;
    begin(&rig);
    ASK(&rig, "SELECT 2\r\nWATCH a b\r\nMULTI\r\nSET a 1\r\nEXEC\r\n", "+OK\r\n");
    CHECK_EQ(rig.held_count, 1); /* Nothing behind it is looked at before the versions are known. */
    CHECK_BYTES(sent(&rig).argv[0], "versions");
    CHECK_EQ(sent(&rig).argc, 3);
    CHECK_BYTES(answer(&rig, "*2\r\n:7\r\n:0\r\n"), "+OK\r\n");
    ASK(&rig, "SELECT 0\r\nMULTI\r\nSET a 1\r\nEXEC\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
    struct transaction transaction;
    CHECK_EQ(transaction_open(sent(&rig), &transaction), STATUS_OK);
    CHECK_EQ(transaction.watch_count, 2);
    struct transaction_watch watch;
    CHECK(transaction_next_watch(&transaction, &watch));
    CHECK_BYTES(watch.key, "a");
    CHECK_EQ(watch.db, 2);
    CHECK_EQ(watch.version, 7);
    CHECK(transaction_next_watch(&transaction, &watch));
    CHECK_EQ(watch.version, 0);
    CHECK_BYTES(answer(&rig, "*-1\r\n"), "*-1\r\n");
    /* EXEC unwatches, whatever came of it. */
    ASK(&rig, "MULTI\r\nSET a 1\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n");
    CHECK_EQ(transaction_open(sent(&rig), &transaction), STATUS_OK);
    CHECK_EQ(transaction.watch_count, 0);
    front_rig_stop(&rig);
}

TEST(front_watch, is_checked_even_if_nothing_is_to_be_done)
{
    struct front_rig rig;
    begin(&rig);
    ASK(&rig, "WATCH a\r\n", "");
    CHECK_BYTES(answer(&rig, "*1\r\n:7\r\n"), "+OK\r\n");
    ASK(&rig, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n");
    CHECK_BYTES(answer(&rig, "*-1\r\n"), "*-1\r\n");
    ASK(&rig, "WATCH a\r\n", "");
    CHECK_BYTES(answer(&rig, "*1\r\n:7\r\n"), "+OK\r\n");
    ASK(&rig, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n");
    CHECK_BYTES(answer(&rig, "*0\r\n"), "*1\r\n+PONG\r\n");
    front_rig_stop(&rig);
}

TEST(front_watch, fails_as_the_shard_does)
{
    struct front_rig rig;
    begin(&rig);
    ASK(&rig, "WATCH a\r\n", "");
    CHECK_BYTES(answer(&rig, "-CLUSTERDOWN no\r\n"), "-CLUSTERDOWN no\r\n");
    ASK(&rig, "WATCH a\r\n", "");
    CHECK_BYTES(answer(&rig, "*2\r\n:1\r\n:2\r\n"),
                "-ERR the versions of the keys are not known\r\n");
    ASK(&rig, "WATCH a\r\n", "");
    CHECK_BYTES(answer(&rig, "*1\r\n:1\r\n"), "+OK\r\n");
    static const char *const ends[] = {"UNWATCH\r\n", "RESET\r\n", "MULTI\r\nDISCARD\r\n"};
    for (size_t i = 0; i < 3; i++) {
        (void)front_rig_ask(&rig, ends[i]);
        ASK(&rig, "MULTI\r\nGET a\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n");
        struct transaction transaction;
        CHECK_EQ(transaction_open(sent(&rig), &transaction), STATUS_OK);
        CHECK_EQ(transaction.watch_count, 0);
        (void)answer(&rig, "*1\r\n$-1\r\n");
        ASK(&rig, "WATCH a\r\n", "");
        (void)answer(&rig, "*1\r\n:1\r\n");
    }
    front_rig_stop(&rig);
}

TEST(multi_queue, is_bounded)
{
    struct front_rig rig;
    begin(&rig);
    ASK(&rig, "CONFIG SET multi-commands-max 2 multi-size-max 1024\r\n", "+OK\r\n");
    ASK(&rig, "MULTI\r\nGET a\r\nGET b\r\nGET c\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n"
        "-ERR this transaction has more than multi-commands-max commands\r\n"
        "-EXECABORT Transaction discarded because of previous errors.\r\n");
    char large[1200] = "MULTI\r\nGET ";
    memset(large + 11, 'x', 1024);
    memcpy(large + 11 + 1024, "\r\nEXEC\r\n", 9);
    ASK(&rig, large,
        "+OK\r\n-ERR this transaction is larger than multi-size-max\r\n"
        "-EXECABORT Transaction discarded because of previous errors.\r\n");
    CHECK_EQ(rig.held_count, 0);
    front_rig_stop(&rig);
}

TEST(multi_queue, is_seen_from_outside)
{
    struct front_rig rig;
    begin(&rig);
    HAS(&rig, "CLIENT INFO\r\n", " flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 ");
    (void)front_rig_ask(&rig, "MULTI\r\nGET a\r\nCLIENT INFO\r\nCLIENT LIST\r\n");
    ASK(&rig, "GET b\r\n", "+QUEUED\r\n");
    struct buf out;
    buf_init(&out, 1024);
    session_describe(rig.session, &out);
    CHECK(front_rig_has(buf_slice(&out), " flags=x db=0 sub=0 psub=0 ssub=0 multi=4 "));
    CHECK(!front_rig_has(buf_slice(&out), " multi-mem=0 "));
    buf_deinit(&out);
    front_rig_stop(&rig);
}

TEST(front_exec, ends_well_when_the_client_goes)
{
    static const char *const asks[] = {"WATCH a\r\n", "MULTI\r\nGET a\r\nEXEC\r\n",
                                       "MULTI\r\nGET a\r\nPING\r\nEXEC\r\n",
                                       "MULTI\r\nGET a\r\nPING\r\n"};
    static const char *const replies[] = {"*1\r\n:1\r\n", "-ERR no\r\n", "*1\r\n$-1\r\n"};
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        for (size_t n = 0; n < sizeof(replies) / sizeof(replies[0]); n++) {
            struct front_rig rig;
            begin(&rig);
            (void)front_rig_ask(&rig, asks[i]);
            front_rig_reconnect(&rig);
            if (rig.held_count > 0) {
                (void)answer(&rig, replies[n]);
            }
            ASK(&rig, "PING\r\n", "+PONG\r\n");
            front_rig_stop(&rig);
        }
    }
}
