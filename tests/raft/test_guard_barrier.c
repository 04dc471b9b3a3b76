#include <stdlib.h>

#include "tests/raft/rig.h"

/* A leader of term 3 whose log ends with an entry of term 2 learns that a follower has it too,
 * before an entry of its own term is stored (Raft, figure 8). True if it commits. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig_put_birth(rig, 2, 0);
    rig_put_entries(rig, 11, 1, 2);
    rig_open(rig);
    rig_elect(rig);
    rig_say_result(rig, 2, 0, 11);
    bool violated = rig_info(rig).commit_index >= 11 || rig->role == GROUP_LEADER;
    if (guards_off == 0) { /* Later everything commits together with the barrier. */
        rig_sync(rig);
        rig_say_result(rig, 2, 0, 12);
        rig_sync(rig);
        CHECK_EQ(rig_info(rig).commit_index, 12);
        CHECK_EQ(rig->role, GROUP_LEADER);
    }
    rig_free(rig);
    return violated;
}

TEST(guard_barrier, commits_nothing_by_counting_old_terms)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_BARRIER));
}
