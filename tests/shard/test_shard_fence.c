#include "tests/shard/shard_rig.h"

/* What a backup asks of a leader: views of all shards at once need that nobody begins an entry. */

TEST(shard_fence, holds_writes_and_lets_reads_pass)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *before = shard_rig_send(rig, "set k before");
    shard_rig_turn(rig);
    shard_fence(rig->leader->shard);
    CHECK(!shard_settled(rig->leader->shard)); /* An entry is under way. */
    struct shard_rig_op *during = shard_rig_send(rig, "set k during");
    shard_rig_settle(rig);
    CHECK(shard_settled(rig->leader->shard));
    CHECK(shard_rig_replied(before, "+OK\r\n"));
    CHECK_EQ(during->done, 0);
    struct shard_rig_op *other = shard_rig_send(rig, "get other");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(other, "_\r\n"));
    shard_unfence(rig->leader->shard);
    CHECK(rig->leader->woken);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(during, "+OK\r\n"));
    struct shard_rig_op *after = shard_rig_send(rig, "get k");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(after, "$6\r\nduring\r\n"));
    shard_rig_free(rig);
}

TEST(shard_fence, lets_no_range_change)
{
    struct shard_rig *rig = shard_rig_new();
    shard_fence(rig->leader->shard);
    struct shard_rig_op *split =
        shard_rig_change(rig, "shard_split 1 9223372036854775808 9 0 1 21 2 22");
    CHECK(shard_rig_replied(split, "-RETRY a backup is taking a view of the shard\r\n"));
    shard_unfence(rig->leader->shard);
    shard_rig_free(rig);
}

TEST(shard_fence, holds_nothing_when_another_leads)
{
    struct shard_rig *rig = shard_rig_new();
    shard_fence(rig->leader->shard);
    struct shard_rig_op *op = shard_rig_send(rig, "set k v");
    shard_rig_settle(rig);
    CHECK_EQ(op->done, 0);
    struct shard *old = rig->leader->shard;
    shard_rig_change_leader(rig, true);
    CHECK_EQ(op->status, STATUS_NOT_LEADER);
    struct shard_rig_op *again = shard_rig_retry(rig, op);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(again, "+OK\r\n"));
    shard_unfence(old);
    shard_rig_free(rig);
}
