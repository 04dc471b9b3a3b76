#include "server/machine/dedup.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/reader.h"
#include "common/cluster/session_number.h"
#include "tests/support/folder.h"
#include "tests/support/test.h"

static const struct machine_scope scope = {.shard = 9, .start = 0, .last = UINT64_MAX};
static const struct store_options options = {
    .cache_size = 1 << 20, .memtable_size = 4 << 20, .threads = 2};

struct world {
    char folder[FOLDER_SIZE];
    struct store *store;
    struct txn *txn;
    struct machine_state state;
    uint64_t now_ms;
    struct buf reply;
};

static void begin(struct world *world)
{
    *world = (struct world){.now_ms = 1000};
    folder_make(world->folder, "dedup");
    CHECK_EQ(store_open(world->folder, &options, &world->store), STATUS_OK);
    world->txn = txn_new(world->store);
    buf_init(&world->reply, 1 << 28);
}

static void end(struct world *world)
{
    CHECK_EQ(txn_commit(world->txn), STATUS_OK);
    txn_free(world->txn);
    store_close(world->store);
    buf_deinit(&world->reply);
    folder_remove(world->folder);
}

/* Plans and applies words as (session, seq); the reply is in world->reply. */
static enum status apply(
    struct world *world, struct args args, uint64_t session, uint64_t seq, uint64_t first_unacked)
{
    struct buf planned;
    buf_init(&planned, 1 << 28);
    struct machine_plan_input plan = {
        .command = command_find(args.argv[0]), .args = args, .now_ms = world->now_ms};
    buf_clear(&world->reply);
    CHECK_EQ(machine_plan(&plan, &planned, &world->reply), STATUS_OK);
    struct machine_apply_input input = {.scope = scope,
                                        .planned = buf_slice(&planned),
                                        .now_ms = world->now_ms,
                                        .session = session,
                                        .seq = seq,
                                        .first_unacked = first_unacked};
    enum status status = machine_apply(world->txn, &world->state, &input, &world->reply);
    buf_deinit(&planned);
    return status;
}

static void incr(struct world *world, uint64_t seq, uint64_t first_unacked, const char *want)
{
    struct slice words[] = {slice_str("incr"), slice_str("n")};
    struct args args = {.argv = words, .argc = 2};
    CHECK_EQ(apply(world, args, 77, seq, first_unacked), STATUS_OK);
    CHECK_BYTES(buf_slice(&world->reply), want);
}

static size_t count_local(struct world *world)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, STORE_LOCAL, &from, &to);
    size_t count = 0;
    struct store_iter *iter = iter_open(world->txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    for (; iter_valid(iter); iter_next(iter)) {
        count++;
    }
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return count;
}

TEST(machine_apply, applies_a_repeated_write_once)
{
    struct world world;
    begin(&world);
    incr(&world, 1, 1, ":1\r\n");
    incr(&world, 1, 1, ":1\r\n"); /* Before the commit. */
    CHECK_EQ(txn_commit(world.txn), STATUS_OK);
    incr(&world, 1, 1, ":1\r\n");
    incr(&world, 3, 1, ":2\r\n"); /* They may come in any order. */
    incr(&world, 2, 1, ":3\r\n");
    incr(&world, 3, 1, ":2\r\n");
    incr(&world, 2, 2, ":3\r\n");
    CHECK_EQ(world.state.version, 3);
    end(&world);
}

TEST(machine_apply, survives_a_restart)
{
    struct world world;
    begin(&world);
    incr(&world, 5, 5, ":1\r\n");
    CHECK_EQ(txn_commit(world.txn), STATUS_OK);
    CHECK_EQ(store_flush(world.store), STATUS_OK);
    txn_free(world.txn);
    store_close(world.store);
    CHECK_EQ(store_open(world.folder, &options, &world.store), STATUS_OK);
    world.txn = txn_new(world.store);
    incr(&world, 5, 5, ":1\r\n");
    incr(&world, 6, 5, ":2\r\n");
    end(&world);
}

