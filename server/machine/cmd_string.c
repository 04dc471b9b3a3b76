/* GET, MGET, STRLEN, SET and its relatives. Semantics: Redis 7.0 t_string.c. */

#include "common/base/assert.h"
#include "server/machine/event.h"
#include "server/machine/expiry.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"
#include "server/machine/stage.h"

enum set_flag {
    SET_NX = 1 << 0,
    SET_XX = 1 << 1,
    SET_GET = 1 << 2,
    SET_KEEPTTL = 1 << 3,
    SET_COUNTS = 1 << 4, /* Replies 1 and 0 instead of OK and null: SETNX. */
};

/* A planned SET: key, value, u64 flags, u64 expire_ms; and which staged value, if it is one. */
enum { SET_KEY, SET_VALUE, SET_FLAGS, SET_EXPIRE, SET_ARGC, SET_STAGE = SET_ARGC, SET_STAGED_ARGC };

/* Loads the key; *reply_done if it is of another type (the error was written). */
static enum status load_string(struct call *call, struct slice key, struct row *row, bool *done)
{
    enum status status = keyspace_load(call, SLOT_A, call->db, key, row);
    *done = status == STATUS_OK && row->found && row->type != KEYSPACE_STRING;
    if (*done) {
        resp_write_error(call->reply, ERR_WRONG_TYPE);
    }
    return status;
}

static enum status reply_or_null(struct call *call, const struct row *row)
{
    if (!row->found) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    return keyspace_reply(call, row);
}

enum status cmd_get_read(struct call *call)
{
    struct row row;
    bool done = false;
    enum status status = load_string(call, call->args.argv[1], &row, &done);
    return status != STATUS_OK || done ? status : reply_or_null(call, &row);
}

