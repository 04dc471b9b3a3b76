#include <stdlib.h>

#include "tests/raft/rig.h"

/* The leader's disk is ahead of the followers, as it always is under load. True if the entry that a
 * quorum has is not committed. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    struct rig_call *first = rig_call_new();
    struct rig_call *second = rig_call_new();
    rig_open(rig);
    rig_lead(rig);
    uint64_t last = rig_info(rig).last_index;
    CHECK_EQ(group_propose(rig->group, slice_str("a"), &first->proposal), STATUS_OK);
    rig_sync(rig);
    CHECK_EQ(group_propose(rig->group, slice_str("b"), &second->proposal), STATUS_OK);
    rig_sync(rig);
    rig_say_result(rig, 2, 0, last + 1);
    bool violated = rig_info(rig).commit_index < last + 1;
    CHECK(violated || (first->called && first->status == STATUS_OK));
    CHECK(!second->called);
    rig_free(rig);
    free(first);
    free(second);
    return violated;
}

TEST(guard_hold, commits_under_steady_load)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_HOLD));
}