TEST(machine_apply, records_errors_too)
{
    struct world world;
    begin(&world);
    struct slice set[] = {slice_str("set"), slice_str("n"), slice_str("word")};
    CHECK_EQ(apply(&world, (struct args){.argv = set, .argc = 3}, 77, 1, 1), STATUS_OK);
    incr(&world, 2, 1, "-ERR value is not an integer or out of range\r\n");
    struct slice del[] = {slice_str("del"), slice_str("n")};
    CHECK_EQ(apply(&world, (struct args){.argv = del, .argc = 2}, 77, 3, 1), STATUS_OK);
    incr(&world, 2, 1, "-ERR value is not an integer or out of range\r\n");
    end(&world);
}

TEST(machine_apply, refuses_what_was_acknowledged)
{
    struct world world;
    begin(&world);
    incr(&world, 1, 1, ":1\r\n");
    incr(&world, 2, 2, ":2\r\n");
    incr(&world, 1, 1, "-UNKNOWN this write was acknowledged before\r\n");
    incr(&world, 3, 2, ":3\r\n");
    end(&world);
}

TEST(machine_apply, keeps_medium_replies_apart_and_large_ones_not_at_all)
{
    struct world world;
    begin(&world);
    char *value = malloc(100000);
    CHECK(value != NULL);
    memset(value, 'v', 100000);
    struct slice set[] = {slice_str("set"), slice_str("n"), slice_of(value, 1000),
                          slice_str("get")};
    struct args args = {.argv = set, .argc = 4};
    CHECK_EQ(apply(&world, args, 77, 1, 1), STATUS_OK);
    set[2] = slice_of(value, 100000);
    CHECK_EQ(apply(&world, args, 77, 2, 1), STATUS_OK);
    CHECK_EQ(world.reply.len, 1000 + 9);
    CHECK_EQ(apply(&world, args, 77, 3, 1), STATUS_OK);
    CHECK_EQ(world.reply.len, 100000 + 11);
    CHECK_EQ(count_local(&world), 2); /* The window and one reply. */
    CHECK_EQ(apply(&world, args, 77, 2, 1), STATUS_OK);
    CHECK_EQ(world.reply.len, 1000 + 9);
    CHECK_EQ(apply(&world, args, 77, 3, 1), STATUS_OK);
    CHECK_BYTES(buf_slice(&world.reply),
                "-UNKNOWN this write was applied before, its reply is no longer kept\r\n");
    incr(&world, 4, 4, "-ERR value is not an integer or out of range\r\n");
    CHECK_EQ(count_local(&world), 1);
    free(value);
    end(&world);
}

TEST(machine_apply, bounds_the_open_writes_of_a_session)
{
    struct world world;
    begin(&world);
    for (uint64_t seq = 1; seq <= DEDUP_OPEN_MAX + 10; seq++) {
        char want[32];
        (void)snprintf(want, sizeof(want), ":%llu\r\n", (unsigned long long)seq);
        incr(&world, seq, 1, want);
    }
    incr(&world, 10, 1, "-UNKNOWN this write was acknowledged before\r\n");
    incr(&world, 11, 1, ":11\r\n");
    end(&world);
}

TEST(machine_apply, records_nothing_for_keys_of_others)
{
    struct world world;
    begin(&world);
    struct slice words[] = {slice_str("incr"), slice_str("n")};
    struct buf planned;
    buf_init(&planned, 1 << 16);
    struct machine_plan_input plan = {
        .command = command_find(words[0]), .args = {.argv = words, .argc = 2}, .now_ms = 1};
    CHECK_EQ(machine_plan(&plan, &planned, &world.reply), STATUS_OK);
    struct machine_apply_input input = {.scope = {.shard = 9, .start = 5, .last = 6},
                                        .planned = buf_slice(&planned),
                                        .now_ms = 1,
                                        .session = 77,
                                        .seq = 1};
    CHECK_EQ(machine_apply(world.txn, &world.state, &input, &world.reply), STATUS_NOT_OWNER);
    CHECK_EQ(world.reply.len, 0);
    CHECK(txn_empty(world.txn));
    CHECK_EQ(world.state.version, 0);
    buf_deinit(&planned);
    end(&world);
}

