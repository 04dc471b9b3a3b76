#include "server/machine/stream_segment.h"

#include "common/base/assert.h"

/* What a listpack of Redis takes for itself, for an entry, and for a string. */
enum { LISTPACK_SIZE = 16, LISTPACK_ENTRY_SIZE = 9, LISTPACK_STRING_SIZE = 2 };

enum { ALONE_COUNT_MAX = 1024 }; /* Rows; more of them go by a range delete. */

uint64_t stream_segment_count(const struct stream *stream)
{
    return (stream->head.live > 0 ? 1 : 0) + stream->middle + (stream->tail.live > 0 ? 1 : 0);
}

static void put_segment(struct call *call,
                        const struct stream *stream,
                        const struct stream_segment *segment)
{
    assert(segment->live > 0);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    struct buf *value = txn_scratch(call->txn, SCRATCH_FIELD);
    stream_key(stream, STREAM_SEGMENT, key);
    stream_id_append(key, segment->first);
    buf_append_u32(value, segment->live);
    txn_put(call->txn, STORE_DATA, buf_slice(key), buf_slice(value));
}

static void delete_segment(struct call *call, const struct stream *stream, struct stream_id first)
{
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    stream_key(stream, STREAM_SEGMENT, key);
    stream_id_append(key, first);
    txn_delete(call->txn, STORE_DATA, buf_slice(key));
}

/* The last segment takes no more. */
static void seal(struct call *call, struct stream *stream)
{
    assert(stream->tail.live > 0);
    if (stream->head.live == 0) {
        assert(stream->middle == 0);
        stream->head = stream->tail;
    } else {
        put_segment(call, stream, &stream->tail);
        stream->middle++;
        stream->rows++;
    }
    stream->tail.live = 0;
}

void stream_segment_enter(
    struct call *call, struct stream *stream, struct stream_id id, size_t strings, size_t count)
{
    size_t bytes = strings < STREAM_SEGMENT_SIZE ? strings : STREAM_SEGMENT_SIZE;
    bool full = stream->tail_added >= STREAM_SEGMENT_COUNT ||
                stream->tail_size + bytes >= STREAM_SEGMENT_SIZE;
    if (stream->tail.live > 0 && full) {
        seal(call, stream);
    }
    count = count < STREAM_SEGMENT_SIZE ? count : STREAM_SEGMENT_SIZE;
    size_t values = bytes / 2 + count / 2 * LISTPACK_STRING_SIZE;
    if (stream->tail.live == 0) {
        stream->tail.first = id;
        stream->tail_added = 0;
        stream->tail_size = (uint32_t)(LISTPACK_SIZE + values); /* Names of fields stand once. */
    }
    stream->tail.live++;
    stream->tail_added++;
    stream->tail_size += (uint32_t)(LISTPACK_ENTRY_SIZE + values);
}

/* A segment between the first and the last, by the row that an iterator stands at. */
static bool read_row(struct store_iter *iter, struct stream_segment *segment)
{
    struct slice key = iter_key(iter);
    struct reader value = reader_of(iter_value(iter));
    if (key.len < STREAM_ID_SIZE) {
        return false;
    }
    struct reader id = reader_of(slice_of(key.data + key.len - STREAM_ID_SIZE, STREAM_ID_SIZE));
    segment->first = stream_id_read(&id);
    segment->live = reader_u32(&value);
    return reader_done(&id) && reader_done(&value) && segment->live > 0;
}