enum status cmd_mget_read(struct call *call)
{
    resp_write_array(call->reply, call->args.argc - 1);
    for (size_t i = 1; i < call->args.argc; i++) {
        struct row row;
        enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[i], &row);
        if (status == STATUS_OK && row.found && row.type != KEYSPACE_STRING) {
            row.found = false;
        }
        if (status == STATUS_OK) {
            status = reply_or_null(call, &row);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status cmd_strlen_read(struct call *call)
{
    struct row row;
    bool done = false;
    enum status status = load_string(call, call->args.argv[1], &row, &done);
    if (status == STATUS_OK && !done) {
        resp_write_int(call->reply, row.found ? (int64_t)row.size : 0);
    }
    return status;
}

static enum status plan_set(const struct machine_plan_input *input,
                            struct plan *plan,
                            struct slice value,
                            unsigned flags,
                            uint64_t expire_ms)
{
    bool staged = input->stage != NULL;
    planned_begin(plan, CMD_set, input->db, 1, staged ? SET_STAGED_ARGC : SET_ARGC);
    planned_bytes(plan, input->args.argv[1]);
    planned_bytes(plan, value);
    planned_u64(plan, flags | (staged && input->stage->piece ? STAGE_PIECE : 0));
    planned_u64(plan, expire_ms);
    if (staged) {
        stage_plan(plan, input->stage);
    }
    return STATUS_OK;
}

/* One of NX, XX, GET, KEEPTTL; false if it is none, or contradicts what is there. */
static bool take_set_word(struct slice word, unsigned *flags, bool has_expiry)
{
    if (command_word(word, "nx") && (*flags & SET_XX) == 0) {
        *flags |= SET_NX;
    } else if (command_word(word, "xx") && (*flags & SET_NX) == 0) {
        *flags |= SET_XX;
    } else if (command_word(word, "get")) {
        *flags |= SET_GET;
    } else if (command_word(word, "keepttl") && !has_expiry) {
        *flags |= SET_KEEPTTL;
    } else {
        return false;
    }
    return true;
}

enum status cmd_set_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    unsigned flags = 0;
    struct expiry_option option = {0};
    for (size_t i = 3; i < args.argc; i++) {
        if (take_set_word(args.argv[i], &flags, option.unit != EXPIRY_NONE)) {
            continue;
        }
        enum expiry_unit unit = expiry_option_unit(args.argv[i]);
        bool fits = unit != EXPIRY_NONE && i + 1 < args.argc && (flags & SET_KEEPTTL) == 0 &&
                    (option.unit == EXPIRY_NONE || option.unit == unit);
        if (!fits) {
            return planned_refuse(plan, ERR_SYNTAX);
        }
        option = (struct expiry_option){.unit = unit, .value = args.argv[++i]};
    }
    uint64_t expire_ms = 0;
    if (option.unit != EXPIRY_NONE) {
        const char *error = expiry_option_time(&option, input->now_ms, &expire_ms);
        if (error != NULL) {
            expiry_write_error(plan->reply, error, input->command);
            return STATUS_BAD_ARGUMENT;
        }
    }
    return plan_set(input, plan, args.argv[2], flags, expire_ms);
}

static void reply_set(struct call *call, unsigned flags, bool set)
{
    if ((flags & SET_COUNTS) != 0) {
        resp_write_int(call->reply, set ? 1 : 0);
    } else if (set) {
        resp_write_ok(call->reply);
    } else {
        resp_write_null(call->reply);
    }
}

/* Replies, and says whether the value is to be set. */
static enum status decide_set(struct call *call, const struct row *row, unsigned flags, bool *set)
{
    bool get = (flags & SET_GET) != 0;
    *set = false;
    if (get && row->found && row->type != KEYSPACE_STRING) {
        resp_write_error(call->reply, ERR_WRONG_TYPE);
        return STATUS_OK;
    }
    if (get) {
        enum status status = reply_or_null(call, row);
        if (status != STATUS_OK) {
            return status;
        }
    }
    *set = !((flags & SET_NX) != 0 && row->found) && !((flags & SET_XX) != 0 && !row->found);
    if (!get) {
        reply_set(call, flags, *set);
    }
    return STATUS_OK;
}

static void note_set(struct call *call, uint64_t expire_ms)
{
    event_note(call, EVENT_STRING, "set", call->args.argv[0]);
    if (expire_ms != 0) {
        event_note(call, EVENT_GENERIC, "expire", call->args.argv[0]);
    }
}

/* A piece of a value, or the command that makes the key of the pieces. */
static enum status apply_staged(struct call *call, struct row *row, uint64_t expire_ms)
{
    const struct slice *argv = call->args.argv;
    unsigned flags = (unsigned)planned_number(argv[SET_FLAGS]);
    struct machine_stage ref;
    enum status status = stage_read_ref(argv[SET_STAGE], &ref);
    if (status != STATUS_OK) {
        return status;
    }
    if ((flags & STAGE_PIECE) != 0) {
        return stage_apply_piece(call, row, &ref, argv[SET_VALUE]);
    }
    struct stage stage;
    bool set = false;
    status = stage_find(call, row, &ref, &stage, &set);
    if (status != STATUS_OK || !set) {
        return status;
    }
    status = decide_set(call, row, flags, &set);
    if (status != STATUS_OK || !set) {
        stage_drop(call, row, &stage);
        return status;
    }
    stage_forget(call, &stage);
    note_set(call, expire_ms);
    return keyspace_set_chunked(call, row, stage.version, ref.size, expire_ms);
}

enum status cmd_set_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    bool staged = call->args.argc == SET_STAGED_ARGC;
    if ((call->args.argc != SET_ARGC && !staged) || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    unsigned flags = (unsigned)planned_number(argv[SET_FLAGS]);
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, argv[SET_KEY], &row);
    if (status != STATUS_OK) {
        return status;
    }
    bool keep = (flags & SET_KEEPTTL) != 0 && row.found;
    uint64_t expire_ms = keep ? row.expire_ms : planned_number(argv[SET_EXPIRE]);
    if (staged) {
        return apply_staged(call, &row, expire_ms);
    }
    bool set = false;
    status = decide_set(call, &row, flags, &set);
    if (status != STATUS_OK || !set) {
        return status;
    }
    note_set(call, keep ? 0 : expire_ms);
    return keyspace_set(call, &row, argv[SET_VALUE], 0, expire_ms);
}

