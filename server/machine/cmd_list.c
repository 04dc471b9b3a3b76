/* LPUSH, RPUSH, LPUSHX, RPUSHX, LPOP, RPOP, LSET, LTRIM, LREM, LINSERT: lists that change.
 * Semantics: Redis 7.0 t_list.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"
#include "server/machine/take.h"

/* A planned push: key, elements. */
static enum status plan_push(const struct machine_plan_input *input,
                             struct plan *plan,
                             enum command_id id)
{
    size_t count = input->args.argc - 1;
    planned_begin(plan, id, input->db, 1, count);
    for (size_t i = 1; i <= count; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

static enum status push(struct call *call, enum sequence_end end, bool only_there)
{
    if (call->args.argc < 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    const struct slice *argv = call->args.argv;
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, argv[0], &list);
    if (status != STATUS_OK) {
        return status;
    }
    if (only_there && !list.row.found) {
        resp_write_int(call->reply, 0);
        return STATUS_OK;
    }
    for (size_t i = 1; i < call->args.argc && status == STATUS_OK; i++) {
        status = sequence_push(&list, end, argv[i]);
    }
    if (status != STATUS_OK) {
        return status;
    }
    sequence_store(&list);
    resp_write_int(call->reply, (int64_t)list.size);
    event_note(call, EVENT_LIST, end == SEQUENCE_LEFT ? "lpush" : "rpush", argv[0]);
    return STATUS_OK;
}

enum status cmd_lpush_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_push(input, plan, CMD_lpush);
}

enum status cmd_lpush_apply(struct call *call)
{
    return push(call, SEQUENCE_LEFT, false);
}

enum status cmd_rpush_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_push(input, plan, CMD_rpush);
}

enum status cmd_rpush_apply(struct call *call)
{
    return push(call, SEQUENCE_RIGHT, false);
}

enum status cmd_lpushx_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_push(input, plan, CMD_lpushx);
}

enum status cmd_lpushx_apply(struct call *call)
{
    return push(call, SEQUENCE_LEFT, true);
}

enum status cmd_rpushx_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_push(input, plan, CMD_rpushx);
}

enum status cmd_rpushx_apply(struct call *call)
{
    return push(call, SEQUENCE_RIGHT, true);
}

/* A planned LPOP or RPOP: key, u64 1 if it has a count, u64 count. */
enum { POP_KEY, POP_COUNTED, POP_COUNT, POP_ARGC };

static enum status plan_pop(const struct machine_plan_input *input,
                            struct plan *plan,
                            enum command_id id)
{
    struct args args = input->args;
    int64_t count = 1;
    if (args.argc > 3) {
        buf_append_format(plan->reply, "-ERR wrong number of arguments for '%s' command\r\n",
                          input->command->name);
        return STATUS_BAD_ARGUMENT;
    }
    if (args.argc == 3 && (!number_parse_i64(args.argv[2], &count) || count < 0)) {
        return planned_refuse(plan, "ERR value is out of range, must be positive");
    }
    planned_begin(plan, id, input->db, 1, POP_ARGC);
    planned_bytes(plan, args.argv[1]);
    planned_u64(plan, args.argc == 3 ? 1 : 0);
    planned_u64(plan, (uint64_t)count);
    return STATUS_OK;
}

static enum status pop(struct call *call, enum sequence_end end)
{
    if (call->args.argc != POP_ARGC || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    const struct slice *argv = call->args.argv;
    bool counted = planned_number(argv[POP_COUNTED]) != 0;
    uint64_t count = planned_number(argv[POP_COUNT]);
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, argv[POP_KEY], &list);
    if (status != STATUS_OK) {
        return status;
    }
    if (!list.row.found && counted) {
        resp_write_null_array(call->reply);
        return STATUS_OK;
    }
    if (!list.row.found) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    if (count == 0) {
        resp_write_array(call->reply, 0);
        return STATUS_OK;
    }
    return take_pop(&list, argv[POP_KEY], end, count, !counted);
}

enum status cmd_lpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_pop(input, plan, CMD_lpop);
}

enum status cmd_lpop_apply(struct call *call)
{
    return pop(call, SEQUENCE_LEFT);
}

enum status cmd_rpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_pop(input, plan, CMD_rpop);
}

enum status cmd_rpop_apply(struct call *call)
{
    return pop(call, SEQUENCE_RIGHT);
}

/* A planned LSET: key, index as it came, element. Redis looks at the key before the index. */
enum status cmd_lset_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_lset, input->db, 1, 3);
    for (size_t i = 1; i < input->args.argc; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

enum status cmd_lset_apply(struct call *call)
{
    if (call->args.argc != 3 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    const struct slice *argv = call->args.argv;
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, argv[0], &list);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t index = 0;
    if (!list.row.found) {
        resp_write_error(call->reply, "ERR no such key");
        return STATUS_OK;
    }
    if (!number_parse_i64(argv[1], &index)) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return STATUS_OK;
    }
    index += index < 0 ? (int64_t)list.size : 0;
    if (index < 0 || (uint64_t)index >= list.size) {
        resp_write_error(call->reply, "ERR index out of range");
        return STATUS_OK;
    }
    uint64_t place = 0;
    status = sequence_place(&list, (uint64_t)index, &place);
    if (status != STATUS_OK) {
        return status;
    }
    sequence_set(&list, place, argv[2]);
    sequence_store(&list);
    resp_write_ok(call->reply);
    event_note(call, EVENT_LIST, "lset", argv[0]);
    return STATUS_OK;
}

