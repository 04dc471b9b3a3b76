#include "server/machine/restore.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/collection.h"
#include "server/machine/score.h"
#include "server/machine/sequence.h"
#include "server/machine/stream_pending.h"
#include "server/machine/zset.h"

#define ERR_NAME_SIZE "ERR name of a group or consumer is longer than 65536 bytes"

enum { NAME_SIZE_MAX = STREAM_NAME_SIZE_MAX };

static const char *refuse_pairs(struct slice bytes, bool hash)
{
    struct reader in = reader_of(bytes);
    const char *error = NULL;
    while (in.rest.len > 0 && error == NULL) {
        struct slice field = reader_bytes(&in, UINT32_MAX);
        struct slice value = hash ? reader_bytes(&in, UINT32_MAX) : slice_of(NULL, 0);
        assert(!in.failed);
        error = collection_refuse_size(field, value);
    }
    return error;
}

static const char *refuse_members(struct slice bytes)
{
    struct reader in = reader_of(bytes);
    while (in.rest.len > 0) {
        (void)reader_u64(&in);
        if (reader_bytes(&in, UINT32_MAX).len > ZSET_MEMBER_SIZE_MAX) {
            return ERR_MEMBER_SIZE;
        }
        assert(!in.failed);
    }
    return NULL;
}

/* Takes an entry off: its id, and its strings as they stand in its row. */
static struct slice take_entry(struct reader *in, struct stream_id *id, uint32_t *count)
{
    *id = stream_id_read(in);
    *count = reader_u32(in);
    struct slice start = in->rest;
    for (uint32_t i = 0; i < *count && !in->failed; i++) {
        (void)reader_bytes(in, UINT32_MAX);
    }
    return slice_of(start.data, start.len - in->rest.len);
}

static const char *refuse_names(struct slice bytes)
{
    struct reader in = reader_of(bytes);
    struct stream_id id;
    uint32_t strings = 0;
    (void)reader_u64(&in);
    (void)stream_id_read(&in);
    (void)stream_id_read(&in);
    uint64_t entries = reader_u64(&in);
    for (uint64_t i = 0; i < entries; i++) {
        (void)take_entry(&in, &id, &strings);
    }
    uint64_t groups = reader_u64(&in);
    bool large = false;
    for (uint64_t i = 0; i < groups; i++) {
        large = reader_bytes(&in, UINT32_MAX).len > NAME_SIZE_MAX || large;
        (void)stream_id_read(&in);
        (void)reader_u64(&in);
        uint64_t consumers = reader_u64(&in);
        for (uint64_t n = 0; n < consumers; n++) {
            large = reader_bytes(&in, UINT32_MAX).len > NAME_SIZE_MAX || large;
            (void)reader_u64(&in);
            (void)reader_raw(&in, reader_u64(&in) * (STREAM_ID_SIZE + 2 * sizeof(uint64_t)));
        }
    }
    assert(reader_done(&in));
    return large ? ERR_NAME_SIZE : NULL;
}

const char *restore_refuse(const struct rdb_value *value)
{
    struct slice bytes = buf_slice(&value->bytes);
    switch (value->kind) {
    case RDB_HASH:
    case RDB_SET: return refuse_pairs(bytes, value->kind == RDB_HASH);
    case RDB_ZSET: return refuse_members(bytes);
    case RDB_STREAM: return refuse_names(bytes);
    case RDB_STRING:
    case RDB_LIST:
    case RDB_KIND_END: break;
    }
    return NULL;
}

static int compare_sub_keys(const void *a, const void *b)
{
    return zset_packed_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static void encode_zset(const struct rdb_value *value, struct buf *out)
{
    struct buf bytes;
    struct slice *sub_keys = malloc(value->count * sizeof(*sub_keys));
    assert(sub_keys != NULL);
    buf_init(&bytes, SIZE_MAX / 2);
    buf_reserve(&bytes, value->bytes.len); /* It does not move any more. */
    struct reader in = reader_of(buf_slice(&value->bytes));
    for (uint64_t i = 0; i < value->count; i++) {
        uint64_t bits = reader_u64(&in);
        double score = 0;
        memcpy(&score, &bits, sizeof(score));
        size_t at = bytes.len;
        zset_sub_key(score, reader_bytes(&in, UINT32_MAX), &bytes);
        sub_keys[i] = slice_of(bytes.data + at, bytes.len - at);
    }
    assert(reader_done(&in) && bytes.len <= value->bytes.len);
    qsort(sub_keys, value->count, sizeof(*sub_keys), compare_sub_keys);
    for (uint64_t i = 0; i < value->count; i++) {
        buf_append_bytes(out, sub_keys[i]);
    }
    buf_deinit(&bytes);
    free(sub_keys);
}

void restore_encode(const struct rdb_value *value, struct buf *out)
{
    if (value->kind == RDB_ZSET) {
        encode_zset(value, out);
    } else {
        buf_append_slice(out, buf_slice(&value->bytes));
    }
}

static enum status restore_string(struct call *call, struct slice key, struct slice bytes)
{
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, key, &row);
    return status == STATUS_OK ? keyspace_set(call, &row, bytes, 0, 0) : status;
}

static enum status restore_collection(struct call *call,
                                      struct slice key,
                                      enum keyspace_type type,
                                      struct slice bytes)
{
    struct collection collection;
    enum status status = collection_open(call, SLOT_A, key, type, &collection);
    struct reader in = reader_of(bytes);
    while (status == STATUS_OK && in.rest.len > 0) {
        struct slice field = reader_bytes(&in, UINT32_MAX);
        struct slice value =
            type == KEYSPACE_HASH ? reader_bytes(&in, UINT32_MAX) : slice_of(NULL, 0);
        status = in.failed ? STATUS_CORRUPT : collection_add(&collection, field, value);
    }
    if (status == STATUS_OK) {
        collection_close(&collection);
    }
    return status;
}

