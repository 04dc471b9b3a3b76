#include <stdlib.h>

#include "tests/raft/rig.h"

/* By its own, old configuration the member is no voter; it heard its leader long ago. A candidate
 * that needs it asks. True if it refuses. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig->state.conf.members[0].role = MEMBER_STANDBY;
    rig_put_birth(rig, 1, 0);
    rig_open(rig);
    struct message_append heartbeat = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 2, 2, &heartbeat, NULL);
    rig_sync(rig);
    struct message_vote vote = {.last_index = 12, .last_term = 2};
    rig_say_vote(rig, 3, 3, &vote);
    rig_sync(rig);
    CHECK(!rig_heard(rig, MESSAGE_VOTE_RESULT, 3)->vote_result.granted); /* The promise holds. */
    rig_wait(rig, RIG_ELECTION_MS + HOST_TICK_MS);
    rig_say_vote(rig, 3, 3, &vote);
    rig_sync(rig);
    bool violated = !rig_heard(rig, MESSAGE_VOTE_RESULT, 3)->vote_result.granted;
    CHECK_EQ(rig_info(rig).conf.count, 3);
    rig_free(rig);
    return violated;
}

TEST(guard_vote, votes_whatever_its_own_configuration_says)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_VOTE));
}
