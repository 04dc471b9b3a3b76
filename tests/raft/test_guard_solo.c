#include <stdlib.h>

#include "tests/raft/rig.h"

/* The only voter starts again. True if it leads in the term in which it led before. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig->state.conf.count = 1;
    rig_put_birth(rig, 4, 1);
    rig_put_entries(rig, 11, 3, 4);
    rig_open(rig);
    rig_sync(rig);
    struct group_info info = rig_info(rig);
    CHECK_EQ(info.role, GROUP_LEADER);
    CHECK(guards_off != 0 || info.commit_index == info.last_index);
    bool violated = info.term == 4;
    struct wal_group found;
    CHECK(wal_find_group(rig->wal, RIG_GROUP, &found));
    CHECK(violated || (found.term == info.term && found.vote == 1));
    rig_free(rig);
    return violated;
}

TEST(guard_solo, elects_itself_only_in_a_new_term)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_SOLO));
}
