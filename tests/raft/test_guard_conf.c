#include <stdlib.h>

#include "tests/raft/rig.h"

/* The log ends with a configuration that was never committed; after a restart a new leader replaces
 * it. True if it stays in force. */
static bool scenario(unsigned guards_off)
{
    struct rig *rig = rig_new(guards_off);
    struct group_conf conf = rig->state.conf;
    conf.members[conf.count++] = (struct group_member){4, 4, MEMBER_SPARE};
    rig_put_birth(rig, 2, 0);
    rig_put_conf(rig, 11, 2, &conf);
    rig_open(rig);
    CHECK_EQ(rig_info(rig).conf.count, 4);
    struct message_entry entry = {.term = 3, .type = RAFT_COMMAND, .data = slice_str("new")};
    struct message_append append = {.prev_index = 10, .prev_term = 1, .commit = 10, .count = 1};
    rig_say_append(rig, 2, 3, &append, &entry);
    rig_sync(rig);
    CHECK_EQ(rig_info(rig).last_index, 11);
    bool violated = rig_info(rig).conf.count != 3;
    rig_free(rig);
    return violated;
}

TEST(guard_conf, rolls_back_what_was_uncommitted_before_a_restart)
{
    CHECK(!scenario(0));
    CHECK(rig_violates(scenario, GUARD_CONF));
}
