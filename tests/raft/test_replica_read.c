#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/raft/rig.h"

enum { TERM = 7 };

/* Replica 1 follows 2 in term 7, with entry 11 on disk but not committed. */
static struct rig *follower(void)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_sync(rig);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10, .count = 1};
    struct message_entry entry = {.term = TERM, .type = RAFT_COMMAND, .data = slice_str("11")};
    rig_say_append(rig, 2, TERM, &append, &entry);
    rig_sync(rig);
    CHECK_EQ(rig_info(rig).leader_node, 2);
    CHECK_EQ(rig_info(rig).applied_index, 10);
    rig_forget(rig);
    return rig;
}

static void say_point(struct rig *rig, uint64_t seq, uint64_t index, uint64_t index_term)
{
    struct message point = {.kind = MESSAGE_READ_POINT, .from = 2, .term = TERM};
    point.read_point.seq = seq;
    point.read_point.index = index;
    point.read_point.index_term = index_term;
    point.read_point.stamp = 1234;
    rig_say(rig, &point);
    rig_turn(rig);
}

/* Asks; returns the question's number. */
static uint64_t ask(struct rig *rig, struct rig_call *call)
{
    CHECK_EQ(group_read_replica(rig->group, &call->read), STATUS_AGAIN);
    rig_turn(rig);
    const struct message *question = rig_heard(rig, MESSAGE_ASK_POINT, 2);
    CHECK(question != NULL);
    return question->ask_point.seq;
}

TEST(group_read_replica, waits_for_the_point_and_shows_what_is_committed)
{
    struct rig *rig = follower();
    struct rig_call *call = rig_call_new();
    uint64_t seq = ask(rig, call);
    say_point(rig, seq + 2, 11, TERM); /* Of another question. */
    CHECK(!call->called);
    say_point(rig, seq, 11, TERM);
    /* No heartbeat came: the point itself says that 11 is committed. */
    CHECK(call->called && call->status == STATUS_OK);
    CHECK_EQ(rig_info(rig).applied_index, 11);
    struct group_freshness freshness;
    group_freshness(rig->group, false, &freshness);
    CHECK(freshness.since_ns != 0 && freshness.since_ns <= clock_now_ns());
    CHECK_EQ(freshness.stamp, 1234);
    rig_free(rig);
    free(call);
}

TEST(group_read_replica, waits_for_entries_that_are_not_here)
{
    struct rig *rig = follower();
    struct rig_call *call = rig_call_new();
    say_point(rig, ask(rig, call), 12, TERM);
    CHECK(!call->called);
    CHECK_EQ(rig_info(rig).applied_index, 10);
    struct message_append append = {.prev_index = 11, .prev_term = TERM, .commit = 11, .count = 1};
    struct message_entry entry = {.term = TERM, .type = RAFT_COMMAND, .data = slice_str("12")};
    rig_say_append(rig, 2, TERM, &append, &entry);
    rig_turn(rig);
    CHECK(!call->called); /* Not on disk, not counted. */
    rig_sync(rig);
    CHECK(call->called && call->status == STATUS_OK);
    CHECK_EQ(rig_info(rig).applied_index, 12);
    rig_free(rig);
    free(call);
}

/* What is here in the place of the point is another entry. */
TEST(group_read_replica, does_not_take_another_entry_for_the_point)
{
    struct rig *rig = follower();
    struct rig_call *call = rig_call_new();
    say_point(rig, ask(rig, call), 11, TERM - 1);
    CHECK(!call->called);
    CHECK_EQ(rig_info(rig).applied_index, 10);
    rig_free(rig);
    free(call);
}

