#include <stdio.h>

#include "server/machine/keyspace.h"
#include "server/shard/range_change.h"
#include "tests/shard/shard_rig.h"

/* A merge as the two shards see it: what a frozen one refuses, and which of absorb and void the
 * target's log lets have effect. Nodes 1 and 2 have replicas 1 and 2. */

enum { OTHER = 7 };

static void thaw(struct shard_rig *rig, uint64_t ver)
{
    struct range_change change = {.kind = RANGE_UNFREEZE, .ver = ver};
    shard_merge_propose(rig->leader->shard, &change);
    shard_rig_settle(rig);
}

TEST(shard_merge_apply, freezes_and_thaws_by_the_exact_version)
{
    struct shard_rig *rig = shard_rig_new();
    struct shard_rig_op *stale = shard_rig_change(rig, "shard_merge 5 2 8 0");
    CHECK(shard_rig_replied(stale, "-STALE the shard has another version\r\n"));
    struct shard_rig_op *unfit = shard_rig_change(rig, "shard_merge 0 1 8 0");
    CHECK(shard_rig_replied(unfit, "-RETRY the test says so\r\n"));
    struct shard_rig_op *first = shard_rig_send(rig, "incr n");
    struct shard_rig_op *waits = shard_rig_wait(rig, "blpop list 0", 0);
    shard_rig_settle(rig);
    CHECK(waits->parked && shard_rig_replied(first, ":1\r\n"));

    struct shard_rig_op *freeze = shard_rig_change(rig, "shard_merge 5 1 8 0");
    struct shard_rig_op *behind = shard_rig_send(rig, "incr n"); /* Gathered when it is applied. */
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(freeze, "+OK\r\n"));
    CHECK(shard_frozen(rig->leader->shard));
    CHECK_EQ(shard_state(rig->leader->shard)->desc.ver, 2);
    CHECK_EQ(behind->status, STATUS_BUSY);
    CHECK_EQ(waits->status, STATUS_BUSY);
    CHECK_EQ(shard_rig_send(rig, "get n")->status, STATUS_BUSY);
    CHECK_EQ(shard_rig_send(rig, "incr n")->status, STATUS_BUSY);
    CHECK_EQ(shard_rig_retry(rig, first)->status, STATUS_BUSY); /* Not even what is known. */
    CHECK(shard_rig_replied(shard_rig_change(rig, "shard_merge 5 2 8 0"),
                            "-STALE the shard has another version\r\n"));

    thaw(rig, 1); /* Of another attempt. */
    CHECK(shard_frozen(rig->leader->shard));
    thaw(rig, 2);
    CHECK(!shard_frozen(rig->leader->shard));
    CHECK_EQ(shard_state(rig->leader->shard)->desc.ver, 3);
    struct shard_rig_op *after = shard_rig_send(rig, "incr n");
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(after, ":2\r\n"));
    shard_rig_free(rig);
}

/* A frozen source beside each replica of the rig's shard, which owns all tokens below the last. */
static void put_source(struct shard_rig *rig, uint64_t ver, uint64_t target_ver)
{
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        const struct shard_state *own = shard_state(rig->replicas[i].shard);
        struct txn *txn = rig->replicas[i].env.txn;
        struct shard_desc desc = {.id = OTHER,
                                  .start = UINT64_MAX,
                                  .last = UINT64_MAX,
                                  .ver = ver,
                                  .birth_max = 32,
                                  .replica_count = 2};
        desc.replicas[0] = (struct replica_desc){.id = 31, .node = 1};
        desc.replicas[1] = (struct replica_desc){.id = 32, .node = 2};
        struct shard_state state;
        struct buf key;
        struct buf value;
        shard_state_birth(&desc, 31 + i, &state);
        state.target = own->desc.id;
        state.target_ver = target_ver;
        state.machine.keys[0] = 3;
        state.machine.version = 1000000;
        state.machine.expiry_ms = UINT64_C(1) << 60;
        buf_init(&key, 64);
        buf_init(&value, 4096);
        shard_state_key(OTHER, &key);
        shard_state_encode(&state, &value);
        txn_put(txn, STORE_LOCAL, buf_slice(&key), buf_slice(&value));
        keyspace_local_key(OTHER, LOCAL_SCRIPT, &key);
        buf_append(&key, "01234567890123456789", 20);
        txn_put(txn, STORE_LOCAL, buf_slice(&key), slice_str("return 1"));
        buf_deinit(&key);
        buf_deinit(&value);
    }
}

