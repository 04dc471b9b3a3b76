/* BITFIELD, BITFIELD_RO. Semantics: Redis 7.0 bitops.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "server/machine/bitfield.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

#define ERR_BIT_OFFSET "ERR bit offset is not an integer or out of range"
#define ERR_BIT_TYPE                                                                            \
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but " \
    "i64 "                                                                                      \
    "is."

enum { OP_SIZE = 1 + 1 + 1 + 1 + 8 + 8 }; /* Of one that is planned. */

static bool parse_type(struct slice text, struct bitfield_op *op)
{
    int64_t bits = 0;
    if (text.len < 2 || (text.data[0] != 'i' && text.data[0] != 'u')) {
        return false;
    }
    op->is_signed = text.data[0] == 'i';
    if (!number_parse_i64(slice_of(text.data + 1, text.len - 1), &bits) || bits < 1 ||
        bits > (op->is_signed ? 64 : 63)) {
        return false;
    }
    op->bits = (unsigned)bits;
    return true;
}

/* A number of bits, or "#" and a number of integers. */
static bool parse_offset(struct slice text, struct bitfield_op *op)
{
    int64_t offset = 0;
    bool counts = text.len > 0 && text.data[0] == '#';
    if (counts) {
        text = slice_of(text.data + 1, text.len - 1);
    }
    if (!number_parse_i64(text, &offset)) {
        return false;
    }
    if (counts) {
        offset = (int64_t)((uint64_t)offset * op->bits);
    }
    op->offset = (uint64_t)offset;
    return offset >= 0 && offset / 8 < KEYSPACE_VALUE_SIZE_MAX &&
           bitfield_end(op) <= KEYSPACE_VALUE_SIZE_MAX;
}

/* OVERFLOW at *at. NULL or an error. */
static const char *parse_overflow(struct args args, size_t *at, enum bitfield_overflow *overflow)
{
    struct slice word = args.argv[++*at];
    if (command_word(word, "wrap")) {
        *overflow = BITFIELD_WRAP;
    } else if (command_word(word, "sat")) {
        *overflow = BITFIELD_SAT;
    } else if (command_word(word, "fail")) {
        *overflow = BITFIELD_FAIL;
    } else {
        return "ERR Invalid OVERFLOW type specified";
    }
    return NULL;
}

/* GET, SET or INCRBY at *at, which is then its last argument. NULL or an error. */
static const char *parse_op(struct args args, size_t *at, struct bitfield_op *op)
{
    struct slice word = args.argv[*at];
    size_t more = args.argc - *at - 1;
    op->value = 0;
    if (command_word(word, "get") && more >= 2) {
        op->action = BITFIELD_GET;
    } else if (command_word(word, "set") && more >= 3) {
        op->action = BITFIELD_SET;
    } else if (command_word(word, "incrby") && more >= 3) {
        op->action = BITFIELD_INCR;
    } else {
        return ERR_SYNTAX;
    }
    if (!parse_type(args.argv[*at + 1], op)) {
        return ERR_BIT_TYPE;
    }
    if (!parse_offset(args.argv[*at + 2], op)) {
        return ERR_BIT_OFFSET;
    }
    *at += 2;
    if (op->action != BITFIELD_GET && !number_parse_i64(args.argv[++*at], &op->value)) {
        return ERR_NOT_INTEGER;
    }
    return NULL;
}

/* Appends what is planned of each. NULL or an error. *writes: one does. */
static const char *parse(struct args args, struct buf *ops, bool *writes)
{
    struct bitfield_op op = {.overflow = BITFIELD_WRAP};
    *writes = false;
    for (size_t i = 2; i < args.argc; i++) {
        if (command_word(args.argv[i], "overflow") && args.argc - i > 1) {
            const char *error = parse_overflow(args, &i, &op.overflow);
            if (error != NULL) {
                return error;
            }
            continue;
        }
        const char *error = parse_op(args, &i, &op);
        if (error != NULL) {
            return error;
        }
        *writes = *writes || op.action != BITFIELD_GET;
        buf_append_u8(ops, (uint8_t)op.action);
        buf_append_u8(ops, (uint8_t)op.overflow);
        buf_append_u8(ops, op.is_signed ? 1 : 0);
        buf_append_u8(ops, (uint8_t)op.bits);
        buf_append_u64(ops, op.offset);
        buf_append_u64(ops, (uint64_t)op.value);
    }
    return NULL;
}

