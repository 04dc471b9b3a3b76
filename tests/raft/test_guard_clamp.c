#include <stdlib.h>

#include "tests/raft/rig.h"

/* A follower has two entries of a dead leader of term 2 behind what the new leader, of term 3, has
 * compared. True if it acknowledges them. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig_put_birth(rig, 2, 0);
    rig_put_entries(rig, 11, 3, 1);
    rig_put_entries(rig, 14, 2, 2);
    rig_open(rig);
    struct message_append heartbeat = {.prev_index = 13, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 2, 3, &heartbeat, NULL);
    rig_sync(rig);
    const struct message *result = rig_heard(rig, MESSAGE_APPEND_RESULT, 2);
    CHECK(result != NULL);
    CHECK_EQ(result->append_result.rejected, 0);
    bool violated = result->append_result.last_index > 13;
    rig_free(rig);
    return violated;
}

TEST(guard_clamp, acknowledges_only_what_was_verified)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_CLAMP));
}
