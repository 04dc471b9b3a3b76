#include "server/shard/entry.h"

#include "common/base/assert.h"

enum { FORMAT = 1, COUNT_OFFSET = 9, COMMAND_SIZE_MAX = 1 << 30 };

void entry_begin(struct buf *out, uint64_t stamp_ms)
{
    assert(out->len == 0);
    buf_append_u8(out, FORMAT);
    buf_append_u64(out, stamp_ms);
    buf_append_u32(out, 0);
}

void entry_add(struct buf *out, const struct entry_command *command)
{
    struct reader in = reader_of(slice_of(out->data + COUNT_OFFSET, 4));
    uint32_t count = reader_u32(&in);
    assert(count < ENTRY_COMMANDS_MAX);
    assert(command->planned.len <= COMMAND_SIZE_MAX);
    buf_put_u32(out, COUNT_OFFSET, count + 1);
    buf_append_u64(out, command->session);
    buf_append_u64(out, command->seq);
    buf_append_u64(out, command->first_unacked);
    buf_append_bytes(out, command->planned);
}

enum status entry_open(struct slice bytes, struct entry *entry)
{
    struct reader in = reader_of(bytes);
    uint8_t format = reader_u8(&in);
    uint64_t stamp_ms = reader_u64(&in);
    uint32_t count = reader_u32(&in);
    if (in.failed || format != FORMAT || count > ENTRY_COMMANDS_MAX) {
        return STATUS_CORRUPT;
    }
    if (count == 0 && !reader_done(&in)) {
        return STATUS_CORRUPT;
    }
    *entry = (struct entry){.stamp_ms = stamp_ms, .count = count, .in = in};
    return STATUS_OK;
}

enum status entry_next(struct entry *entry, struct entry_command *command)
{
    assert(entry->taken < entry->count);
    struct reader *in = &entry->in;
    command->session = reader_u64(in);
    command->seq = reader_u64(in);
    command->first_unacked = reader_u64(in);
    command->planned = reader_bytes(in, COMMAND_SIZE_MAX);
    entry->taken++;
    if (in->failed || (entry->taken == entry->count && !reader_done(in))) {
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}