/* Over the rows of segments that are not before the head. */
static struct store_iter *open_segments(struct call *call, const struct stream *stream)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    stream_key(stream, STREAM_SEGMENT, from);
    stream_id_append(from, stream->head.first);
    stream_key(stream, (enum stream_kind)(STREAM_SEGMENT + 1), to);
    return iter_open(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

/* The segment after the head takes its place. */
static enum status advance_head(struct call *call, struct stream *stream)
{
    assert(stream->head.live == 0);
    if (stream->middle == 0) {
        return STATUS_OK;
    }
    struct store_iter *iter = open_segments(call, stream);
    bool read = iter_valid(iter) && read_row(iter, &stream->head);
    enum status status = iter_status(iter);
    iter_close(iter);
    if (status != STATUS_OK || !read) {
        return status != STATUS_OK ? status : STATUS_CORRUPT;
    }
    delete_segment(call, stream, stream->head.first);
    stream->middle--;
    stream->rows--;
    return STATUS_OK;
}

/* The segment in the middle that an id lies in; live 0: none, so it lies in the head. */
static enum status find_middle(struct call *call,
                               const struct stream *stream,
                               struct stream_id id,
                               struct stream_segment *segment)
{
    *segment = (struct stream_segment){0};
    if (stream->middle == 0) {
        return STATUS_OK;
    }
    struct store_iter *iter = open_segments(call, stream);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    stream_key(stream, STREAM_SEGMENT, key);
    stream_id_append(key, id);
    iter_seek_for_prev(iter, buf_slice(key));
    bool read = !iter_valid(iter) || read_row(iter, segment);
    enum status status = iter_status(iter);
    iter_close(iter);
    return status == STATUS_OK && !read ? STATUS_CORRUPT : status;
}

enum status stream_segment_leave(struct call *call, struct stream *stream, struct stream_id id)
{
    if (stream->tail.live > 0 && stream_id_compare(id, stream->tail.first) >= 0) {
        stream->tail.live--;
        return STATUS_OK;
    }
    struct stream_segment segment;
    enum status status = find_middle(call, stream, id, &segment);
    if (status != STATUS_OK) {
        return status;
    }
    if (segment.live == 0) {
        assert(stream->head.live > 0);
        stream->head.live--;
        return stream->head.live == 0 ? advance_head(call, stream) : STATUS_OK;
    }
    segment.live--;
    if (segment.live > 0) {
        put_segment(call, stream, &segment);
        return STATUS_OK;
    }
    delete_segment(call, stream, segment.first);
    stream->middle--;
    stream->rows--;
    return STATUS_OK;
}

void stream_segment_start(struct call *call,
                          const struct stream *stream,
                          struct stream_segment_walk *walk)
{
    *walk = (struct stream_segment_walk){.call = call, .stream = stream};
    walk->passed = txn_scratch(call->txn, SCRATCH_WORK);
    walk->next_place = stream->head.live > 0 ? STREAM_SEGMENT_HEAD : STREAM_SEGMENT_TAIL;
    walk->next = stream->head.live > 0 ? stream->head : stream->tail;
    stream_segment_pass(walk);
    walk->gone = 0;
}

/* Reads the one after the next. */
static void read_ahead(struct stream_segment_walk *walk)
{
    const struct stream *stream = walk->stream;
    if (walk->next_place == STREAM_SEGMENT_TAIL) {
        walk->next = (struct stream_segment){0};
        return;
    }
    if (walk->iter == NULL && stream->middle > 0) {
        walk->iter = open_segments(walk->call, stream);
    }
    if (walk->iter == NULL || !iter_valid(walk->iter)) {
        walk->next_place = STREAM_SEGMENT_TAIL;
        walk->next = stream->tail;
        return;
    }
    walk->next_place = STREAM_SEGMENT_MIDDLE;
    if (!read_row(walk->iter, &walk->next)) {
        walk->corrupt = true;
        walk->next = (struct stream_segment){0};
        return;
    }
    iter_next(walk->iter);
}

void stream_segment_pass(struct stream_segment_walk *walk)
{
    walk->gone += walk->at.live;
    if (walk->place == STREAM_SEGMENT_MIDDLE) {
        stream_id_append(walk->passed, walk->at.first);
    }
    walk->at = walk->next;
    walk->place = walk->next_place;
    if (walk->at.live > 0) {
        read_ahead(walk);
    }
}

static void delete_passed(struct call *call, const struct stream *stream, struct slice passed)
{
    struct reader in = reader_of(passed);
    struct stream_id id = stream_id_read(&in);
    if (passed.len / STREAM_ID_SIZE <= ALONE_COUNT_MAX) {
        for (; !in.failed; id = stream_id_read(&in)) {
            delete_segment(call, stream, id);
        }
        return;
    }
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    stream_key(stream, STREAM_SEGMENT, from);
    stream_id_append(from, id);
    in = reader_of(slice_of(passed.data + passed.len - STREAM_ID_SIZE, STREAM_ID_SIZE));
    id = stream_id_read(&in);
    stream_key(stream, STREAM_SEGMENT, to);
    stream_id_append(to, id);
    buf_append_u8(to, 0); /* Behind it. */
    txn_delete_range(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

enum status stream_segment_finish(struct stream_segment_walk *walk, struct stream *stream)
{
    assert(walk->stream == stream);
    enum status status = walk->corrupt ? STATUS_CORRUPT : STATUS_OK;
    if (walk->iter != NULL) {
        enum status walked = iter_status(walk->iter);
        iter_close(walk->iter);
        status = walked != STATUS_OK ? walked : status;
    }
    if (status != STATUS_OK || walk->gone == 0) {
        return status;
    }
    if (walk->place == STREAM_SEGMENT_MIDDLE && walk->at.live > 0) {
        stream_id_append(walk->passed, walk->at.first); /* It lies in the body now. */
        stream->head = walk->at;
    } else {
        stream->head.live = 0;
        stream->tail.live = walk->at.live;
    }
    uint64_t passed = walk->passed->len / STREAM_ID_SIZE;
    if (passed > stream->middle || (stream->head.live == 0 && passed != stream->middle)) {
        return STATUS_CORRUPT;
    }
    if (passed > 0) {
        delete_passed(walk->call, stream, buf_slice(walk->passed));
    }
    stream->middle -= passed;
    stream->rows -= passed;
    return STATUS_OK;
}

enum status stream_segment_shrink(struct call *call, struct stream *stream, uint64_t count)
{
    struct stream_segment *first = stream->head.live > 0 ? &stream->head : &stream->tail;
    if (count > first->live) {
        return STATUS_CORRUPT;
    }
    first->live -= (uint32_t)count;
    bool advance = first == &stream->head && first->live == 0;
    return advance ? advance_head(call, stream) : STATUS_OK;
}
