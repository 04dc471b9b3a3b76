/* XPENDING, XINFO. Semantics: Redis 7.0 t_stream.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/stream_args.h"
#include "server/machine/stream_pending.h"
#include "server/machine/stream_range.h"
#include "server/machine/stream_segment.h"

enum { FULL_COUNT_DEFAULT = 10 };

/* A read that shows much; it ends when it would take too long where it is. */
struct show {
    struct call *call;
    struct stream stream;
    size_t start; /* Of the reply. */
    uint64_t rows;
};

static enum status check(struct show *show)
{
    show->rows++;
    size_t size = show->call->reply->len - show->start;
    return stream_range_too_long(show->call, show->rows, size) ? STATUS_AGAIN : STATUS_OK;
}

struct pending_options {
    bool summary;
    int64_t min_idle;
    uint64_t count;
    struct stream_id from;
    struct stream_id to;
    const struct slice *consumer; /* NULL: of all. */
};

/* NULL or an error. */
static const char *parse_pending(struct args args, struct pending_options *options)
{
    *options = (struct pending_options){.summary = args.argc == 3};
    if (options->summary) {
        return NULL;
    }
    if (args.argc < 6 || args.argc > 9) {
        return ERR_SYNTAX;
    }
    size_t at = 3;
    if (command_word(args.argv[3], "idle")) {
        if (!number_parse_i64(args.argv[4], &options->min_idle)) {
            return ERR_NOT_INTEGER;
        }
        if (args.argc < 8) {
            return ERR_SYNTAX;
        }
        at += 2;
    }
    int64_t count = 0;
    if (!number_parse_i64(args.argv[at + 2], &count)) {
        return ERR_NOT_INTEGER;
    }
    options->count = count < 0 ? 0 : (uint64_t)count;
    const char *error = stream_id_parse_start(args.argv[at], &options->from);
    if (error == NULL) {
        error = stream_id_parse_end(args.argv[at + 1], &options->to);
    }
    options->consumer = args.argc > at + 3 ? &args.argv[at + 3] : NULL;
    return error;
}

