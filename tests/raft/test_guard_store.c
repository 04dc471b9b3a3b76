#include <stdlib.h>

#include "tests/raft/rig.h"

/* A follower's entry is not on its disk when the leader falls silent. True if it stands with it. */
static bool stands(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig_open(rig);
    rig_sync(rig);
    struct message_entry entry = {.term = 2, .type = RAFT_COMMAND, .data = slice_str("new")};
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10, .count = 1};
    struct message_append heartbeat = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 2, 2, &heartbeat, NULL);
    rig_sync(rig);
    rig_say_append(rig, 2, 2, &append, &entry);
    rig_wait(rig, 4 * RIG_ELECTION_MS);
    const struct message *vote = rig_heard(rig, MESSAGE_VOTE, 0);
    bool violated = vote != NULL && vote->vote.last_index == 11;
    rig_sync(rig);
    rig_wait(rig, 2 * RIG_ELECTION_MS);
    CHECK(rig_heard(rig, MESSAGE_VOTE, 0) != NULL); /* Once it is stored. */
    rig_free(rig);
    return violated;
}

static void say_entries(struct rig *rig, uint64_t from, uint64_t term, unsigned count, uint64_t old)
{
    struct message_entry entries[2];
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10, .count = count};
    for (unsigned i = 0; i < count; i++) {
        entries[i] = (struct message_entry){.term = old, .type = RAFT_COMMAND};
        entries[i].data = slice_str("entry");
    }
    rig_say_append(rig, from, term, &append, entries);
}

/* Entries 11 and 12 of term 2 are written, truncated for one of term 3, and appended again, all on
 * their way to the disk one after the other. The first write is done and the leader asks how far we
 * are; the second is done, and we crash. True if we said more than what is on the disk then. */
static bool counts_twice(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    rig_open(rig);
    rig_sync(rig);
    struct message_append heartbeat = {.prev_index = 10, .prev_term = 1, .commit = 10};
    rig_say_append(rig, 2, 4, &heartbeat, NULL); /* The newest term first, so that it is durable. */
    rig_sync(rig);
    say_entries(rig, 2, 4, 2, 2);
    say_entries(rig, 2, 4, 1, 3);
    say_entries(rig, 2, 4, 2, 2);
    wal_fake_sync(rig->wal, 1);
    rig_turn(rig);
    rig_forget(rig);
    heartbeat.prev_index = 12;
    heartbeat.prev_term = 2;
    rig_say_append(rig, 2, 4, &heartbeat, NULL);
    const struct message *result = rig_heard(rig, MESSAGE_APPEND_RESULT, 2);
    uint64_t acknowledged = result == NULL ? 0 : result->append_result.last_index;
    wal_fake_sync(rig->wal, 1);
    rig_crash(rig);
    struct wal_group found;
    CHECK(wal_find_group(rig->wal, RIG_GROUP, &found));
    bool violated = found.last_index < acknowledged;
    CHECK(violated || acknowledged == 12);
    rig_free(rig);
    return violated;
}

TEST(guard_store, does_not_stand_with_entries_in_flight)
{
    CHECK(!stands(0));
    CHECK(rig_violates(stands, GUARD_STORE));
}

TEST(guard_store, counts_entries_once_that_were_truncated_and_came_back)
{
    CHECK(!counts_twice(0));
    CHECK(rig_violates(counts_twice, GUARD_STORE));
}
