#include "tests/support/call_rig.h"

#include "tests/support/test.h"

void call_rig_open(struct call_rig *rig, const char *name)
{
    *rig = (struct call_rig){0};
    folder_make(rig->folder, name);
    struct store_options options = {.cache_size = 4 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK_EQ(store_open(rig->folder, &options, &rig->store), STATUS_OK);
    rig->txn = txn_new(rig->store);
    buf_init(&rig->reply, 1 << 30);
    rig->call = (struct call){.txn = rig->txn,
                              .state = &rig->state,
                              .seen = &rig->state,
                              .scope = {.shard = 7, .last = UINT64_MAX},
                              .now_ms = 1000,
                              .reply = &rig->reply};
}

void call_rig_close(struct call_rig *rig)
{
    CHECK_EQ(txn_commit(rig->txn), STATUS_OK);
    txn_free(rig->txn);
    store_close(rig->store);
    buf_deinit(&rig->reply);
    folder_remove(rig->folder);
}

size_t call_rig_rows(struct call_rig *rig, enum store_family family)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(rig->call.scope, family, &from, &to);
    struct store_iter *iter = iter_open(rig->txn, family, buf_slice(&from), buf_slice(&to));
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
