#include "server/machine/recount.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/survey.h"

enum { RECOUNT_FORMAT = 1, CURSOR_OFFSET = 1 + 2 * 8, KEYS_OFFSET = 1, EXPIRES_OFFSET = 9 };

static struct slice recount_key(struct call *call)
{
    struct buf *key = txn_scratch(call->txn, SCRATCH_RECOUNT_KEY);
    keyspace_local_key(call->scope.shard, LOCAL_RECOUNT, key);
    return buf_slice(key);
}

static void compose(struct buf *value, uint64_t keys, uint64_t expires, struct slice cursor)
{
    buf_append_u8(value, RECOUNT_FORMAT);
    buf_append_u64(value, keys);
    buf_append_u64(value, expires);
    buf_append_slice(value, cursor);
}

void recount_begin(struct txn *txn, struct machine_state *state, const struct machine_scope *scope)
{
    struct buf *key = txn_scratch(txn, SCRATCH_RECOUNT_KEY);
    struct buf *value = txn_scratch(txn, SCRATCH_RECOUNT);
    struct buf *from = txn_scratch(txn, SCRATCH_FROM);
    keyspace_local_key(scope->shard, LOCAL_RECOUNT, key);
    buf_append_u64_be(from, scope->start);
    compose(value, 0, 0, buf_slice(from));
    txn_put(txn, STORE_LOCAL, buf_slice(key), buf_slice(value));
    state->recount_ms = state->time_ms == 0 ? 1 : state->time_ms;
}

/* The row, whole. */
static enum status load(struct call *call, struct buf **value)
{
    *value = txn_scratch(call->txn, SCRATCH_RECOUNT);
    enum status status = txn_get(call->txn, STORE_LOCAL, recount_key(call), *value);
    if (status == STATUS_NOT_FOUND) {
        return STATUS_CORRUPT;
    }
    bool good = status != STATUS_OK ||
                ((*value)->len >= CURSOR_OFFSET && (*value)->data[0] == RECOUNT_FORMAT);
    return good ? status : STATUS_CORRUPT;
}

static void add(struct buf *value, size_t offset, int sign)
{
    uint64_t number = little_u64(value->data + offset);
    assert(IMPLIES(sign<0, number> 0));
    little_put_u64(value->data + offset, number + (uint64_t)(int64_t)sign);
}

static bool before(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.data, b.data, len);
    return order != 0 ? order < 0 : a.len < b.len;
}

void recount_note(struct call *call, const struct row *row, int keys, int expires)
{
    if (!recount_active(call->state) || row->db != 0) {
        return;
    }
    struct buf *value = NULL;
    enum status status = load(call, &value);
    if (status != STATUS_OK) {
        call->failed = status;
        return;
    }
    struct slice cursor = slice_of(value->data + CURSOR_OFFSET, value->len - CURSOR_OFFSET);
    if (!before(row->row_key, cursor)) {
        return;
    }
    add(value, KEYS_OFFSET, keys);
    add(value, EXPIRES_OFFSET, expires);
    txn_put(call->txn, STORE_LOCAL, recount_key(call), buf_slice(value));
}

static void index_expiring(struct call *call, struct slice expiring)
{
    struct machine_state *state = call->state;
    struct reader in = reader_of(expiring);
    while (in.rest.len > 0) {
        uint64_t expire_ms = reader_u64(&in);
        struct slice row_key = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        keyspace_index_expiry(call->txn, call->scope.shard, expire_ms, row_key);
        if (state->expiry_ms == 0 || expire_ms < state->expiry_ms) {
            state->expiry_ms = expire_ms;
        }
    }
}

enum status recount_step(struct call *call)
{
    struct machine_state *state = call->state;
    if (!recount_active(state) || call->now_ms < state->recount_ms) {
        return STATUS_OK;
    }
    struct buf *value = NULL;
    enum status status = load(call, &value);
    if (status != STATUS_OK) {
        return status;
    }
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    struct buf *next = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *expiring = txn_scratch(call->txn, SCRATCH_WORK);
    struct survey survey = {.rows_left = RECOUNT_ROWS,
                            .size_left = RECOUNT_SIZE,
                            .keys = little_u64(value->data + KEYS_OFFSET),
                            .expires = little_u64(value->data + EXPIRES_OFFSET),
                            .expiring = expiring,
                            .next = next};
    buf_append_u64_be(to, call->scope.last);
    buf_append_u8(to, UINT8_MAX);
    struct slice cursor = slice_of(value->data + CURSOR_OFFSET, value->len - CURSOR_OFFSET);
    status = survey_walk(call->txn, cursor, buf_slice(to), &survey);
    if (status != STATUS_OK) {
        return status;
    }
    index_expiring(call, buf_slice(expiring));
    if (next->len == 0) {
        txn_delete(call->txn, STORE_LOCAL, recount_key(call));
        state->keys[0] = survey.keys;
        state->expires[0] = survey.expires;
        state->recount_ms = 0;
        return STATUS_OK;
    }
    buf_clear(value);
    compose(value, survey.keys, survey.expires, buf_slice(next));
    txn_put(call->txn, STORE_LOCAL, recount_key(call), buf_slice(value));
    state->recount_ms = call->now_ms + RECOUNT_PAUSE_MS;
    return STATUS_OK;
}

void recount_flushed(struct call *call, bool all)
{
    if (!recount_active(call->state)) {
        return;
    }
    /* If others are left it goes on: their rows of the expiry index are to be written. What is
     * empty now begins anew. */
    txn_delete(call->txn, STORE_LOCAL, recount_key(call));
    call->state->recount_ms = 0;
    if (!all) {
        recount_begin(call->txn, call->state, &call->scope);
    }
}
