#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/raft/rig.h"

/* A leader of three with lease reads, its barrier applied, in term 2. */
static struct rig *leader(void)
{
    struct rig *rig = rig_new(0);
    rig->lease_reads = true;
    rig_open(rig);
    rig_lead(rig);
    return rig;
}

/* Replica 2 answers with the stamp of the newest AppendEntries, or with another. */
static void echo(struct rig *rig, uint64_t stamp_ns)
{
    struct message message = {.kind = MESSAGE_APPEND_RESULT, .from = 2};
    message.term = rig_info(rig).term;
    message.append_result.last_index = rig_info(rig).last_index;
    message.append_result.echo_ns = stamp_ns;
    rig_say(rig, &message);
}

/* Waits for a heartbeat and gives its stamp. */
static uint64_t heartbeat(struct rig *rig)
{
    rig_forget(rig);
    while (rig_heard(rig, MESSAGE_APPEND, 2) == NULL) {
        rig_wait(rig, HOST_TICK_MS);
    }
    return rig_heard(rig, MESSAGE_APPEND, 2)->append.sent_ns;
}

TEST(lease_valid, from_an_echo_until_just_before_the_promise_ends)
{
    struct rig *rig = leader();
    CHECK(!rig_info(rig).lease);
    uint64_t stamp = heartbeat(rig);
    CHECK(!rig_info(rig).lease);
    echo(rig, stamp);
    CHECK(rig_info(rig).lease);
    uint64_t end_ms = stamp / 1000000 + RIG_ELECTION_MS;
    while (clock_now_ms() + HOST_TICK_MS < end_ms - 10) {
        rig_wait(rig, HOST_TICK_MS);
        CHECK(rig_info(rig).lease);
    }
    rig_wait(rig, HOST_TICK_MS);
    CHECK(!rig_info(rig).lease);
    rig_free(rig);
}

TEST(lease_valid, counts_the_time_of_sending_not_of_the_answer)
{
    struct rig *rig = leader();
    uint64_t stamp = heartbeat(rig);
    rig_wait(rig, 400);
    echo(rig, stamp);
    CHECK(rig_info(rig).lease);
    rig_wait(rig, 200);
    CHECK(!rig_info(rig).lease);
    rig_free(rig);
}

TEST(lease_valid, ignores_stamps_that_it_never_sent)
{
    struct rig *rig = leader();
    echo(rig, clock_now_ns() + 1000000000);
    CHECK(!rig_info(rig).lease);
    echo(rig, 0);
    CHECK(!rig_info(rig).lease);
    rig_free(rig);
}

TEST(lease_suspend, from_timeout_now_until_the_target_shows_that_it_follows)
{
    struct rig *rig = leader();
    struct rig_call *call = rig_call_new();
    uint64_t before = heartbeat(rig);
    echo(rig, before);
    CHECK(rig_info(rig).lease);
    CHECK_EQ(group_transfer(rig->group, 2, &call->proposal), STATUS_OK);
    rig_sync(rig);
    CHECK(rig_heard(rig, MESSAGE_TIMEOUT_NOW, 2) != NULL);
    CHECK(!rig_info(rig).lease);
    echo(rig, before);
    CHECK(!rig_info(rig).lease);
    rig_wait(rig, HOST_TICK_MS);
    echo(rig, heartbeat(rig));
    CHECK(rig_info(rig).lease);
    rig_free(rig);
    CHECK_EQ(call->status, STATUS_CLOSED);
    free(call);
}

static bool grants(struct rig *rig, bool disrupt)
{
    struct message_vote vote = {.last_index = 99, .last_term = 5, .disrupt = disrupt};
    rig_forget(rig);
    rig_say_vote(rig, 3, 6, &vote);
    rig_sync(rig);
    const struct message *result = rig_heard(rig, MESSAGE_VOTE_RESULT, 3);
    return result != NULL && result->vote_result.granted;
}

TEST(lease_restart, votes_for_nobody_until_old_promises_have_run_out)
{
    struct rig *rig = rig_new(0);
    rig->lease_reads = true;
    rig_put_birth(rig, 2, 0);
    rig_open(rig);
    CHECK(!grants(rig, false));
    rig_wait(rig, RIG_ELECTION_MS - HOST_TICK_MS);
    CHECK(!grants(rig, false));
    rig_wait(rig, 2 * HOST_TICK_MS);
    CHECK(grants(rig, false));
    rig_free(rig);
}

TEST(lease_restart, votes_for_whom_the_leader_sent)
{
    struct rig *rig = rig_new(0);
    rig->lease_reads = true;
    rig_put_birth(rig, 2, 0);
    rig_open(rig);
    CHECK(grants(rig, true));
    rig_free(rig);
}

TEST(lease_restart, a_newborn_has_promised_nothing)
{
    struct rig *rig = rig_new(0);
    rig->lease_reads = true;
    rig_open(rig);
    CHECK(grants(rig, false));
    rig_free(rig);
}

TEST(stand_again, claims_the_leaders_word_only_once)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_sync(rig);
    struct message_append heartbeat = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 2, 2, &heartbeat, NULL);
    rig_sync(rig);
    struct message now = {.kind = MESSAGE_TIMEOUT_NOW, .from = 2, .term = 2};
    now.timeout_now.last_index = 10;
    now.timeout_now.last_term = 1;
    rig_say(rig, &now);
    rig_sync(rig);
    const struct message *vote = rig_heard(rig, MESSAGE_VOTE, 3);
    CHECK(vote != NULL && vote->vote.disrupt && !vote->vote.pre_vote);
    CHECK_EQ(vote->term, 3);
    rig_forget(rig);
    rig_wait(rig, RIG_ELECTION_MS);
    rig_sync(rig);
    vote = rig_heard(rig, MESSAGE_VOTE, 3);
    CHECK(vote != NULL && !vote->vote.disrupt && vote->vote.pre_vote);
    CHECK_EQ(rig_info(rig).term, 3);
    rig_free(rig);
}

TEST(lease_echo, only_what_its_own_leader_said_in_this_term)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_sync(rig);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10};
    append.sent_ns = 1111;
    rig_say_append(rig, 2, 3, &append, NULL);
    rig_sync(rig);
    CHECK_EQ(rig_heard(rig, MESSAGE_APPEND_RESULT, 2)->append_result.echo_ns, 1111);
    append.sent_ns = 2222; /* A leader of an old term resets no timer. */
    rig_say_append(rig, 3, 2, &append, NULL);
    rig_sync(rig);
    CHECK_EQ(rig_heard(rig, MESSAGE_APPEND_RESULT, 3)->append_result.echo_ns, 0);
    rig_free(rig);
}
