/* APPEND, SETRANGE, GETRANGE, SUBSTR. Semantics: Redis 7.0 t_string.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

static bool is_wrong_type(struct call *call, const struct row *row)
{
    if (!row->found || row->type == KEYSPACE_STRING) {
        return false;
    }
    resp_write_error(call->reply, ERR_WRONG_TYPE);
    return true;
}

static bool is_too_long(struct call *call, uint64_t size, uint64_t more)
{
    if (size <= KEYSPACE_VALUE_SIZE_MAX && more <= KEYSPACE_VALUE_SIZE_MAX - size) {
        return false;
    }
    resp_write_error(call->reply, ERR_STRING_SIZE);
    return true;
}

/* A planned APPEND: key, bytes. */
enum status cmd_append_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_append, input->db, 1, 2);
    planned_bytes(plan, input->args.argv[1]);
    planned_bytes(plan, input->args.argv[2]);
    return STATUS_OK;
}

enum status cmd_append_apply(struct call *call)
{
    if (call->args.argc != 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct slice bytes = call->args.argv[1];
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[0], &row);
    if (status != STATUS_OK || is_wrong_type(call, &row)) {
        return status;
    }
    if (!row.found) {
        resp_write_int(call->reply, (int64_t)bytes.len);
        event_note(call, EVENT_STRING, "append", call->args.argv[0]);
        return keyspace_set(call, &row, bytes, 0, 0);
    }
    if (is_too_long(call, row.size, bytes.len)) {
        return STATUS_OK;
    }
    resp_write_int(call->reply, (int64_t)(row.size + bytes.len));
    event_note(call, EVENT_STRING, "append", call->args.argv[0]);
    return keyspace_patch(call, &row, row.size, bytes);
}

/* A planned SETRANGE: key, u64 offset, bytes. */
enum status cmd_setrange_plan(const struct machine_plan_input *input, struct plan *plan)
{
    int64_t offset = 0;
    if (!number_parse_i64(input->args.argv[2], &offset)) {
        return planned_refuse(plan, ERR_NOT_INTEGER);
    }
    if (offset < 0) {
        return planned_refuse(plan, "ERR offset is out of range");
    }
    planned_begin(plan, CMD_setrange, input->db, 1, 3);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, (uint64_t)offset);
    planned_bytes(plan, input->args.argv[3]);
    return STATUS_OK;
}

enum status cmd_setrange_apply(struct call *call)
{
    if (call->args.argc != 3 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    uint64_t offset = planned_number(call->args.argv[1]);
    struct slice bytes = call->args.argv[2];
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[0], &row);
    if (status != STATUS_OK || is_wrong_type(call, &row)) {
        return status;
    }
    uint64_t size = row.found ? row.size : 0;
    if (bytes.len == 0) {
        resp_write_int(call->reply, (int64_t)size);
        return STATUS_OK;
    }
    if (is_too_long(call, offset, bytes.len)) {
        return STATUS_OK;
    }
    uint64_t end = offset + bytes.len;
    resp_write_int(call->reply, (int64_t)(end > size ? end : size));
    event_note(call, EVENT_STRING, "setrange", call->args.argv[0]);
    return keyspace_patch(call, &row, offset, bytes);
}

/* Turns the two indexes, negative ones from the end, into a part of size bytes; false: empty. */
static bool clip(int64_t start, int64_t end, uint64_t size, uint64_t *offset, uint64_t *len)
{
    int64_t total = (int64_t)size;
    if (start < 0 && end < 0 && start > end) {
        return false;
    }
    start = start < 0 ? start + total : start;
    end = end < 0 ? end + total : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= total ? total - 1 : end;
    if (start > end || total == 0) {
        return false;
    }
    *offset = (uint64_t)start;
    *len = (uint64_t)(end - start) + 1;
    return true;
}

enum status cmd_getrange_read(struct call *call)
{
    int64_t start = 0;
    int64_t end = 0;
    if (!number_parse_i64(call->args.argv[2], &start) ||
        !number_parse_i64(call->args.argv[3], &end)) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return STATUS_OK;
    }
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[1], &row);
    if (status != STATUS_OK || is_wrong_type(call, &row)) {
        return status;
    }
    uint64_t offset = 0;
    uint64_t len = 0;
    if (!row.found || !clip(start, end, row.size, &offset, &len)) {
        resp_write_bulk(call->reply, slice_of("", 0));
        return STATUS_OK;
    }
    buf_append_format(call->reply, "$%llu\r\n", (unsigned long long)len);
    status = keyspace_read(call, &row, offset, len, call->reply);
    buf_append(call->reply, "\r\n", 2);
    return status;
}

enum status cmd_substr_read(struct call *call)
{
    return cmd_getrange_read(call);
}
