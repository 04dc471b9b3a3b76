#include "server/machine/stream_group.h"

#include "common/base/assert.h"
#include "server/machine/event.h"

enum {
    ALONE_COUNT_MAX = 4096, /* Rows of a group; more of them go by a range delete. */
    ROWS_SLACK = 4096,      /* By so many the number of rows of a stream may be wrong per group. */
};

void stream_group_member_key(const struct stream *stream,
                             uint64_t number,
                             enum stream_member kind,
                             struct buf *key)
{
    stream_key(stream, STREAM_MEMBER, key);
    buf_append_u64_be(key, number);
    buf_append_u8(key, (uint8_t)kind);
}

static void append_span(const struct stream_span *span, struct buf *out)
{
    buf_append_u64(out, span->count);
    stream_id_append(out, span->first);
    stream_id_append(out, span->last);
    buf_append_u32(out, span->drift);
}

static struct stream_span read_span(struct reader *in)
{
    struct stream_span span;
    span.count = reader_u64(in);
    span.first = stream_id_read(in);
    span.last = stream_id_read(in);
    span.drift = reader_u32(in);
    return span;
}

bool stream_group_decode(struct slice row, struct stream_group *group)
{
    struct reader in = reader_of(row);
    group->number = reader_u64(&in);
    group->last = stream_id_read(&in);
    group->read = (int64_t)reader_u64(&in);
    group->consumers = reader_u64(&in);
    group->last_number = reader_u64(&in);
    group->pending = read_span(&in);
    group->counted = reader_u64(&in);
    return reader_done(&in) && group->number > 0;
}

bool stream_group_decode_consumer(struct slice row, struct stream_consumer *consumer)
{
    struct reader in = reader_of(row);
    consumer->number = reader_u64(&in);
    consumer->seen_ms = reader_u64(&in);
    consumer->pending = read_span(&in);
    return reader_done(&in) && consumer->number > 0;
}

static void group_key(const struct stream *stream, struct slice name, struct buf *key)
{
    stream_key(stream, STREAM_GROUP, key);
    buf_append_slice(key, name);
}

enum status stream_group_load(struct call *call,
                              const struct stream *stream,
                              struct slice name,
                              struct stream_group *group)
{
    *group = (struct stream_group){.name = name};
    if (!stream->row.found || stream->groups == 0 || name.len > STREAM_NAME_SIZE_MAX) {
        return STATUS_OK;
    }
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *row = txn_scratch(call->txn, SCRATCH_FIELD);
    group_key(stream, name, key);
    enum status status = txn_get(call->txn, STORE_DATA, buf_slice(key), row);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    return stream_group_decode(buf_slice(row), group) ? STATUS_OK : STATUS_CORRUPT;
}

static uint64_t count_rows(const struct stream_group *group)
{
    return 1 + group->consumers + 2 * group->pending.count;
}

static void put_group(struct call *call,
                      const struct stream *stream,
                      const struct stream_group *group)
{
    assert(group->number > 0);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *row = txn_scratch(call->txn, SCRATCH_FIELD);
    group_key(stream, group->name, key);
    buf_append_u64(row, group->number);
    stream_id_append(row, group->last);
    buf_append_u64(row, (uint64_t)group->read);
    buf_append_u64(row, group->consumers);
    buf_append_u64(row, group->last_number);
    append_span(&group->pending, row);
    buf_append_u64(row, group->counted);
    txn_put(call->txn, STORE_DATA, buf_slice(key), buf_slice(row));
}

void stream_group_put(struct call *call, struct stream *stream, struct stream_group *group)
{
    uint64_t rows = count_rows(group);
    bool far = rows > group->counted + ROWS_SLACK || group->counted > rows + ROWS_SLACK;
    if (far) {
        assert(stream->rows >= group->counted);
        stream->rows = stream->rows - group->counted + rows;
        group->counted = rows;
        stream_put(call, stream);
    }
    put_group(call, stream, group);
}

void stream_group_create(struct call *call, struct stream *stream, struct stream_group *group)
{
    assert(group->number == 0 && group->name.len <= STREAM_NAME_SIZE_MAX);
    group->number = ++stream->number;
    group->counted = 1;
    stream->groups++;
    stream->rows++;
    put_group(call, stream, group);
}

