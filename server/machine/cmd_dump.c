/* DUMP. Semantics: Redis 7.0 cluster.c dumpCommand(); the bytes: rdb.c rdbSaveObject(), in forms
 * that all versions since that read them read. */

#include "common/base/assert.h"
#include "common/rdb/rdb_node.h"
#include "common/rdb/rdb_payload.h"
#include "common/rdb/rdb_sink.h"
#include "common/rdb/rdb_value.h"
#include "server/machine/collection.h"
#include "server/machine/sequence.h"
#include "server/machine/stream_pending.h"
#include "server/machine/stream_range.h"
#include "server/machine/zset_cursor.h"

enum { FAST_ELEMENTS = 1000 };

struct dump {
    struct call *call;
    struct buf *out;
    size_t start;
};

/* AGAIN or TOO_BIG if what was put so far is too much. */
static enum status check(const struct dump *dump)
{
    return collection_may_reply(dump->call, dump->out->len - dump->start);
}

static enum status dump_string(struct dump *dump, const struct row *row)
{
    buf_append_u8(dump->out, RDB_TYPE_STRING);
    rdb_sink_length(dump->out, row->size);
    return keyspace_read(dump->call, row, 0, row->size, dump->out);
}

static enum status dump_element(void *ctx, const struct collection_entry *entry)
{
    struct dump *dump = ctx;
    rdb_sink_string(dump->out, entry->field);
    return check(dump);
}

static enum status dump_pair(void *ctx, const struct collection_entry *entry)
{
    struct dump *dump = ctx;
    rdb_sink_string(dump->out, entry->field);
    rdb_sink_string(dump->out, entry->value);
    return check(dump);
}

static enum status dump_collection(struct dump *dump, enum keyspace_type type)
{
    bool hash = type == KEYSPACE_HASH;
    struct collection collection;
    enum status status =
        collection_open(dump->call, SLOT_A, dump->call->args.argv[1], type, &collection);
    if (status != STATUS_OK) {
        return status;
    }
    buf_append_u8(dump->out, hash ? RDB_TYPE_HASH : RDB_TYPE_SET);
    rdb_sink_length(dump->out, collection_count(&collection));
    return collection_each(&collection, hash ? dump_pair : dump_element, dump);
}

static enum status dump_list(struct dump *dump)
{
    struct sequence list;
    struct sequence_walk walk;
    enum status status = sequence_load(dump->call, SLOT_A, dump->call->args.argv[1], &list);
    if (status == STATUS_OK) {
        status = sequence_walk_open(&walk, &list, 0, list.size, false);
    }
    if (status != STATUS_OK) {
        return status;
    }
    buf_append_u8(dump->out, RDB_TYPE_LIST);
    rdb_sink_length(dump->out, list.size);
    uint64_t count = 0;
    for (; status == STATUS_OK && count < list.size && sequence_walk_next(&walk); count++) {
        rdb_sink_string(dump->out, walk.value);
        status = check(dump);
    }
    enum status walked = sequence_walk_close(&walk);
    status = status == STATUS_OK ? walked : status;
    return status == STATUS_OK && count != list.size ? STATUS_CORRUPT : status;
}

/* From the last to the first, as Redis does: so it is loaded faster there. */
static enum status dump_zset(struct dump *dump, const struct row *row)
{
    struct zset zset;
    enum status status = zset_open(dump->call, row, &zset);
    if (status != STATUS_OK) {
        return status;
    }
    buf_append_u8(dump->out, RDB_TYPE_ZSET_2);
    rdb_sink_length(dump->out, zset.size);
    struct zset_cursor cursor;
    struct slice sub_key;
    uint64_t count = 0;
    zset_cursor_open(&cursor, &zset, zset_range_all(), true, 0);
    for (; status == STATUS_OK && zset_cursor_next(&cursor, &sub_key); count++) {
        double score = zset_packed_score(sub_key);
        uint64_t bits = 0;
        memcpy(&bits, &score, sizeof(bits));
        rdb_sink_string(dump->out, zset_packed_member(sub_key));
        buf_append_u64(dump->out, bits);
        status = check(dump);
    }
    enum status walked = zset_cursor_close(&cursor);
    status = status == STATUS_OK ? walked : status;
    return status == STATUS_OK && count != zset.size ? STATUS_CORRUPT : status;
}

