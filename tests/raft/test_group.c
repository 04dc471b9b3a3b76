#include <stdlib.h>

#include "replication/raft/install.h"
#include "tests/raft/rig.h"

TEST(group_open, loads_what_is_behind_the_state_and_applies_it_when_committed)
{
    struct rig *rig = rig_new(0);
    rig_put_birth(rig, 3, 2);
    rig_put_entries(rig, 11, 5, 3);
    rig->state.index = 12;
    rig->state.term = 3;
    rig_open(rig);
    CHECK_EQ(rig_info(rig).last_index, 15);
    CHECK_EQ(rig_info(rig).term, 3);
    struct message_append append = {.prev_index = 15, .prev_term = 3, .commit = 14};
    rig_say_append(rig, 2, 3, &append, NULL);
    CHECK_EQ(rig->applied, 2);
    CHECK_EQ(rig->state.index, 14);
    rig_free(rig);
}

TEST(group_open, refuses_a_log_that_contradicts_the_state)
{
    struct rig *rig = rig_new(0);
    struct group *group = NULL;
    rig_put_birth(rig, 3, 0);
    rig_put_entries(rig, 11, 5, 3);
    rig_open(rig);
    group_close(rig->group);
    struct group_options options = {.id = RIG_GROUP, .replica = 1, .ctx = rig};
    options.state = rig->state;
    options.state.index = 12;
    options.state.term = 2; /* The log has term 3 there. */
    CHECK_EQ(group_open(rig->host, &options, &group), STATUS_CORRUPT);
    CHECK(group == NULL);
    host_free(rig->host);
    rig->group = NULL;
    rig_free(rig);
}

TEST(group_open, votes_are_kept_over_a_restart)
{
    struct rig *rig = rig_new(0);
    struct message_vote vote = {.last_index = 10, .last_term = 1};
    rig_open(rig);
    rig_say_vote(rig, 2, 4, &vote);
    rig_sync(rig);
    CHECK(rig_heard(rig, MESSAGE_VOTE_RESULT, 2)->vote_result.granted);
    rig_crash(rig);
    rig_open(rig);
    rig_say_vote(rig, 3, 4, &vote);
    rig_sync(rig);
    CHECK(!rig_heard(rig, MESSAGE_VOTE_RESULT, 3)->vote_result.granted);
    rig_free(rig);
}

TEST(outbox_send, a_vote_leaves_when_it_is_on_disk)
{
    struct rig *rig = rig_new(0);
    struct message_vote vote = {.last_index = 10, .last_term = 1};
    rig_open(rig);
    rig_sync(rig);
    rig_say_vote(rig, 2, 4, &vote);
    CHECK(rig_heard(rig, MESSAGE_VOTE_RESULT, 2) == NULL);
    rig_sync(rig);
    CHECK(rig_heard(rig, MESSAGE_VOTE_RESULT, 2) != NULL);
    rig_free(rig);
}

TEST(outbox_send, entries_are_acknowledged_when_they_are_on_disk)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_sync(rig);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 2, 2, &append, NULL);
    rig_sync(rig);
    rig_forget(rig);
    struct message_entry entry = {.term = 2, .type = RAFT_COMMAND, .data = slice_str("x")};
    append.count = 1;
    append.commit = 11;
    rig_say_append(rig, 2, 2, &append, &entry);
    CHECK(rig_heard(rig, MESSAGE_APPEND_RESULT, 2) == NULL);
    CHECK_EQ(rig->applied, 0);
    rig_sync(rig);
    CHECK_EQ(rig_heard(rig, MESSAGE_APPEND_RESULT, 2)->append_result.last_index, 11);
    CHECK_EQ(rig->applied, 1);
    rig_free(rig);
}

