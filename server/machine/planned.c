#include "server/machine/planned.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum status planned_decode(struct slice bytes, struct planned *planned)
{
    struct reader in = reader_of(bytes);
    uint8_t format = reader_u8(&in);
    uint8_t db = reader_u8(&in);
    uint16_t code = reader_u16(&in);
    size_t key_count = reader_u32(&in);
    size_t arg_count = reader_u32(&in);
    if (in.failed || format != PLANNED_FORMAT || db >= MACHINE_DATABASES) {
        return STATUS_CORRUPT;
    }
    if (key_count > arg_count || arg_count > in.rest.len / 4) {
        return STATUS_CORRUPT;
    }
    const struct command *command = command_by_code(code);
    if (command == NULL || (command->flags & CMD_WRITE) == 0) {
        return STATUS_CORRUPT;
    }
    struct slice rest = in.rest;
    for (size_t i = 0; i < arg_count; i++) {
        (void)reader_bytes(&in, UINT32_MAX);
    }
    if (!reader_done(&in)) {
        return STATUS_CORRUPT;
    }
    *planned = (struct planned){
        .command = command, .db = db, .key_count = key_count, .arg_count = arg_count, .rest = rest};
    return STATUS_OK;
}

bool planned_is(struct slice bytes, enum command_id id)
{
    struct reader in = reader_of(bytes);
    (void)reader_u8(&in);
    (void)reader_u8(&in);
    uint16_t code = reader_u16(&in);
    return !in.failed && code == command_at(id)->code;
}

void planned_args(const struct planned *planned, struct slice *argv)
{
    struct reader in = reader_of(planned->rest);
    for (size_t i = 0; i < planned->arg_count; i++) {
        argv[i] = reader_bytes(&in, UINT32_MAX);
    }
    assert(reader_done(&in));
}

struct slice planned_last(const struct planned *planned)
{
    assert(planned->arg_count > 0);
    struct reader in = reader_of(planned->rest);
    struct slice last = {0};
    for (size_t i = 0; i < planned->arg_count; i++) {
        last = reader_bytes(&in, UINT32_MAX);
    }
    assert(reader_done(&in));
    return last;
}

void planned_begin(
    struct plan *plan, enum command_id id, uint8_t db, size_t key_count, size_t arg_count)
{
    assert(key_count <= arg_count && arg_count <= UINT32_MAX);
    assert(db < MACHINE_DATABASES);
    uint16_t code = command_at(id)->code;
    buf_append_u8(plan->planned, PLANNED_FORMAT);
    buf_append_u8(plan->planned, db);
    buf_append_u16(plan->planned, code);
    buf_append_u32(plan->planned, (uint32_t)key_count);
    buf_append_u32(plan->planned, (uint32_t)arg_count);
}

void planned_bytes(struct plan *plan, struct slice bytes)
{
    buf_append_bytes(plan->planned, bytes);
}

void planned_u64(struct plan *plan, uint64_t value)
{
    buf_append_u32(plan->planned, sizeof(value));
    buf_append_u64(plan->planned, value);
}

enum status planned_refuse(struct plan *plan, const char *text)
{
    resp_write_error(plan->reply, text);
    return STATUS_BAD_ARGUMENT;
}

uint64_t planned_number(struct slice arg)
{
    struct reader in = reader_of(arg);
    uint64_t value = reader_u64(&in);
    return reader_done(&in) ? value : 0;
}