/* Rows that begin with what is in SCRATCH_FROM, whose last byte is not the greatest. */
static struct store_iter *open_prefix(struct call *call, struct buf *from)
{
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    buf_append_slice(to, buf_slice(from));
    to->data[to->len - 1]++;
    assert(to->data[to->len - 1] != 0);
    return iter_open(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

static struct store_iter *open_consumers(struct call *call,
                                         const struct stream *stream,
                                         const struct stream_group *group,
                                         size_t *prefix)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    stream_group_member_key(stream, group->number, STREAM_MEMBER_CONSUMER, from);
    *prefix = from->len;
    return open_prefix(call, from);
}

/* The one that an iterator stands at. */
static bool read_consumer(struct store_iter *iter, size_t prefix, struct stream_consumer *consumer)
{
    struct slice key = iter_key(iter);
    if (key.len < prefix || !stream_group_decode_consumer(iter_value(iter), consumer)) {
        return false;
    }
    consumer->name = slice_of(key.data + prefix, key.len - prefix);
    return true;
}

static enum status reply_owners(struct show *show, const struct stream_group *group)
{
    struct call *call = show->call;
    size_t prefix = 0;
    struct store_iter *iter = open_consumers(call, &show->stream, group, &prefix);
    size_t start = call->reply->len;
    size_t count = 0;
    enum status status = STATUS_OK;
    for (; status == STATUS_OK && iter_valid(iter); iter_next(iter)) {
        struct stream_consumer consumer;
        if (!read_consumer(iter, prefix, &consumer)) {
            status = STATUS_CORRUPT;
        } else if (consumer.pending.count > 0) {
            char text[NUMBER_I64_SIZE_MAX];
            size_t len = number_format_u64(consumer.pending.count, text);
            resp_write_array(call->reply, 2);
            resp_write_bulk(call->reply, consumer.name);
            resp_write_bulk(call->reply, slice_of(text, len));
            count++;
        }
        status = status == STATUS_OK ? check(show) : status;
    }
    resp_insert_array(call->reply, start, count);
    enum status walked = iter_status(iter);
    iter_close(iter);
    return status != STATUS_OK ? status : walked;
}

/* The least id that is pending in a group that has some. */
static enum status find_first(struct show *show,
                              const struct stream_group *group,
                              struct stream_id *id)
{
    struct stream_pending_walk walk;
    struct slice row;
    stream_pending_open(show->call, &show->stream, group, NULL, group->pending.first, &walk);
    bool found = stream_pending_next(&walk, id, &row);
    enum status status = stream_pending_close(&walk);
    return status == STATUS_OK && !found ? STATUS_CORRUPT : status;
}

static enum status reply_summary(struct show *show, const struct stream_group *group)
{
    struct buf *reply = show->call->reply;
    resp_write_array(reply, 4);
    resp_write_int(reply, (int64_t)group->pending.count);
    if (group->pending.count == 0) {
        resp_write_null(reply);
        resp_write_null(reply);
        resp_write_null_array(reply);
        return STATUS_OK;
    }
    struct stream_id first;
    struct stream_id last;
    enum status status = find_first(show, group, &first);
    if (status == STATUS_OK) {
        status = stream_pending_last(show->call, &show->stream, group, &last);
    }
    if (status != STATUS_OK) {
        return status;
    }
    stream_id_reply(reply, first);
    stream_id_reply(reply, last);
    return reply_owners(show, group);
}

/* The row of the id that a walk is at: that of the group, or found by the id. */
static enum status read_nack(struct show *show,
                             const struct stream_group *group,
                             const struct stream_consumer *consumer,
                             struct stream_id id,
                             struct slice row,
                             struct stream_nack *nack)
{
    if (consumer == NULL) {
        return stream_pending_decode(row, nack) ? STATUS_OK : STATUS_CORRUPT;
    }
    bool found = false;
    enum status status = stream_pending_find(show->call, &show->stream, group, id, nack, &found);
    return status == STATUS_OK && !found ? STATUS_CORRUPT : status;
}

static int64_t time_since(const struct call *call, uint64_t time_ms)
{
    return call->now_ms < time_ms ? 0 : (int64_t)(call->now_ms - time_ms);
}

static enum status reply_pending(struct show *show,
                                 const struct stream_group *group,
                                 const struct stream_consumer *consumer,
                                 const struct pending_options *options)
{
    struct call *call = show->call;
    struct stream_pending_walk walk;
    struct stream_id id;
    struct slice row;
    size_t start = call->reply->len;
    uint64_t count = 0;
    enum status status = STATUS_OK;
    stream_pending_open(call, &show->stream, group, consumer, options->from, &walk);
    while (status == STATUS_OK && count < options->count && stream_pending_next(&walk, &id, &row) &&
           stream_id_compare(id, options->to) <= 0) {
        struct stream_nack nack;
        status = read_nack(show, group, consumer, id, row, &nack);
        if (status != STATUS_OK) {
            break;
        }
        int64_t idle = (int64_t)(call->now_ms - nack.time_ms);
        if (options->min_idle == 0 || idle >= options->min_idle) {
            resp_write_array(call->reply, 4);
            stream_id_reply(call->reply, id);
            resp_write_bulk(call->reply, nack.name);
            resp_write_int(call->reply, time_since(call, nack.time_ms));
            resp_write_int(call->reply, (int64_t)nack.count);
            count++;
        }
        status = check(show);
    }
    enum status closed = stream_pending_close(&walk);
    resp_insert_array(call->reply, start, count);
    return status != STATUS_OK ? status : closed;
}

enum status cmd_xpending_read(struct call *call)
{
    struct slice key = call->args.argv[1];
    struct slice name = call->args.argv[2];
    struct pending_options options;
    const char *error = parse_pending(call->args, &options);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct show show = {.call = call, .start = call->reply->len};
    struct stream_group group;
    enum status status = stream_load(call, key, &show.stream);
    if (status == STATUS_OK) {
        status = stream_group_load(call, &show.stream, name, &group);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (group.number == 0) {
        stream_args_refuse_group(call->reply, key, name, "");
        return STATUS_OK;
    }
    if (options.summary) {
        return reply_summary(&show, &group);
    }
    if (options.consumer == NULL) {
        return reply_pending(&show, &group, NULL, &options);
    }
    struct stream_consumer consumer;
    status = stream_group_load_consumer(call, &show.stream, &group, *options.consumer, &consumer);
    if (status != STATUS_OK) {
        return status;
    }
    if (consumer.number == 0) {
        resp_write_array(call->reply, 0);
        return STATUS_OK;
    }
    return reply_pending(&show, &group, &consumer, &options);
}

static void reply_read(struct show *show, const struct stream_group *group)
{
    struct buf *reply = show->call->reply;
    int64_t lag = 0;
    resp_write_text(reply, "entries-read");
    if (group->read == -1) {
        resp_write_null(reply);
    } else {
        resp_write_int(reply, group->read);
    }
    resp_write_text(reply, "lag");
    if (stream_group_lag(&show->stream, group, &lag)) {
        resp_write_int(reply, lag);
    } else {
        resp_write_null(reply);
    }
}

static void reply_group(struct show *show, const struct stream_group *group)
{
    struct buf *reply = show->call->reply;
    resp_write_map(reply, 6);
    resp_write_text(reply, "name");
    resp_write_bulk(reply, group->name);
    resp_write_text(reply, "consumers");
    resp_write_int(reply, (int64_t)group->consumers);
    resp_write_text(reply, "pending");
    resp_write_int(reply, (int64_t)group->pending.count);
    resp_write_text(reply, "last-delivered-id");
    stream_id_reply(reply, group->last);
    reply_read(show, group);
}

/* [id, (consumer,) time of delivery, deliveries], at most count of them; 0: all. */
static enum status reply_nacks(struct show *show,
                               const struct stream_group *group,
                               const struct stream_consumer *consumer,
                               uint64_t wanted)
{
    struct buf *reply = show->call->reply;
    struct stream_pending_walk walk;
    struct stream_id id;
    struct slice row;
    size_t start = reply->len;
    uint64_t count = 0;
    enum status status = STATUS_OK;
    stream_pending_open(show->call, &show->stream, group, consumer, (struct stream_id){0}, &walk);
    while (status == STATUS_OK && (wanted == 0 || count < wanted) &&
           stream_pending_next(&walk, &id, &row)) {
        struct stream_nack nack;
        status = read_nack(show, group, consumer, id, row, &nack);
        if (status != STATUS_OK) {
            break;
        }
        resp_write_array(reply, consumer == NULL ? 4 : 3);
        stream_id_reply(reply, id);
        if (consumer == NULL) {
            resp_write_bulk(reply, nack.name);
        }
        resp_write_int(reply, (int64_t)nack.time_ms);
        resp_write_int(reply, (int64_t)nack.count);
        count++;
        status = check(show);
    }
    enum status closed = stream_pending_close(&walk);
    resp_insert_array(reply, start, count);
    return status != STATUS_OK ? status : closed;
}

/* Appends the consumers, each name and row with its length: more iterators come in between. */
static enum status collect_rows(struct call *call, struct store_iter *iter, struct buf *rows)
{
    for (; iter_valid(iter); iter_next(iter)) {
        buf_append_bytes(rows, iter_key(iter));
        buf_append_bytes(rows, iter_value(iter));
        if (stream_range_too_long(call, 0, rows->len)) {
            iter_close(iter);
            return STATUS_AGAIN;
        }
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status;
}

static enum status reply_consumers_full(struct show *show,
                                        const struct stream_group *group,
                                        uint64_t wanted)
{
    struct call *call = show->call;
    size_t prefix = 0;
    struct store_iter *iter = open_consumers(call, &show->stream, group, &prefix);
    struct buf *rows = txn_scratch(call->txn, SCRATCH_BODY);
    enum status status = collect_rows(call, iter, rows);
    struct reader in = reader_of(buf_slice(rows));
    size_t start = call->reply->len;
    size_t count = 0;
    while (status == STATUS_OK && in.rest.len > 0) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        struct stream_consumer consumer;
        if (!stream_group_decode_consumer(reader_bytes(&in, UINT32_MAX), &consumer)) {
            return STATUS_CORRUPT;
        }
        resp_write_map(call->reply, 4);
        resp_write_text(call->reply, "name");
        resp_write_bulk(call->reply, slice_of(key.data + prefix, key.len - prefix));
        resp_write_text(call->reply, "seen-time");
        resp_write_int(call->reply, (int64_t)consumer.seen_ms);
        resp_write_text(call->reply, "pel-count");
        resp_write_int(call->reply, (int64_t)consumer.pending.count);
        resp_write_text(call->reply, "pending");
        status = reply_nacks(show, group, &consumer, wanted);
        count++;
    }
    resp_insert_array(call->reply, start, count);
    return status;
}

static enum status reply_group_full(struct show *show,
                                    const struct stream_group *group,
                                    uint64_t wanted)
{
    struct buf *reply = show->call->reply;
    resp_write_map(reply, 7);
    resp_write_text(reply, "name");
    resp_write_bulk(reply, group->name);
    resp_write_text(reply, "last-delivered-id");
    stream_id_reply(reply, group->last);
    reply_read(show, group);
    resp_write_text(reply, "pel-count");
    resp_write_int(reply, (int64_t)group->pending.count);
    resp_write_text(reply, "pending");
    enum status status = reply_nacks(show, group, NULL, wanted);
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_text(reply, "consumers");
    return reply_consumers_full(show, group, wanted);
}

/* All groups, in full or not. wanted: of their pending entries. */
static enum status reply_groups(struct show *show, bool full, uint64_t wanted)
{
    struct call *call = show->call;
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    stream_key(&show->stream, STREAM_GROUP, from);
    size_t prefix = from->len;
    struct buf *rows = txn_scratch(call->txn, SCRATCH_WORK);
    enum status status = collect_rows(call, open_prefix(call, from), rows);
    struct reader in = reader_of(buf_slice(rows));
    resp_write_array(call->reply, show->stream.groups);
    uint64_t count = 0;
    while (status == STATUS_OK && in.rest.len > 0) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        struct stream_group group;
        if (!stream_group_decode(reader_bytes(&in, UINT32_MAX), &group)) {
            return STATUS_CORRUPT;
        }
        group.name = slice_of(key.data + prefix, key.len - prefix);
        if (full) {
            status = reply_group_full(show, &group, wanted);
        } else {
            reply_group(show, &group);
        }
        count++;
        status = status == STATUS_OK ? check(show) : status;
    }
    return status == STATUS_OK && count != show->stream.groups ? STATUS_CORRUPT : status;
}

static enum status reply_consumers(struct show *show, struct slice name)
{
    struct call *call = show->call;
    struct stream_group group;
    enum status status = stream_group_load(call, &show->stream, name, &group);
    if (status != STATUS_OK) {
        return status;
    }
    if (group.number == 0) {
        const struct slice pieces[] = {slice_str("NOGROUP No such consumer group '"), name,
                                       slice_str("' for key name '"), call->args.argv[2],
                                       slice_str("'")};
        stream_args_refuse(call->reply, pieces, sizeof(pieces) / sizeof(pieces[0]));
        return STATUS_OK;
    }
    size_t prefix = 0;
    struct store_iter *iter = open_consumers(call, &show->stream, &group, &prefix);
    resp_write_array(call->reply, group.consumers);
    for (; status == STATUS_OK && iter_valid(iter); iter_next(iter)) {
        struct stream_consumer consumer;
        if (!read_consumer(iter, prefix, &consumer)) {
            status = STATUS_CORRUPT;
            break;
        }
        resp_write_map(call->reply, 3);
        resp_write_text(call->reply, "name");
        resp_write_bulk(call->reply, consumer.name);
        resp_write_text(call->reply, "pending");
        resp_write_int(call->reply, (int64_t)consumer.pending.count);
        resp_write_text(call->reply, "idle");
        resp_write_int(call->reply, time_since(call, consumer.seen_ms));
        status = check(show);
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    return status != STATUS_OK ? status : walked;
}

/* The first or the last entry, or null. */
static enum status reply_end(struct show *show, bool back)
{
    struct buf *reply = show->call->reply;
    resp_write_text(reply, back ? "last-entry" : "first-entry");
    struct stream_wish wish = {.to = STREAM_ID_MAX, .count = 1, .back = back};
    uint64_t count = 0;
    enum status status = stream_range_reply(show->call, &show->stream, &wish, &count);
    if (status == STATUS_OK && count == 0) {
        resp_write_null(reply);
    }
    return status;
}

static enum status reply_entries(struct show *show, uint64_t wanted)
{
    struct buf *reply = show->call->reply;
    resp_write_text(reply, "entries");
    size_t start = reply->len;
    struct stream_wish wish = {.to = STREAM_ID_MAX, .count = wanted};
    uint64_t count = 0;
    enum status status = stream_range_reply(show->call, &show->stream, &wish, &count);
    resp_insert_array(reply, start, count);
    return status;
}

static enum status reply_stream(struct show *show, bool full, uint64_t wanted)
{
    struct buf *reply = show->call->reply;
    const struct stream *stream = &show->stream;
    uint64_t segments = stream_segment_count(stream);
    resp_write_map(reply, full ? 9 : 10);
    resp_write_text(reply, "length");
    resp_write_int(reply, (int64_t)stream->length);
    resp_write_text(reply, "radix-tree-keys");
    resp_write_int(reply, (int64_t)segments);
    resp_write_text(reply, "radix-tree-nodes");
    resp_write_int(reply, (int64_t)segments + 1); /* There is no such tree. */
    resp_write_text(reply, "last-generated-id");
    stream_id_reply(reply, stream->last);
    resp_write_text(reply, "max-deleted-entry-id");
    stream_id_reply(reply, stream->deleted);
    resp_write_text(reply, "entries-added");
    resp_write_int(reply, (int64_t)stream->added);
    resp_write_text(reply, "recorded-first-entry-id");
    stream_id_reply(reply, stream->first);
    if (full) {
        enum status status = reply_entries(show, wanted);
        resp_write_text(reply, "groups");
        return status == STATUS_OK ? reply_groups(show, true, wanted) : status;
    }
    resp_write_text(reply, "groups");
    resp_write_int(reply, (int64_t)stream->groups);
    enum status status = reply_end(show, false);
    return status == STATUS_OK ? reply_end(show, true) : status;
}

/* XINFO STREAM key [FULL [COUNT n]]; false with the error replied. */
static bool parse_full(struct call *call, bool *full, uint64_t *wanted)
{
    struct args args = call->args;
    *full = args.argc > 3;
    *wanted = FULL_COUNT_DEFAULT;
    if (args.argc == 3) {
        return true;
    }
    bool fits = (args.argc == 4 || args.argc == 6) && command_word(args.argv[3], "full") &&
                (args.argc == 4 || command_word(args.argv[4], "count"));
    int64_t count = FULL_COUNT_DEFAULT;
    if (!fits) {
        stream_args_refuse_sub(call->reply, "XINFO", args.argv[1]);
        return false;
    }
    if (args.argc == 6 && !number_parse_i64(args.argv[5], &count)) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return false;
    }
    *wanted = count < 0 ? FULL_COUNT_DEFAULT : (uint64_t)count;
    return true;
}

static void reply_help(struct buf *reply)
{
    static const char *const lines[] = {"CONSUMERS <key> <groupname>",
                                        "    Show consumers of <groupname>.",
                                        "GROUPS <key>",
                                        "    Show the stream consumer groups.",
                                        "STREAM <key> [FULL [COUNT <count>]",
                                        "    Show information about the stream.",
                                        NULL};
    stream_args_reply_help(reply, "XINFO", lines);
}

enum status cmd_xinfo_read(struct call *call)
{
    enum { STREAM, GROUPS, CONSUMERS, HELP, COUNT };
    static const struct stream_args_sub subs[COUNT] = {[STREAM] = {"stream", -3},
                                                       [GROUPS] = {"groups", 3},
                                                       [CONSUMERS] = {"consumers", 4},
                                                       [HELP] = {"help", 2}};
    size_t sub = stream_args_find_sub(call->args, subs, COUNT, call->reply);
    if (sub == HELP) {
        reply_help(call->reply);
    }
    if (sub >= HELP) {
        return STATUS_OK;
    }
    struct show show = {.call = call, .start = call->reply->len};
    enum status status = stream_load(call, call->args.argv[2], &show.stream);
    if (status != STATUS_OK) {
        return status;
    }
    if (!show.stream.row.found) {
        resp_write_error(call->reply, "ERR no such key");
        return STATUS_OK;
    }
    if (sub == CONSUMERS) {
        return reply_consumers(&show, call->args.argv[3]);
    }
    if (sub == GROUPS) {
        return reply_groups(&show, false, 0);
    }
    bool full = false;
    uint64_t wanted = 0;
    return parse_full(call, &full, &wanted) ? reply_stream(&show, full, wanted) : STATUS_OK;
}
