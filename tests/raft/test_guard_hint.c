#include <stdlib.h>

#include "tests/raft/rig.h"

/* 500 entries conflict. True if the rejection makes the leader step back one by one. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig_put_birth(rig, 2, 0);
    rig_put_entries(rig, 11, 500, 2);
    rig_open(rig);
    struct message_append probe = {.prev_index = 510, .prev_term = 3, .commit = 10};
    rig_say_append(rig, 2, 3, &probe, NULL);
    rig_sync(rig);
    const struct message *result = rig_heard(rig, MESSAGE_APPEND_RESULT, 2);
    CHECK(result != NULL);
    CHECK_EQ(result->append_result.rejected, 510);
    bool violated = result->append_result.last_index > 10;
    rig_free(rig);
    return violated;
}

TEST(guard_hint, names_the_start_of_the_conflicting_term)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_HINT));
}