static void absorb(struct shard_rig *rig, uint64_t ver, uint64_t source_ver, uint64_t second_node)
{
    struct range_change change = {
        .kind = RANGE_ABSORB,
        .ver = ver,
        .other = OTHER,
        .other_ver = source_ver,
        .start = UINT64_MAX,
        .last = UINT64_MAX,
        .count = 2,
        .members = {{.id = 31, .node = 1}, {.id = 32, .node = second_node}}};
    shard_merge_propose(rig->leader->shard, &change);
    shard_rig_settle(rig);
}

/* The rig's shard without the last token. */
static void make_room(struct shard_rig *rig)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "shard_split 1 %llu 9 0 1 21 2 22",
                   (unsigned long long)UINT64_MAX);
    struct shard_rig_op *split = shard_rig_change(rig, line);
    shard_rig_settle(rig);
    CHECK(shard_rig_replied(split, "+OK\r\n"));
}

TEST(shard_merge_apply, takes_over_what_the_source_has)
{
    struct shard_rig *rig = shard_rig_new();
    make_room(rig);
    put_source(rig, 9, 2);
    absorb(rig, 2, 9, 3); /* Not on the same nodes. */
    CHECK_EQ(shard_state(rig->leader->shard)->desc.ver, 2);
    absorb(rig, 2, 9, 2);
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        const struct shard_state *state = shard_state(rig->replicas[i].shard);
        CHECK_EQ(state->desc.ver, 10);
        CHECK(state->desc.start == 0 && state->desc.last == UINT64_MAX);
        CHECK_EQ(state->machine.keys[0], 3);
        CHECK(state->machine.version >= 1000000);
        CHECK_EQ(state->machine.expiry_ms, UINT64_C(1) << 60);
        CHECK_EQ(rig->replicas[i].child.desc.id, OTHER); /* Whose rows were to be deleted. */
        struct buf key;
        struct buf value;
        buf_init(&key, 64);
        buf_init(&value, 64);
        keyspace_local_key(state->desc.id, LOCAL_SCRIPT, &key);
        buf_append(&key, "01234567890123456789", 20);
        CHECK_EQ(txn_get(rig->replicas[i].env.txn, STORE_LOCAL, buf_slice(&key), &value),
                 STATUS_OK);
        CHECK_BYTES(buf_slice(&value), "return 1");
        buf_deinit(&key);
        buf_deinit(&value);
    }
    absorb(rig, 2, 9, 2); /* Again: it has come to be another version. */
    CHECK_EQ(shard_state(rig->leader->shard)->desc.ver, 10);
    shard_rig_free(rig);
}

TEST(shard_merge_apply, does_not_absorb_behind_a_void)
{
    struct shard_rig *rig = shard_rig_new();
    make_room(rig);
    put_source(rig, 9, 2);
    struct range_change change = {.kind = RANGE_VOID, .ver = 2};
    shard_merge_propose(rig->leader->shard, &change);
    shard_rig_settle(rig);
    CHECK_EQ(shard_state(rig->leader->shard)->desc.ver, 3);
    absorb(rig, 2, 9, 2);
    absorb(rig, 3, 9, 2 + 1);
    CHECK_EQ(shard_state(rig->leader->shard)->desc.ver, 3);
    CHECK_EQ(shard_state(rig->leader->shard)->desc.last, UINT64_MAX - 1);
    shard_rig_free(rig);
}
