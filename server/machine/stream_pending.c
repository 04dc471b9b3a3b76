#include "server/machine/stream_pending.h"

#include "common/base/assert.h"

enum {
    DRIFT_MAX = 32,            /* Removals after which the first one is looked for. */
    DROP_STEP_COUNT = 1 << 16, /* Ids that are held at once. */
};

bool stream_pending_decode(struct slice row, struct stream_nack *nack)
{
    struct reader in = reader_of(row);
    nack->consumer = reader_u64(&in);
    nack->time_ms = reader_u64(&in);
    nack->count = reader_u64(&in);
    nack->name = in.rest;
    return !in.failed && nack->consumer > 0 && nack->name.len <= STREAM_NAME_SIZE_MAX;
}

static void pending_key(const struct stream *stream,
                        const struct stream_group *group,
                        struct stream_id id,
                        struct buf *key)
{
    stream_group_member_key(stream, group->number, STREAM_MEMBER_PENDING, key);
    stream_id_append(key, id);
}

static void owned_key(const struct stream *stream,
                      const struct stream_group *group,
                      uint64_t consumer,
                      struct stream_id id,
                      struct buf *key)
{
    stream_group_member_key(stream, group->number, STREAM_MEMBER_OWNED, key);
    buf_append_u64_be(key, consumer);
    stream_id_append(key, id);
}

enum status stream_pending_find(struct call *call,
                                const struct stream *stream,
                                const struct stream_group *group,
                                struct stream_id id,
                                struct stream_nack *nack,
                                bool *found)
{
    *found = false;
    if (group->pending.count == 0 || stream_id_compare(id, group->pending.first) < 0 ||
        stream_id_compare(id, group->pending.last) > 0) {
        return STATUS_OK;
    }
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *row = txn_scratch(call->txn, SCRATCH_VALUE_B);
    pending_key(stream, group, id, key);
    enum status status = txn_get(call->txn, STORE_DATA, buf_slice(key), row);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    *found = stream_pending_decode(buf_slice(row), nack);
    return *found ? STATUS_OK : STATUS_CORRUPT;
}

void stream_pending_put(struct call *call,
                        const struct stream *stream,
                        const struct stream_group *group,
                        struct stream_id id,
                        const struct stream_nack *nack)
{
    assert(nack->consumer > 0);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *row = txn_scratch(call->txn, SCRATCH_FIELD);
    pending_key(stream, group, id, key);
    buf_append_u64(row, nack->consumer);
    buf_append_u64(row, nack->time_ms);
    buf_append_u64(row, nack->count);
    buf_append_slice(row, nack->name);
    txn_put(call->txn, STORE_DATA, buf_slice(key), buf_slice(row));
}

static void put_owned(struct call *call,
                      const struct stream *stream,
                      const struct stream_group *group,
                      uint64_t consumer,
                      struct stream_id id)
{
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    owned_key(stream, group, consumer, id, key);
    txn_put(call->txn, STORE_DATA, buf_slice(key), slice_of("", 0));
}

static void delete_owned(struct call *call,
                         const struct stream *stream,
                         const struct stream_group *group,
                         uint64_t consumer,
                         struct stream_id id)
{
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    owned_key(stream, group, consumer, id, key);
    txn_delete(call->txn, STORE_DATA, buf_slice(key));
}

static void delete_pending(struct call *call,
                           const struct stream *stream,
                           const struct stream_group *group,
                           struct stream_id id)
{
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    pending_key(stream, group, id, key);
    txn_delete(call->txn, STORE_DATA, buf_slice(key));
}

static void widen(struct stream_span *span, struct stream_id id)
{
    if (span->count == 0) {
        *span = (struct stream_span){.first = id, .last = id};
    }
    span->first = stream_id_compare(id, span->first) < 0 ? id : span->first;
    span->last = stream_id_compare(id, span->last) > 0 ? id : span->last;
    span->count++;
}

static void narrow(struct stream_span *span, struct stream_id id)
{
    assert(span->count > 0);
    span->count--;
    span->drift++;
    if (stream_id_compare(id, span->first) == 0) {
        (void)stream_id_next(&span->first);
    }
}

/* Looks for the first one now and then: what was acknowledged out of order lies before it. */
static enum status follow(struct call *call,
                          const struct stream *stream,
                          const struct stream_group *group,
                          const struct stream_consumer *consumer,
                          struct stream_span *span)
{
    if (span->count == 0 || span->drift < DRIFT_MAX) {
        return STATUS_OK;
    }
    struct stream_pending_walk walk;
    struct stream_id id;
    struct slice row;
    stream_pending_open(call, stream, group, consumer, span->first, &walk);
    bool found = stream_pending_next(&walk, &id, &row);
    enum status status = stream_pending_close(&walk);
    if (status != STATUS_OK || !found) {
        return status != STATUS_OK ? status : STATUS_CORRUPT;
    }
    span->first = id;
    span->drift = 0;
    return STATUS_OK;
}

void stream_pending_add(struct call *call,
                        const struct stream *stream,
                        struct stream_group *group,
                        struct stream_consumer *consumer,
                        struct stream_id id,
                        const struct stream_nack *nack)
{
    assert(nack->consumer == consumer->number);
    stream_pending_put(call, stream, group, id, nack);
    put_owned(call, stream, group, consumer->number, id);
    widen(&group->pending, id);
    widen(&consumer->pending, id);
}

