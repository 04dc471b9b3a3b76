#include <stdlib.h>

#include "tests/raft/rig.h"

enum { OLD_TERM = 4, NEW_REPLICA = 9 };

/* Replica 1 of three has entries 11 to 15 behind what it applied, and 13 is a configuration. The
 * other two are gone for good. */
static struct rig *lost_majority(void)
{
    struct rig *rig = rig_new(0);
    struct group_conf conf = rig->state.conf;
    conf.members[1].role = MEMBER_STANDBY;
    rig_put_birth(rig, OLD_TERM, 2);
    rig_put_entries(rig, 11, 2, OLD_TERM);
    rig_put_conf(rig, 13, OLD_TERM, &conf);
    rig_put_entries(rig, 14, 2, OLD_TERM);
    return rig;
}

static void be_reborn(struct rig *rig)
{
    rig->replica = NEW_REPLICA;
    rig->reborn = true;
    rig->state.conf = (struct group_conf){
        .count = 1, .members = {{.replica = NEW_REPLICA, .node = 1, .role = MEMBER_VOTER}}};
    rig->state.conf_index = rig->state.index;
}

TEST(group_open, makes_a_group_of_its_own_of_what_is_left)
{
    struct rig *rig = lost_majority();
    be_reborn(rig);
    rig_open(rig);
    rig_sync(rig);
    struct group_info info = rig_info(rig);
    CHECK_EQ(info.role, GROUP_LEADER);
    CHECK_EQ(info.replica, NEW_REPLICA);
    CHECK(info.term > OLD_TERM);
    CHECK_EQ(info.conf.count, 1);
    CHECK_EQ(info.conf.members[0].replica, NEW_REPLICA);
    /* Entries that it had, acknowledged or not, and the barrier of the new term. */
    CHECK(info.applied_index >= 16);
    CHECK_EQ(info.applied_index, info.last_index);
    CHECK_EQ(rig->state.conf.count, 1);
    rig_free(rig);
}

TEST(group_open, is_the_same_group_of_its_own_after_a_crash)
{
    struct rig *rig = lost_majority();
    be_reborn(rig);
    rig_open(rig);
    rig_sync(rig);
    uint64_t applied = rig_info(rig).applied_index;
    struct rig_call *call = rig_call_new();
    CHECK_EQ(group_propose(rig->group, slice_str("x"), &call->proposal), STATUS_OK);
    rig_sync(rig);
    CHECK(call->called);
    CHECK_EQ(call->status, STATUS_OK);
    free(call);
    rig_crash(rig);
    /* The store had flushed nothing since the rebirth. */
    be_reborn(rig);
    rig->reborn = false;
    rig->state.index = 10;
    rig->state.term = 1;
    rig->state.conf_index = 10;
    rig_open(rig);
    rig_sync(rig);
    struct group_info info = rig_info(rig);
    CHECK_EQ(info.role, GROUP_LEADER);
    CHECK_EQ(info.conf.count, 1);
    CHECK_EQ(info.conf.members[0].replica, NEW_REPLICA);
    CHECK(info.applied_index > applied);
    rig_free(rig);
}

TEST(group_open, does_not_hear_what_the_old_group_says_to_the_old_replica)
{
    struct rig *rig = lost_majority();
    be_reborn(rig);
    rig_open(rig);
    rig_sync(rig);
    struct group_info before = rig_info(rig);
    const struct message_append append = {.prev_index = 15, .prev_term = OLD_TERM};
    rig_say_append(rig, 2, before.term + 5, &append, NULL);
    const struct message_vote vote = {.last_index = 1000, .last_term = before.term + 5};
    rig_say_vote(rig, 3, before.term + 6, &vote);
    rig_sync(rig);
    struct group_info info = rig_info(rig);
    CHECK_EQ(info.role, GROUP_LEADER);
    CHECK_EQ(info.term, before.term);
    rig_free(rig);
}
