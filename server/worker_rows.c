#include "common/base/reader.h"
#include "server/worker_private.h"

/* The rows of replicas in the store: their state rows, what is deleted with one, and the tombstone
 * that stays, so that no replica up to that id is ever made here again. */

static struct store_iter *iter_all(struct txn *txn, uint64_t from, uint64_t to)
{
    struct buf lower;
    struct buf upper;
    buf_init(&lower, 16);
    buf_init(&upper, 16);
    buf_append_u64_be(&lower, from);
    buf_append_u64_be(&upper, to);
    struct store_iter *iter = iter_open(txn, STORE_LOCAL, buf_slice(&lower), buf_slice(&upper));
    buf_deinit(&lower);
    buf_deinit(&upper);
    return iter;
}

enum status replica_each_row(struct worker *worker,
                             void (*visit)(void *arg, struct slice value),
                             void *arg)
{
    struct store_iter *iter = iter_all(worker->txn, 1, UINT64_MAX);
    struct buf seek;
    buf_init(&seek, 16);
    while (iter_valid(iter)) {
        struct slice key = iter_key(iter);
        struct reader in = reader_of(key);
        uint64_t shard = reader_u64_be(&in);
        if (key.len == 9 && key.data[8] == 'A') {
            visit(arg, iter_value(iter));
        }
        buf_clear(&seek);
        buf_append_u64_be(&seek, shard + (key.len < 9 || key.data[8] >= 'A'));
        buf_append_u8(&seek, 'A');
        iter_seek(iter, buf_slice(&seek));
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    buf_deinit(&seek);
    return status;
}

static void tombstone_key(uint64_t shard, struct buf *out)
{
    buf_append_u64_be(out, 0);
    buf_append_u8(out, 'T');
    buf_append_u64_be(out, shard);
}

uint64_t replica_tombstone(struct worker *worker, uint64_t shard)
{
    struct buf key;
    struct buf value;
    buf_init(&key, 32);
    buf_init(&value, 4096);
    tombstone_key(shard, &key);
    bool found = txn_get(worker->txn, STORE_LOCAL, buf_slice(&key), &value) == STATUS_OK;
    struct reader in = reader_of(buf_slice(&value));
    uint64_t replica = found ? reader_u64(&in) : 0;
    buf_deinit(&key);
    buf_deinit(&value);
    return replica;
}

void worker_each_tombstone(struct worker *worker,
                           void (*visit)(void *arg, uint64_t shard, uint64_t replica),
                           void *arg)
{
    struct store_iter *iter = iter_all(worker->txn, 0, 1);
    for (; iter_valid(iter); iter_next(iter)) {
        struct reader key = reader_of(iter_key(iter));
        struct reader value = reader_of(iter_value(iter));
        (void)reader_u64(&key);
        (void)reader_u8(&key);
        uint64_t shard = reader_u64_be(&key);
        uint64_t replica = reader_u64(&value);
        if (reader_done(&key) && reader_done(&value)) {
            visit(arg, shard, replica);
        }
    }
    iter_close(iter);
}

void replica_rename(struct worker *worker, uint64_t old, const struct shard_state *state)
{
    struct buf key;
    struct buf value;
    buf_init(&key, 32);
    buf_init(&value, 4096);
    shard_state_key(state->desc.id, &key);
    shard_state_encode(state, &value);
    txn_put(worker->txn, STORE_LOCAL, buf_slice(&key), buf_slice(&value));
    buf_clear(&key);
    buf_clear(&value);
    tombstone_key(state->desc.id, &key);
    buf_append_u64(&value, old);
    txn_put(worker->txn, STORE_LOCAL, buf_slice(&key), buf_slice(&value));
    buf_deinit(&key);
    buf_deinit(&value);
}

void replica_delete_local(struct worker *worker, const struct shard_state *state)
{
    const struct shard_desc *desc = &state->desc;
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, STORE_LOCAL, &from, &to);
    txn_disown_range(worker->txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    buf_clear(&from);
    shard_state_key(desc->id, &from);
    txn_delete(worker->txn, STORE_LOCAL, buf_slice(&from));
    buf_clear(&from);
    buf_clear(&to);
    tombstone_key(desc->id, &from);
    buf_append_u64(&to, state->replica);
    txn_put(worker->txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
}

void replica_delete_rows(struct worker *worker, const struct shard_state *state)
{
    const struct shard_desc *desc = &state->desc;
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    /* An empty one has nothing; its range may be another's, which absorbed its shard. */
    if (desc->id != SHARD_META && state->group.index > 0) {
        machine_range(scope, STORE_DATA, &from, &to);
        txn_disown_range(worker->txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    }
    buf_deinit(&from);
    buf_deinit(&to);
    replica_delete_local(worker, state);
}
