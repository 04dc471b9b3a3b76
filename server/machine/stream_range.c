#include "server/machine/stream_range.h"

#include "common/base/assert.h"

static void begin(struct call *call,
                  const struct stream *stream,
                  struct stream_id from,
                  struct stream_id to,
                  struct stream_range *range)
{
    from = stream_id_compare(from, stream->first) < 0 ? stream->first : from;
    to = stream_id_compare(to, stream->last) > 0 ? stream->last : to;
    if (stream->length == 0 || stream_id_compare(from, to) > 0) {
        return;
    }
    struct buf *lower = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *upper = txn_scratch(call->txn, SCRATCH_TO);
    stream_entry_key(stream, from, lower);
    stream_entry_key(stream, to, upper);
    buf_append_u8(upper, 0); /* Behind it. */
    range->iter = iter_open(call->txn, STORE_DATA, buf_slice(lower), buf_slice(upper));
}

void stream_range_open(struct call *call,
                       const struct stream *stream,
                       struct stream_id from,
                       struct stream_id to,
                       struct stream_range *range)
{
    *range = (struct stream_range){0};
    begin(call, stream, from, to, range);
}

void stream_range_open_back(struct call *call,
                            const struct stream *stream,
                            struct stream_id from,
                            struct stream_id to,
                            struct stream_range *range)
{
    *range = (struct stream_range){.back = true};
    begin(call, stream, from, to, range);
}

static void step(struct stream_range *range)
{
    if (range->started && range->back) {
        iter_prev(range->iter);
    } else if (range->started) {
        iter_next(range->iter);
    } else if (range->back) {
        iter_seek_last(range->iter);
    }
    range->started = true;
}

bool stream_range_next(struct stream_range *range, struct stream_id *id, struct slice *value)
{
    if (range->iter == NULL || range->corrupt) {
        return false;
    }
    step(range);
    if (!iter_valid(range->iter)) {
        return false;
    }
    struct slice key = iter_key(range->iter);
    if (key.len < STREAM_ID_SIZE) {
        range->corrupt = true;
        return false;
    }
    struct reader in = reader_of(slice_of(key.data + key.len - STREAM_ID_SIZE, STREAM_ID_SIZE));
    *id = stream_id_read(&in);
    *value = iter_value(range->iter);
    return true;
}

enum status stream_range_close(struct stream_range *range)
{
    if (range->iter == NULL) {
        return STATUS_OK;
    }
    enum status status = iter_status(range->iter);
    iter_close(range->iter);
    range->iter = NULL;
    return status == STATUS_OK && range->corrupt ? STATUS_CORRUPT : status;
}

enum status stream_range_reply_entry(struct buf *reply, struct stream_id id, struct slice value)
{
    size_t count = 0;
    struct reader in = reader_of(value);
    for (; in.rest.len > 0 && !in.failed; count++) {
        (void)reader_bytes(&in, UINT32_MAX);
    }
    if (in.failed || count % 2 != 0) {
        return STATUS_CORRUPT;
    }
    resp_write_array(reply, 2);
    stream_id_reply(reply, id);
    resp_write_array(reply, count);
    in = reader_of(value);
    while (in.rest.len > 0) {
        resp_write_bulk(reply, reader_bytes(&in, UINT32_MAX));
    }
    return STATUS_OK;
}

bool stream_range_too_long(const struct call *call, uint64_t rows, size_t size)
{
    return txn_cache_only(call->txn) &&
           (rows > STREAM_WALK_COUNT_MAX || size > STREAM_WALK_SIZE_MAX);
}

enum status stream_range_reply(struct call *call,
                               const struct stream *stream,
                               const struct stream_wish *wish,
                               uint64_t *count)
{
    struct stream_range range = {.back = wish->back};
    begin(call, stream, wish->from, wish->to, &range);
    size_t start = call->reply->len;
    enum status status = STATUS_OK;
    struct stream_id id;
    struct slice value;
    *count = 0;
    while (status == STATUS_OK && (wish->count == 0 || *count < wish->count) &&
           stream_range_next(&range, &id, &value)) {
        status = stream_range_reply_entry(call->reply, id, value);
        ++*count;
        if (stream_range_too_long(call, *count, call->reply->len - start)) {
            status = STATUS_AGAIN;
        }
    }
    enum status closed = stream_range_close(&range);
    return status != STATUS_OK ? status : closed;
}
