#include <stdio.h>

#include "common/base/sha1.h"
#include "tests/shard/shard_rig.h"

/* Scripts at a shard, among everything else that happens there. */

#define LONG "for i = 1, 500000 do end "

static bool says(const struct shard_rig_op *op, const char *part)
{
    return op->done == 1 && memmem(op->reply.data, op->reply.len, part, strlen(part)) != NULL;
}

/* The next turn gives a script to the pool. */
static struct shard_rig_op *send_long(struct shard_rig *rig, const char *line)
{
    struct shard_rig_op *op = shard_rig_send(rig, line);
    shard_rig_turn(rig);
    CHECK_EQ(rig->leader->slow_count, 1);
    return op;
}

TEST(script_holds, unless_somebody_comes_before_it)
{
    struct shard_rig *rig = shard_rig_new();
    struct group *group = shard_group(rig->leader->shard);
    struct shard_rig_op *waiter = shard_rig_wait(rig, "blpop l 0", 10);
    shard_rig_settle(rig);
    /* Its time is over, and it is asked whether this is the leader. */
    group_fake_hold_reads(group, true);
    shard_rig_advance(rig, 20);
    (void)shard_rig_send(rig, "rpush l x");
    shard_rig_settle(rig);
    CHECK_EQ(waiter->done, 0);
    struct shard_rig_op *script =
        send_long(rig, "eval \"" LONG "return redis.call('lpop','l')\" 0");
    shard_rig_run_slow(rig);
    /* It is: there is something for the one who waited, before the script that took it on trial. */
    group_fake_hold_reads(group, false);
    group_fake_confirm(group, STATUS_OK);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(waiter, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n") !=
          shard_rig_replied(script, "$1\r\nx\r\n"));
    shard_rig_free(rig);
}

TEST(script_holds, while_time_goes_on)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *waiter = shard_rig_wait(rig, "blpop none 0", 10);
    shard_rig_settle(rig);
    struct shard_rig_op *script =
        send_long(rig, "eval \"" LONG "return redis.call('incr','n')\" 0");
    /* Somebody is answered meanwhile: the time of the shard goes on. With many who wait there is
     * always one. */
    shard_rig_begin_slow(rig);
    shard_rig_advance(rig, 20);
    CHECK(shard_rig_replied(waiter, "*-1\r\n"));
    shard_rig_end_slow(rig);
    shard_rig_turn(rig);
    CHECK_EQ(rig->leader->slow_count, 0);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(script, ":1\r\n"));
    shard_rig_free(rig);
}

TEST(script_holds, unless_a_key_may_have_expired_since)
{
    struct shard_rig *rig = shard_rig_new();
    (void)shard_rig_send(rig, "set k v px 15");
    struct shard_rig_op *waiter = shard_rig_wait(rig, "blpop none 0", 10);
    shard_rig_settle(rig);
    struct shard_rig_op *script =
        send_long(rig, "eval \"" LONG "return redis.call('exists','k')\" 0");
    shard_rig_begin_slow(rig);
    shard_rig_advance(rig, 20);
    CHECK(shard_rig_replied(waiter, "*-1\r\n"));
    shard_rig_end_slow(rig);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(script, ":0\r\n"));
    shard_rig_free(rig);
}

/* What runs when an op is done: the sender's next command. */
struct chain {
    struct shard_rig *rig;
    struct shard_rig_op *next;
    const char *line;
};

static void send_next(void *arg)
{
    struct chain *chain = arg;
    chain->next = shard_rig_send(chain->rig, chain->line);
}

TEST(propose_scripts, shows_nobody_what_is_tried)
{
    static const char *const scripts[] = {
        "eval \"redis.call('set','a','tried') local s = 'xxxxxxxx' while true do s = s .. s end\" "
        "0",
        "eval \"return 1\" x",
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct shard_rig *rig = shard_rig_new();
        struct chain chain = {.rig = rig, .line = "get a"};
        struct shard_rig_op *script = shard_rig_send(rig, scripts[i]);
        script->then = send_next;
        script->then_arg = &chain;
        shard_rig_settle(rig);
        CHECK(says(script, "-ERR"));
        CHECK(chain.next != NULL && shard_rig_replied(chain.next, "_\r\n"));
        shard_rig_free(rig);
    }
}

TEST(propose_scripts, says_that_a_script_is_unknown_only_if_it_leads)
{
    static const char ask[] = "evalsha ffffffffffffffffffffffffffffffffffffffff 0";
    struct shard_rig *rig = shard_rig_new();
    rig->sought = true;
    struct shard_rig_op *lost = shard_rig_send(rig, ask);
    shard_rig_turn(rig);
    CHECK_EQ(lost->done, 0); /* Another leader may have it. */
    shard_rig_change_leader(rig, false);
    CHECK_EQ(lost->status, STATUS_LEADERSHIP_LOST);
    struct shard_rig_op *op = shard_rig_retry(rig, lost);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(op, "-NOSCRIPT No matching script. Please use EVAL.\r\n"));
    shard_rig_free(rig);
}