/* The consumer of an entry has it no more. */
static enum status leave(struct call *call,
                         const struct stream *stream,
                         const struct stream_group *group,
                         struct stream_id id,
                         const struct stream_nack *nack)
{
    struct stream_consumer consumer;
    enum status status = stream_group_load_consumer(call, stream, group, nack->name, &consumer);
    if (status != STATUS_OK) {
        return status;
    }
    if (consumer.number != nack->consumer || consumer.pending.count == 0) {
        return STATUS_CORRUPT;
    }
    delete_owned(call, stream, group, consumer.number, id);
    narrow(&consumer.pending, id);
    status = follow(call, stream, group, &consumer, &consumer.pending);
    stream_group_put_consumer(call, stream, group, &consumer);
    return status;
}

enum status stream_pending_remove(struct call *call,
                                  const struct stream *stream,
                                  struct stream_group *group,
                                  struct stream_id id,
                                  const struct stream_nack *nack)
{
    enum status status = leave(call, stream, group, id, nack);
    if (status != STATUS_OK) {
        return status;
    }
    delete_pending(call, stream, group, id);
    narrow(&group->pending, id);
    return follow(call, stream, group, NULL, &group->pending);
}

enum status stream_pending_pass(struct call *call,
                                const struct stream *stream,
                                const struct stream_group *group,
                                struct stream_consumer *consumer,
                                struct stream_id id,
                                const struct stream_nack *nack)
{
    if (nack->consumer == consumer->number) {
        return STATUS_OK;
    }
    enum status status = leave(call, stream, group, id, nack);
    put_owned(call, stream, group, consumer->number, id);
    widen(&consumer->pending, id);
    return status;
}

enum status stream_pending_drop(struct call *call,
                                const struct stream *stream,
                                struct stream_group *group,
                                struct stream_consumer *consumer)
{
    while (consumer->pending.count > 0) {
        struct buf *ids = txn_scratch(call->txn, SCRATCH_WORK);
        struct stream_pending_walk walk;
        struct stream_id id;
        struct slice row;
        stream_pending_open(call, stream, group, consumer, consumer->pending.first, &walk);
        while (ids->len < DROP_STEP_COUNT * STREAM_ID_SIZE &&
               stream_pending_next(&walk, &id, &row)) {
            stream_id_append(ids, id);
        }
        enum status status = stream_pending_close(&walk);
        if (status != STATUS_OK || ids->len == 0) {
            return status != STATUS_OK ? status : STATUS_CORRUPT;
        }
        struct reader in = reader_of(buf_slice(ids));
        while (in.rest.len > 0) {
            id = stream_id_read(&in);
            delete_pending(call, stream, group, id);
            delete_owned(call, stream, group, consumer->number, id);
            narrow(&group->pending, id);
            narrow(&consumer->pending, id);
        }
        consumer->pending.first = id;
    }
    return follow(call, stream, group, NULL, &group->pending);
}

void stream_pending_open(struct call *call,
                         const struct stream *stream,
                         const struct stream_group *group,
                         const struct stream_consumer *consumer,
                         struct stream_id from,
                         struct stream_pending_walk *walk)
{
    *walk = (struct stream_pending_walk){0};
    const struct stream_span *span = consumer != NULL ? &consumer->pending : &group->pending;
    from = stream_id_compare(from, span->first) < 0 ? span->first : from;
    if (span->count == 0 || stream_id_compare(from, span->last) > 0) {
        return;
    }
    struct buf *lower = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *upper = txn_scratch(call->txn, SCRATCH_TO);
    if (consumer != NULL) {
        owned_key(stream, group, consumer->number, from, lower);
        owned_key(stream, group, consumer->number, span->last, upper);
    } else {
        pending_key(stream, group, from, lower);
        pending_key(stream, group, span->last, upper);
    }
    buf_append_u8(upper, 0); /* Behind it. */
    walk->iter = iter_open(call->txn, STORE_DATA, buf_slice(lower), buf_slice(upper));
}

/* The row that the iterator stands at. */
static bool read_at(struct stream_pending_walk *walk, struct stream_id *id, struct slice *row)
{
    if (!iter_valid(walk->iter)) {
        return false;
    }
    struct slice key = iter_key(walk->iter);
    if (key.len < STREAM_ID_SIZE) {
        walk->corrupt = true;
        return false;
    }
    struct reader in = reader_of(slice_of(key.data + key.len - STREAM_ID_SIZE, STREAM_ID_SIZE));
    *id = stream_id_read(&in);
    *row = iter_value(walk->iter);
    return true;
}

bool stream_pending_next(struct stream_pending_walk *walk, struct stream_id *id, struct slice *row)
{
    if (walk->iter == NULL) {
        return false;
    }
    if (walk->started && iter_valid(walk->iter)) {
        iter_next(walk->iter);
    }
    walk->started = true;
    return read_at(walk, id, row);
}

enum status stream_pending_close(struct stream_pending_walk *walk)
{
    if (walk->iter == NULL) {
        return STATUS_OK;
    }
    enum status status = iter_status(walk->iter);
    iter_close(walk->iter);
    walk->iter = NULL;
    return status == STATUS_OK && walk->corrupt ? STATUS_CORRUPT : status;
}

enum status stream_pending_last(struct call *call,
                                const struct stream *stream,
                                const struct stream_group *group,
                                struct stream_id *id)
{
    assert(group->pending.count > 0);
    struct stream_pending_walk walk;
    struct slice row;
    stream_pending_open(call, stream, group, NULL, group->pending.first, &walk);
    bool found = false;
    if (walk.iter != NULL) {
        iter_seek_last(walk.iter);
        found = read_at(&walk, id, &row);
    }
    enum status status = stream_pending_close(&walk);
    return status == STATUS_OK && !found ? STATUS_CORRUPT : status;
}