/* Takes the next one off the front; false: it is malformed. */
static bool take_op(struct reader *in, struct bitfield_op *op)
{
    uint8_t action = reader_u8(in);
    uint8_t overflow = reader_u8(in);
    uint8_t is_signed = reader_u8(in);
    op->bits = reader_u8(in);
    op->offset = reader_u64(in);
    op->value = (int64_t)reader_u64(in);
    op->action = (enum bitfield_action)action;
    op->overflow = (enum bitfield_overflow)overflow;
    op->is_signed = is_signed != 0;
    return !in->failed && action <= BITFIELD_INCR && overflow <= BITFIELD_FAIL && op->bits >= 1 &&
           op->bits <= (op->is_signed ? 64U : 63U) && op->offset / 8 < KEYSPACE_VALUE_SIZE_MAX &&
           bitfield_end(op) <= KEYSPACE_VALUE_SIZE_MAX;
}

static enum status load_window(struct call *call,
                               const struct row *row,
                               const struct bitfield_op *op,
                               uint8_t window[BITFIELD_WINDOW_SIZE])
{
    uint64_t at = op->offset / 8;
    uint64_t size = row->found ? row->size : 0;
    memset(window, 0, BITFIELD_WINDOW_SIZE);
    if (at >= size) {
        return STATUS_OK;
    }
    size_t len = size - at < BITFIELD_WINDOW_SIZE ? size - at : BITFIELD_WINDOW_SIZE;
    struct buf *out = txn_scratch(call->txn, SCRATCH_WORK);
    enum status status = keyspace_read(call, row, at, len, out);
    if (status == STATUS_OK) {
        memcpy(window, out->data, len);
    }
    return status;
}

/* All of them read. */
static enum status read_ops(struct call *call, const struct row *row, struct slice ops)
{
    struct reader in = reader_of(ops);
    resp_write_array(call->reply, ops.len / OP_SIZE);
    while (in.rest.len > 0) {
        struct bitfield_op op;
        uint8_t window[BITFIELD_WINDOW_SIZE];
        int64_t answer = 0;
        if (!take_op(&in, &op)) {
            return STATUS_CORRUPT;
        }
        enum status status = load_window(call, row, &op, window);
        if (status != STATUS_OK) {
            return status;
        }
        (void)bitfield_apply(&op, window, &answer);
        resp_write_int(call->reply, answer);
    }
    return STATUS_OK;
}

enum status cmd_bitfield_ro_read(struct call *call)
{
    struct buf *ops = txn_scratch(call->txn, SCRATCH_RESULT);
    bool writes = false;
    const char *error = parse(call->args, ops, &writes);
    struct row row;
    if (error == NULL && writes) {
        error = "ERR BITFIELD_RO only supports the GET subcommand";
    }
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    enum status status =
        keyspace_load_type(call, SLOT_A, call->args.argv[1], KEYSPACE_STRING, &row);
    return status == STATUS_OK ? read_ops(call, &row, buf_slice(ops)) : status;
}

/* A planned BITFIELD: key, operations, each u8 action | u8 overflow | u8 signed | u8 bits |
 * u64 offset | i64 value. */