enum status cmd_setnx_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_set(input, plan, input->args.argv[2], SET_NX | SET_COUNTS, 0);
}

enum status cmd_setnx_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as SET. */
}

static enum status plan_setex(const struct machine_plan_input *input,
                              struct plan *plan,
                              enum expiry_unit unit)
{
    struct expiry_option option = {.unit = unit, .value = input->args.argv[2]};
    uint64_t expire_ms = 0;
    const char *error = expiry_option_time(&option, input->now_ms, &expire_ms);
    if (error != NULL) {
        expiry_write_error(plan->reply, error, input->command);
        return STATUS_BAD_ARGUMENT;
    }
    return plan_set(input, plan, input->args.argv[3], 0, expire_ms);
}

enum status cmd_setex_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_setex(input, plan, EXPIRY_EX);
}

enum status cmd_setex_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as SET. */
}

enum status cmd_psetex_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_setex(input, plan, EXPIRY_PX);
}

enum status cmd_psetex_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as SET. */
}

enum status cmd_getset_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_set(input, plan, input->args.argv[2], SET_GET, 0);
}

enum status cmd_getset_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as SET. */
}

enum status cmd_getdel_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_getdel, input->db, 1, 1);
    planned_bytes(plan, input->args.argv[1]);
    return STATUS_OK;
}

enum status cmd_getdel_apply(struct call *call)
{
    if (call->args.argc != 1 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct row row;
    bool done = false;
    enum status status = load_string(call, call->args.argv[0], &row, &done);
    if (status == STATUS_OK && !done) {
        status = reply_or_null(call, &row);
    }
    if (status == STATUS_OK && !done && row.found) {
        keyspace_delete(call, &row);
        event_note(call, EVENT_GENERIC, "del", call->args.argv[0]);
    }
    return status;
}

/* A planned GETEX: key, u64 what, u64 expire_ms, text of an error. An expiry that is wrong is an
 * error only if the key exists. */
enum getex_what { GETEX_READ, GETEX_EXPIRE, GETEX_PERSIST, GETEX_ERROR };
enum { GETEX_KEY, GETEX_WHAT, GETEX_TIME, GETEX_TEXT, GETEX_ARGC };

static bool take_getex_option(const struct machine_plan_input *input,
                              size_t *at,
                              struct expiry_option *option,
                              bool *persist)
{
    struct slice word = input->args.argv[*at];
    if (command_word(word, "persist")) {
        *persist = true;
        return option->unit == EXPIRY_NONE;
    }
    enum expiry_unit unit = expiry_option_unit(word);
    if (unit == EXPIRY_NONE || *at + 1 >= input->args.argc || *persist ||
        (option->unit != EXPIRY_NONE && option->unit != unit)) {
        return false;
    }
    *option = (struct expiry_option){.unit = unit, .value = input->args.argv[++*at]};
    return true;
}

enum status cmd_getex_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct expiry_option option = {0};
    bool persist = false;
    for (size_t i = 2; i < input->args.argc; i++) {
        if (!take_getex_option(input, &i, &option, &persist)) {
            return planned_refuse(plan, ERR_SYNTAX);
        }
    }
    uint64_t expire_ms = 0;
    const char *error = NULL;
    enum getex_what what = persist ? GETEX_PERSIST : GETEX_READ;
    if (option.unit != EXPIRY_NONE) {
        error = expiry_option_time(&option, input->now_ms, &expire_ms);
        what = error == NULL ? GETEX_EXPIRE : GETEX_ERROR;
    }
    planned_begin(plan, CMD_getex, input->db, 1, GETEX_ARGC);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, what);
    planned_u64(plan, expire_ms);
    planned_bytes(plan, slice_str(error == NULL ? "" : error));
    return STATUS_OK;
}