TEST(machine_advance, forgets_sessions_unheard_of)
{
    struct world world;
    begin(&world);
    struct slice words[] = {slice_str("incr"), slice_str("n")};
    struct args args = {.argv = words, .argc = 2};
    for (uint64_t session = 1; session <= 2 * DEDUP_SWEEP_COUNT + 5; session++) {
        CHECK_EQ(apply(&world, args, session, 1, 1), STATUS_OK);
    }
    CHECK(!machine_advance_wanted(world.txn, &world.state, scope, world.now_ms));
    world.now_ms += DEDUP_IDLE_MS - 10;
    CHECK_EQ(apply(&world, args, 3, 2, 2), STATUS_OK);
    world.now_ms += 10;
    int entries = 0;
    for (; machine_advance_wanted(world.txn, &world.state, scope, world.now_ms); entries++) {
        CHECK(entries < 10);
        CHECK_EQ(machine_advance(world.txn, &world.state, scope, world.now_ms, NULL), STATUS_OK);
    }
    CHECK_EQ(entries, 3);
    CHECK_EQ(count_local(&world), 1);
    world.now_ms += DEDUP_IDLE_MS;
    CHECK(machine_advance_wanted(world.txn, &world.state, scope, world.now_ms));
    CHECK_EQ(machine_advance(world.txn, &world.state, scope, world.now_ms, NULL), STATUS_OK);
    CHECK_EQ(count_local(&world), 0);
    CHECK_EQ(world.state.sweep_ms, 0);
    CHECK(!machine_advance_wanted(world.txn, &world.state, scope, UINT64_MAX / 2));
    end(&world);
}

TEST(machine_advance, removes_expired_keys_in_bounded_steps)
{
    struct world world;
    begin(&world);
    for (int i = 0; i < 150; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        struct slice set[] = {slice_str("set"), slice_str(key), slice_str("v"), slice_str("px"),
                              slice_str("100")};
        CHECK_EQ(apply(&world, (struct args){.argv = set, .argc = 5}, 0, 0, 0), STATUS_OK);
    }
    CHECK_EQ(world.state.keys[0], 150);
    world.now_ms += 100; /* At that millisecond they are still there. */
    CHECK(!machine_advance_wanted(world.txn, &world.state, scope, world.now_ms));
    world.now_ms += 1;
    int entries = 0;
    for (; machine_advance_wanted(world.txn, &world.state, scope, world.now_ms); entries++) {
        CHECK_EQ(machine_advance(world.txn, &world.state, scope, world.now_ms, NULL), STATUS_OK);
        CHECK_EQ(txn_commit(world.txn), STATUS_OK);
    }
    CHECK_EQ(entries, 3);
    CHECK_EQ(world.state.keys[0], 0);
    CHECK_EQ(count_local(&world), 0);
    CHECK_EQ(world.state.expiry_ms, 0);
    end(&world);
}

TEST(machine_state, is_decoded_again)
{
    struct machine_state state = {.time_ms = 1, .version = 2, .expiry_ms = 3, .sweep_ms = 4};
    state.sweep_session = 5;
    for (size_t i = 0; i < MACHINE_DATABASES; i++) {
        state.keys[i] = 100 + i;
    }
    struct buf bytes;
    buf_init(&bytes, 1024);
    machine_state_encode(&state, &bytes);
    for (size_t len = 0; len <= bytes.len; len++) {
        struct reader in = reader_of(slice_of(bytes.data, len));
        struct machine_state again = {0};
        bool ok = machine_state_decode(&in, &again);
        CHECK_EQ(ok, len == bytes.len);
        CHECK(!ok || memcmp(&again, &state, sizeof(state)) == 0);
    }
    buf_deinit(&bytes);
}

/* What another shard answers to (session, seq). */
static void incr_at(
    struct world *world, uint64_t shard, uint64_t session, uint64_t seq, const char *want)
{
    struct slice words[] = {slice_str("incr"), slice_str("n")};
    struct machine_plan_input plan = {.command = command_find(words[0]),
                                      .args = {.argv = words, .argc = 2},
                                      .now_ms = world->now_ms};
    struct buf planned;
    buf_init(&planned, 1 << 20);
    buf_clear(&world->reply);
    CHECK_EQ(machine_plan(&plan, &planned, &world->reply), STATUS_OK);
    struct machine_apply_input input = {
        .scope = scope, .planned = buf_slice(&planned), .now_ms = world->now_ms};
    input.scope.shard = shard;
    input.session = session;
    input.seq = seq;
    input.first_unacked = 1;
    CHECK_EQ(machine_apply(world->txn, &world->state, &input, &world->reply), STATUS_OK);
    CHECK_BYTES(buf_slice(&world->reply), want);
    buf_deinit(&planned);
}

