#include "server/shard/range_change.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { FORMAT = 2 };

bool range_change_is(struct slice entry)
{
    return entry.len > 0 && entry.data[0] == FORMAT;
}

void range_change_encode(const struct range_change *change, struct buf *out)
{
    assert(change->kind == RANGE_SPLIT && change->count <= SHARD_REPLICAS_MAX);
    buf_append_u8(out, FORMAT);
    buf_append_u64(out, change->stamp_ms);
    buf_append_u8(out, (uint8_t)change->kind);
    buf_append_u64(out, change->ver);
    buf_append_u64(out, change->token);
    buf_append_u64(out, change->child);
    buf_append_u64(out, change->job);
    buf_append_u8(out, (uint8_t)change->count);
    for (unsigned i = 0; i < change->count; i++) {
        buf_append_u64(out, change->members[i].node);
        buf_append_u64(out, change->members[i].id);
    }
}

static void decode_split(struct reader *in, struct range_change *change)
{
    change->ver = reader_u64(in);
    change->token = reader_u64(in);
    change->child = reader_u64(in);
    change->job = reader_u64(in);
    change->count = reader_u8(in);
    if (change->count == 0 || change->count > SHARD_REPLICAS_MAX || change->child < SHARD_FIRST) {
        in->failed = true;
    }
    for (unsigned i = 0; !in->failed && i < change->count; i++) {
        change->members[i].node = reader_u64(in);
        change->members[i].id = reader_u64(in);
    }
}

enum status range_change_decode(struct slice entry, struct range_change *change)
{
    struct reader in = reader_of(entry);
    *change = (struct range_change){0};
    uint8_t format = reader_u8(&in);
    change->stamp_ms = reader_u64(&in);
    uint8_t kind = reader_u8(&in);
    if (in.failed || format != FORMAT || kind == 0) {
        return STATUS_CORRUPT;
    }
    if (kind > RANGE_SPLIT) {
        return STATUS_NEWER_FORMAT;
    }
    change->kind = (enum range_kind)kind;
    decode_split(&in, change);
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}