static void put_id(struct dump *dump, struct stream_id id)
{
    rdb_sink_length(dump->out, id.ms);
    rdb_sink_length(dump->out, id.seq);
}

/* Appends the nodes to *nodes; returns how many they are. */
static enum status collect_nodes(struct dump *dump,
                                 const struct stream *stream,
                                 struct rdb_node *node,
                                 struct buf *nodes,
                                 uint64_t *count)
{
    struct stream_range range;
    struct stream_id id;
    struct slice value;
    enum status status = STATUS_OK;
    stream_range_open(dump->call, stream, (struct stream_id){0}, STREAM_ID_MAX, &range);
    while (status == STATUS_OK && stream_range_next(&range, &id, &value)) {
        if (rdb_node_full(node)) {
            rdb_node_put(node, nodes);
            ++*count;
        }
        bool added = rdb_node_add(node, id.ms, id.seq, value);
        status = added ? collection_may_reply(dump->call, nodes->len) : STATUS_CORRUPT;
    }
    enum status closed = stream_range_close(&range);
    if (node->count > 0) {
        rdb_node_put(node, nodes);
        ++*count;
    }
    return status != STATUS_OK ? status : closed;
}

static enum status dump_nodes(struct dump *dump, const struct stream *stream)
{
    struct rdb_node node;
    struct buf nodes;
    uint64_t count = 0;
    rdb_node_init(&node, SIZE_MAX / 2);
    buf_init(&nodes, SIZE_MAX / 2);
    enum status status = collect_nodes(dump, stream, &node, &nodes, &count);
    rdb_sink_length(dump->out, count);
    buf_append_slice(dump->out, buf_slice(&nodes));
    buf_deinit(&nodes);
    rdb_node_deinit(&node);
    return status;
}

/* Appends the rows that begin with what is in SCRATCH_FROM, whose last byte is not the greatest:
 * keys and values, each with its length. */
static enum status collect_rows(struct dump *dump, struct buf *from, struct buf *rows)
{
    struct txn *txn = dump->call->txn;
    struct buf *to = txn_scratch(txn, SCRATCH_TO);
    buf_append_slice(to, buf_slice(from));
    to->data[to->len - 1]++;
    assert(to->data[to->len - 1] != 0);
    enum status status = STATUS_OK;
    struct store_iter *iter = iter_open(txn, STORE_DATA, buf_slice(from), buf_slice(to));
    for (; status == STATUS_OK && iter_valid(iter); iter_next(iter)) {
        buf_append_bytes(rows, iter_key(iter));
        buf_append_bytes(rows, iter_value(iter));
        status = collection_may_reply(dump->call, rows->len);
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    return status != STATUS_OK ? status : walked;
}

/* What is pending in a group, or for a consumer of it: of that the ids alone. */
static enum status dump_pending(struct dump *dump,
                                const struct stream *stream,
                                const struct stream_group *group,
                                const struct stream_consumer *consumer)
{
    uint64_t expected = consumer != NULL ? consumer->pending.count : group->pending.count;
    struct stream_pending_walk walk;
    struct stream_id id;
    struct slice row;
    uint64_t count = 0;
    enum status status = STATUS_OK;
    rdb_sink_length(dump->out, expected);
    stream_pending_open(dump->call, stream, group, consumer, (struct stream_id){0}, &walk);
    for (; status == STATUS_OK && stream_pending_next(&walk, &id, &row); count++) {
        stream_id_append(dump->out, id);
        struct stream_nack nack;
        if (consumer != NULL) {
            status = check(dump);
        } else if (stream_pending_decode(row, &nack)) {
            buf_append_u64(dump->out, nack.time_ms);
            rdb_sink_length(dump->out, nack.count);
            status = check(dump);
        } else {
            status = STATUS_CORRUPT;
        }
    }
    enum status closed = stream_pending_close(&walk);
    status = status == STATUS_OK ? closed : status;
    return status == STATUS_OK && count != expected ? STATUS_CORRUPT : status;
}

static enum status dump_consumers(struct dump *dump,
                                  const struct stream *stream,
                                  const struct stream_group *group)
{
    struct txn *txn = dump->call->txn;
    struct buf *from = txn_scratch(txn, SCRATCH_FROM);
    struct buf *rows = txn_scratch(txn, SCRATCH_BODY);
    stream_group_member_key(stream, group->number, STREAM_MEMBER_CONSUMER, from);
    size_t prefix = from->len;
    enum status status = collect_rows(dump, from, rows);
    struct reader in = reader_of(buf_slice(rows));
    uint64_t count = 0;
    rdb_sink_length(dump->out, group->consumers);
    for (; status == STATUS_OK && in.rest.len > 0; count++) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        struct stream_consumer consumer;
        if (!stream_group_decode_consumer(reader_bytes(&in, UINT32_MAX), &consumer)) {
            return STATUS_CORRUPT;
        }
        rdb_sink_string(dump->out, slice_of(key.data + prefix, key.len - prefix));
        buf_append_u64(dump->out, consumer.seen_ms);
        status = dump_pending(dump, stream, group, &consumer);
    }
    return status == STATUS_OK && count != group->consumers ? STATUS_CORRUPT : status;
}