TEST(dedup_hand_on, the_heir_knows_what_was_applied_and_takes_what_was_not)
{
    struct world world;
    struct machine_state heir = {.time_ms = 5000};
    begin(&world);
    incr(&world, 1, 1, ":1\r\n");
    incr(&world, 2, 1, ":2\r\n");
    incr(&world, 9, 2, ":3\r\n"); /* 1 is acknowledged. */
    uint64_t handed = session_number_inherited(77, scope.shard);
    CHECK_EQ(dedup_hand_on(world.txn, scope.shard, 10, &heir), STATUS_OK);
    CHECK_EQ(heir.sweep_ms, 5000 + DEDUP_IDLE_MS);
    incr_at(&world, 10, handed, 2, ":2\r\n");
    incr_at(&world, 10, handed, 9, ":3\r\n");
    incr_at(&world, 10, handed, 8, ":4\r\n"); /* Was under way, and never arrived. */
    incr_at(&world, 10, 77, 2, ":5\r\n");     /* Of the same session, but its own. */
    incr_at(&world, 9, 77, 9, ":3\r\n");      /* Nothing was taken away. */
    /* Back again: the one that has both keeps them apart. */
    CHECK_EQ(dedup_hand_on(world.txn, 10, scope.shard, &world.state), STATUS_OK);
    incr_at(&world, 9, handed, 8, ":4\r\n");
    incr_at(&world, 9, session_number_inherited(77, 10), 2, ":5\r\n");
    incr_at(&world, 9, 77, 2, ":2\r\n");
    /* And once more to a third: what both have of one number is joined. */
    incr(&world, 12, 2, ":6\r\n");
    CHECK_EQ(dedup_hand_on(world.txn, scope.shard, 11, &heir), STATUS_OK);
    incr_at(&world, 11, handed, 8, ":4\r\n");
    incr_at(&world, 11, handed, 12, ":6\r\n");
    incr_at(&world, 11, session_number_inherited(77, 10), 2, ":5\r\n");
    CHECK_EQ(txn_commit(world.txn), STATUS_OK);
    incr_at(&world, 11, handed, 9, ":3\r\n");
    end(&world);
}

TEST(dedup_check, one_that_comes_back_under_an_inherited_number_is_known)
{
    struct world world;
    begin(&world);
    incr(&world, 5, 5, ":1\r\n");
    uint64_t handed = session_number_inherited(77, scope.shard);
    CHECK_EQ(session_number_before(handed, scope.shard), 77);
    incr_at(&world, 9, handed, 5, ":1\r\n");
    incr_at(&world, 9, handed, 4, ":2\r\n"); /* That one never came. */
    incr_at(&world, 9, handed, 4, ":2\r\n");
    incr_at(&world, 9, session_number_inherited(77, 10), 5, ":3\r\n"); /* Another shard's. */
    end(&world);
}

TEST(dedup_hand_on, takes_replies_along_that_have_rows_of_their_own)
{
    struct world world;
    begin(&world);
    char value[DEDUP_INLINE_SIZE_MAX * 2 + 1];
    char want[sizeof(value) + 64];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    (void)snprintf(want, sizeof(want), "$%zu\r\n%s\r\n", strlen(value), value);
    struct slice set[] = {slice_str("set"), slice_str("n"), slice_str(value)};
    struct slice get[] = {slice_str("getset"), slice_str("n"), slice_str("1")};
    CHECK_EQ(apply(&world, (struct args){.argv = set, .argc = 3}, 77, 1, 1), STATUS_OK);
    CHECK_EQ(apply(&world, (struct args){.argv = get, .argc = 3}, 77, 2, 1), STATUS_OK);
    CHECK_BYTES(buf_slice(&world.reply), want);
    CHECK_EQ(dedup_hand_on(world.txn, scope.shard, 10, &world.state), STATUS_OK);
    incr_at(&world, 10, session_number_inherited(77, scope.shard), 2, want);
    end(&world);
}

TEST(dedup_hand_on, has_nothing_to_do_without_sessions)
{
    struct world world;
    struct machine_state heir = {0};
    begin(&world);
    CHECK_EQ(dedup_hand_on(world.txn, scope.shard, 10, &heir), STATUS_OK);
    CHECK_EQ(heir.sweep_ms, 0);
    CHECK_EQ(count_local(&world), 0);
    end(&world);
}
