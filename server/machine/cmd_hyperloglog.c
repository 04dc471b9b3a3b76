/* PFADD, PFCOUNT, PFMERGE. Semantics: Redis 7.0 hyperloglog.c. */

#include "common/base/assert.h"
#include "server/machine/event.h"
#include "server/machine/hyperloglog.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

#define ERR_NO_HLL "WRONGTYPE Key is not a valid HyperLogLog string value."
#define ERR_CORRUPT_HLL "INVALIDOBJ Corrupted HLL object detected"

enum { HASH_SIZE = 3 }; /* u16 register | u8 value */

/* Looks a key up and appends what it has to *bytes; nothing if it is not there. *refused: with the
 * error replied. */
static enum status load(
    struct call *call, struct slice key, struct row *row, struct buf *bytes, bool *refused)
{
    *refused = false;
    enum status status = keyspace_load_type(call, SLOT_A, key, KEYSPACE_STRING, row);
    if (status != STATUS_OK || !row->found) {
        return status;
    }
    if (row->size > HYPERLOGLOG_SIZE_MAX) {
        struct buf *head = bytes;
        status = keyspace_read(call, row, 0, HYPERLOGLOG_HEADER_SIZE, head);
        bool sparse = status == STATUS_OK && hyperloglog_check(buf_slice(head));
        *refused = status == STATUS_OK;
        resp_write_error(call->reply, sparse ? ERR_CORRUPT_HLL : ERR_NO_HLL);
        return status;
    }
    status = keyspace_read(call, row, 0, row->size, bytes);
    if (status == STATUS_OK && !hyperloglog_check(buf_slice(bytes))) {
        resp_write_error(call->reply, ERR_NO_HLL);
        *refused = true;
    }
    return status;
}

static enum status store(struct call *call, struct row *row, struct buf *bytes)
{
    hyperloglog_forget(bytes);
    uint64_t expire_ms = row->found ? row->expire_ms : 0;
    enum status status = keyspace_set(call, row, buf_slice(bytes), KEYSPACE_RAW, expire_ms);
    event_note(call, EVENT_STRING, "pfadd", call->args.argv[0]);
    return status;
}

/* A planned PFADD: key, and what its elements come to, each HASH_SIZE bytes. */
enum status cmd_pfadd_plan(const struct machine_plan_input *input, struct plan *plan)
{
    size_t count = input->args.argc - 2;
    if (count > UINT32_MAX / HASH_SIZE) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    planned_begin(plan, CMD_pfadd, input->db, 1, 2);
    planned_bytes(plan, input->args.argv[1]);
    buf_append_u32(plan->planned, (uint32_t)(count * HASH_SIZE));
    for (size_t i = 0; i < count; i++) {
        struct hyperloglog_hash hash = hyperloglog_hash(input->args.argv[2 + i]);
        buf_append_u16(plan->planned, hash.index);
        buf_append_u8(plan->planned, hash.value);
    }
    return STATUS_OK;
}

/* *updated: whether anything changed. *corrupt: what it is added to. */
static enum status add_all(struct buf *bytes, struct slice hashes, bool *updated, bool *corrupt)
{
    for (size_t at = 0; at < hashes.len && !*corrupt; at += HASH_SIZE) {
        const uint8_t *from = hashes.data + at;
        struct hyperloglog_hash hash = {.value = from[2]};
        hash.index = (uint16_t)(from[0] | from[1] << 8);
        if (hash.index >= HYPERLOGLOG_REGISTERS || hash.value == 0 || hash.value > 51) {
            return STATUS_CORRUPT;
        }
        bool changed = false;
        *corrupt = !hyperloglog_add(bytes, hash, &changed);
        *updated = *updated || changed;
    }
    return STATUS_OK;
}

