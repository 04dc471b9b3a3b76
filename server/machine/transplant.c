#include "server/machine/transplant.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { LOCAL_PREFIX_SIZE = 8 + 1 };

static struct store_iter *open_kind(struct txn *txn, uint64_t shard, enum keyspace_local kind)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 16);
    buf_init(&to, 16);
    keyspace_local_key(shard, kind, &from);
    keyspace_local_key(shard, (enum keyspace_local)(kind + 1), &to);
    struct store_iter *iter = iter_open(txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
    return iter;
}

static enum status collect(struct transplant *self, struct buf *rows)
{
    struct store_iter *iter = open_kind(self->txn, self->from, self->kind);
    for (; iter_valid(iter); iter_next(iter)) {
        struct slice key = iter_key(iter);
        struct slice rest = slice_of(key.data + LOCAL_PREFIX_SIZE, key.len - LOCAL_PREFIX_SIZE);
        if (self->wanted == NULL || self->wanted(self, rest, iter_value(iter))) {
            buf_append_bytes(rows, rest);
            buf_append_bytes(rows, iter_value(iter));
            self->count++;
        }
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status;
}

static void move_row(const struct transplant *self, struct slice rest, struct slice value)
{
    struct buf key;
    buf_init(&key, SIZE_MAX / 2);
    if (!self->copy) {
        keyspace_local_key(self->from, self->kind, &key);
        buf_append_slice(&key, rest);
        txn_delete(self->txn, STORE_LOCAL, buf_slice(&key));
    }
    keyspace_local_key(self->to, self->kind, &key);
    if (self->rename != NULL) {
        self->rename(self, rest, &key);
    } else {
        buf_append_slice(&key, rest);
    }
    txn_put(self->txn, STORE_LOCAL, buf_slice(&key), value);
    buf_deinit(&key);
}

enum status transplant_run(struct transplant *self)
{
    assert(self->from != self->to);
    struct buf rows;
    buf_init(&rows, SIZE_MAX / 2);
    self->count = 0;
    enum status status = collect(self, &rows);
    struct reader in = reader_of(buf_slice(&rows));
    while (status == STATUS_OK && in.rest.len > 0) {
        struct slice rest = reader_bytes(&in, UINT32_MAX);
        struct slice value = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        move_row(self, rest, value);
    }
    buf_deinit(&rows);
    return status;
}

enum status transplant_count(
    struct txn *txn, uint64_t shard, enum keyspace_local kind, uint64_t max, uint64_t *count)
{
    struct store_iter *iter = open_kind(txn, shard, kind);
    for (*count = 0; *count < max && iter_valid(iter); iter_next(iter)) {
        ++*count;
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status;
}
