#include "server/shard/range_change.h"
#include "tests/shard/shard_rig.h"

/* Who waits, and what feeds him. */

static struct shard_rig_op *wait_parked(struct shard_rig *rig, const char *line)
{
    struct shard_rig_op *op = shard_rig_wait(rig, line, 0);
    shard_rig_settle(rig);
    CHECK(op->parked && op->done == 0);
    return op;
}

/* What is proposed now has all of it: one entry, after which nothing is left to do. */
static void check_one_entry(struct shard_rig *rig)
{
    shard_rig_turn(rig);
    struct group *group = shard_group(rig->leader->shard);
    CHECK_EQ(group_fake_waiting(group), 1);
    shard_rig_commit(rig);
    shard_rig_turn(rig);
    CHECK_EQ(group_fake_waiting(group), 0);
}

TEST(shard_wait_attach, puts_those_who_wait_behind_a_push)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = wait_parked(rig, "brpop l 0");
    struct shard_rig_op *second = wait_parked(rig, "brpop l 0");
    struct shard_rig_op *third = wait_parked(rig, "brpop l 0");
    (void)shard_rig_send(rig, "lpush l a b");
    struct shard_rig_op *thief = shard_rig_send(rig, "lpop l");
    check_one_entry(rig);
    CHECK(shard_rig_replied(first, "*2\r\n$1\r\nl\r\n$1\r\na\r\n"));
    CHECK(shard_rig_replied(second, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n"));
    CHECK(shard_rig_replied(thief, "_\r\n"));
    CHECK_EQ(third->done, 0);
    CHECK_EQ(shard_waiting(rig->leader->shard), 1);
    shard_rig_free(rig);
}

TEST(shard_wait_attach, looks_into_transactions)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = wait_parked(rig, "blpop l 0");
    struct shard_rig_op *other = wait_parked(rig, "bzpopmin z 0");
    struct shard_rig_op *second = wait_parked(rig, "blpop l k 0");
    struct shard_rig_op *third = wait_parked(rig, "blpop l 0");
    (void)SHARD_RIG_EXEC(rig, "rpush l a", "set s 1", "rpush l b", "zadd z 1 m", "llen l");
    struct shard_rig_op *thief = shard_rig_send(rig, "lpop l");
    check_one_entry(rig);
    CHECK(shard_rig_replied(first, "*2\r\n$1\r\nl\r\n$1\r\na\r\n"));
    CHECK(shard_rig_replied(second, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n"));
    CHECK(shard_rig_replied(other, "*3\r\n$1\r\nz\r\n$1\r\nm\r\n,1\r\n"));
    CHECK(shard_rig_replied(thief, "_\r\n"));
    CHECK_EQ(third->done, 0);
    shard_rig_free(rig);
}

TEST(shard_wait_attach, looks_into_what_scripts_did)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = wait_parked(rig, "blpop l 0");
    struct shard_rig_op *second = wait_parked(rig, "blpop l 0");
    struct shard_rig_op *third = wait_parked(rig, "blpop l 0");
    (void)shard_rig_send(
        rig, "eval \"redis.call('rpush',KEYS[1],'a') redis.call('rpush',KEYS[1],'b')\" 1 l");
    struct shard_rig_op *thief = shard_rig_send(rig, "lpop l");
    check_one_entry(rig);
    CHECK(shard_rig_replied(first, "*2\r\n$1\r\nl\r\n$1\r\na\r\n"));
    CHECK(shard_rig_replied(second, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n"));
    CHECK(shard_rig_replied(thief, "_\r\n"));
    CHECK_EQ(third->done, 0);
    shard_rig_free(rig);
}

TEST(shard_wait_attach, looks_into_scripts_in_transactions)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = wait_parked(rig, "brpoplpush l m 0");
    struct shard_rig_op *second = wait_parked(rig, "blpop m 0");
    struct shard_rig_op *third = wait_parked(rig, "blpop l 0");
    (void)SHARD_RIG_EXEC(rig, "eval \"return redis.call('lpush',KEYS[1],'a')\" 1 l",
                         "eval \"return redis.call('get','nothing')\" 0", "lpush l b");
    struct shard_rig_op *thief =
        shard_rig_send(rig, "eval \"return {redis.call('lpop','l'), redis.call('lpop','m')}\" 0");
    check_one_entry(rig);
    CHECK(shard_rig_replied(first, "$1\r\na\r\n"));
    CHECK(shard_rig_replied(second, "*2\r\n$1\r\nm\r\n$1\r\na\r\n"));
    CHECK(shard_rig_replied(third, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n"));
    CHECK(shard_rig_replied(thief, "*2\r\n_\r\n_\r\n"));
    shard_rig_free(rig);
}

TEST(shard_wait_attach, wakes_nobody_for_what_came_and_went)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = wait_parked(rig, "blpop l 0");
    struct shard_rig_op *second = wait_parked(rig, "blpop l 0");
    (void)SHARD_RIG_EXEC(rig, "rpush l a", "lpop l");
    shard_rig_settle(rig);
    (void)shard_rig_send(rig, "eval \"redis.call('rpush','l','a') redis.call('del','l')\" 0");
    shard_rig_settle(rig);
    (void)SHARD_RIG_EXEC(rig, "rpush l a", "set l text");
    shard_rig_settle(rig);
    CHECK_EQ(shard_waiting(rig->leader->shard), 2);
    (void)shard_rig_send(rig, "del l");
    shard_rig_settle(rig);
    (void)shard_rig_send(rig, "rpush l x y");
    check_one_entry(rig);
    CHECK(shard_rig_replied(first, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n"));
    CHECK(shard_rig_replied(second, "*2\r\n$1\r\nl\r\n$1\r\ny\r\n"));
    shard_rig_free(rig);
}

/* A try that was thought lost may be applied after another one has ended in vain. */
TEST(shard_wait_tick, lets_no_late_try_take_anything)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = shard_rig_wait(rig, "blpop l 0", 100);
    shard_rig_settle(rig);
    struct shard_rig_op *second = shard_rig_retry(rig, first);
    shard_rig_settle(rig);
    CHECK_EQ(first->status, STATUS_CLOSED);
    CHECK_EQ(second->done, 0);
    shard_rig_advance(rig, 200);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(second, "*-1\r\n"));
    struct shard_rig_op *push = shard_rig_send(rig, "rpush l x");
    struct shard_rig_op *late = shard_rig_retry(rig, first);
    struct shard_rig_op *left = shard_rig_send(rig, "llen l");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(push, ":1\r\n"));
    CHECK(shard_rig_replied(late, "*-1\r\n"));
    CHECK(shard_rig_replied(left, ":1\r\n"));
    shard_rig_free(rig);
}

TEST(shard_abandon, decides_nothing)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = shard_rig_wait(rig, "blpop l 0", 0);
    shard_rig_settle(rig);
    struct shard_rig_op *second = shard_rig_retry(rig, first);
    shard_rig_settle(rig);
    shard_abandon(second->op.shard, &second->op);
    CHECK_EQ(second->status, STATUS_CLOSED);
    struct shard_rig_op *third = shard_rig_retry(rig, first);
    shard_rig_settle(rig);
    (void)shard_rig_send(rig, "rpush l x");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(third, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n"));
    shard_rig_free(rig);
}

TEST(shard_cancel, holds_no_read_up)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *first = shard_rig_wait(rig, "blpop l 0", 0);
    shard_rig_settle(rig);
    struct shard_rig_op *second = shard_rig_retry(rig, first);
    shard_rig_settle(rig);
    struct range_change change = {.kind = RANGE_VOID, .ver = 1};
    shard_merge_propose(rig->leader->shard, &change); /* Something without writes is in flight. */
    shard_cancel(second->op.shard, &second->op);
    struct shard_rig_op *count = shard_rig_send(rig, "dbsize");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(count, ":0\r\n"));
    CHECK(shard_rig_replied(second, "*-1\r\n"));
    shard_rig_free(rig);
}
