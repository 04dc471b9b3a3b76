/* DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME, RENAMENX, COPY, DBSIZE, FLUSHDB, FLUSHALL.
 * Semantics: Redis 7.0 db.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"
#include "server/machine/stage.h"

static enum status plan_keys(const struct machine_plan_input *input,
                             struct plan *plan,
                             enum command_id id)
{
    size_t count = input->args.argc - 1;
    planned_begin(plan, id, input->db, count, count);
    for (size_t i = 1; i <= count; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

enum status cmd_del_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_keys(input, plan, CMD_del);
}

enum status cmd_del_apply(struct call *call)
{
    int64_t count = 0;
    for (size_t i = 0; i < call->key_count; i++) {
        struct row row;
        enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[i], &row);
        if (status == STATUS_OK && row.found) {
            keyspace_delete(call, &row);
            event_note(call, EVENT_GENERIC, "del", call->args.argv[i]);
            count++;
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    resp_write_int(call->reply, count);
    return STATUS_OK;
}

enum status cmd_unlink_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_keys(input, plan, CMD_del);
}

enum status cmd_unlink_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as DEL. */
}

enum status cmd_exists_read(struct call *call)
{
    int64_t count = 0;
    for (size_t i = 1; i < call->args.argc; i++) {
        struct row row;
        enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[i], &row);
        if (status != STATUS_OK) {
            return status;
        }
        count += row.found ? 1 : 0;
    }
    resp_write_int(call->reply, count);
    return STATUS_OK;
}

/* No time of the last access is kept, so touching is counting. */
enum status cmd_touch_read(struct call *call)
{
    return cmd_exists_read(call);
}

enum status cmd_type_read(struct call *call)
{
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[1], &row);
    if (status == STATUS_OK) {
        resp_write_simple(call->reply, row.found ? keyspace_type_name(row.type) : "none");
    }
    return status;
}

enum status cmd_rename_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_keys(input, plan, CMD_rename);
}

enum status cmd_renamenx_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_keys(input, plan, CMD_renamenx);
}

static enum status rename_key(struct call *call, bool only_new)
{
    if (call->args.argc != 2 || call->key_count != 2) {
        return STATUS_CORRUPT;
    }
    struct row from;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[0], &from);
    if (status != STATUS_OK) {
        return status;
    }
    if (!from.found) {
        resp_write_error(call->reply, "ERR no such key");
        return STATUS_OK;
    }
    struct row to;
    status = keyspace_load(call, SLOT_B, call->db, call->args.argv[1], &to);
    if (status != STATUS_OK) {
        return status;
    }
    bool same = slice_equal(call->args.argv[0], call->args.argv[1]);
    bool moves = !same && !(only_new && to.found);
    if (only_new) {
        resp_write_int(call->reply, moves ? 1 : 0);
    } else {
        resp_write_ok(call->reply);
    }
    if (!moves) {
        return STATUS_OK;
    }
    event_note(call, EVENT_GENERIC, "rename_from", call->args.argv[0]);
    event_note(call, EVENT_GENERIC, "rename_to", call->args.argv[1]);
    return keyspace_move(call, &from, &to);
}

enum status cmd_rename_apply(struct call *call)
{
    return rename_key(call, false);
}

enum status cmd_renamenx_apply(struct call *call)
{
    return rename_key(call, true);
}

/* A planned COPY: from, to (both keys of the database it runs in), u64 database to copy to, u64
 * replace. */
enum { COPY_FROM, COPY_TO, COPY_DB, COPY_REPLACE, COPY_ARGC };

enum status cmd_copy_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    int64_t db = input->db;
    bool replace = false;
    for (size_t i = 3; i < args.argc; i++) {
        if (command_word(args.argv[i], "replace")) {
            replace = true;
        } else if (command_word(args.argv[i], "db") && i + 1 < args.argc) {
            if (!number_parse_i64(args.argv[++i], &db)) {
                return planned_refuse(plan, ERR_NOT_INTEGER);
            }
            if (db < INT32_MIN || db > INT32_MAX) {
                return planned_refuse(plan,
                                      "ERR value is out of range, value must between "
                                      "-2147483648 and 2147483647");
            }
            if (db < 0 || db >= MACHINE_DATABASES) {
                return planned_refuse(plan, "ERR DB index is out of range");
            }
        } else {
            return planned_refuse(plan, ERR_SYNTAX);
        }
    }
    if (db == input->db && slice_equal(args.argv[1], args.argv[2])) {
        return planned_refuse(plan, "ERR source and destination objects are the same");
    }
    /* In another database the destination has another token, which apply looks at. */
    planned_begin(plan, CMD_copy, input->db, db == input->db ? 2 : 1, COPY_ARGC);
    planned_bytes(plan, args.argv[1]);
    planned_bytes(plan, args.argv[2]);
    planned_u64(plan, (uint64_t)db);
    planned_u64(plan, replace ? 1 : 0);
    return STATUS_OK;
}

enum status cmd_copy_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != COPY_ARGC || call->key_count == 0 || call->key_count > 2) {
        return STATUS_CORRUPT;
    }
    uint64_t db = planned_number(argv[COPY_DB]);
    if (db >= MACHINE_DATABASES) {
        return STATUS_CORRUPT;
    }
    if (!keyspace_owns(&call->scope, (uint8_t)db, argv[COPY_TO])) {
        resp_write_error(call->reply, "CROSSSLOT Keys in request don't hash to the same slot");
        return STATUS_OK;
    }
    struct row from;
    enum status status = keyspace_load(call, SLOT_A, call->db, argv[COPY_FROM], &from);
    if (status != STATUS_OK) {
        return status;
    }
    struct row to;
    status = keyspace_load(call, SLOT_B, (uint8_t)db, argv[COPY_TO], &to);
    if (status != STATUS_OK) {
        return status;
    }
    bool copies = from.found && (!to.found || planned_number(argv[COPY_REPLACE]) != 0);
    resp_write_int(call->reply, copies ? 1 : 0);
    if (!copies) {
        return STATUS_OK;
    }
    /* A copy of a small integer is an object of its own, what OBJECT REFCOUNT tells. */
    from.flags |= KEYSPACE_UNSHARED;
    event_note_in(call, to.db, EVENT_GENERIC, "copy_to", argv[COPY_TO]);
    return keyspace_copy(call, &from, &to);
}

enum status cmd_dbsize_read(struct call *call)
{
    resp_write_int(call->reply, (int64_t)call->seen->keys[call->db]);
    return STATUS_OK;
}

static enum status plan_flush(const struct machine_plan_input *input,
                              struct plan *plan,
                              enum command_id id)
{
    struct args args = input->args;
    bool fits = args.argc == 1 || (args.argc == 2 && (command_word(args.argv[1], "async") ||
                                                      command_word(args.argv[1], "sync")));
    if (!fits) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    planned_begin(plan, id, input->db, 0, 0);
    return STATUS_OK;
}

/* Values that are still coming in pieces are flushed as well: their chunks lie among the keys. */
static enum status flush(struct call *call, bool all)
{
    enum status status = stage_drop_all(call);
    if (status == STATUS_OK) {
        keyspace_flush(call, call->db, all);
        resp_write_ok(call->reply);
    }
    return status;
}

enum status cmd_flushdb_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_flush(input, plan, CMD_flushdb);
}

enum status cmd_flushdb_apply(struct call *call)
{
    return flush(call, false);
}

enum status cmd_flushall_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_flush(input, plan, CMD_flushall);
}

enum status cmd_flushall_apply(struct call *call)
{
    return flush(call, true);
}