TEST(group_read_replica, asks_once_for_all_and_anew_for_who_comes_later)
{
    struct rig *rig = follower();
    struct rig_call *first = rig_call_new();
    struct rig_call *same = rig_call_new();
    struct rig_call *later = rig_call_new();
    CHECK_EQ(group_read_replica(rig->group, &first->read), STATUS_AGAIN);
    uint64_t seq = ask(rig, same);
    CHECK_EQ(rig_heard_count(rig, MESSAGE_ASK_POINT), 1);
    CHECK_EQ(group_read_replica(rig->group, &later->read), STATUS_AGAIN);
    rig_turn(rig);
    CHECK_EQ(rig_heard_count(rig, MESSAGE_ASK_POINT), 1);
    say_point(rig, seq, 10, 1);
    CHECK(first->called && same->called && !later->called);
    const struct message *next = rig_heard(rig, MESSAGE_ASK_POINT, 2);
    CHECK(next->ask_point.seq != seq);
    say_point(rig, seq, 10, 1); /* Twice: it is not for the later one. */
    CHECK(!later->called);
    say_point(rig, next->ask_point.seq, 10, 1);
    CHECK(later->called && later->status == STATUS_OK);
    rig_free(rig);
    free(first);
    free(same);
    free(later);
}

TEST(group_read_replica, fails_if_the_leader_does_not_answer_or_does_not_lead)
{
    struct rig *rig = follower();
    struct rig_call *call = rig_call_new();
    uint64_t seq = ask(rig, call);
    say_point(rig, seq, 0, 0);
    CHECK(call->called);
    CHECK_EQ(call->status, STATUS_NOT_LEADER);
    struct rig_call *lost = rig_call_new();
    seq = ask(rig, lost);
    rig_wait(rig, RIG_HEARTBEAT_MS + HOST_TICK_MS);
    CHECK(rig_heard(rig, MESSAGE_ASK_POINT, 2)->ask_point.seq != seq); /* Again. */
    rig_wait(rig, 3 * RIG_ELECTION_MS);
    CHECK(lost->called);
    CHECK_EQ(lost->status, STATUS_NOT_LEADER);
    rig_free(rig);
    free(call);
    free(lost);
}

TEST(group_read_replica, fails_when_another_leads)
{
    struct rig *rig = follower();
    struct rig_call *call = rig_call_new();
    uint64_t seq = ask(rig, call);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 3, TERM + 1, &append, NULL);
    rig_sync(rig);
    CHECK(call->called);
    CHECK_EQ(call->status, STATUS_NOT_LEADER);
    say_point(rig, seq, 11, TERM);
    CHECK_EQ(rig_info(rig).applied_index, 10);
    rig_free(rig);
    free(call);
}

TEST(replica_read_on_ask, is_answered_when_it_is_sure_who_leads)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_lead(rig);
    uint64_t term = rig_info(rig).term;
    rig_forget(rig);
    struct message question = {.kind = MESSAGE_ASK_POINT, .from = 2, .term = term};
    question.ask_point.seq = 99;
    rig_say(rig, &question);
    rig_turn(rig);
    CHECK(rig_heard(rig, MESSAGE_READ_POINT, 2) == NULL);
    const struct message *confirm = rig_heard(rig, MESSAGE_CONFIRM, 3);
    CHECK(confirm != NULL);
    struct message result = {.kind = MESSAGE_CONFIRM_RESULT, .from = 3, .term = term};
    result.confirm_result.seq = confirm->confirm.seq;
    rig_say(rig, &result);
    rig_turn(rig);
    const struct message *point = rig_heard(rig, MESSAGE_READ_POINT, 2);
    CHECK(point != NULL);
    CHECK_EQ(point->read_point.seq, 99);
    CHECK_EQ(point->read_point.index, rig_info(rig).applied_index);
    CHECK_EQ(point->read_point.index_term, term);
    rig_free(rig);
}

TEST(replica_read_on_ask, is_refused_by_who_does_not_lead)
{
    struct rig *rig = follower();
    struct message question = {.kind = MESSAGE_ASK_POINT, .from = 3, .term = TERM};
    question.ask_point.seq = 99;
    rig_say(rig, &question);
    rig_turn(rig);
    const struct message *point = rig_heard(rig, MESSAGE_READ_POINT, 3);
    CHECK(point != NULL);
    CHECK_EQ(point->read_point.index, 0);
    rig_free(rig);
}
