#include "server/machine/garbage.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum {
    ALONE_COUNT_MAX = 64 * 1024, /* Elements; more of them go by a range delete. */
    PREFIX_SIZE = 8 + 1 + 4 + 8, /* What all element keys of a collection begin with. */
};

void garbage_add(struct call *call, const struct row *row)
{
    assert(row->found && row->type != KEYSPACE_STRING);
    if ((row->flags & KEYSPACE_PACKED) != 0) {
        return;
    }
    struct buf *prefix = txn_scratch(call->txn, SCRATCH_ELEMENT);
    keyspace_element_key(row, prefix);
    assert(prefix->len == PREFIX_SIZE);
    if (row->size > ALONE_COUNT_MAX) {
        struct buf *end = txn_scratch(call->txn, SCRATCH_TO);
        keyspace_element_end(row, end);
        txn_delete_range(call->txn, STORE_DATA, buf_slice(prefix), buf_slice(end));
        return;
    }
    struct buf *key = txn_scratch(call->txn, SCRATCH_INDEX);
    keyspace_local_key(call->scope.shard, LOCAL_GARBAGE, key);
    buf_append_slice(key, buf_slice(prefix));
    txn_put(call->txn, STORE_LOCAL, buf_slice(key), buf_slice(prefix));
    call->state->garbage++;
}

/* The first that is noted: *prefix is what its element keys begin with, *next where to go on. */
static enum status find_first(struct call *call, struct buf *prefix, struct buf *next, bool *found)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    keyspace_local_key(call->scope.shard, LOCAL_GARBAGE, from);
    keyspace_local_key(call->scope.shard, (enum keyspace_local)(LOCAL_GARBAGE + 1), to);
    struct store_iter *iter = iter_open(call->txn, STORE_LOCAL, buf_slice(from), buf_slice(to));
    *found = iter_valid(iter);
    enum status status = STATUS_OK;
    if (*found) {
        struct slice key = iter_key(iter);
        struct slice value = iter_value(iter);
        if (key.len != from->len + PREFIX_SIZE || value.len < PREFIX_SIZE) {
            status = STATUS_CORRUPT;
        } else {
            buf_append(prefix, key.data + from->len, PREFIX_SIZE);
            buf_append_slice(next, value);
        }
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    return status != STATUS_OK ? status : walked;
}

/* Appends the keys of at most *count elements, each with its length; *next is the one behind them,
 * empty at the end. */
static enum status collect(
    struct call *call, struct slice prefix, struct buf *next, size_t *count, struct buf *keys)
{
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    buf_append_slice(to, prefix);
    /* The version is the end of the prefix; nothing was ever born at the greatest one. */
    size_t at = to->len;
    do {
        at--;
        to->data[at]++;
    } while (to->data[at] == 0);
    struct store_iter *iter = iter_open(call->txn, STORE_DATA, buf_slice(next), buf_slice(to));
    for (; iter_valid(iter) && *count > 0; iter_next(iter)) {
        buf_append_bytes(keys, iter_key(iter));
        (*count)--;
    }
    buf_clear(next);
    if (iter_valid(iter)) {
        buf_append_slice(next, iter_key(iter));
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status;
}

enum status garbage_sweep(struct call *call, size_t count)
{
    while (count > 0 && call->state->garbage > 0) {
        struct buf *prefix = txn_scratch(call->txn, SCRATCH_ELEMENT);
        struct buf *next = txn_scratch(call->txn, SCRATCH_FIELD);
        bool found = false;
        enum status status = find_first(call, prefix, next, &found);
        if (status != STATUS_OK || !found) {
            /* None: they were flushed with the whole shard. */
            call->state->garbage = status == STATUS_OK ? 0 : call->state->garbage;
            return status;
        }
        struct buf *keys = txn_scratch(call->txn, SCRATCH_WORK);
        status = collect(call, buf_slice(prefix), next, &count, keys);
        if (status != STATUS_OK) {
            return status;
        }
        struct reader in = reader_of(buf_slice(keys));
        while (in.rest.len > 0) {
            txn_delete(call->txn, STORE_DATA, reader_bytes(&in, UINT32_MAX));
        }
        struct buf *key = txn_scratch(call->txn, SCRATCH_INDEX);
        keyspace_local_key(call->scope.shard, LOCAL_GARBAGE, key);
        buf_append_slice(key, buf_slice(prefix));
        if (next->len > 0) {
            txn_put(call->txn, STORE_LOCAL, buf_slice(key), buf_slice(next));
            continue;
        }
        txn_delete(call->txn, STORE_LOCAL, buf_slice(key));
        call->state->garbage--;
    }
    return STATUS_OK;
}