static enum status dump_groups(struct dump *dump, const struct stream *stream)
{
    struct txn *txn = dump->call->txn;
    struct buf *from = txn_scratch(txn, SCRATCH_FROM);
    struct buf *rows = txn_scratch(txn, SCRATCH_WORK);
    stream_key(stream, STREAM_GROUP, from);
    size_t prefix = from->len;
    enum status status = collect_rows(dump, from, rows);
    struct reader in = reader_of(buf_slice(rows));
    uint64_t count = 0;
    rdb_sink_length(dump->out, stream->groups);
    for (; status == STATUS_OK && in.rest.len > 0; count++) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        struct stream_group group;
        if (!stream_group_decode(reader_bytes(&in, UINT32_MAX), &group)) {
            return STATUS_CORRUPT;
        }
        rdb_sink_string(dump->out, slice_of(key.data + prefix, key.len - prefix));
        put_id(dump, group.last);
        rdb_sink_length(dump->out, (uint64_t)group.read);
        status = dump_pending(dump, stream, &group, NULL);
        if (status == STATUS_OK) {
            status = dump_consumers(dump, stream, &group);
        }
    }
    return status == STATUS_OK && count != stream->groups ? STATUS_CORRUPT : status;
}

static enum status dump_stream(struct dump *dump)
{
    struct stream stream;
    enum status status = stream_load(dump->call, dump->call->args.argv[1], &stream);
    if (status != STATUS_OK) {
        return status;
    }
    buf_append_u8(dump->out, RDB_TYPE_STREAM_LISTPACKS_2);
    status = dump_nodes(dump, &stream);
    if (status != STATUS_OK) {
        return status;
    }
    rdb_sink_length(dump->out, stream.length);
    put_id(dump, stream.last);
    put_id(dump, stream.first);
    put_id(dump, stream.deleted);
    rdb_sink_length(dump->out, stream.added);
    return dump_groups(dump, &stream);
}

static enum status dump_value(struct dump *dump, const struct row *row)
{
    switch ((enum keyspace_type)row->type) {
    case KEYSPACE_STRING: return dump_string(dump, row);
    case KEYSPACE_HASH:
    case KEYSPACE_SET: return dump_collection(dump, (enum keyspace_type)row->type);
    case KEYSPACE_ZSET: return dump_zset(dump, row);
    case KEYSPACE_LIST: return dump_list(dump);
    case KEYSPACE_STREAM: return dump_stream(dump);
    case KEYSPACE_TYPE_END: break;
    }
    return STATUS_CORRUPT;
}

enum status cmd_dump_read(struct call *call)
{
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[1], &row);
    if (status != STATUS_OK) {
        return status;
    }
    if (!row.found) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    bool rows = row.type != KEYSPACE_STRING && (row.flags & KEYSPACE_PACKED) == 0;
    if (rows && row.size > FAST_ELEMENTS && txn_cache_only(call->txn)) {
        return STATUS_AGAIN;
    }
    struct dump dump = {.call = call, .out = call->reply, .start = call->reply->len};
    status = dump_value(&dump, &row);
    if (status == STATUS_OK) {
        rdb_payload_seal(call->reply, dump.start);
        resp_close_bulk(call->reply, dump.start);
    }
    return status;
}