/* A planned LTRIM: key, i64 start, i64 stop. */
enum status cmd_ltrim_plan(const struct machine_plan_input *input, struct plan *plan)
{
    int64_t start = 0;
    int64_t stop = 0;
    if (!number_parse_i64(input->args.argv[2], &start) ||
        !number_parse_i64(input->args.argv[3], &stop)) {
        return planned_refuse(plan, ERR_NOT_INTEGER);
    }
    planned_begin(plan, CMD_ltrim, input->db, 1, 3);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, (uint64_t)start);
    planned_u64(plan, (uint64_t)stop);
    return STATUS_OK;
}

enum status cmd_ltrim_apply(struct call *call)
{
    if (call->args.argc != 3 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    const struct slice *argv = call->args.argv;
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, argv[0], &list);
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_ok(call->reply);
    if (!list.row.found) {
        return STATUS_OK;
    }
    int64_t start = (int64_t)planned_number(argv[1]);
    int64_t stop = (int64_t)planned_number(argv[2]);
    uint64_t index = 0;
    uint64_t count = 0;
    if (!take_clip(start, stop, list.size, &index, &count)) {
        index = 0;
        count = 0;
    }
    if (count < list.size) {
        status = sequence_trim(&list, index, count);
        if (status != STATUS_OK) {
            return status;
        }
        sequence_store(&list);
    }
    take_note(&list, "ltrim", argv[0]);
    return STATUS_OK;
}

/* A planned LREM: key, i64 count, element. */
enum status cmd_lrem_plan(const struct machine_plan_input *input, struct plan *plan)
{
    int64_t count = 0;
    if (!number_parse_i64(input->args.argv[2], &count)) {
        return planned_refuse(plan, ERR_NOT_INTEGER);
    }
    planned_begin(plan, CMD_lrem, input->db, 1, 3);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, (uint64_t)count);
    planned_bytes(plan, input->args.argv[3]);
    return STATUS_OK;
}

/* Appends the places of at most limit elements (0: of all) that are equal to value. */
static enum status find_equal(
    struct sequence *list, bool backward, uint64_t limit, struct slice value, struct buf *places)
{
    struct sequence_walk walk;
    enum status status =
        sequence_walk_open(&walk, list, backward ? list->size - 1 : 0, list->size, backward);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t found = 0;
    while ((limit == 0 || found < limit) && sequence_walk_next(&walk)) {
        if (slice_equal(walk.value, value)) {
            buf_append_u64(places, walk.place);
            found++;
        }
    }
    return sequence_walk_close(&walk);
}

static enum status remove_places(struct sequence *list, bool backward, struct slice places)
{
    struct reader in = reader_of(places);
    enum status status = STATUS_OK;
    for (uint64_t removed = 0; in.rest.len > 0 && status == STATUS_OK; removed++) {
        uint64_t place = reader_u64(&in);
        /* The indexes behind a removed one change. */
        status = sequence_remove(list, list->packed && !backward ? place - removed : place);
    }
    return status;
}

enum status cmd_lrem_apply(struct call *call)
{
    if (call->args.argc != 3 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    const struct slice *argv = call->args.argv;
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, argv[0], &list);
    if (status != STATUS_OK) {
        return status;
    }
    if (!list.row.found) {
        resp_write_int(call->reply, 0);
        return STATUS_OK;
    }
    int64_t count = (int64_t)planned_number(argv[1]);
    bool backward = count < 0;
    uint64_t limit = backward ? -(uint64_t)count : (uint64_t)count;
    struct buf *places = txn_scratch(call->txn, SCRATCH_WORK);
    status = find_equal(&list, backward, limit, argv[2], places);
    if (status == STATUS_OK) {
        status = remove_places(&list, backward, buf_slice(places));
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, (int64_t)(places->len / sizeof(uint64_t)));
    if (places->len > 0) {
        sequence_store(&list);
        take_note(&list, "lrem", argv[0]);
    }
    return STATUS_OK;
}

/* A planned LINSERT: key, u64 1 if behind the pivot, pivot, element. */
enum { INSERT_KEY, INSERT_BEHIND, INSERT_PIVOT, INSERT_VALUE, INSERT_ARGC };

enum status cmd_linsert_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    bool behind = command_word(args.argv[2], "after");
    if (!behind && !command_word(args.argv[2], "before")) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    planned_begin(plan, CMD_linsert, input->db, 1, INSERT_ARGC);
    planned_bytes(plan, args.argv[1]);
    planned_u64(plan, behind ? 1 : 0);
    planned_bytes(plan, args.argv[3]);
    planned_bytes(plan, args.argv[4]);
    return STATUS_OK;
}

enum status cmd_linsert_apply(struct call *call)
{
    if (call->args.argc != INSERT_ARGC || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    const struct slice *argv = call->args.argv;
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, argv[INSERT_KEY], &list);
    if (status != STATUS_OK) {
        return status;
    }
    if (!list.row.found) {
        resp_write_int(call->reply, 0);
        return STATUS_OK;
    }
    struct buf *places = txn_scratch(call->txn, SCRATCH_WORK);
    status = find_equal(&list, false, 1, argv[INSERT_PIVOT], places);
    if (status != STATUS_OK) {
        return status;
    }
    if (places->len == 0) {
        resp_write_int(call->reply, -1);
        return STATUS_OK;
    }
    struct reader in = reader_of(buf_slice(places));
    uint64_t place = reader_u64(&in) + (planned_number(argv[INSERT_BEHIND]) != 0 ? 1 : 0);
    status = sequence_insert(&list, place, argv[INSERT_VALUE]);
    if (status != STATUS_OK) {
        return status;
    }
    sequence_store(&list);
    resp_write_int(call->reply, (int64_t)list.size);
    event_note(call, EVENT_LIST, "linsert", argv[INSERT_KEY]);
    return STATUS_OK;
}
