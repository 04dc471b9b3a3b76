#include "server/machine/stream.h"

#include "common/base/assert.h"
#include "server/machine/stream_range.h"
#include "server/machine/stream_segment.h"

enum { BODY_FORMAT = 1 };

static void append_segment(const struct stream_segment *segment, struct buf *out)
{
    stream_id_append(out, segment->first);
    buf_append_u32(out, segment->live);
}

static struct stream_segment read_segment(struct reader *in)
{
    struct stream_segment segment;
    segment.first = stream_id_read(in);
    segment.live = reader_u32(in);
    return segment;
}

void stream_encode(const struct stream *stream, struct buf *body)
{
    buf_append_u8(body, BODY_FORMAT);
    buf_append_u64(body, stream->length);
    stream_id_append(body, stream->last);
    stream_id_append(body, stream->deleted);
    stream_id_append(body, stream->first);
    buf_append_u64(body, stream->added);
    buf_append_u64(body, stream->groups);
    buf_append_u64(body, stream->number);
    append_segment(&stream->head, body);
    buf_append_u64(body, stream->middle);
    append_segment(&stream->tail, body);
    buf_append_u32(body, stream->tail_added);
    buf_append_u32(body, stream->tail_size);
}

bool stream_decode(struct slice body, struct stream *stream)
{
    struct reader in = reader_of(body);
    uint8_t format = reader_u8(&in);
    stream->length = reader_u64(&in);
    stream->last = stream_id_read(&in);
    stream->deleted = stream_id_read(&in);
    stream->first = stream_id_read(&in);
    stream->added = reader_u64(&in);
    stream->groups = reader_u64(&in);
    stream->number = reader_u64(&in);
    stream->head = read_segment(&in);
    stream->middle = reader_u64(&in);
    stream->tail = read_segment(&in);
    stream->tail_added = reader_u32(&in);
    stream->tail_size = reader_u32(&in);
    if (!reader_done(&in) || format != BODY_FORMAT) {
        return false;
    }
    uint64_t ends = (uint64_t)stream->head.live + stream->tail.live;
    bool counts = stream->middle == 0 ? stream->length == ends
                                      : stream->head.live > 0 && stream->length > ends;
    return counts && (stream->length == 0 || stream_id_compare(stream->first, stream->last) <= 0);
}

enum status stream_load(struct call *call, struct slice key, struct stream *stream)
{
    *stream = (struct stream){.key = key};
    enum status status = keyspace_load_type(call, SLOT_A, key, KEYSPACE_STREAM, &stream->row);
    if (status != STATUS_OK || !stream->row.found) {
        return status;
    }
    stream->rows = stream->row.size;
    return stream_decode(stream->row.value, stream) ? STATUS_OK : STATUS_CORRUPT;
}

void stream_begin(struct call *call, struct stream *stream)
{
    assert(!stream->row.found);
    keyspace_begin(call, &stream->row, KEYSPACE_STREAM);
    stream->row.flags = 0;
}

void stream_put(struct call *call, struct stream *stream)
{
    assert(!stream->first_gone);
    struct buf *body = txn_scratch(call->txn, SCRATCH_BODY);
    stream_encode(stream, body);
    keyspace_put(call, &stream->row, stream->rows, buf_slice(body));
}

void stream_key(const struct stream *stream, enum stream_kind kind, struct buf *key)
{
    keyspace_element_key(&stream->row, key);
    buf_append_u8(key, (uint8_t)kind);
}

void stream_entry_key(const struct stream *stream, struct stream_id id, struct buf *key)
{
    stream_key(stream, STREAM_ENTRY, key);
    stream_id_append(key, id);
}

bool stream_next_id(const struct stream *stream, uint64_t now_ms, struct stream_id *id)
{
    if (now_ms > stream->last.ms) {
        *id = (struct stream_id){.ms = now_ms};
        return true;
    }
    *id = stream->last;
    return stream_id_next(id);
}

void stream_append(struct call *call,
                   struct stream *stream,
                   struct stream_id id,
                   const struct slice *fields,
                   size_t count)
{
    assert(stream_id_compare(id, stream->last) > 0);
    assert(count > 0 && count % 2 == 0);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += fields[i].len;
    }
    stream_segment_enter(call, stream, id, size, count);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *value = txn_scratch(call->txn, SCRATCH_FIELD);
    stream_entry_key(stream, id, key);
    for (size_t i = 0; i < count; i++) {
        buf_append_bytes(value, fields[i]);
    }
    txn_put(call->txn, STORE_DATA, buf_slice(key), buf_slice(value));
    stream->first = stream->length == 0 ? id : stream->first;
    stream->last = id;
    stream->length++;
    stream->added++;
    stream->rows++;
}

enum status stream_find(struct call *call,
                        const struct stream *stream,
                        struct stream_id id,
                        struct buf *value,
                        bool *found)
{
    *found = false;
    if (stream->length == 0 || stream_id_compare(id, stream->first) < 0 ||
        stream_id_compare(id, stream->last) > 0) {
        return STATUS_OK;
    }
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    stream_entry_key(stream, id, key);
    enum status status = txn_get(call->txn, STORE_DATA, buf_slice(key), value);
    *found = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status stream_settle(struct call *call, struct stream *stream)
{
    if (!stream->first_gone) {
        return STATUS_OK;
    }
    stream->first_gone = false;
    if (stream->length == 0) {
        stream->first = (struct stream_id){0};
        return STATUS_OK;
    }
    struct stream_range range;
    struct slice value;
    stream_range_open(call, stream, stream->first, STREAM_ID_MAX, &range);
    bool found = stream_range_next(&range, &stream->first, &value);
    enum status status = stream_range_close(&range);
    return status == STATUS_OK && !found ? STATUS_CORRUPT : status;
}

enum status stream_remove(struct call *call,
                          struct stream *stream,
                          struct stream_id id,
                          bool *removed)
{
    enum status status =
        stream_find(call, stream, id, txn_scratch(call->txn, SCRATCH_FIELD), removed);
    if (status != STATUS_OK || !*removed) {
        return status;
    }
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    stream_entry_key(stream, id, key);
    txn_delete(call->txn, STORE_DATA, buf_slice(key));
    stream->length--;
    stream->rows--;
    stream->first_gone = stream->first_gone || stream_id_compare(id, stream->first) == 0;
    return stream_segment_leave(call, stream, id);
}
