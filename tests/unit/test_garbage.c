#include "server/machine/garbage.h"

#include "common/base/reader.h"
#include "tests/support/call_rig.h"
#include "tests/support/test.h"

/* A hash of count fields in rows of their own. */
static void make(struct call_rig *rig, const char *key, uint64_t count)
{
    struct row row;
    rig->state.version++;
    CHECK_EQ(keyspace_load(&rig->call, SLOT_A, 0, slice_str(key), &row), STATUS_OK);
    CHECK(!row.found);
    keyspace_begin(&rig->call, &row, KEYSPACE_HASH);
    row.flags = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct buf *element = txn_scratch(rig->txn, SCRATCH_ELEMENT);
        keyspace_element_key(&row, element);
        buf_append_u64_be(element, i);
        txn_put(rig->txn, STORE_DATA, buf_slice(element), slice_str("v"));
    }
    keyspace_put(&rig->call, &row, count, slice_str("body"));
    CHECK(row.found);
}

static void load(struct call_rig *rig, enum keyspace_slot slot, const char *key, struct row *row)
{
    rig->state.version++;
    CHECK_EQ(keyspace_load(&rig->call, slot, 0, slice_str(key), row), STATUS_OK);
}

TEST(garbage_sweep, takes_the_elements_of_removed_collections_away_step_by_step)
{
    struct call_rig rig;
    call_rig_open(&rig, "garbage");
    make(&rig, "a", 300);
    make(&rig, "b", 5);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 307);
    CHECK_EQ(rig.state.keys[0], 2);
    struct row row;
    load(&rig, SLOT_A, "a", &row);
    CHECK_EQ(row.size, 300);
    CHECK_BYTES(row.value, "body");
    keyspace_delete(&rig.call, &row);
    CHECK_EQ(rig.state.keys[0], 1);
    CHECK_EQ(rig.state.garbage, 1);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 306);
    CHECK_EQ(txn_commit(rig.txn), STATUS_OK);
    for (size_t left = 306; left > 6; left -= 100) {
        CHECK_EQ(rig.state.garbage, 1);
        CHECK_EQ(garbage_sweep(&rig.call, 100), STATUS_OK);
        CHECK_EQ(call_rig_rows(&rig, STORE_DATA), left - 100);
    }
    CHECK_EQ(rig.state.garbage, 0);
    CHECK_EQ(call_rig_rows(&rig, STORE_LOCAL), 0);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 6);
    call_rig_close(&rig);
}

TEST(garbage_sweep, goes_on_with_the_next_collection)
{
    struct call_rig rig;
    call_rig_open(&rig, "garbage");
    make(&rig, "a", 10);
    make(&rig, "b", 10);
    struct row row;
    load(&rig, SLOT_A, "a", &row);
    keyspace_delete(&rig.call, &row);
    load(&rig, SLOT_A, "b", &row);
    CHECK_EQ(keyspace_set(&rig.call, &row, slice_str("string"), 0, 0), STATUS_OK);
    CHECK_EQ(rig.state.garbage, 2);
    CHECK_EQ(garbage_sweep(&rig.call, 15), STATUS_OK);
    CHECK_EQ(rig.state.garbage, 1);
    CHECK_EQ(garbage_sweep(&rig.call, 15), STATUS_OK);
    CHECK_EQ(rig.state.garbage, 0);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 1);
    call_rig_close(&rig);
}

TEST(garbage_add, removes_very_many_at_once)
{
    struct call_rig rig;
    call_rig_open(&rig, "garbage");
    make(&rig, "a", 70000);
    CHECK_EQ(txn_commit(rig.txn), STATUS_OK);
    struct row row;
    load(&rig, SLOT_A, "a", &row);
    keyspace_delete(&rig.call, &row);
    CHECK_EQ(rig.state.garbage, 0);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 0);
    call_rig_close(&rig);
}

TEST(garbage_sweep, has_nothing_to_do_after_a_flush)
{
    struct call_rig rig;
    call_rig_open(&rig, "garbage");
    make(&rig, "a", 10);
    struct row row;
    load(&rig, SLOT_A, "a", &row);
    keyspace_delete(&rig.call, &row);
    keyspace_flush(&rig.call, 0, true);
    CHECK_EQ(garbage_sweep(&rig.call, 100), STATUS_OK);
    CHECK_EQ(rig.state.garbage, 0);
    CHECK_EQ(call_rig_rows(&rig, STORE_LOCAL), 0);
    call_rig_close(&rig);
}

TEST(keyspace_move, leaves_elements_of_the_same_token_where_they_are)
{
    struct call_rig rig;
    call_rig_open(&rig, "garbage");
    make(&rig, "{t}a", 10);
    struct row from;
    struct row to;
    load(&rig, SLOT_A, "{t}a", &from);
    load(&rig, SLOT_B, "{t}b", &to);
    uint64_t born = from.born;
    CHECK_EQ(keyspace_move(&rig.call, &from, &to), STATUS_OK);
    CHECK_EQ(rig.state.garbage, 0);
    CHECK_EQ(rig.state.keys[0], 1);
    load(&rig, SLOT_B, "{t}b", &to);
    CHECK(to.found && to.born == born && to.size == 10);
    CHECK_BYTES(to.value, "body");
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 11);
    call_rig_close(&rig);
}

TEST(keyspace_move, copies_to_another_token)
{
    struct call_rig rig;
    call_rig_open(&rig, "garbage");
    make(&rig, "a", 40);
    struct row from;
    struct row to;
    load(&rig, SLOT_A, "a", &from);
    load(&rig, SLOT_B, "b", &to);
    CHECK_EQ(keyspace_move(&rig.call, &from, &to), STATUS_OK);
    CHECK_EQ(rig.state.garbage, 1);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 81);
    CHECK_EQ(garbage_sweep(&rig.call, 100), STATUS_OK);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 41);
    load(&rig, SLOT_B, "b", &to);
    struct buf *key = txn_scratch(rig.txn, SCRATCH_ELEMENT);
    keyspace_element_key(&to, key);
    buf_append_u64_be(key, 39);
    struct buf *value = txn_scratch(rig.txn, SCRATCH_FIELD);
    CHECK_EQ(txn_get(rig.txn, STORE_DATA, buf_slice(key), value), STATUS_OK);
    CHECK_BYTES(buf_slice(value), "v");
    call_rig_close(&rig);
}

TEST(keyspace_put, deletes_what_has_become_empty)
{
    struct call_rig rig;
    call_rig_open(&rig, "garbage");
    make(&rig, "a", 1);
    struct row row;
    load(&rig, SLOT_A, "a", &row);
    keyspace_put(&rig.call, &row, 0, slice_of(NULL, 0));
    CHECK(!row.found);
    CHECK_EQ(rig.state.keys[0], 0);
    load(&rig, SLOT_A, "a", &row);
    CHECK(!row.found);
    CHECK_EQ(keyspace_load_type(&rig.call, SLOT_A, slice_str("a"), KEYSPACE_SET, &row), STATUS_OK);
    make(&rig, "a", 1);
    CHECK_EQ(keyspace_load_type(&rig.call, SLOT_A, slice_str("a"), KEYSPACE_SET, &row),
             STATUS_WRONG_TYPE);
    call_rig_close(&rig);
}
