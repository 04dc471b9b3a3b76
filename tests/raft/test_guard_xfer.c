#include <stdlib.h>

#include "tests/raft/rig.h"

/* A leader hands over to 2, then votes for 3 in the next term, then 2 asks in that term too. True
 * if it votes for both. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    struct rig_call *call = rig_call_new();
    rig_open(rig);
    rig_lead(rig);
    struct group_info info = rig_info(rig);
    struct message_vote vote = {.last_index = info.last_index, .last_term = info.term};
    vote.disrupt = true;
    rig_say_result(rig, 2, 0, info.last_index);
    CHECK_EQ(group_transfer(rig->group, 2, &call->proposal), STATUS_OK);
    rig_sync(rig);
    CHECK(rig_heard(rig, MESSAGE_TIMEOUT_NOW, 2) != NULL);
    rig_say_vote(rig, 3, info.term + 1, &vote);
    rig_sync(rig);
    CHECK(rig_heard(rig, MESSAGE_VOTE_RESULT, 3)->vote_result.granted);
    rig_say_vote(rig, 2, info.term + 1, &vote);
    rig_sync(rig);
    const struct message *second = rig_heard(rig, MESSAGE_VOTE_RESULT, 2);
    bool violated = second != NULL && second->vote_result.granted;
    rig_free(rig);
    CHECK(call->called);
    free(call);
    return violated;
}

TEST(guard_xfer, votes_once_per_term_while_handing_over)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_XFER));
}