static enum status restore_list(struct call *call, struct slice key, struct slice bytes)
{
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, key, &list);
    struct reader in = reader_of(bytes);
    while (status == STATUS_OK && in.rest.len > 0) {
        struct slice element = reader_bytes(&in, UINT32_MAX);
        status = in.failed ? STATUS_CORRUPT : sequence_push(&list, SEQUENCE_RIGHT, element);
    }
    if (status == STATUS_OK) {
        sequence_store(&list);
    }
    return status;
}

static enum status restore_zset(struct call *call,
                                struct slice key,
                                uint64_t count,
                                struct slice bytes)
{
    struct buf *room = txn_scratch(call->txn, SCRATCH_RESULT);
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, key, &row);
    if (status != STATUS_OK || count > bytes.len) {
        return status != STATUS_OK ? status : STATUS_CORRUPT;
    }
    struct slice *sub_keys = (struct slice *)(void *)buf_reserve(room, count * sizeof(*sub_keys));
    struct reader in = reader_of(bytes);
    for (uint64_t i = 0; i < count; i++) {
        sub_keys[i] = reader_bytes(&in, UINT32_MAX);
        if (sub_keys[i].len < SCORE_SIZE) {
            return STATUS_CORRUPT;
        }
    }
    if (!reader_done(&in)) {
        return STATUS_CORRUPT;
    }
    zset_replace(call, &row, sub_keys, count);
    return STATUS_OK;
}

static enum status restore_entries(struct call *call, struct stream *stream, struct reader *in)
{
    struct buf *room = txn_scratch(call->txn, SCRATCH_RESULT);
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        struct stream_id id;
        uint32_t strings = 0;
        struct reader row = reader_of(take_entry(in, &id, &strings));
        bool good = !in->failed && strings > 0 && strings % 2 == 0 &&
                    stream_id_compare(id, stream->last) > 0;
        if (!good) {
            return STATUS_CORRUPT;
        }
        buf_clear(room);
        struct slice *fields = (struct slice *)(void *)buf_reserve(room, strings * sizeof(*fields));
        for (uint32_t n = 0; n < strings; n++) {
            fields[n] = reader_bytes(&row, UINT32_MAX);
        }
        stream_append(call, stream, id, fields, strings);
    }
    return STATUS_OK;
}

static void restore_consumer(struct call *call,
                             struct stream *stream,
                             struct stream_group *group,
                             struct reader *in)
{
    struct stream_consumer consumer = {.name = reader_bytes(in, NAME_SIZE_MAX)};
    consumer.seen_ms = reader_u64(in);
    consumer.number = ++group->last_number;
    group->consumers++;
    uint64_t pending = reader_u64(in);
    for (uint64_t i = 0; i < pending && !in->failed; i++) {
        struct stream_nack nack = {.consumer = consumer.number, .name = consumer.name};
        struct stream_id id = stream_id_read(in);
        nack.time_ms = reader_u64(in);
        nack.count = reader_u64(in);
        if (!in->failed) {
            stream_pending_add(call, stream, group, &consumer, id, &nack);
        }
    }
    stream_group_put_consumer(call, stream, group, &consumer);
}

static void restore_group(struct call *call, struct stream *stream, struct reader *in)
{
    struct stream_group group = {.name = reader_bytes(in, NAME_SIZE_MAX)};
    group.last = stream_id_read(in);
    uint64_t read = reader_u64(in);
    group.read = read == RDB_VALUE_READ_ESTIMATED ? stream_group_estimate(stream, group.last)
                                                  : (int64_t)read;
    stream_group_create(call, stream, &group);
    uint64_t consumers = reader_u64(in);
    for (uint64_t i = 0; i < consumers && !in->failed; i++) {
        restore_consumer(call, stream, &group, in);
    }
    stream_group_put(call, stream, &group);
}

static enum status restore_stream(struct call *call, struct slice key, struct slice bytes)
{
    struct stream stream;
    enum status status = stream_load(call, key, &stream);
    if (status != STATUS_OK) {
        return status;
    }
    stream_begin(call, &stream);
    struct reader in = reader_of(bytes);
    uint64_t added = reader_u64(&in);
    struct stream_id last = stream_id_read(&in);
    struct stream_id deleted = stream_id_read(&in);
    status = restore_entries(call, &stream, &in);
    if (status != STATUS_OK || stream_id_compare(stream.last, last) > 0) {
        return STATUS_CORRUPT;
    }
    stream.last = last;
    stream.deleted = deleted;
    stream.added = added;
    uint64_t groups = reader_u64(&in);
    for (uint64_t i = 0; i < groups && !in.failed; i++) {
        restore_group(call, &stream, &in);
    }
    stream_put(call, &stream);
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

enum status restore_value(
    struct call *call, struct slice key, enum rdb_kind kind, uint64_t count, struct slice bytes)
{
    switch (kind) {
    case RDB_STRING: return restore_string(call, key, bytes);
    case RDB_HASH: return restore_collection(call, key, KEYSPACE_HASH, bytes);
    case RDB_SET: return restore_collection(call, key, KEYSPACE_SET, bytes);
    case RDB_ZSET: return restore_zset(call, key, count, bytes);
    case RDB_LIST: return restore_list(call, key, bytes);
    case RDB_STREAM: return restore_stream(call, key, bytes);
    case RDB_KIND_END: break;
    }
    return STATUS_CORRUPT;
}