enum status cmd_pfadd_apply(struct call *call)
{
    if (call->args.argc != 2 || call->key_count != 1 || call->args.argv[1].len % HASH_SIZE != 0) {
        return STATUS_CORRUPT;
    }
    struct row row;
    struct buf *bytes = txn_scratch(call->txn, SCRATCH_WORK);
    bool refused = false;
    enum status status = load(call, call->args.argv[0], &row, bytes, &refused);
    if (status != STATUS_OK || refused) {
        return status;
    }
    if (!row.found) {
        hyperloglog_init(bytes);
    }
    bool updated = !row.found;
    bool corrupt = false;
    status = add_all(bytes, call->args.argv[1], &updated, &corrupt);
    if (status != STATUS_OK) {
        return status;
    }
    if (corrupt) {
        resp_write_error(call->reply, ERR_CORRUPT_HLL);
        return STATUS_OK;
    }
    resp_write_int(call->reply, updated ? 1 : 0);
    return updated ? store(call, &row, bytes) : STATUS_OK;
}

/* Merges the values of count keys. *dense: one of them is. *refused: with the error replied. */
static enum status merge_keys(struct call *call,
                              struct args keys,
                              uint8_t registers[HYPERLOGLOG_REGISTERS],
                              bool *dense,
                              bool *refused)
{
    *refused = false;
    for (size_t i = 0; i < keys.argc && !*refused; i++) {
        struct row row;
        struct buf *bytes = txn_scratch(call->txn, SCRATCH_WORK);
        enum status status = load(call, keys.argv[i], &row, bytes, refused);
        if (status != STATUS_OK) {
            return status;
        }
        if (!row.found || *refused) {
            continue;
        }
        *dense = *dense || hyperloglog_dense(buf_slice(bytes));
        if (!hyperloglog_merge(buf_slice(bytes), registers)) {
            resp_write_error(call->reply, ERR_CORRUPT_HLL);
            *refused = true;
        }
    }
    return STATUS_OK;
}

/* One key: its own count, if it knows one. */
static enum status count_one(struct call *call, bool *done)
{
    struct row row;
    struct buf *bytes = txn_scratch(call->txn, SCRATCH_WORK);
    uint64_t count = 0;
    enum status status = load(call, call->args.argv[1], &row, bytes, done);
    if (status == STATUS_OK && !*done && row.found && hyperloglog_known(buf_slice(bytes), &count)) {
        resp_write_int(call->reply, (int64_t)count);
        *done = true;
    }
    return status;
}

enum status cmd_pfcount_read(struct call *call)
{
    bool done = false;
    enum status status = call->args.argc == 2 ? count_one(call, &done) : STATUS_OK;
    if (status != STATUS_OK || done) {
        return status;
    }
    uint8_t registers[HYPERLOGLOG_REGISTERS] = {0};
    bool dense = false;
    const struct args keys = {.argv = call->args.argv + 1, .argc = call->args.argc - 1};
    status = merge_keys(call, keys, registers, &dense, &done);
    if (status == STATUS_OK && !done) {
        resp_write_int(call->reply, (int64_t)hyperloglog_count(registers));
    }
    return status;
}

/* A planned PFMERGE: where to, keys. */
enum status cmd_pfmerge_plan(const struct machine_plan_input *input, struct plan *plan)
{
    size_t count = input->args.argc - 1;
    planned_begin(plan, CMD_pfmerge, input->db, count, count);
    for (size_t i = 1; i <= count; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

enum status cmd_pfmerge_apply(struct call *call)
{
    if (call->args.argc < 1 || call->key_count != call->args.argc) {
        return STATUS_CORRUPT;
    }
    uint8_t registers[HYPERLOGLOG_REGISTERS] = {0};
    bool dense = false;
    bool refused = false;
    enum status status = merge_keys(call, call->args, registers, &dense, &refused);
    if (status != STATUS_OK || refused) {
        return status;
    }
    struct row row;
    struct buf *bytes = txn_scratch(call->txn, SCRATCH_WORK);
    status = load(call, call->args.argv[0], &row, bytes, &refused);
    if (status != STATUS_OK) {
        return status;
    }
    assert(!refused);
    if (!row.found) {
        hyperloglog_init(bytes);
    }
    bool sound = !dense || hyperloglog_widen(bytes);
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS && sound; i++) {
        bool changed = false;
        struct hyperloglog_hash hash = {.index = (uint16_t)i, .value = registers[i]};
        sound = registers[i] == 0 || hyperloglog_add(bytes, hash, &changed);
    }
    assert(sound); /* It was merged before. */
    resp_write_ok(call->reply);
    return store(call, &row, bytes);
}
