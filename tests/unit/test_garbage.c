#include "server/machine/garbage.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/reader.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

/* A shard of one store, and calls against it as an entry would make them. */
struct world {
    char folder[32];
    struct store *store;
    struct txn *txn;
    struct machine_state state;
    struct call call;
    struct buf reply;
};

static void begin(struct world *world)
{
    *world = (struct world){.folder = "garbage-XXXXXX"};
    CHECK(mkdtemp(world->folder) != NULL);
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK_EQ(store_open(world->folder, &options, &world->store), STATUS_OK);
    world->txn = txn_new(world->store);
    buf_init(&world->reply, 1 << 20);
    world->call = (struct call){.txn = world->txn,
                                .state = &world->state,
                                .seen = &world->state,
                                .scope = {.shard = 7, .last = UINT64_MAX},
                                .now_ms = 1000,
                                .reply = &world->reply};
}

static void end(struct world *world)
{
    CHECK_EQ(txn_commit(world->txn), STATUS_OK);
    txn_free(world->txn);
    store_close(world->store);
    buf_deinit(&world->reply);
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", world->folder);
    CHECK_EQ(system(command), 0);
}

/* A hash of count fields in rows of their own. */
static void make(struct world *world, const char *key, uint64_t count)
{
    struct row row;
    world->state.version++;
    CHECK_EQ(keyspace_load(&world->call, SLOT_A, 0, slice_str(key), &row), STATUS_OK);
    CHECK(!row.found);
    keyspace_begin(&world->call, &row, KEYSPACE_HASH);
    row.flags = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct buf *element = txn_scratch(world->txn, SCRATCH_ELEMENT);
        keyspace_element_key(&row, element);
        buf_append_u64_be(element, i);
        txn_put(world->txn, STORE_DATA, buf_slice(element), slice_str("v"));
    }
    keyspace_put(&world->call, &row, count, slice_str("body"));
    CHECK(row.found);
}

static void load(struct world *world, enum keyspace_slot slot, const char *key, struct row *row)
{
    world->state.version++;
    CHECK_EQ(keyspace_load(&world->call, slot, 0, slice_str(key), row), STATUS_OK);
}

static size_t count_rows(struct world *world, enum store_family family)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(world->call.scope, family, &from, &to);
    struct store_iter *iter = iter_open(world->txn, family, buf_slice(&from), buf_slice(&to));
    size_t count = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        count++;
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return count;
}

TEST(garbage_sweep, takes_the_elements_of_removed_collections_away_step_by_step)
{
    struct world world;
    begin(&world);
    make(&world, "a", 300);
    make(&world, "b", 5);
    CHECK_EQ(count_rows(&world, STORE_DATA), 307);
    CHECK_EQ(world.state.keys[0], 2);
    struct row row;
    load(&world, SLOT_A, "a", &row);
    CHECK_EQ(row.size, 300);
    CHECK_BYTES(row.value, "body");
    keyspace_delete(&world.call, &row);
    CHECK_EQ(world.state.keys[0], 1);
    CHECK_EQ(world.state.garbage, 1);
    CHECK_EQ(count_rows(&world, STORE_DATA), 306);
    CHECK_EQ(txn_commit(world.txn), STATUS_OK);
    for (size_t left = 306; left > 6; left -= 100) {
        CHECK_EQ(world.state.garbage, 1);
        CHECK_EQ(garbage_sweep(&world.call, 100), STATUS_OK);
        CHECK_EQ(count_rows(&world, STORE_DATA), left - 100);
    }
    CHECK_EQ(world.state.garbage, 0);
    CHECK_EQ(count_rows(&world, STORE_LOCAL), 0);
    CHECK_EQ(count_rows(&world, STORE_DATA), 6);
    end(&world);
}

TEST(garbage_sweep, goes_on_with_the_next_collection)
{
    struct world world;
    begin(&world);
    make(&world, "a", 10);
    make(&world, "b", 10);
    struct row row;
    load(&world, SLOT_A, "a", &row);
    keyspace_delete(&world.call, &row);
    load(&world, SLOT_A, "b", &row);
    CHECK_EQ(keyspace_set(&world.call, &row, slice_str("string"), 0, 0), STATUS_OK);
    CHECK_EQ(world.state.garbage, 2);
    CHECK_EQ(garbage_sweep(&world.call, 15), STATUS_OK);
    CHECK_EQ(world.state.garbage, 1);
    CHECK_EQ(garbage_sweep(&world.call, 15), STATUS_OK);
    CHECK_EQ(world.state.garbage, 0);
    CHECK_EQ(count_rows(&world, STORE_DATA), 1);
    end(&world);
}

