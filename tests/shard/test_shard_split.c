#include <stdio.h>

#include "common/base/assert.h"
#include "common/cluster/token.h"
#include "tests/shard/shard_rig.h"

/* A split as the shard layer sees it: what the leader refuses, who is told that tokens went, and
 * that the entry does the same on every replica. Nodes 1 and 2 have replicas 1 and 2. */

/* "a" and "b" are on different sides of it: */
static uint64_t border(const char **left, const char **right)
{
    uint64_t a = token_of_key(slice_str("a"));
    uint64_t b = token_of_key(slice_str("b"));
    *left = a < b ? "a" : "b";
    *right = a < b ? "b" : "a";
    return a < b ? b : a;
}

static struct shard_rig_op *ask(struct shard_rig *rig,
                                uint64_t ver,
                                uint64_t token,
                                const char *tail)
{
    char line[160];
    (void)snprintf(line, sizeof(line), "shard_split %llu %llu %s", (unsigned long long)ver,
                   (unsigned long long)token, tail);
    return shard_rig_change(rig, line);
}

static const char members[] = "9 0 1 21 2 22";

static struct shard_rig_op *about(struct shard_rig *rig,
                                  const char *command,
                                  const char *key,
                                  const char *value)
{
    char line[160];
    (void)snprintf(line, sizeof(line), "%s %s %s", command, key, value);
    return shard_rig_send(rig, line);
}

TEST(shard_change_submit, refuses_what_cannot_be_divided)
{
    struct shard_rig *rig = shard_rig_new();
    const char *left;
    const char *right;
    uint64_t token = border(&left, &right);
    CHECK(shard_rig_replied(ask(rig, 2, token, members), "-STALE the shard has version 1\r\n"));
    CHECK(shard_rig_replied(ask(rig, 1, 0, members),
                            "-REFUSED this token is not inside the shard\r\n"));
    CHECK(shard_rig_replied(ask(rig, 1, token, "9 0 1 21"),
                            "-RETRY the members of the shard are others\r\n"));
    CHECK(shard_rig_replied(ask(rig, 1, token, "9 0 1 21 3 22"),
                            "-RETRY the members of the shard are others\r\n"));
    CHECK(shard_rig_replied(ask(rig, 1, token, "9 0 1 21 2 21"),
                            "-RETRY the members of the shard are others\r\n"));
    CHECK_EQ(ask(rig, 1, token, "9 0 1 21 2")->status, STATUS_BAD_ARGUMENT);
    shard_rig_free(rig);
}

TEST(shard_change_submit, divides_at_a_token)
{
    struct shard_rig *rig = shard_rig_new();
    const char *left;
    const char *right;
    uint64_t token = border(&left, &right);
    about(rig, "set", left, "here");
    about(rig, "set", right, "there");
    shard_rig_settle(rig);
    struct shard_rig_op *split = ask(rig, 1, token, members);
    struct shard_rig_op *twice = ask(rig, 1, token, members);
    CHECK(shard_rig_replied(twice, "-RETRY another change of the shard is under way\r\n"));
    CHECK_EQ(split->done, 0);
    struct shard_rig_op *behind = about(rig, "set", right, "lost");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(split, "+OK\r\n"));
    CHECK_EQ(behind->status, STATUS_NOT_OWNER);
    CHECK_EQ(about(rig, "get", right, "")->status, STATUS_NOT_OWNER);
    CHECK(shard_rig_replied(about(rig, "get", left, ""), "$4\r\nhere\r\n"));
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        const struct shard_state *parent = shard_state(rig->replicas[i].shard);
        const struct shard_state *child = &rig->replicas[i].child;
        CHECK_EQ(parent->desc.last, token - 1);
        CHECK_EQ(parent->desc.ver, 2);
        CHECK(child->desc.id == 9 && child->desc.start == token);
        CHECK(child->desc.last == UINT64_MAX && child->desc.ver == 2);
        CHECK(child->desc.parent == parent->desc.id && child->desc.birth_max == 22);
        CHECK_EQ(child->replica, 21 + i);
        CHECK_EQ(child->group.index, GROUP_BIRTH_INDEX);
        CHECK_EQ(child->group.conf.count, 2);
        CHECK_EQ(child->machine.keys[0], 1);
        CHECK_EQ(parent->machine.keys[0], 1);
        const struct shard_desc *kin = NULL;
        CHECK_EQ(shard_kin(rig->replicas[i].shard, &kin), 1);
        CHECK_EQ(kin[0].id, 9);
    }
    CHECK(shard_rig_replied(ask(rig, 1, token, members), "-STALE the shard has version 2\r\n"));
    shard_rig_free(rig);
}

TEST(shard_change_submit, tells_those_who_wait_for_what_went)
{
    struct shard_rig *rig = shard_rig_new();
    const char *left;
    const char *right;
    char line[64];
    uint64_t token = border(&left, &right);
    (void)snprintf(line, sizeof(line), "blpop %s 0", left);
    struct shard_rig_op *stays = shard_rig_wait(rig, line, 0);
    (void)snprintf(line, sizeof(line), "blpop %s 0", right);
    struct shard_rig_op *goes = shard_rig_wait(rig, line, 0);
    shard_rig_settle(rig);
    CHECK(stays->parked && goes->parked);
    struct shard_rig_op *split = ask(rig, 1, token, members);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(split, "+OK\r\n"));
    CHECK_EQ(goes->done, 1);
    CHECK_EQ(goes->status, STATUS_NOT_OWNER);
    CHECK_EQ(stays->done, 0);
    about(rig, "rpush", left, "x");
    shard_rig_settle(rig);
    CHECK_EQ(stays->done, 1);
    CHECK_EQ(stays->status, STATUS_OK);
    shard_rig_free(rig);
}

TEST(shard_change_submit, answers_a_repeated_write_from_before_the_split)
{
    struct shard_rig *rig = shard_rig_new();
    const char *left;
    const char *right;
    uint64_t token = border(&left, &right);
    struct shard_rig_op *first = about(rig, "incr", right, "");
    shard_rig_settle(rig);
    ask(rig, 1, token, members);
    shard_rig_settle(rig);
    struct shard_rig_op *again = shard_rig_retry(rig, first);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(again, ":1\r\n")); /* It was applied, whoever owns the key now. */
    shard_rig_free(rig);
}

TEST(shard_change_submit, is_decided_when_it_is_applied)
{
    struct shard_rig *rig = shard_rig_new();
    const char *left;
    const char *right;
    uint64_t token = border(&left, &right);
    struct shard_rig_op *split = ask(rig, 1, token, members);
    shard_rig_change_leader(rig, true); /* The entry survives, its proposer does not know. */
    CHECK_EQ(split->status, STATUS_LEADERSHIP_LOST);
    shard_rig_settle(rig);
    CHECK_EQ(shard_state(rig->leader->shard)->desc.last, token - 1);
    CHECK(shard_rig_replied(ask(rig, 1, token, members), "-STALE the shard has version 2\r\n"));
    shard_rig_free(rig);
}
