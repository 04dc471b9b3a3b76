/* INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. Semantics: Redis 7.0 t_string.c. */

#include <math.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

/* A planned INCRBY: key, i64 to add. */
static enum status plan_add(const struct machine_plan_input *input,
                            struct plan *plan,
                            int64_t delta)
{
    planned_begin(plan, CMD_incrby, input->db, 1, 2);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, (uint64_t)delta);
    return STATUS_OK;
}

enum status cmd_incr_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_add(input, plan, 1);
}

enum status cmd_decr_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_add(input, plan, -1);
}

enum status cmd_incrby_plan(const struct machine_plan_input *input, struct plan *plan)
{
    int64_t delta = 0;
    if (!number_parse_i64(input->args.argv[2], &delta)) {
        return planned_refuse(plan, ERR_NOT_INTEGER);
    }
    return plan_add(input, plan, delta);
}

enum status cmd_decrby_plan(const struct machine_plan_input *input, struct plan *plan)
{
    int64_t delta = 0;
    if (!number_parse_i64(input->args.argv[2], &delta)) {
        return planned_refuse(plan, ERR_NOT_INTEGER);
    }
    if (delta == INT64_MIN) {
        return planned_refuse(plan, "ERR decrement would overflow");
    }
    return plan_add(input, plan, -delta);
}

enum status cmd_incr_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as INCRBY. */
}

enum status cmd_decr_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as INCRBY. */
}

enum status cmd_decrby_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as INCRBY. */
}

static enum status load_number(struct call *call, struct row *row, bool *done)
{
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[0], row);
    *done = status == STATUS_OK && row->found && row->type != KEYSPACE_STRING;
    if (*done) {
        resp_write_error(call->reply, ERR_WRONG_TYPE);
    }
    return status;
}

enum status cmd_incrby_apply(struct call *call)
{
    if (call->args.argc != 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct row row;
    bool done = false;
    enum status status = load_number(call, &row, &done);
    if (status != STATUS_OK || done) {
        return status;
    }
    int64_t value = 0;
    bool chunked = row.found && (row.flags & KEYSPACE_CHUNKED) != 0;
    if (chunked || (row.found && !number_parse_i64(row.value, &value))) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return STATUS_OK;
    }
    int64_t delta = (int64_t)planned_number(call->args.argv[1]);
    if (number_add_overflows(value, delta, &value)) {
        resp_write_error(call->reply, "ERR increment or decrement would overflow");
        return STATUS_OK;
    }
    resp_write_int(call->reply, value);
    char text[NUMBER_I64_SIZE_MAX];
    size_t len = number_format_i64(value, text);
    event_note(call, EVENT_STRING, "incrby", call->args.argv[0]);
    return keyspace_set(call, &row, slice_of(text, len), 0, row.found ? row.expire_ms : 0);
}

/* A planned INCRBYFLOAT: key, the text of the number to add (an error in it comes after that of
 * the key's type). long double is that of x86-64 on every replica. */
enum status cmd_incrbyfloat_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_incrbyfloat, input->db, 1, 2);
    planned_bytes(plan, input->args.argv[1]);
    planned_bytes(plan, input->args.argv[2]);
    return STATUS_OK;
}

enum status cmd_incrbyfloat_apply(struct call *call)
{
    if (call->args.argc != 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct row row;
    bool done = false;
    enum status status = load_number(call, &row, &done);
    if (status != STATUS_OK || done) {
        return status;
    }
    long double value = 0;
    long double delta = 0;
    bool chunked = row.found && (row.flags & KEYSPACE_CHUNKED) != 0;
    if (chunked || (row.found && !number_parse_float(row.value, &value)) ||
        !number_parse_float(call->args.argv[1], &delta)) {
        resp_write_error(call->reply, "ERR value is not a valid float");
        return STATUS_OK;
    }
    value += delta;
    if (isnan(value) || isinf(value)) {
        resp_write_error(call->reply, "ERR increment would produce NaN or Infinity");
        return STATUS_OK;
    }
    char text[NUMBER_FLOAT_SIZE_MAX];
    size_t len = number_format_float(value, text);
    assert(len > 0);
    resp_write_bulk(call->reply, slice_of(text, len));
    event_note(call, EVENT_STRING, "incrbyfloat", call->args.argv[0]);
    return keyspace_set(call, &row, slice_of(text, len), KEYSPACE_TEXT,
                        row.found ? row.expire_ms : 0);
}