TEST(shard_submit, tries_what_is_repeated_once)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *ops[4];
    ops[0] = SHARD_RIG_EXEC(rig, "eval \"return redis.call('incr','n')\" 0", "incr n");
    ops[1] = shard_rig_retry(rig, ops[0]);
    shard_rig_settle(rig);
    ops[2] = shard_rig_retry(rig, ops[0]);
    shard_rig_change_leader(rig, true);
    shard_rig_settle(rig);
    CHECK(ops[2]->done == 1 && ops[2]->status == STATUS_NOT_LEADER);
    ops[3] = shard_rig_retry(rig, ops[0]);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(ops[0], "*2\r\n:1\r\n:2\r\n"));
    CHECK(shard_rig_replied(ops[1], "*2\r\n:1\r\n:2\r\n"));
    CHECK(shard_rig_replied(ops[3], "*2\r\n:1\r\n:2\r\n"));
    shard_rig_free(rig);
}

TEST(shard_submit, does_it_once_wherever_the_leader_dies)
{
    /* Gathered; on the pool; tried; in flight and lost; in flight and committed. */
    for (int point = 0; point < 5; point++) {
        struct shard_rig *rig = shard_rig_new();
        const char *exec[] = {"eval \"" LONG "return redis.call('incr','n')\" 0", "rpush l x",
                              NULL};
        struct shard_rig_op *waiter = shard_rig_wait(rig, "blpop l 0", 0);
        shard_rig_settle(rig);
        CHECK(waiter->parked);
        struct shard_rig_op *op = shard_rig_exec(rig, exec);
        if (point > 0) {
            shard_rig_turn(rig);
            shard_rig_begin_slow(rig);
        }
        if (point > 1) {
            shard_rig_end_slow(rig);
        }
        if (point > 2) {
            shard_rig_turn(rig);
            CHECK_EQ(group_fake_waiting(shard_group(rig->leader->shard)), 1);
        }
        shard_rig_change_leader(rig, point == 4);
        shard_rig_end_slow(rig);
        CHECK_EQ(op->done, 1);
        CHECK_EQ(op->status, point > 2 ? STATUS_LEADERSHIP_LOST : STATUS_NOT_LEADER);
        CHECK_EQ(waiter->done, 1);
        struct shard_rig_op *waits = shard_rig_retry(rig, waiter);
        struct shard_rig_op *again = shard_rig_retry(rig, op);
        shard_rig_settle(rig);
        CHECK(shard_rig_replied(again, "*2\r\n:1\r\n:1\r\n"));
        CHECK(shard_rig_replied(waits, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n"));
        struct shard_rig_op *count = SHARD_RIG_EXEC(rig, "get n", "llen l");
        shard_rig_settle(rig);
        CHECK(shard_rig_replied(count, "*2\r\n$1\r\n1\r\n:0\r\n"));
        shard_rig_free(rig);
    }
}

TEST(shard_close, ends_what_is_tried_and_what_waits)
{
    for (int point = 0; point < 3; point++) {
        struct shard_rig *rig = shard_rig_new();
        (void)shard_rig_wait(rig, "blpop l 0", 0);
        shard_rig_settle(rig);
        (void)SHARD_RIG_EXEC(rig, "eval \"" LONG "return redis.call('rpush','l','x')\" 0");
        (void)shard_rig_send(rig, "get n");
        (void)shard_rig_send(rig, "incr n");
        if (point > 0) {
            shard_rig_turn(rig);
            shard_rig_run_slow(rig);
        }
        if (point > 1) {
            shard_rig_turn(rig);
        }
        shard_rig_free(rig);
    }
}

TEST(propose_scripts, ends_an_entry_whose_replies_are_large)
{
    enum { OPS = 40, SIZE = 2000000 };
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *ops[OPS];
    for (size_t i = 0; i < OPS; i++) {
        ops[i] = shard_rig_send(rig, "eval \"return string.rep('x', 2000000)\" 0");
    }
    shard_rig_turn(rig);
    CHECK_EQ(rig->leader->slow_count, 0);
    shard_rig_commit(rig);
    size_t done = 0;
    for (size_t i = 0; i < OPS; i++) {
        done += ops[i]->done;
    }
    CHECK_EQ(done, 34); /* The first above 64 MB is the last. */
    shard_rig_settle(rig);
    for (size_t i = 0; i < OPS; i++) {
        CHECK_EQ(ops[i]->reply.len, 10 + SIZE + 2);
    }
    shard_rig_free(rig);
}

#define SEVEN "59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9" /* return 7 */
#define LONG_EXEC "eval \"" LONG "return 1\" 0"

TEST(script_try, lets_others_look_for_what_it_does_not_know)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *before = shard_rig_send(rig, "incr n");
    struct shard_rig_op *unknown[3];
    unknown[0] = shard_rig_send(rig, "evalsha " SEVEN " 0");
    unknown[1] = SHARD_RIG_EXEC(rig, "incr n", "evalsha " SEVEN " 0");
    struct shard_rig_op *after = shard_rig_send(rig, "incr n");
    unknown[2] = shard_rig_send(rig, "evalsha_ro " SEVEN " 0");
    uint64_t entries = shard_stats(rig->leader->shard)->entries;
    shard_rig_settle(rig);
    CHECK_EQ(shard_stats(rig->leader->shard)->entries, entries + 1); /* Nothing ended it early. */
    for (size_t i = 0; i < 3; i++) {
        CHECK(unknown[i]->done == 1 && unknown[i]->status == STATUS_NO_SCRIPT);
        CHECK_EQ(unknown[i]->reply.len, 0);
    }
    CHECK(shard_rig_replied(before, ":1\r\n"));
    CHECK(shard_rig_replied(after, ":2\r\n"));
    shard_rig_free(rig);
}

TEST(script_try, knows_what_was_run_until_it_is_flushed)
{
    struct shard_rig *rig = shard_rig_new();
    (void)shard_rig_send(rig, "eval \"return 7\" 0");
    struct shard_rig_op *ops[] = {
        shard_rig_send(rig, "evalsha " SEVEN " 0"), SHARD_RIG_EXEC(rig, "evalsha " SEVEN " 0"),
        shard_rig_send(rig, "evalsha_ro " SEVEN " 0"), shard_rig_send(rig, "script_exists " SEVEN),
        shard_rig_send(rig, "script_find " SEVEN)};
    static const char *const wanted[] = {":7\r\n", "*1\r\n:7\r\n", ":7\r\n", "*1\r\n:1\r\n",
                                         "*1\r\n$8\r\nreturn 7\r\n"};
    shard_rig_settle(rig);
    for (size_t i = 0; i < 5; i++) {
        CHECK(shard_rig_replied(ops[i], wanted[i]));
    }
    /* In one entry with what is before and behind it. */
    struct shard_rig_op *first = shard_rig_send(rig, "evalsha " SEVEN " 0");
    (void)shard_rig_send(rig, "script_flush");
    struct shard_rig_op *gone = shard_rig_send(rig, "evalsha " SEVEN " 0");
    (void)shard_rig_send(rig, "eval \"return 7\" 0");
    struct shard_rig_op *again = shard_rig_send(rig, "evalsha " SEVEN " 0");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(first, ":7\r\n"));
    CHECK_EQ(gone->status, STATUS_NO_SCRIPT);
    CHECK(shard_rig_replied(again, ":7\r\n"));
    struct shard_rig_op *later = shard_rig_send(rig, "evalsha " SEVEN " 0");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(later, ":7\r\n"));
    (void)shard_rig_send(rig, "script_flush");
    shard_rig_settle(rig);
    gone = shard_rig_send(rig, "evalsha " SEVEN " 0");
    struct shard_rig_op *exists = shard_rig_send(rig, "script_exists " SEVEN);
    shard_rig_settle(rig);
    CHECK_EQ(gone->status, STATUS_NO_SCRIPT);
    CHECK(shard_rig_replied(exists, "*1\r\n:0\r\n"));
    shard_rig_free(rig);
}