/* Deletes the rows from <= key < to one by one. */
static enum status delete_rows(struct call *call, struct slice from, struct slice to)
{
    struct buf *keys = txn_scratch(call->txn, SCRATCH_WORK);
    struct store_iter *iter = iter_open(call->txn, STORE_DATA, from, to);
    for (; iter_valid(iter); iter_next(iter)) {
        buf_append_bytes(keys, iter_key(iter));
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    struct reader in = reader_of(buf_slice(keys));
    while (status == STATUS_OK && in.rest.len > 0) {
        txn_delete(call->txn, STORE_DATA, reader_bytes(&in, UINT32_MAX));
    }
    return status;
}

enum status stream_group_destroy(struct call *call,
                                 struct stream *stream,
                                 const struct stream_group *group)
{
    assert(stream->groups > 0 && stream->rows >= group->counted);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    group_key(stream, group->name, key);
    txn_delete(call->txn, STORE_DATA, buf_slice(key));
    stream->groups--;
    stream->rows -= group->counted;
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    stream_key(stream, STREAM_MEMBER, from);
    buf_append_u64_be(from, group->number);
    stream_key(stream, STREAM_MEMBER, to);
    buf_append_u64_be(to, group->number + 1);
    if (count_rows(group) <= ALONE_COUNT_MAX) {
        return delete_rows(call, buf_slice(from), buf_slice(to));
    }
    txn_delete_range(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
    return STATUS_OK;
}

static void consumer_key(const struct stream *stream,
                         const struct stream_group *group,
                         struct slice name,
                         struct buf *key)
{
    stream_group_member_key(stream, group->number, STREAM_MEMBER_CONSUMER, key);
    buf_append_slice(key, name);
}

enum status stream_group_load_consumer(struct call *call,
                                       const struct stream *stream,
                                       const struct stream_group *group,
                                       struct slice name,
                                       struct stream_consumer *consumer)
{
    assert(group->number > 0);
    *consumer = (struct stream_consumer){.name = name};
    if (name.len > STREAM_NAME_SIZE_MAX) {
        return STATUS_OK;
    }
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *row = txn_scratch(call->txn, SCRATCH_FIELD);
    consumer_key(stream, group, name, key);
    enum status status = txn_get(call->txn, STORE_DATA, buf_slice(key), row);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    return stream_group_decode_consumer(buf_slice(row), consumer) ? STATUS_OK : STATUS_CORRUPT;
}

void stream_group_put_consumer(struct call *call,
                               const struct stream *stream,
                               const struct stream_group *group,
                               const struct stream_consumer *consumer)
{
    assert(consumer->number > 0);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *row = txn_scratch(call->txn, SCRATCH_FIELD);
    consumer_key(stream, group, consumer->name, key);
    buf_append_u64(row, consumer->number);
    buf_append_u64(row, consumer->seen_ms);
    append_span(&consumer->pending, row);
    txn_put(call->txn, STORE_DATA, buf_slice(key), buf_slice(row));
}

void stream_group_add_consumer(struct call *call,
                               const struct stream *stream,
                               struct stream_group *group,
                               struct stream_consumer *consumer)
{
    assert(consumer->number == 0 && consumer->name.len <= STREAM_NAME_SIZE_MAX);
    consumer->number = ++group->last_number;
    consumer->seen_ms = call->now_ms;
    group->consumers++;
    stream_group_put_consumer(call, stream, group, consumer);
    event_note(call, EVENT_STREAM, "xgroup-createconsumer", stream->key);
}

void stream_group_remove_consumer(struct call *call,
                                  const struct stream *stream,
                                  struct stream_group *group,
                                  const struct stream_consumer *consumer)
{
    assert(consumer->pending.count == 0 && group->consumers > 0);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    consumer_key(stream, group, consumer->name, key);
    txn_delete(call->txn, STORE_DATA, buf_slice(key));
    group->consumers--;
}

enum status stream_group_meet_consumer(struct call *call,
                                       const struct stream *stream,
                                       struct stream_group *group,
                                       struct slice name,
                                       struct stream_consumer *consumer)
{
    enum status status = stream_group_load_consumer(call, stream, group, name, consumer);
    if (status != STATUS_OK) {
        return status;
    }
    if (consumer->number == 0) {
        stream_group_add_consumer(call, stream, group, consumer);
    }
    consumer->seen_ms = call->now_ms;
    return STATUS_OK;
}

/* True if XDEL may have removed entries that are not before id: t_stream.c
 * streamRangeHasTombstones(). */
static bool has_holes(const struct stream *stream, struct stream_id id)
{
    return stream->length > 0 && !stream_id_zero(stream->deleted) &&
           stream_id_compare(stream->first, stream->deleted) <= 0 &&
           stream_id_compare(id, stream->deleted) <= 0;
}

/* t_stream.c streamEstimateDistanceFromFirstEverEntry(). */
int64_t stream_group_estimate(const struct stream *stream, struct stream_id id)
{
    int64_t added = (int64_t)stream->added;
    int order = stream_id_compare(id, stream->last);
    if (added == 0 || order == 0 || (stream->length == 0 && order < 0)) {
        return added;
    }
    bool holes =
        !stream_id_zero(stream->deleted) && stream_id_compare(stream->deleted, stream->first) >= 0;
    int from_first = stream_id_compare(id, stream->first);
    if (order > 0 || holes || from_first > 0) {
        return -1;
    }
    return added - (int64_t)stream->length + (from_first == 0 ? 1 : 0);
}

bool stream_group_lag(const struct stream *stream, const struct stream_group *group, int64_t *lag)
{
    int64_t read = group->read;
    if (stream->added == 0) {
        *lag = 0;
        return true;
    }
    if (read == -1 || has_holes(stream, group->last)) {
        read = stream_group_estimate(stream, group->last);
    }
    *lag = (int64_t)(stream->added - (uint64_t)read);
    return read != -1;
}

void stream_group_deliver(const struct stream *stream,
                          struct stream_group *group,
                          struct stream_id id)
{
    assert(stream_id_compare(id, group->last) > 0);
    if (group->read != -1 && !has_holes(stream, id)) {
        group->read = (int64_t)((uint64_t)group->read + 1);
    } else if (stream->added > 0) {
        group->read = stream_group_estimate(stream, id);
    }
    group->last = id;
}