enum status cmd_bitfield_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct buf ops;
    buf_init(&ops, SIZE_MAX / 2);
    bool writes = false;
    const char *error = parse(input->args, &ops, &writes);
    enum status status = STATUS_OK;
    if (error != NULL) {
        status = planned_refuse(plan, error);
    } else {
        planned_begin(plan, CMD_bitfield, input->db, 1, 2);
        planned_bytes(plan, input->args.argv[1]);
        planned_bytes(plan, buf_slice(&ops));
    }
    buf_deinit(&ops);
    return status;
}

/* What the string has to hold for all that is written; 0: nothing is. */
static bool find_end(struct slice ops, uint64_t *end)
{
    struct reader in = reader_of(ops);
    *end = 0;
    while (in.rest.len > 0) {
        struct bitfield_op op;
        if (!take_op(&in, &op)) {
            return false;
        }
        uint64_t own = op.action == BITFIELD_GET ? 0 : bitfield_end(&op);
        *end = own > *end ? own : *end;
    }
    return true;
}

/* The string is made and as long as it has to be, and raw from then on, as in Redis. */
static enum status prepare(struct call *call, struct row *row, uint64_t end)
{
    bool raw = row->found && (row->flags & KEYSPACE_RAW) != 0;
    if (raw && row->size >= end) {
        return STATUS_OK;
    }
    uint8_t last = 0;
    if (row->found && row->size >= end) {
        struct buf *out = txn_scratch(call->txn, SCRATCH_WORK);
        enum status status = keyspace_read(call, row, end - 1, 1, out);
        if (status != STATUS_OK) {
            return status;
        }
        last = out->data[0];
    }
    enum status status = keyspace_patch(call, row, end - 1, slice_of(&last, 1));
    return status == STATUS_OK ? keyspace_load(call, SLOT_A, call->db, call->args.argv[0], row)
                               : status;
}

/* Writes what of the window the integer touches. */
static enum status patch(struct call *call,
                         struct row *row,
                         const struct bitfield_op *op,
                         const uint8_t window[BITFIELD_WINDOW_SIZE])
{
    uint64_t at = op->offset / 8;
    enum status status = keyspace_patch(call, row, at, slice_of(window, bitfield_end(op) - at));
    return status == STATUS_OK ? keyspace_load(call, SLOT_A, call->db, call->args.argv[0], row)
                               : status;
}

/* *changed: the string is other than it was. */
static enum status do_op(struct call *call,
                         struct row *row,
                         const struct bitfield_op *op,
                         bool *changed)
{
    uint8_t window[BITFIELD_WINDOW_SIZE];
    uint8_t before[BITFIELD_WINDOW_SIZE];
    int64_t answer = 0;
    enum status status = load_window(call, row, op, window);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(before, window, sizeof(before));
    if (!bitfield_apply(op, window, &answer)) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    resp_write_int(call->reply, answer);
    if (memcmp(before, window, sizeof(before)) == 0) {
        return STATUS_OK;
    }
    *changed = true;
    return patch(call, row, op, window);
}

enum status cmd_bitfield_apply(struct call *call)
{
    if (call->args.argc != 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct slice ops = call->args.argv[1];
    struct row row;
    uint64_t end = 0;
    if (!find_end(ops, &end)) {
        return STATUS_CORRUPT;
    }
    enum status status =
        keyspace_load_type(call, SLOT_A, call->args.argv[0], KEYSPACE_STRING, &row);
    if (status != STATUS_OK || end == 0) {
        return status == STATUS_OK ? read_ops(call, &row, ops) : status;
    }
    bool changed = !row.found || row.size < end;
    status = prepare(call, &row, end);
    resp_write_array(call->reply, ops.len / OP_SIZE);
    struct reader in = reader_of(ops);
    while (status == STATUS_OK && in.rest.len > 0) {
        struct bitfield_op op;
        bool taken = take_op(&in, &op);
        assert(taken); /* find_end() looked at it. */
        status = do_op(call, &row, &op, &changed);
    }
    if (changed) {
        event_note(call, EVENT_STRING, "setbit", call->args.argv[0]);
    }
    return status;
}
