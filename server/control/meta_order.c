#include "server/control/meta_order.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

void meta_order_encode(const struct meta_order *order, struct buf *out)
{
    assert(order->op >= META_REPORT && order->op < META_OPS);
    buf_append_u8(out, META_ORDER_FORMAT);
    buf_append_u8(out, (uint8_t)order->op);
    buf_append_u64(out, order->now_ms);
    buf_append_u64(out, order->id);
    buf_append_u64(out, order->value);
    buf_append_u64(out, order->parent);
    buf_append_u64(out, order->undo_of);
    buf_append_u8(out, order->what);
    buf_append_bytes(out, slice_str(order->who));
    buf_append_bytes(out, slice_str(order->text));
    buf_append_bytes(out, slice_str(order->why));
    buf_append_bytes(out, slice_str(order->effect));
    buf_append_u32(out, order->count);
    buf_append_slice(out, order->items);
}

static bool sound_descs(struct slice items, uint32_t count)
{
    struct reader in = reader_of(items);
    struct shard_desc desc;
    for (uint32_t i = 0; i < count; i++) {
        if (!shard_desc_decode(&in, &desc) || desc.id < SHARD_FIRST || desc.last < desc.start ||
            desc.replica_count == 0) {
            return false;
        }
    }
    return reader_done(&in);
}

static bool sound_specs(struct slice items, uint32_t count)
{
    struct reader in = reader_of(items);
    struct job_spec spec;
    for (uint32_t i = 0; i < count; i++) {
        if (!job_spec_decode(&in, &spec)) {
            return false;
        }
    }
    return reader_done(&in);
}

static bool sound(const struct meta_order *order)
{
    bool none = order->count == 0 && order->items.len == 0;
    switch (order->op) {
    case META_REPORT:
        return order->count > 0 && order->count <= META_REPORT_MAX &&
               sound_descs(order->items, order->count);
    case META_JOB_ADD:
        return order->count > 0 && order->count <= JOB_SPECS_MAX &&
               sound_specs(order->items, order->count);
    case META_JOB_STEP: return none && order->id != 0;
    case META_JOB_END:
        return none && order->id != 0 && order->what >= JOB_DONE && order->what < JOB_STATES;
    case META_JOB_SET:
        return none && order->id != 0 && order->what >= META_PAUSE && order->what < META_SETS;
    case META_NODE:
        return none && order->id != 0 && order->what >= META_DRAIN && order->what < META_NODE_VERBS;
    case META_NOTE: return none && order->text[0] != '\0';
    case META_MODE: return none;
    case META_RECOVER: return none && order->id != 0 && order->value != 0;
    case META_INIT:
    case META_JOIN:
    case META_OPS: break;
    }
    return false;
}

enum status meta_order_decode(struct slice bytes, struct meta_order *order)
{
    struct reader in = reader_of(bytes);
    *order = (struct meta_order){0};
    uint8_t format = reader_u8(&in);
    order->op = (enum meta_op)reader_u8(&in);
    order->now_ms = reader_u64(&in);
    order->id = reader_u64(&in);
    order->value = reader_u64(&in);
    order->parent = reader_u64(&in);
    order->undo_of = reader_u64(&in);
    order->what = reader_u8(&in);
    bool good = cluster_job_text_decode(&in, order->who, sizeof(order->who)) &&
                cluster_job_text_decode(&in, order->text, sizeof(order->text)) &&
                cluster_job_text_decode(&in, order->why, sizeof(order->why)) &&
                cluster_job_text_decode(&in, order->effect, sizeof(order->effect));
    order->count = reader_u32(&in);
    order->items = in.rest;
    good = good && !in.failed && format == META_ORDER_FORMAT && bytes.len <= META_ORDER_SIZE_MAX;
    return good && sound(order) ? STATUS_OK : STATUS_CORRUPT;
}

const char *meta_order_parse(struct args args, struct meta_order *order, struct buf *items)
{
    assert(args.argc > 0);
    if (command_word(args.argv[0], "META.ORDER")) {
        bool good = args.argc == 2 && meta_order_decode(args.argv[1], order) == STATUS_OK;
        return good ? NULL : "META.ORDER takes one order";
    }
    if (args.argc < 2 || args.argc - 1 > META_REPORT_MAX) {
        return "META.REPORT takes 1 to 64 descriptors";
    }
    for (size_t i = 1; i < args.argc; i++) {
        if (args.argv[i].len > META_DESC_SIZE_MAX) {
            return "a descriptor is too long";
        }
        buf_append_slice(items, args.argv[i]);
    }
    *order = (struct meta_order){
        .op = META_REPORT, .count = (uint32_t)(args.argc - 1), .items = buf_slice(items)};
    return sound(order) ? NULL : "META.REPORT takes descriptors of shards";
}
