#include <stdlib.h>

#include "tests/raft/rig.h"

/* A new leader whose barrier is not committed is asked for a membership change. True if it begins
 * one. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    struct rig_call *call = rig_call_new();
    rig_open(rig);
    rig_elect(rig);
    enum status status = group_add(rig->group, 4, 4, &call->proposal);
    bool violated = status == STATUS_OK;
    CHECK(violated || status == STATUS_NOT_LEADER);
    rig_free(rig);
    CHECK_EQ(call->called, violated);
    free(call);
    return violated;
}

TEST(guard_cterm, changes_nothing_before_its_own_term_commits)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_CTERM));
}
