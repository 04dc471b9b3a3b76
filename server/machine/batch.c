#include "server/machine/batch.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { WATCH_SIZE_MIN = 13, ITEM_SIZE_MIN = 5 };

static bool take_watch(struct reader *in, struct batch_watch *watch)
{
    watch->db = reader_u8(in);
    watch->version = reader_u64(in);
    watch->key = reader_bytes(in, UINT32_MAX);
    return !in->failed && watch->db < MACHINE_DATABASES;
}

static bool take_read(struct slice bytes, struct planned *planned)
{
    struct reader in = reader_of(bytes);
    planned->db = reader_u8(&in);
    planned->command = command_by_code(reader_u16(&in));
    planned->key_count = 0;
    planned->arg_count = reader_u32(&in);
    planned->rest = in.rest;
    if (in.failed || planned->db >= MACHINE_DATABASES || planned->command == NULL ||
        (planned->command->flags & CMD_READ) == 0 || planned->arg_count == 0 ||
        planned->arg_count > in.rest.len / 4) {
        return false;
    }
    for (size_t i = 0; i < planned->arg_count; i++) {
        (void)reader_bytes(&in, UINT32_MAX);
    }
    return reader_done(&in) && command_check(planned->command, planned->arg_count) == STATUS_OK;
}

static bool take_item(struct reader *in, struct batch_item *item)
{
    item->kind = (enum batch_kind)reader_u8(in);
    struct slice bytes = reader_bytes(in, UINT32_MAX);
    if (in->failed) {
        return false;
    }
    switch (item->kind) {
    case BATCH_WRITE:
        return planned_decode(bytes, &item->planned) == STATUS_OK &&
               item->planned.command->id != CMD_batch;
    case BATCH_READ: return take_read(bytes, &item->planned);
    case BATCH_REPLY: item->reply = bytes; return bytes.len > 0;
    }
    return false;
}

enum status batch_open(struct slice bytes, struct batch *batch)
{
    struct reader in = reader_of(bytes);
    uint8_t format = reader_u8(&in);
    batch->seed = reader_u64(&in);
    batch->watch_count = reader_u32(&in);
    if (in.failed || format != BATCH_FORMAT || batch->watch_count > in.rest.len / WATCH_SIZE_MIN) {
        return STATUS_CORRUPT;
    }
    batch->watches = in;
    struct batch_watch watch;
    for (size_t i = 0; i < batch->watch_count; i++) {
        if (!take_watch(&in, &watch)) {
            return STATUS_CORRUPT;
        }
    }
    batch->item_count = reader_u32(&in);
    if (in.failed || batch->item_count > in.rest.len / ITEM_SIZE_MIN) {
        return STATUS_CORRUPT;
    }
    batch->items = in;
    struct batch_item item;
    for (size_t i = 0; i < batch->item_count; i++) {
        if (!take_item(&in, &item)) {
            return STATUS_CORRUPT;
        }
    }
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

bool batch_next_watch(struct batch *batch, struct batch_watch *watch)
{
    if (batch->watch_count == 0) {
        return false;
    }
    batch->watch_count--;
    bool good = take_watch(&batch->watches, watch);
    assert(good);
    return true;
}

bool batch_next_item(struct batch *batch, struct batch_item *item)
{
    if (batch->item_count == 0) {
        return false;
    }
    batch->item_count--;
    bool good = take_item(&batch->items, item);
    assert(good);
    return true;
}

void batch_begin(struct buf *out, uint64_t seed, size_t watch_count)
{
    assert(watch_count <= UINT32_MAX);
    buf_append_u8(out, BATCH_FORMAT);
    buf_append_u64(out, seed);
    buf_append_u32(out, (uint32_t)watch_count);
}

void batch_watch(struct buf *out, const struct batch_watch *watch)
{
    assert(watch->db < MACHINE_DATABASES);
    buf_append_u8(out, watch->db);
    buf_append_u64(out, watch->version);
    buf_append_bytes(out, watch->key);
}

void batch_begin_items(struct buf *out, size_t item_count)
{
    assert(item_count <= UINT32_MAX);
    buf_append_u32(out, (uint32_t)item_count);
}

void batch_item(struct buf *out, enum batch_kind kind, struct slice bytes)
{
    assert(bytes.len > 0);
    buf_append_u8(out, (uint8_t)kind);
    buf_append_bytes(out, bytes);
}

void batch_write_read(struct buf *out, const struct command *command, uint8_t db, struct args args)
{
    assert(db < MACHINE_DATABASES && args.argc <= UINT32_MAX);
    uint16_t code = command->code;
    buf_append_u8(out, db);
    buf_append_u16(out, code);
    buf_append_u32(out, (uint32_t)args.argc);
    for (size_t i = 0; i < args.argc; i++) {
        buf_append_bytes(out, args.argv[i]);
    }
}
