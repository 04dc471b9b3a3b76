#include <stdlib.h>

#include "tests/raft/rig.h"

/* A first probe, entries from index 1 on, arrives again at a follower that has compacted up to 30.
 * True if it appends them behind 30, or crashes. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    struct message_entry entries[5];
    rig->state.index = 30;
    rig_put_birth(rig, 1, 0);
    rig_open(rig);
    for (unsigned i = 0; i < 5; i++) {
        entries[i] = (struct message_entry){.term = 1, .type = RAFT_COMMAND};
        entries[i].data = slice_str("old");
    }
    struct message_append probe = {.count = 5, .commit = 5};
    rig_say_append(rig, 2, 2, &probe, entries);
    rig_sync(rig);
    const struct message *result = rig_heard(rig, MESSAGE_APPEND_RESULT, 2);
    bool violated =
        rig_info(rig).last_index != 30 || result == NULL || result->append_result.last_index != 30;
    rig_free(rig);
    return violated;
}

TEST(guard_trim, takes_compacted_entries_for_present)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_TRIM));
}
