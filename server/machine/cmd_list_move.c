/* LMOVE, RPOPLPUSH, LMPOP, and those that wait: BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP.
 * Semantics: Redis 7.0 t_list.c. */

#include "common/base/number.h"
#include "common/proto/block.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"
#include "server/machine/take.h"

/* A planned LMOVE: from, to, u64 end to take from, u64 end to push to, u64 how it waits. */
enum { MOVE_FROM, MOVE_TO, MOVE_TAKE, MOVE_PUSH, MOVE_WAIT, MOVE_ARGC };

static enum sequence_end end_of(struct slice arg)
{
    return planned_number(arg) == 0 ? SEQUENCE_LEFT : SEQUENCE_RIGHT;
}

static enum status plan_move(const struct machine_plan_input *input,
                             struct plan *plan,
                             enum sequence_end take,
                             enum sequence_end push)
{
    planned_begin(plan, CMD_lmove, input->db, 2, MOVE_ARGC);
    planned_bytes(plan, input->args.argv[1]);
    planned_bytes(plan, input->args.argv[2]);
    planned_u64(plan, take);
    planned_u64(plan, push);
    planned_u64(plan, input->wait);
    return STATUS_OK;
}

/* The list at a key of a command that may wait. One that waits already passes over other types. */
static enum status load_to_take(struct call *call,
                                enum keyspace_slot slot,
                                struct slice key,
                                uint64_t wait,
                                struct sequence *list)
{
    enum status status = sequence_load(call, slot, key, list);
    if (status == STATUS_WRONG_TYPE && machine_wait_passes(wait)) {
        list->row.found = false;
        status = STATUS_OK;
    }
    return status;
}

enum status cmd_lmove_plan(const struct machine_plan_input *input, struct plan *plan)
{
    enum sequence_end take;
    enum sequence_end push;
    if (!take_end(input->args.argv[3], &take) || !take_end(input->args.argv[4], &push)) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    return plan_move(input, plan, take, push);
}

static enum status rotate(struct sequence *list, enum sequence_end take, enum sequence_end push)
{
    struct buf *value = txn_scratch(list->call->txn, SCRATCH_FIELD);
    enum status status = sequence_pop(list, take, value);
    if (status == STATUS_OK) {
        status = sequence_push(list, push, buf_slice(value));
    }
    if (status == STATUS_OK) {
        sequence_store(list);
        resp_write_bulk(list->call->reply, buf_slice(value));
    }
    return status;
}

static enum status move(struct sequence *from,
                        struct sequence *to,
                        enum sequence_end take,
                        enum sequence_end push)
{
    struct buf *value = txn_scratch(from->call->txn, SCRATCH_FIELD);
    enum status status = sequence_pop(from, take, value);
    if (status != STATUS_OK) {
        return status;
    }
    sequence_store(from);
    status = sequence_push(to, push, buf_slice(value));
    if (status != STATUS_OK) {
        return status;
    }
    sequence_store(to);
    resp_write_bulk(from->call->reply, buf_slice(value));
    return STATUS_OK;
}

enum status cmd_lmove_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != MOVE_ARGC || call->key_count != 2) {
        return STATUS_CORRUPT;
    }
    enum sequence_end take = end_of(argv[MOVE_TAKE]);
    enum sequence_end push = end_of(argv[MOVE_PUSH]);
    uint64_t wait = planned_number(argv[MOVE_WAIT]);
    struct sequence from;
    enum status status = load_to_take(call, SLOT_A, argv[MOVE_FROM], wait, &from);
    if (status != STATUS_OK) {
        return status;
    }
    if (!from.row.found) {
        resp_write_null(call->reply);
        call->nothing = machine_wait_goes_on(wait);
        return STATUS_OK;
    }
    if (slice_equal(argv[MOVE_FROM], argv[MOVE_TO])) {
        status = rotate(&from, take, push);
    } else {
        struct sequence to;
        status = sequence_load(call, SLOT_B, argv[MOVE_TO], &to);
        if (status == STATUS_OK) {
            status = move(&from, &to, take, push);
        }
    }
    if (status == STATUS_OK) {
        event_note(call, EVENT_LIST, push == SEQUENCE_LEFT ? "lpush" : "rpush", argv[MOVE_TO]);
        take_note(&from, take == SEQUENCE_LEFT ? "lpop" : "rpop", argv[MOVE_FROM]);
    }
    return status;
}

enum status cmd_rpoplpush_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_move(input, plan, SEQUENCE_RIGHT, SEQUENCE_LEFT);
}

enum status cmd_rpoplpush_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as LMOVE. */
}

static enum status plan_blocking_move(const struct machine_plan_input *input,
                                      struct plan *plan,
                                      enum sequence_end take,
                                      enum sequence_end push)
{
    uint64_t timeout_ms = 0;
    const char *error = block_seconds(input->args.argv[input->args.argc - 1], &timeout_ms);
    return error != NULL ? planned_refuse(plan, error) : plan_move(input, plan, take, push);
}

