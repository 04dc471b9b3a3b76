#include <stdlib.h>

#include "tests/raft/rig.h"

/* A candidate of an old term asks whether it could win. True if the refusal hides our term. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig_put_birth(rig, 7, 0);
    rig_put_entries(rig, 11, 1, 1);
    rig_open(rig);
    struct message_vote vote = {.last_index = 20, .last_term = 1, .pre_vote = true};
    rig_say_vote(rig, 2, 4, &vote);
    rig_sync(rig);
    const struct message *result = rig_heard(rig, MESSAGE_VOTE_RESULT, 2);
    CHECK(result != NULL && !result->vote_result.granted && result->vote_result.pre_vote);
    bool violated = result->term != 7;
    rig_free(rig);
    return violated;
}

TEST(guard_prev, refused_candidates_learn_the_term)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_PREV));
}
