#include <stdlib.h>

#include "tests/raft/rig.h"

/* A snapshot is being installed when the leader dies. True if the follower stands for election with
 * a log that it does not have. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig_open(rig);
    rig_sync(rig);
    struct message install = {.kind = MESSAGE_INSTALL, .from = 2, .term = 2};
    install.install.state = rig->state;
    install.install.state.index = 50;
    install.install.state.term = 2;
    install.install.manifest = slice_str("manifest");
    rig_say(rig, &install);
    rig_forget(rig);
    rig_sync(rig);
    CHECK(rig->installing);
    rig_wait(rig, 5 * RIG_ELECTION_MS);
    bool violated = rig_heard(rig, MESSAGE_VOTE, 0) != NULL;
    if (guards_off == 0) {
        rig->state = rig->install_state;
        group_snapshot_installed(rig->group);
        rig_sync(rig);
        CHECK_EQ(rig_info(rig).applied_index, 50);
        CHECK_EQ(rig_heard(rig, MESSAGE_APPEND_RESULT, 2)->append_result.last_index, 50);
        rig_wait(rig, 2 * RIG_ELECTION_MS);
        CHECK(rig_heard(rig, MESSAGE_VOTE, 0) != NULL);
    }
    rig_free(rig);
    return violated;
}

TEST(guard_snap, does_not_stand_while_installing)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_SNAP));
}
