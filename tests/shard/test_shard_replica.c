#include "common/base/clock.h"
#include "tests/shard/shard_rig.h"

/* Reads at the replica that does not lead. */

enum { NS_PER_MS = 1000000 };

static struct group *follower(struct shard_rig *rig)
{
    return shard_group(shard_rig_follower(rig));
}

static struct shard_rig *rig_with(const char *line)
{
    struct shard_rig *rig = shard_rig_new();
    (void)shard_rig_send(rig, line);
    shard_rig_settle(rig);
    return rig;
}

static void fresh_since(struct shard_rig *rig, uint64_t age_ms)
{
    group_fake_fresh(follower(rig), clock_now_ns() - age_ms * NS_PER_MS, clock_wall_ms());
}

TEST(shard_replica_submit, answers_when_the_point_is_applied)
{
    struct shard_rig *rig = rig_with("set k a");
    struct shard_rig_op *op = shard_rig_ask_replica(rig, "get k", 0);
    CHECK_EQ(op->done, 0);
    CHECK(!shard_quiet(shard_rig_follower(rig)));
    (void)shard_rig_send(rig, "set k b");
    shard_rig_settle(rig);
    CHECK_EQ(op->done, 0);
    group_fake_confirm(follower(rig), STATUS_OK);
    CHECK(shard_rig_replied(op, "$1\r\nb\r\n"));
    CHECK(shard_quiet(shard_rig_follower(rig)));
    CHECK_EQ(shard_stats(shard_rig_follower(rig))->replica_reads, 1);
    shard_rig_free(rig);
}

TEST(shard_replica_submit, leaves_to_the_leader_what_it_cannot_answer)
{
    struct shard_rig *rig = rig_with("set k a");
    struct shard_rig_op *refused = shard_rig_ask_replica(rig, "get k", 0);
    group_fake_confirm(follower(rig), STATUS_NOT_LEADER);
    CHECK_EQ(refused->status, STATUS_NOT_LEADER);
    group_fake_isolate(follower(rig), true);
    struct shard_rig_op *lonely = shard_rig_ask_replica(rig, "get k", 100);
    CHECK_EQ(lonely->done, 1);
    CHECK_EQ(lonely->status, STATUS_NOT_LEADER);
    CHECK_EQ(shard_stats(shard_rig_follower(rig))->replica_refused, 2);
    shard_rig_free(rig);
}

/* Its keys may be another shard's by now, which nobody here would hear of. */
TEST(shard_replica_submit, leaves_the_keys_of_a_frozen_shard_alone)
{
    struct shard_rig *rig = rig_with("set k a");
    struct shard_rig_op *early = shard_rig_ask_replica(rig, "get k", 0);
    (void)shard_rig_change(rig, "shard_merge 5 1 8 0");
    shard_rig_settle(rig);
    CHECK(shard_frozen(shard_rig_follower(rig)));
    group_fake_confirm(follower(rig), STATUS_OK);
    CHECK_EQ(early->status, STATUS_NOT_LEADER);
    fresh_since(rig, 1);
    CHECK_EQ(shard_rig_ask_replica(rig, "get k", 100)->status, STATUS_NOT_LEADER);
    shard_rig_free(rig);
}

TEST(shard_replica_submit, is_for_reads_only)
{
    static const char *const lines[] = {"set k b", "eval \"return 1\" 0",
                                        "eval_ro \"return redis.call('get',KEYS[1])\" 1 k"};
    struct shard_rig *rig = rig_with("set k a");
    fresh_since(rig, 0);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct shard_rig_op *op = shard_rig_ask_replica(rig, lines[i], 1000);
        CHECK_EQ(op->done, 1);
        CHECK_EQ(op->status, STATUS_NOT_LEADER);
    }
    shard_rig_free(rig);
}

TEST(shard_replica_submit, answers_at_once_within_the_bound)
{
    struct shard_rig *rig = rig_with("set k a");
    shard_rig_advance(rig, 5000);
    fresh_since(rig, 40);
    struct shard_rig_op *young = shard_rig_ask_replica(rig, "get k", 100);
    CHECK(shard_rig_replied(young, "$1\r\na\r\n"));
    CHECK_EQ(group_fake_warmed(follower(rig)), 0);
    fresh_since(rig, 60);
    struct shard_rig_op *half = shard_rig_ask_replica(rig, "get k", 100);
    CHECK(shard_rig_replied(half, "$1\r\na\r\n"));
    CHECK_EQ(group_fake_warmed(follower(rig)), 1);
    fresh_since(rig, 101);
    struct shard_rig_op *old = shard_rig_ask_replica(rig, "get k", 100);
    CHECK_EQ(old->done, 0);
    group_fake_confirm(follower(rig), STATUS_OK);
    CHECK(shard_rig_replied(old, "$1\r\na\r\n"));
    group_fake_fresh(follower(rig), 0, 0);
    struct shard_rig_op *unknown = shard_rig_ask_replica(rig, "get k", UINT64_MAX);
    CHECK_EQ(unknown->done, 0);
    group_fake_confirm(follower(rig), STATUS_OK);
    const struct shard_stats *stats = shard_stats(shard_rig_follower(rig));
    CHECK_EQ(stats->replica_bounded, 2);
    CHECK_EQ(stats->replica_stale, 2);
    shard_rig_free(rig);
}

/* The leader has said that it is later than this node believes. */
TEST(shard_replica_submit, goes_by_the_clock_of_the_leader)
{
    struct shard_rig *rig = rig_with("set k a px 10000");
    fresh_since(rig, 0);
    CHECK(shard_rig_replied(shard_rig_ask_replica(rig, "get k", 50), "$1\r\na\r\n"));
    group_fake_fresh(follower(rig), clock_now_ns(), clock_wall_ms() + 10001);
    CHECK(shard_rig_replied(shard_rig_ask_replica(rig, "get k", 50), "_\r\n"));
    CHECK(shard_rig_replied(shard_rig_ask_replica(rig, "exists k", 50), ":0\r\n"));
    shard_rig_free(rig);
}

TEST(shard_replica_submit, ends_with_the_shard)
{
    struct shard_rig *rig = rig_with("set k a");
    struct shard_rig_op *op = shard_rig_ask_replica(rig, "get k", 0);
    group_fake_confirm(follower(rig), STATUS_CLOSED);
    CHECK_EQ(op->status, STATUS_CLOSED);
    shard_rig_free(rig);
}