TEST(script_try, keeps_what_evalsha_found_for_later_leaders)
{
    struct shard_rig *rig = shard_rig_new();
    (void)shard_rig_send(rig, "eval \"return 7\" 0");
    shard_rig_settle(rig);
    shard_rig_change_leader(rig, false);
    struct shard_rig_op *op = shard_rig_send(rig, "evalsha " SEVEN " 0");
    shard_rig_settle(rig);
    CHECK_EQ(op->status, STATUS_NO_SCRIPT); /* It was only run. */
    (void)shard_rig_send(rig, "eval \"return 7\" 0");
    (void)shard_rig_send(rig, "evalsha " SEVEN " 0");
    shard_rig_settle(rig);
    shard_rig_change_leader(rig, false);
    op = shard_rig_send(rig, "evalsha " SEVEN " 0");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(op, ":7\r\n"));
    shard_rig_free(rig);
}

TEST(script_start_slow, takes_the_sources_along_and_brings_new_ones)
{
    struct shard_rig *rig = shard_rig_new();
    (void)shard_rig_send(rig, "eval \"return 7\" 0");
    shard_rig_settle(rig);
    /* Only the pool sees the third run. */
    const char *lines[] = {"evalsha " SEVEN " 0", LONG_EXEC, "eval \"return 8\" 0",
                           "evalsha " SEVEN " 0", NULL};
    struct shard_rig_op *exec = shard_rig_exec(rig, lines);
    shard_rig_turn(rig);
    CHECK_EQ(rig->leader->slow_count, 1);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(exec, "*4\r\n:7\r\n:1\r\n:8\r\n:7\r\n"));
    char eight[SHA1_HEX_SIZE + 1];
    char line[100];
    sha1_hex(slice_str("return 8"), eight);
    (void)snprintf(line, sizeof(line), "evalsha %s 0", eight);
    struct shard_rig_op *op = shard_rig_send(rig, line);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(op, ":8\r\n"));
    shard_rig_free(rig);
}