TEST(garbage_add, removes_very_many_at_once)
{
    struct world world;
    begin(&world);
    make(&world, "a", 70000);
    CHECK_EQ(txn_commit(world.txn), STATUS_OK);
    struct row row;
    load(&world, SLOT_A, "a", &row);
    keyspace_delete(&world.call, &row);
    CHECK_EQ(world.state.garbage, 0);
    CHECK_EQ(count_rows(&world, STORE_DATA), 0);
    end(&world);
}

TEST(garbage_sweep, has_nothing_to_do_after_a_flush)
{
    struct world world;
    begin(&world);
    make(&world, "a", 10);
    struct row row;
    load(&world, SLOT_A, "a", &row);
    keyspace_delete(&world.call, &row);
    keyspace_flush(&world.call, 0, true);
    CHECK_EQ(garbage_sweep(&world.call, 100), STATUS_OK);
    CHECK_EQ(world.state.garbage, 0);
    CHECK_EQ(count_rows(&world, STORE_LOCAL), 0);
    end(&world);
}

TEST(keyspace_move, leaves_elements_of_the_same_token_where_they_are)
{
    struct world world;
    begin(&world);
    make(&world, "{t}a", 10);
    struct row from;
    struct row to;
    load(&world, SLOT_A, "{t}a", &from);
    load(&world, SLOT_B, "{t}b", &to);
    uint64_t born = from.born;
    CHECK_EQ(keyspace_move(&world.call, &from, &to), STATUS_OK);
    CHECK_EQ(world.state.garbage, 0);
    CHECK_EQ(world.state.keys[0], 1);
    load(&world, SLOT_B, "{t}b", &to);
    CHECK(to.found && to.born == born && to.size == 10);
    CHECK_BYTES(to.value, "body");
    CHECK_EQ(count_rows(&world, STORE_DATA), 11);
    end(&world);
}

TEST(keyspace_move, copies_to_another_token)
{
    struct world world;
    begin(&world);
    make(&world, "a", 40);
    struct row from;
    struct row to;
    load(&world, SLOT_A, "a", &from);
    load(&world, SLOT_B, "b", &to);
    CHECK_EQ(keyspace_move(&world.call, &from, &to), STATUS_OK);
    CHECK_EQ(world.state.garbage, 1);
    CHECK_EQ(count_rows(&world, STORE_DATA), 81);
    CHECK_EQ(garbage_sweep(&world.call, 100), STATUS_OK);
    CHECK_EQ(count_rows(&world, STORE_DATA), 41);
    load(&world, SLOT_B, "b", &to);
    struct buf *key = txn_scratch(world.txn, SCRATCH_ELEMENT);
    keyspace_element_key(&to, key);
    buf_append_u64_be(key, 39);
    struct buf *value = txn_scratch(world.txn, SCRATCH_FIELD);
    CHECK_EQ(txn_get(world.txn, STORE_DATA, buf_slice(key), value), STATUS_OK);
    CHECK_BYTES(buf_slice(value), "v");
    end(&world);
}

TEST(keyspace_put, deletes_what_has_become_empty)
{
    struct world world;
    begin(&world);
    make(&world, "a", 1);
    struct row row;
    load(&world, SLOT_A, "a", &row);
    keyspace_put(&world.call, &row, 0, slice_of(NULL, 0));
    CHECK(!row.found);
    CHECK_EQ(world.state.keys[0], 0);
    load(&world, SLOT_A, "a", &row);
    CHECK(!row.found);
    CHECK_EQ(keyspace_load_type(&world.call, SLOT_A, slice_str("a"), KEYSPACE_SET, &row),
             STATUS_OK);
    make(&world, "a", 1);
    CHECK_EQ(keyspace_load_type(&world.call, SLOT_A, slice_str("a"), KEYSPACE_SET, &row),
             STATUS_WRONG_TYPE);
    end(&world);
}