TEST(outbox_send_append, cuts_big_appends_into_chunks_that_cover_their_commit_index)
{
    struct rig *rig = rig_new(0);
    struct rig_call *calls[4];
    size_t size = GROUP_CHUNK_SIZE * 3 / 4;
    char *big = calloc(1, size);
    CHECK(big != NULL);
    rig->entry_bytes_max = 16 << 20;
    rig_open(rig);
    rig_lead(rig);
    uint64_t last = rig_info(rig).last_index;
    for (unsigned i = 0; i < 4; i++) {
        calls[i] = rig_call_new();
        CHECK_EQ(group_propose(rig->group, slice_of(big, size), &calls[i]->proposal), STATUS_OK);
    }
    rig_sync(rig);
    rig_say_result(rig, 2, 0, last + 4);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(calls[i]->called && calls[i]->status == STATUS_OK);
    }
    rig_forget(rig);
    rig_say_result(rig, 3, 0, last); /* Replica 3 was behind and gets all of it. */
    unsigned chunks = 0;
    uint64_t next = last;
    for (unsigned i = 0; i < rig->out_count; i++) {
        const struct message *message = &rig->out[i];
        if (message->kind != MESSAGE_APPEND || message->to != 3 || message->append.count == 0) {
            continue;
        }
        CHECK_EQ(message->append.prev_index, next);
        next = message->append.prev_index + message->append.count;
        CHECK(message->append.commit <= next);
        CHECK(message->append.entries.len <= size + 64 || message->append.count == 1);
        chunks++;
    }
    CHECK_EQ(chunks, 4);
    CHECK_EQ(next, last + 4);
    rig_free(rig);
    free(big);
    for (unsigned i = 0; i < 4; i++) {
        free(calls[i]);
    }
}

TEST(group_propose, is_busy_when_too_much_is_in_flight)
{
    struct rig *rig = rig_new(0);
    struct rig_call *calls[GROUP_PROPOSALS_MAX + 1];
    rig_open(rig);
    rig_lead(rig);
    uint64_t last = rig_info(rig).last_index;
    for (unsigned i = 0; i <= GROUP_PROPOSALS_MAX; i++) {
        calls[i] = rig_call_new();
        enum status status = group_propose(rig->group, slice_str("x"), &calls[i]->proposal);
        CHECK_EQ(status, i < GROUP_PROPOSALS_MAX ? STATUS_OK : STATUS_BUSY);
    }
    CHECK(!group_can_propose(rig->group));
    rig_sync(rig);
    rig_say_result(rig, 3, 0, last + 1);
    CHECK(calls[0]->called && !calls[1]->called);
    CHECK(group_can_propose(rig->group));
    rig_free(rig);
    CHECK(calls[1]->called && calls[1]->status == STATUS_CLOSED);
    for (unsigned i = 0; i <= GROUP_PROPOSALS_MAX; i++) {
        free(calls[i]);
    }
}

TEST(group_propose, outcome_is_unknown_when_leadership_is_lost)
{
    struct rig *rig = rig_new(0);
    struct rig_call *call = rig_call_new();
    rig_open(rig);
    rig_lead(rig);
    CHECK_EQ(group_propose(rig->group, slice_str("x"), &call->proposal), STATUS_OK);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 3, rig_info(rig).term + 1, &append, NULL);
    CHECK(call->called);
    CHECK_EQ(call->status, STATUS_LEADERSHIP_LOST);
    rig_free(rig);
    free(call);
}

static void say_install(struct rig *rig, uint64_t index)
{
    struct message install = {.kind = MESSAGE_INSTALL, .from = 2, .term = 2};
    install.install.state = rig->state;
    install.install.state.index = index;
    install.install.state.term = 2;
    install.install.manifest = slice_str("manifest");
    rig_say(rig, &install);
}

TEST(install_admit, tells_the_leader_when_the_data_is_not_here)
{
    struct rig *rig = rig_new(0);
    rig->not_ready = true;
    rig_open(rig);
    rig_sync(rig);
    say_install(rig, 50);
    rig_sync(rig);
    CHECK_EQ(rig_heard(rig, MESSAGE_NO_INSTALL, 2)->point.index, 50);
    CHECK(!rig->installing);
    rig_free(rig);
}

TEST(group_pending_install, tells_what_a_crash_interrupted)
{
    struct rig *rig = rig_new(0);
    struct group_state state;
    struct slice manifest;
    rig_open(rig);
    rig_sync(rig);
    CHECK(!group_pending_install(rig->host, RIG_GROUP, 10, &state, &manifest));
    say_install(rig, 50);
    CHECK(!rig->installing); /* First the log knows, durably. */
    rig_sync(rig);
    CHECK(rig->installing);
    CHECK_EQ(rig->install_state.index, 50);
    CHECK_BYTES(slice_of(rig->manifest, rig->manifest_len), "manifest");
    rig_crash(rig);
    struct host_options options = {.node = 1, .election_ms = 600, .heartbeat_ms = 100};
    struct host_env env = {0};
    struct host *host = host_new(&options, &env, rig->wal, NULL);
    CHECK(group_pending_install(host, RIG_GROUP, 10, &state, &manifest));
    CHECK_EQ(state.index, 50);
    CHECK_EQ(state.term, 2);
    CHECK_EQ(state.conf.count, 3);
    CHECK_BYTES(manifest, "manifest");
    host_free(host);
    rig->state = state;
    rig_open(rig);
    CHECK_EQ(rig_info(rig).applied_index, 50);
    rig_free(rig);
}