static enum status getex_change(struct call *call, struct row *row, uint64_t what)
{
    uint64_t expire_ms = planned_number(call->args.argv[GETEX_TIME]);
    if (what == GETEX_EXPIRE && expire_ms <= call->now_ms) {
        keyspace_delete(call, row);
        event_note(call, EVENT_GENERIC, "del", call->args.argv[0]);
        return STATUS_OK;
    }
    if (what == GETEX_EXPIRE) {
        event_note(call, EVENT_GENERIC, "expire", call->args.argv[0]);
        return keyspace_set_expire(call, row, expire_ms);
    }
    if (what == GETEX_PERSIST && row->expire_ms != 0) {
        event_note(call, EVENT_GENERIC, "persist", call->args.argv[0]);
        return keyspace_set_expire(call, row, 0);
    }
    return STATUS_OK;
}

enum status cmd_getex_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != GETEX_ARGC || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct row row;
    bool done = false;
    enum status status = load_string(call, argv[GETEX_KEY], &row, &done);
    if (status != STATUS_OK || done) {
        return status;
    }
    uint64_t what = planned_number(argv[GETEX_WHAT]);
    if (row.found && what == GETEX_ERROR) {
        struct buf *text = txn_scratch(call->txn, SCRATCH_WORK);
        buf_append_slice(text, argv[GETEX_TEXT]);
        buf_append_u8(text, 0);
        expiry_write_error(call->reply, (const char *)text->data, call->command);
        return STATUS_OK;
    }
    status = reply_or_null(call, &row);
    return status == STATUS_OK && row.found ? getex_change(call, &row, what) : status;
}

/* A planned MSET or MSETNX: the keys, then their values. */
static enum status plan_mset(const struct machine_plan_input *input,
                             struct plan *plan,
                             enum command_id id)
{
    struct args args = input->args;
    if (args.argc % 2 == 0) {
        resp_write_errorf(plan->reply, "ERR wrong number of arguments for '%s' command",
                          input->command->name);
        return STATUS_BAD_ARGUMENT;
    }
    size_t count = (args.argc - 1) / 2;
    planned_begin(plan, id, input->db, count, 2 * count);
    for (size_t i = 0; i < count; i++) {
        planned_bytes(plan, args.argv[1 + 2 * i]);
    }
    for (size_t i = 0; i < count; i++) {
        planned_bytes(plan, args.argv[2 + 2 * i]);
    }
    return STATUS_OK;
}

static enum status set_all(struct call *call)
{
    for (size_t i = 0; i < call->key_count; i++) {
        struct row row;
        enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[i], &row);
        if (status == STATUS_OK) {
            event_note(call, EVENT_STRING, "set", call->args.argv[i]);
            status = keyspace_set(call, &row, call->args.argv[call->key_count + i], 0, 0);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status cmd_mset_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_mset(input, plan, CMD_mset);
}

enum status cmd_mset_apply(struct call *call)
{
    if (call->args.argc != 2 * call->key_count) {
        return STATUS_CORRUPT;
    }
    resp_write_ok(call->reply);
    return set_all(call);
}

enum status cmd_msetnx_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_mset(input, plan, CMD_msetnx);
}

enum status cmd_msetnx_apply(struct call *call)
{
    if (call->args.argc != 2 * call->key_count) {
        return STATUS_CORRUPT;
    }
    for (size_t i = 0; i < call->key_count; i++) {
        struct row row;
        enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[i], &row);
        if (status != STATUS_OK) {
            return status;
        }
        if (row.found) {
            resp_write_int(call->reply, 0);
            return STATUS_OK;
        }
    }
    resp_write_int(call->reply, 1);
    return set_all(call);
}
