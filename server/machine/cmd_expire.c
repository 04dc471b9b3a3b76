/* EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, PERSIST, TTL, PTTL, EXPIRETIME, PEXPIRETIME.
 * Semantics: Redis 7.0 expire.c. */

#include "common/base/assert.h"
#include "server/machine/event.h"
#include "server/machine/expiry.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

enum expire_flag {
    EXPIRE_NX = 1 << 0,
    EXPIRE_XX = 1 << 1,
    EXPIRE_GT = 1 << 2,
    EXPIRE_LT = 1 << 3,
};

/* A planned PEXPIREAT, as all four are: key, i64 time, u64 flags. */
enum { EXPIRE_KEY, EXPIRE_TIME, EXPIRE_FLAGS, EXPIRE_ARGC };

/* Redis prints the word up to its first NUL. */
static enum status refuse_option(struct plan *plan, struct slice word)
{
    const uint8_t *nul = word.len == 0 ? NULL : memchr(word.data, 0, word.len);
    size_t len = nul == NULL ? word.len : (size_t)(nul - word.data);
    buf_append_text(plan->reply, "-ERR Unsupported option ");
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = word.data[i];
        buf_append_u8(plan->reply, byte == '\r' || byte == '\n' ? ' ' : byte);
    }
    buf_append(plan->reply, "\r\n", 2);
    return STATUS_BAD_ARGUMENT;
}

static enum status take_flags(struct args args, struct plan *plan, unsigned *flags)
{
    for (size_t i = 3; i < args.argc; i++) {
        if (command_word(args.argv[i], "nx")) {
            *flags |= EXPIRE_NX;
        } else if (command_word(args.argv[i], "xx")) {
            *flags |= EXPIRE_XX;
        } else if (command_word(args.argv[i], "gt")) {
            *flags |= EXPIRE_GT;
        } else if (command_word(args.argv[i], "lt")) {
            *flags |= EXPIRE_LT;
        } else {
            return refuse_option(plan, args.argv[i]);
        }
    }
    if ((*flags & EXPIRE_NX) != 0 && (*flags & ~(unsigned)EXPIRE_NX) != 0) {
        return planned_refuse(plan,
                              "ERR NX and XX, GT or LT options at the same time are not "
                              "compatible");
    }
    if ((*flags & EXPIRE_GT) != 0 && (*flags & EXPIRE_LT) != 0) {
        return planned_refuse(plan, "ERR GT and LT options at the same time are not compatible");
    }
    return STATUS_OK;
}

static enum status plan_expire(const struct machine_plan_input *input,
                               struct plan *plan,
                               enum expiry_unit unit)
{
    unsigned flags = 0;
    enum status status = take_flags(input->args, plan, &flags);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t expire_ms = 0;
    const char *error = expiry_time(unit, input->args.argv[2], input->now_ms, &expire_ms);
    if (error != NULL) {
        expiry_write_error(plan->reply, error, input->command);
        return STATUS_BAD_ARGUMENT;
    }
    planned_begin(plan, CMD_pexpireat, input->db, 1, EXPIRE_ARGC);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, (uint64_t)expire_ms);
    planned_u64(plan, flags);
    return STATUS_OK;
}

enum status cmd_expire_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_expire(input, plan, EXPIRY_EX);
}

enum status cmd_pexpire_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_expire(input, plan, EXPIRY_PX);
}

enum status cmd_expireat_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_expire(input, plan, EXPIRY_EXAT);
}

enum status cmd_pexpireat_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_expire(input, plan, EXPIRY_PXAT);
}

enum status cmd_expire_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as PEXPIREAT. */
}

enum status cmd_pexpire_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as PEXPIREAT. */
}

enum status cmd_expireat_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as PEXPIREAT. */
}

/* Never is later than any time. */
static bool allows(unsigned flags, uint64_t current_ms, int64_t expire_ms)
{
    if ((flags & EXPIRE_NX) != 0 && current_ms != 0) {
        return false;
    }
    if ((flags & EXPIRE_XX) != 0 && current_ms == 0) {
        return false;
    }
    if ((flags & EXPIRE_GT) != 0 && (current_ms == 0 || expire_ms <= (int64_t)current_ms)) {
        return false;
    }
    return !((flags & EXPIRE_LT) != 0 && current_ms != 0 && expire_ms >= (int64_t)current_ms);
}

enum status cmd_pexpireat_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != EXPIRE_ARGC || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, argv[EXPIRE_KEY], &row);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t expire_ms = (int64_t)planned_number(argv[EXPIRE_TIME]);
    unsigned flags = (unsigned)planned_number(argv[EXPIRE_FLAGS]);
    if (!row.found || !allows(flags, row.expire_ms, expire_ms)) {
        resp_write_int(call->reply, 0);
        return STATUS_OK;
    }
    resp_write_int(call->reply, 1);
    if (expire_ms <= (int64_t)call->now_ms) {
        keyspace_delete(call, &row);
        event_note(call, EVENT_GENERIC, "del", argv[EXPIRE_KEY]);
        return STATUS_OK;
    }
    event_note(call, EVENT_GENERIC, "expire", argv[EXPIRE_KEY]);
    return keyspace_set_expire(call, &row, (uint64_t)expire_ms);
}

enum status cmd_persist_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_persist, input->db, 1, 1);
    planned_bytes(plan, input->args.argv[1]);
    return STATUS_OK;
}

enum status cmd_persist_apply(struct call *call)
{
    if (call->args.argc != 1 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[0], &row);
    if (status != STATUS_OK) {
        return status;
    }
    bool had = row.found && row.expire_ms != 0;
    resp_write_int(call->reply, had ? 1 : 0);
    if (!had) {
        return STATUS_OK;
    }
    event_note(call, EVENT_GENERIC, "persist", call->args.argv[0]);
    return keyspace_set_expire(call, &row, 0);
}

static enum status reply_time(struct call *call, bool absolute, bool seconds)
{
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[1], &row);
    if (status != STATUS_OK) {
        return status;
    }
    if (!row.found || row.expire_ms == 0) {
        resp_write_int(call->reply, row.found ? -1 : -2);
        return STATUS_OK;
    }
    uint64_t time_ms = absolute ? row.expire_ms : row.expire_ms - call->now_ms;
    assert(absolute || row.expire_ms >= call->now_ms);
    resp_write_int(call->reply, (int64_t)(seconds ? (time_ms + 500) / 1000 : time_ms));
    return STATUS_OK;
}

enum status cmd_ttl_read(struct call *call)
{
    return reply_time(call, false, true);
}

enum status cmd_pttl_read(struct call *call)
{
    return reply_time(call, false, false);
}

enum status cmd_expiretime_read(struct call *call)
{
    return reply_time(call, true, true);
}

enum status cmd_pexpiretime_read(struct call *call)
{
    return reply_time(call, true, false);
}
