/* XRANGE, XREVRANGE, XREAD. Semantics: Redis 7.0 t_stream.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/stream.h"
#include "server/machine/stream_args.h"
#include "server/machine/stream_range.h"

static const char *parse_range(struct args args, bool back, struct stream_wish *wish, bool *nothing)
{
    *wish = (struct stream_wish){.back = back};
    *nothing = false;
    const char *error = stream_id_parse_start(args.argv[back ? 3 : 2], &wish->from);
    if (error == NULL) {
        error = stream_id_parse_end(args.argv[back ? 2 : 3], &wish->to);
    }
    for (size_t i = 4; error == NULL && i < args.argc; i += 2) {
        int64_t count = 0;
        if (args.argc - i < 2 || !command_word(args.argv[i], "count")) {
            return ERR_SYNTAX;
        }
        if (!number_parse_i64(args.argv[i + 1], &count)) {
            return ERR_NOT_INTEGER;
        }
        *nothing = count <= 0;
        wish->count = count <= 0 ? 0 : (uint64_t)count;
    }
    return error;
}

static enum status reply_range(struct call *call, bool back)
{
    struct stream_wish wish;
    bool nothing = false;
    const char *error = parse_range(call->args, back, &wish, &nothing);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct stream stream;
    enum status status = stream_load(call, call->args.argv[1], &stream);
    if (status != STATUS_OK) {
        return status;
    }
    if (stream.row.found && nothing) {
        resp_write_null_array(call->reply);
        return STATUS_OK;
    }
    size_t start = call->reply->len;
    uint64_t count = 0;
    status = stream_range_reply(call, &stream, &wish, &count);
    resp_insert_array(call->reply, start, count);
    return status;
}

enum status cmd_xrange_read(struct call *call)
{
    return reply_range(call, false);
}

enum status cmd_xrevrange_read(struct call *call)
{
    return reply_range(call, true);
}

/* Appends what the nth id stands for to *ids. WRONG_TYPE; *error: an error to answer. */
static enum status resolve(struct call *call,
                           const struct stream_args_read *read,
                           size_t nth,
                           struct buf *ids,
                           const char **error)
{
    struct slice text = call->args.argv[read->first + read->keys + nth];
    struct stream stream;
    struct stream_id id = {0};
    enum status status = stream_load(call, call->args.argv[read->first + nth], &stream);
    if (status != STATUS_OK) {
        return status;
    }
    if (command_word(text, "$")) {
        id = stream.last;
    } else if (command_word(text, ">")) {
        *error =
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
            "<consumer> option.";
    } else if (!stream_id_parse_strict(text, &id)) {
        *error = ERR_STREAM_ID;
    }
    stream_id_append(ids, id);
    return STATUS_OK;
}

/* Appends the entries behind an id with the name of the stream, if there are any. */
static enum status reply_stream(struct call *call,
                                const struct stream_args_read *read,
                                size_t nth,
                                struct stream_id id,
                                size_t *streams)
{
    struct slice key = call->args.argv[read->first + nth];
    struct stream stream;
    enum status status = stream_load(call, key, &stream);
    if (status != STATUS_OK || !stream_id_next(&id)) {
        return status;
    }
    size_t start = call->reply->len;
    resp_write_entry(call->reply);
    resp_write_bulk(call->reply, key);
    size_t entries = call->reply->len;
    struct stream_wish wish = {.from = id, .to = STREAM_ID_MAX, .count = read->count};
    uint64_t count = 0;
    status = stream_range_reply(call, &stream, &wish, &count);
    resp_insert_array(call->reply, entries, count);
    if (count == 0) {
        buf_truncate(call->reply, start);
        return status;
    }
    ++*streams;
    return status;
}

enum status cmd_xread_read(struct call *call)
{
    struct stream_args_read read;
    const char *error = stream_args_parse_read(call->args, false, &read);
    struct buf *ids = txn_scratch(call->txn, SCRATCH_ARGS);
    enum status status = STATUS_OK;
    bool frozen = error == NULL && call->frozen != NULL;
    bool waited = frozen && call->frozen->len == read.keys * STREAM_ID_SIZE;
    if (frozen && !waited) {
        buf_clear(call->frozen);
    }
    if (waited) {
        buf_append_slice(ids, buf_slice(call->frozen));
    }
    for (size_t i = 0; error == NULL && !waited && status == STATUS_OK && i < read.keys; i++) {
        status = resolve(call, &read, i, ids, &error);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    size_t start = call->reply->len;
    size_t streams = 0;
    struct reader in = reader_of(buf_slice(ids));
    for (size_t i = 0; status == STATUS_OK && i < read.keys; i++) {
        status = reply_stream(call, &read, i, stream_id_read(&in), &streams);
        if (status == STATUS_WRONG_TYPE && waited) {
            status = STATUS_OK; /* It waits for what may come. */
        }
        if (status == STATUS_OK && stream_range_too_long(call, 0, call->reply->len - start)) {
            status = STATUS_AGAIN;
        }
    }
    if (streams == 0) {
        resp_write_null_array(call->reply);
        call->nothing = read.block_ms >= 0;
        if (call->nothing && !waited && call->frozen != NULL) {
            buf_append_slice(call->frozen, buf_slice(ids));
        }
    } else {
        resp_insert_entries(call->reply, start, streams);
    }
    return status;
}