enum status cmd_blmove_plan(const struct machine_plan_input *input, struct plan *plan)
{
    enum sequence_end take;
    enum sequence_end push;
    if (!take_end(input->args.argv[3], &take) || !take_end(input->args.argv[4], &push)) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    return plan_blocking_move(input, plan, take, push);
}

enum status cmd_blmove_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as LMOVE. */
}

enum status cmd_brpoplpush_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_blocking_move(input, plan, SEQUENCE_RIGHT, SEQUENCE_LEFT);
}

enum status cmd_brpoplpush_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as LMOVE. */
}

/* A planned LMPOP: keys, u64 end, u64 count, u64 how it waits. */
enum { MPOP_END, MPOP_COUNT, MPOP_WAIT, MPOP_ARGC };

static const char *parse_mpop(
    struct args args, size_t at, size_t *keys, enum sequence_end *end, int64_t *count)
{
    int64_t number = 0;
    if (!number_parse_i64(args.argv[at], &number) || number < 1) {
        return "ERR numkeys should be greater than 0";
    }
    if ((uint64_t)number >= args.argc - at - 1) {
        return ERR_SYNTAX;
    }
    *keys = (size_t)number;
    size_t i = at + *keys + 1;
    if (!take_end(args.argv[i], end)) {
        return ERR_SYNTAX;
    }
    *count = -1;
    for (i++; i < args.argc; i += 2) {
        if (*count != -1 || !command_word(args.argv[i], "count") || i + 1 == args.argc) {
            return ERR_SYNTAX;
        }
        if (!number_parse_i64(args.argv[i + 1], count) || *count < 1) {
            return "ERR count should be greater than 0";
        }
    }
    *count = *count == -1 ? 1 : *count;
    return NULL;
}

static enum status plan_mpop(const struct machine_plan_input *input, struct plan *plan, size_t at)
{
    size_t keys = 0;
    int64_t count = 0;
    enum sequence_end end;
    const char *error = parse_mpop(input->args, at, &keys, &end, &count);
    uint64_t timeout_ms = 0;
    if (error == NULL && at == 2) {
        error = block_seconds(input->args.argv[1], &timeout_ms);
    }
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_lmpop, input->db, keys, keys + MPOP_ARGC);
    for (size_t i = 0; i < keys; i++) {
        planned_bytes(plan, input->args.argv[at + 1 + i]);
    }
    planned_u64(plan, end);
    planned_u64(plan, (uint64_t)count);
    planned_u64(plan, input->wait);
    return STATUS_OK;
}

enum status cmd_lmpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_mpop(input, plan, 1);
}

enum status cmd_blmpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_mpop(input, plan, 2);
}

enum status cmd_blmpop_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as LMPOP. */
}

/* Replies with the key and what it takes off the first of the lists that has something. */
static enum status pop_first(
    struct call *call, enum sequence_end end, uint64_t count, bool alone, uint64_t wait)
{
    for (size_t i = 0; i < call->key_count; i++) {
        struct slice key = call->args.argv[i];
        struct sequence list;
        enum status status = load_to_take(call, SLOT_A, key, wait, &list);
        if (status != STATUS_OK) {
            return status;
        }
        if (list.row.found) {
            resp_write_array(call->reply, 2);
            resp_write_bulk(call->reply, key);
            return take_pop(&list, key, end, count, alone);
        }
    }
    resp_write_null_array(call->reply);
    call->nothing = machine_wait_goes_on(wait);
    return STATUS_OK;
}

enum status cmd_lmpop_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    size_t keys = call->key_count;
    if (keys == 0 || call->args.argc != keys + MPOP_ARGC) {
        return STATUS_CORRUPT;
    }
    return pop_first(call, end_of(argv[keys + MPOP_END]), planned_number(argv[keys + MPOP_COUNT]),
                     false, planned_number(argv[keys + MPOP_WAIT]));
}

/* A planned BLPOP: keys, u64 end, u64 how it waits. */
enum { BPOP_END, BPOP_WAIT, BPOP_ARGC };

static enum status plan_bpop(const struct machine_plan_input *input,
                             struct plan *plan,
                             enum sequence_end end)
{
    size_t keys = input->args.argc - 2;
    uint64_t timeout_ms = 0;
    const char *error = block_seconds(input->args.argv[keys + 1], &timeout_ms);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_blpop, input->db, keys, keys + BPOP_ARGC);
    for (size_t i = 1; i <= keys; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    planned_u64(plan, end);
    planned_u64(plan, input->wait);
    return STATUS_OK;
}

enum status cmd_blpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_bpop(input, plan, SEQUENCE_LEFT);
}

enum status cmd_blpop_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    size_t keys = call->key_count;
    if (keys == 0 || call->args.argc != keys + BPOP_ARGC) {
        return STATUS_CORRUPT;
    }
    return pop_first(call, end_of(argv[keys + BPOP_END]), 1, true,
                     planned_number(argv[keys + BPOP_WAIT]));
}

enum status cmd_brpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_bpop(input, plan, SEQUENCE_RIGHT);
}

enum status cmd_brpop_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as BLPOP. */
}