TEST(snapshot_feed_start, a_follower_behind_the_log_gets_the_manifest)
{
    struct rig *rig = rig_new(0);
    rig->state.index = 30;
    rig_put_birth(rig, 2, 0);
    rig_open(rig);
    rig_lead(rig);
    rig_say_result(rig, 3, 30, 5); /* Has nothing behind 5. */
    rig_wait(rig, 2 * RIG_HEARTBEAT_MS);
    CHECK_EQ(rig->wanted, 3);
    group_snapshot_made(rig->group, rig->token, STATUS_OK, &rig->state, slice_str("manifest"));
    rig_turn(rig);
    const struct message *install = rig_heard(rig, MESSAGE_INSTALL, 3);
    CHECK(install != NULL);
    CHECK_EQ(install->install.state.index, rig->state.index);
    CHECK_BYTES(install->install.manifest, "manifest");
    /* Its heartbeats' rejections, even of that very index, do not begin it anew. */
    uint64_t token = rig->token;
    rig_say_result(rig, 3, rig->state.index, 0);
    rig_wait(rig, 2 * RIG_HEARTBEAT_MS);
    CHECK_EQ(rig->token, token);
    rig_say_result(rig, 3, 0, rig->state.index);
    rig_wait(rig, 2 * RIG_HEARTBEAT_MS);
    CHECK_EQ(rig_info(rig).match[2], rig->state.index);
    rig_free(rig);
}

TEST(snapshot_feed_refused, tries_again_after_a_pause)
{
    struct rig *rig = rig_new(0);
    rig->state.index = 30;
    rig_put_birth(rig, 2, 0);
    rig_open(rig);
    rig_lead(rig);
    rig_say_result(rig, 3, 30, 5);
    rig_wait(rig, 2 * RIG_HEARTBEAT_MS);
    uint64_t token = rig->token;
    group_snapshot_made(rig->group, token, STATUS_OK, &rig->state, slice_str("manifest"));
    rig_turn(rig);
    struct message refusal = {.kind = MESSAGE_NO_INSTALL, .from = 3, .term = rig_info(rig).term};
    refusal.point.index = rig->state.index;
    rig_say(rig, &refusal);
    rig_say_result(rig, 2, 0, rig_info(rig).last_index);
    rig_wait(rig, 200);
    CHECK_EQ(rig->token, token);
    for (unsigned i = 0; i < 10; i++) {
        rig_say_result(rig, 2, 0, rig_info(rig).last_index);
        rig_say_result(rig, 3, 7, 5);
        rig_wait(rig, RIG_HEARTBEAT_MS);
    }
    CHECK(rig->token != token);
    rig_free(rig);
}

TEST(tail_put, keeps_the_log_in_memory_within_its_bytes)
{
    struct rig *rig = rig_new(0);
    char data[1000] = {0};
    rig->entry_bytes_max = 1;
    rig->state.conf.count = 1;
    rig_open(rig);
    rig_sync(rig);
    for (unsigned i = 0; i < 500; i++) {
        struct rig_call *call = rig_call_new();
        CHECK_EQ(group_propose(rig->group, slice_of(data, sizeof data), &call->proposal),
                 STATUS_OK);
        rig_sync(rig);
        CHECK(call->called && call->status == STATUS_OK);
        free(call);
    }
    CHECK(rig->group->tail_bytes < 100 * sizeof data);
    CHECK_EQ(rig->applied, 501);
    rig_free(rig);
}

TEST(host_receive, refuses_what_is_malformed_and_ignores_old_lives)
{
    struct rig *rig = rig_new(0);
    rig_open(rig);
    rig_sync(rig);
    CHECK_EQ(host_receive(rig->host, 2, slice_str("")), STATUS_CORRUPT);
    CHECK_EQ(host_receive(rig->host, 2, slice_str("nonsense that is long enough")), STATUS_CORRUPT);
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig->life[2] = 1;
    rig_say_append(rig, 2, 3, &append, NULL);
    CHECK_EQ(rig_info(rig).term, 3);
    rig->life[2] = 2;
    rig->seq[2] = 0;
    rig_say_append(rig, 2, 4, &append, NULL);
    CHECK_EQ(rig_info(rig).term, 4);
    rig->life[2] = 1; /* Late bytes of the process before. */
    rig->seq[2] = 100;
    rig_say_append(rig, 2, 5, &append, NULL);
    CHECK_EQ(rig_info(rig).term, 4);
    rig_free(rig);
}
