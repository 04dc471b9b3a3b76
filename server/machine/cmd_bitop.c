/* BITOP. Semantics: Redis 7.0 bitops.c. */

#include "common/base/assert.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

enum bitop { BITOP_AND, BITOP_OR, BITOP_XOR, BITOP_NOT, BITOP_COUNT };

/* A planned BITOP: where to, sources, u64 operation. */
enum status cmd_bitop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    static const char *const names[BITOP_COUNT] = {
        [BITOP_AND] = "and", [BITOP_OR] = "or", [BITOP_XOR] = "xor", [BITOP_NOT] = "not"};
    struct args args = input->args;
    size_t op = 0;
    while (op < BITOP_COUNT && !command_word(args.argv[1], names[op])) {
        op++;
    }
    if (op == BITOP_COUNT) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    if (op == BITOP_NOT && args.argc != 4) {
        return planned_refuse(plan, "ERR BITOP NOT must be called with a single source key.");
    }
    size_t keys = args.argc - 2;
    planned_begin(plan, CMD_bitop, input->db, keys, keys + 1);
    for (size_t i = 0; i < keys; i++) {
        planned_bytes(plan, args.argv[2 + i]);
    }
    planned_u64(plan, op);
    return STATUS_OK;
}

/* The size of the longest source. WRONG_TYPE. */
static enum status find_size(struct call *call, uint64_t *size)
{
    *size = 0;
    for (size_t i = 1; i < call->key_count; i++) {
        struct row row;
        enum status status =
            keyspace_load_type(call, SLOT_B, call->args.argv[i], KEYSPACE_STRING, &row);
        if (status != STATUS_OK) {
            return status;
        }
        *size = row.found && row.size > *size ? row.size : *size;
    }
    return STATUS_OK;
}

/* One loop per operation, so that each becomes vector code. */
static void combine(enum bitop op, uint8_t *result, const uint8_t *with, size_t len)
{
    switch (op) {
    case BITOP_AND:
        for (size_t i = 0; i < len; i++) {
            result[i] &= with[i];
        }
        break;
    case BITOP_OR:
        for (size_t i = 0; i < len; i++) {
            result[i] |= with[i];
        }
        break;
    case BITOP_XOR:
        for (size_t i = 0; i < len; i++) {
            result[i] ^= with[i];
        }
        break;
    case BITOP_NOT:
        for (size_t i = 0; i < len; i++) {
            result[i] = (uint8_t)~with[i];
        }
        break;
    case BITOP_COUNT: break;
    }
}

/* Loads bytes offset.. of a source; behind its end are zeros. */
static enum status load_part(
    struct call *call, struct slice key, uint64_t offset, size_t len, struct buf *part)
{
    struct row row;
    enum status status = keyspace_load_type(call, SLOT_B, key, KEYSPACE_STRING, &row);
    if (status == STATUS_OK && row.found && row.size > offset) {
        uint64_t there = row.size - offset < len ? row.size - offset : len;
        status = keyspace_read(call, &row, offset, there, part);
    }
    size_t lacks = len - part->len;
    memset(buf_reserve(part, lacks), 0, lacks);
    part->len = len;
    return status;
}

/* A part of the result into SCRATCH_WORK. */
static enum status compute(
    struct call *call, enum bitop op, uint64_t offset, size_t len, struct buf **result)
{
    *result = txn_scratch(call->txn, SCRATCH_WORK);
    enum status status = load_part(call, call->args.argv[1], offset, len, *result);
    if (op == BITOP_NOT) {
        combine(op, (*result)->data, (*result)->data, len);
    }
    for (size_t i = 2; i < call->key_count && status == STATUS_OK; i++) {
        struct buf *part = txn_scratch(call->txn, SCRATCH_RESULT);
        status = load_part(call, call->args.argv[i], offset, len, part);
        combine(op, (*result)->data, part->data, len);
    }
    return status;
}

/* Chunk by chunk, under a version that no row names yet: the target may be one of the sources. */
static enum status compute_chunks(struct call *call, enum bitop op, struct row *row, uint64_t size)
{
    uint64_t version = call->state->version;
    for (uint64_t at = 0; at < size; at += KEYSPACE_CHUNK_SIZE) {
        struct buf *result = NULL;
        size_t len = size - at < KEYSPACE_CHUNK_SIZE ? size - at : KEYSPACE_CHUNK_SIZE;
        enum status status = compute(call, op, at, len, &result);
        if (status != STATUS_OK) {
            return status;
        }
        keyspace_put_chunks(call, row->row_key, version, at, buf_slice(result));
    }
    return keyspace_set_chunked(call, row, version, size, 0);
}

enum status cmd_bitop_apply(struct call *call)
{
    if (call->key_count < 2 || call->args.argc != call->key_count + 1 ||
        planned_number(call->args.argv[call->key_count]) >= BITOP_COUNT) {
        return STATUS_CORRUPT;
    }
    enum bitop op = (enum bitop)planned_number(call->args.argv[call->key_count]);
    struct slice key = call->args.argv[0];
    uint64_t size = 0;
    struct row row;
    enum status status = find_size(call, &size);
    if (status == STATUS_OK) {
        status = keyspace_load(call, SLOT_A, call->db, key, &row);
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, (int64_t)size);
    if (size == 0) {
        if (row.found) {
            keyspace_delete(call, &row);
            event_note(call, EVENT_GENERIC, "del", key);
        }
        return STATUS_OK;
    }
    if (size > KEYSPACE_INLINE_SIZE_MAX) {
        status = compute_chunks(call, op, &row, size);
    } else {
        struct buf *result = NULL;
        status = compute(call, op, 0, size, &result);
        if (status == STATUS_OK) {
            status = keyspace_set(call, &row, buf_slice(result), KEYSPACE_RAW, 0);
        }
    }
    event_note(call, EVENT_STRING, "set", key);
    return status;
}
