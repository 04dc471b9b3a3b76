#include "server/machine/stream_wait.h"

#include "common/base/reader.h"
#include "server/machine/stream_args.h"
#include "server/machine/stream_group.h"
#include "server/machine/stream_range.h"

/* Everyone wants something else of a stream, so it says nothing about others. */
static const uint64_t for_this_one = UINT64_MAX;

/* Whether the stream has an entry behind the id. */
static enum status look_behind(struct call *call,
                               const struct stream *stream,
                               struct stream_id id,
                               uint64_t *count)
{
    if (stream->length == 0 || stream_id_compare(stream->last, id) <= 0 || !stream_id_next(&id)) {
        return STATUS_OK;
    }
    struct stream_range range;
    struct slice value;
    stream_range_open(call, stream, id, STREAM_ID_MAX, &range);
    bool found = stream_range_next(&range, &id, &value);
    enum status status = stream_range_close(&range);
    *count = status == STATUS_OK && found ? for_this_one : *count;
    return status;
}

enum status stream_wait_read(struct call *call, bool first, uint64_t *count)
{
    struct stream_args_read read;
    (void)first;
    if (stream_args_parse_read(call->args, false, &read) != NULL || call->frozen == NULL ||
        call->frozen->len != read.keys * STREAM_ID_SIZE) {
        *count = for_this_one; /* It was never read: that will tell. */
        return STATUS_OK;
    }
    struct reader in = reader_of(buf_slice(call->frozen));
    for (size_t i = 0; i < read.keys && *count == 0; i++) {
        struct stream stream;
        struct stream_id id = stream_id_read(&in);
        enum status status = stream_load(call, call->args.argv[read.first + i], &stream);
        if (status == STATUS_OK && stream.row.found) {
            status = look_behind(call, &stream, id, count);
        }
        if (status != STATUS_OK && status != STATUS_WRONG_TYPE) {
            return status;
        }
    }
    return STATUS_OK;
}

/* One of its streams. */
static enum status look_at(
    struct call *call, const struct stream_args_read *read, size_t nth, bool first, uint64_t *count)
{
    struct stream stream;
    struct stream_group group = {0};
    enum status status = stream_load(call, call->args.argv[read->first + nth], &stream);
    if (status == STATUS_OK && stream.row.found) {
        status = stream_group_load(call, &stream, read->group, &group);
    }
    if (status == STATUS_WRONG_TYPE || (status == STATUS_OK && group.number == 0)) {
        *count = for_this_one; /* An error, which it gets also while it waits. */
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (first && !command_word(call->args.argv[read->first + read->keys + nth], ">")) {
        *count = for_this_one; /* Its own history, or an error. */
        return STATUS_OK;
    }
    return look_behind(call, &stream, group.last, count);
}

enum status stream_wait_group(struct call *call, bool first, uint64_t *count)
{
    struct stream_args_read read;
    if (stream_args_parse_read(call->args, true, &read) != NULL) {
        *count = for_this_one;
        return STATUS_OK;
    }
    for (size_t i = 0; i < read.keys && *count == 0; i++) {
        enum status status = look_at(call, &read, i, first, count);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}
