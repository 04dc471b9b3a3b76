#include "server/shard/range_change.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { FORMAT = 2 };

bool range_change_is(struct slice entry)
{
    return entry.len > 0 && entry.data[0] == FORMAT;
}

static void encode_members(const struct range_change *change, struct buf *out)
{
    assert(change->count > 0 && change->count <= SHARD_REPLICAS_MAX);
    buf_append_u8(out, (uint8_t)change->count);
    for (unsigned i = 0; i < change->count; i++) {
        buf_append_u64(out, change->members[i].node);
        buf_append_u64(out, change->members[i].id);
    }
}

void range_change_encode(const struct range_change *change, struct buf *out)
{
    buf_append_u8(out, FORMAT);
    buf_append_u64(out, change->stamp_ms);
    buf_append_u8(out, (uint8_t)change->kind);
    buf_append_u64(out, change->ver);
    switch (change->kind) {
    case RANGE_SPLIT:
        buf_append_u64(out, change->token);
        buf_append_u64(out, change->other);
        buf_append_u64(out, change->job);
        encode_members(change, out);
        return;
    case RANGE_FREEZE:
        buf_append_u64(out, change->other);
        buf_append_u64(out, change->other_ver);
        buf_append_u64(out, change->job);
        return;
    case RANGE_ABSORB:
        buf_append_u64(out, change->other);
        buf_append_u64(out, change->start);
        buf_append_u64(out, change->last);
        buf_append_u64(out, change->other_ver);
        encode_members(change, out);
        return;
    case RANGE_UNFREEZE:
    case RANGE_VOID: return;
    case RANGE_KINDS: break;
    }
    assert(false);
}

static void decode_members(struct reader *in, struct range_change *change)
{
    change->count = reader_u8(in);
    if (change->count == 0 || change->count > SHARD_REPLICAS_MAX) {
        in->failed = true;
    }
    for (unsigned i = 0; !in->failed && i < change->count; i++) {
        change->members[i].node = reader_u64(in);
        change->members[i].id = reader_u64(in);
    }
}

static void decode_body(struct reader *in, struct range_change *change)
{
    if (change->kind == RANGE_SPLIT) {
        change->token = reader_u64(in);
        change->other = reader_u64(in);
        change->job = reader_u64(in);
        decode_members(in, change);
    } else if (change->kind == RANGE_FREEZE) {
        change->other = reader_u64(in);
        change->other_ver = reader_u64(in);
        change->job = reader_u64(in);
    } else if (change->kind == RANGE_ABSORB) {
        change->other = reader_u64(in);
        change->start = reader_u64(in);
        change->last = reader_u64(in);
        change->other_ver = reader_u64(in);
        decode_members(in, change);
    } else {
        return;
    }
    if (change->other < SHARD_FIRST || change->start > change->last) {
        in->failed = true;
    }
}

enum status range_change_decode(struct slice entry, struct range_change *change)
{
    struct reader in = reader_of(entry);
    *change = (struct range_change){0};
    uint8_t format = reader_u8(&in);
    change->stamp_ms = reader_u64(&in);
    uint8_t kind = reader_u8(&in);
    change->ver = reader_u64(&in);
    if (in.failed || format != FORMAT || kind == 0) {
        return STATUS_CORRUPT;
    }
    if (kind >= RANGE_KINDS) {
        return STATUS_NEWER_FORMAT;
    }
    change->kind = (enum range_kind)kind;
    decode_body(&in, change);
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}
