#include <stdlib.h>

#include "tests/raft/rig.h"

static struct rig *leader(void)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_lead(rig);
    return rig;
}

static void confirm(struct rig *rig, uint64_t from, uint64_t term, uint64_t seq)
{
    struct message message = {.kind = MESSAGE_CONFIRM_RESULT, .from = from, .term = term};
    message.confirm_result.seq = seq;
    rig_say(rig, &message);
    rig_turn(rig);
}

TEST(group_read, waits_for_a_quorum_of_the_term)
{
    struct rig *rig = leader();
    struct rig_call *call = rig_call_new();
    uint64_t term = rig_info(rig).term;
    CHECK_EQ(group_read(rig->group, &call->read), STATUS_AGAIN);
    rig_turn(rig);
    const struct message *asked = rig_heard(rig, MESSAGE_CONFIRM, 3);
    CHECK(asked != NULL && rig_heard(rig, MESSAGE_CONFIRM, 2) != NULL);
    uint64_t seq = asked->confirm.seq;
    confirm(rig, 2, term - 1, seq);
    CHECK(!call->called);
    confirm(rig, 2, term, seq - 1);
    CHECK(!call->called);
    confirm(rig, 3, term, seq);
    CHECK(call->called && call->status == STATUS_OK);
    rig_free(rig);
    free(call);
}

TEST(group_read, that_comes_later_needs_a_later_round)
{
    struct rig *rig = leader();
    struct rig_call *first = rig_call_new();
    struct rig_call *second = rig_call_new();
    uint64_t term = rig_info(rig).term;
    CHECK_EQ(group_read(rig->group, &first->read), STATUS_AGAIN);
    rig_turn(rig);
    uint64_t seq = rig_heard(rig, MESSAGE_CONFIRM, 2)->confirm.seq;
    CHECK_EQ(group_read(rig->group, &second->read), STATUS_AGAIN);
    confirm(rig, 2, term, seq);
    CHECK(first->called && !second->called);
    CHECK_EQ(rig_heard(rig, MESSAGE_CONFIRM, 2)->confirm.seq, seq + 1);
    confirm(rig, 2, term, seq + 1);
    CHECK(second->called && second->status == STATUS_OK);
    rig_free(rig);
    free(first);
    free(second);
}

TEST(group_read, asks_again_when_answers_are_lost)
{
    struct rig *rig = leader();
    struct rig_call *call = rig_call_new();
    CHECK_EQ(group_read(rig->group, &call->read), STATUS_AGAIN);
    rig_turn(rig);
    uint64_t seq = rig_heard(rig, MESSAGE_CONFIRM, 2)->confirm.seq;
    rig_wait(rig, RIG_HEARTBEAT_MS + HOST_TICK_MS);
    CHECK(rig_heard(rig, MESSAGE_CONFIRM, 2)->confirm.seq > seq);
    confirm(rig, 2, rig_info(rig).term, seq); /* The late answer to the first is good too. */
    CHECK(call->called && call->status == STATUS_OK);
    rig_free(rig);
    free(call);
}

TEST(group_read, fails_when_leadership_is_lost)
{
    struct rig *rig = leader();
    struct rig_call *call = rig_call_new();
    CHECK_EQ(group_read(rig->group, &call->read), STATUS_AGAIN);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 3, rig_info(rig).term + 1, &append, NULL);
    CHECK(call->called);
    CHECK_EQ(call->status, STATUS_NOT_LEADER);
    struct rig_call *next = rig_call_new();
    CHECK_EQ(group_read(rig->group, &next->read), STATUS_NOT_LEADER);
    rig_free(rig);
    free(call);
    free(next);
}

TEST(group_read, is_refused_before_the_barrier_is_applied)
{
    struct rig *rig = rig_new(0);
    struct rig_call *call = rig_call_new();
    rig_open(rig);
    rig_elect(rig);
    CHECK_EQ(group_read(rig->group, &call->read), STATUS_NOT_LEADER);
    CHECK_EQ(group_propose(rig->group, slice_str("x"), &call->proposal), STATUS_NOT_LEADER);
    rig_free(rig);
    free(call);
}

/* The answer carries the durable term: a term on its way to the disk is not announced. */
TEST(read_index_on_confirm, waits_for_the_terms_record)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_sync(rig);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 2, 7, &append, NULL);
    struct message ask = {.kind = MESSAGE_CONFIRM, .from = 2, .term = 7};
    ask.confirm.seq = 1;
    ask.confirm.sent_ns = 5;
    rig_say(rig, &ask);
    CHECK(rig_heard(rig, MESSAGE_CONFIRM_RESULT, 2) == NULL);
    rig_sync(rig);
    const struct message *result = rig_heard(rig, MESSAGE_CONFIRM_RESULT, 2);
    CHECK(result != NULL && result->confirm_result.follows);
    CHECK_EQ(result->term, 7);
    CHECK_EQ(result->confirm_result.echo_ns, 5);
    rig_free(rig);
}
