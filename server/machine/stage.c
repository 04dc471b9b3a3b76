#include "server/machine/stage.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/proto/frame.h"
#include "server/machine/planned.h"

/* The row: u8 format | u64 version | u64 size | u64 have | u64 time of the last piece | row key.
 * Little endian. */
enum { STAGE_FORMAT = 1 };

static const char gone[] =
    STAGE_MISSING " (the keys were flushed, or it took too long); nothing was changed";

const char *stage_refuse(const struct machine_plan_input *input)
{
    const struct machine_stage *ref = input->stage;
    enum command_id id = input->command->id;
    bool takes =
        id == CMD_set || id == CMD_setnx || id == CMD_getset || id == CMD_setex || id == CMD_psetex;
    if (!takes) {
        return "ERR this command takes no value in pieces";
    }
    if (ref->size <= KEYSPACE_INLINE_SIZE_MAX || ref->size > KEYSPACE_VALUE_SIZE_MAX) {
        return ERR_STRING_SIZE;
    }
    if (!ref->piece) {
        return NULL;
    }
    bool set = input->command->id == CMD_set && input->args.argc == 3;
    size_t len = set ? input->args.argv[2].len : 0;
    bool last = ref->offset < ref->size && len == ref->size - ref->offset;
    bool inside = ref->offset < ref->size && len < ref->size - ref->offset;
    bool whole = ref->offset % KEYSPACE_CHUNK_SIZE == 0 && len > 0 &&
                 (last || (inside && len % KEYSPACE_CHUNK_SIZE == 0));
    return whole ? NULL : "ERR malformed piece of a value";
}

void stage_plan(struct plan *plan, const struct machine_stage *ref)
{
    buf_append_u32(plan->planned, 3 * 8);
    buf_append_u64(plan->planned, ref->id);
    buf_append_u64(plan->planned, ref->size);
    buf_append_u64(plan->planned, ref->offset);
}

enum status stage_read_ref(struct slice arg, struct machine_stage *ref)
{
    struct reader in = reader_of(arg);
    *ref = (struct machine_stage){0};
    ref->id = reader_u64(&in);
    ref->size = reader_u64(&in);
    ref->offset = reader_u64(&in);
    bool good = reader_done(&in) && ref->size > KEYSPACE_INLINE_SIZE_MAX &&
                ref->size <= KEYSPACE_VALUE_SIZE_MAX && ref->offset < ref->size;
    return good ? STATUS_OK : STATUS_CORRUPT;
}

static struct slice stage_key(struct call *call, uint64_t session, uint64_t id)
{
    struct buf *key = txn_scratch(call->txn, SCRATCH_INDEX);
    keyspace_local_key(call->scope.shard, LOCAL_STAGE, key);
    buf_append_u64_be(key, session);
    buf_append_u64_be(key, id);
    return buf_slice(key);
}

static bool parse(struct slice value, struct stage *stage, uint64_t *time_ms, struct slice *row_key)
{
    struct reader in = reader_of(value);
    uint8_t format = reader_u8(&in);
    stage->version = reader_u64(&in);
    stage->ref.size = reader_u64(&in);
    stage->have = reader_u64(&in);
    *time_ms = reader_u64(&in);
    *row_key = in.rest;
    return !in.failed && format == STAGE_FORMAT;
}

static void store(struct call *call, const struct row *row, const struct stage *stage)
{
    struct buf *value = txn_scratch(call->txn, SCRATCH_CHUNK);
    buf_append_u8(value, STAGE_FORMAT);
    buf_append_u64(value, stage->version);
    buf_append_u64(value, stage->ref.size);
    buf_append_u64(value, stage->have);
    buf_append_u64(value, call->now_ms);
    buf_append_slice(value, row->row_key);
    txn_put(call->txn, STORE_LOCAL, stage_key(call, call->session, stage->ref.id),
            buf_slice(value));
}

static bool equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* NOT_FOUND also if the row is there and is about something else. */
static enum status load(struct call *call,
                        const struct row *row,
                        const struct machine_stage *ref,
                        struct stage *stage)
{
    struct buf *value = txn_scratch(call->txn, SCRATCH_CHUNK);
    *stage = (struct stage){.ref = *ref};
    enum status status =
        txn_get(call->txn, STORE_LOCAL, stage_key(call, call->session, ref->id), value);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t time_ms = 0;
    struct slice row_key;
    if (!parse(buf_slice(value), stage, &time_ms, &row_key)) {
        return STATUS_CORRUPT;
    }
    bool same = stage->ref.size == ref->size && equal(row_key, row->row_key);
    return same ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status stage_apply_piece(struct call *call,
                              const struct row *row,
                              const struct machine_stage *ref,
                              struct slice piece)
{
    struct stage stage;
    enum status status = load(call, row, ref, &stage);
    if (status == STATUS_NOT_FOUND && ref->offset == 0) {
        status = stage_sweep(call);
        stage = (struct stage){.ref = *ref, .version = call->state->version};
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    bool fits =
        status == STATUS_OK && stage.have == ref->offset && piece.len <= ref->size - ref->offset;
    if (!fits) {
        resp_write_error(call->reply, gone);
        return STATUS_OK;
    }
    keyspace_put_chunks(call, row->row_key, stage.version, ref->offset, piece);
    stage.have += piece.len;
    store(call, row, &stage);
    resp_write_ok(call->reply);
    return STATUS_OK;
}

enum status stage_find(struct call *call,
                       const struct row *row,
                       const struct machine_stage *ref,
                       struct stage *stage,
                       bool *whole)
{
    enum status status = load(call, row, ref, stage);
    *whole = status == STATUS_OK && stage->have == ref->size;
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    if (!*whole) {
        resp_write_error(call->reply, gone);
    }
    return STATUS_OK;
}

void stage_forget(struct call *call, const struct stage *stage)
{
    txn_delete(call->txn, STORE_LOCAL, stage_key(call, call->session, stage->ref.id));
}

void stage_drop(struct call *call, const struct row *row, const struct stage *stage)
{
    keyspace_drop_chunks(call, row->row_key, stage->version, stage->have);
    stage_forget(call, stage);
}

/* Which stages: those whose last piece came before before_ms, and whose key is in the scope. */
struct stage_choice {
    uint64_t before_ms;
    size_t count; /* At most. */
    uint64_t start, last;
};

static bool chosen(const struct stage_choice *choice, uint64_t time_ms, struct slice row_key)
{
    struct reader in = reader_of(row_key);
    uint64_t token = reader_u64_be(&in);
    return time_ms < choice->before_ms && token >= choice->start && token <= choice->last;
}

/* Appends keys and values. */
static enum status collect(struct txn *txn,
                           uint64_t shard,
                           const struct stage_choice *choice,
                           struct buf *out)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 16);
    buf_init(&to, 16);
    keyspace_local_key(shard, LOCAL_STAGE, &from);
    keyspace_local_key(shard, (enum keyspace_local)(LOCAL_STAGE + 1), &to);
    struct store_iter *iter = iter_open(txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    enum status status = STATUS_OK;
    for (size_t n = 0; iter_valid(iter) && n < choice->count && status == STATUS_OK;
         iter_next(iter)) {
        struct stage stage;
        uint64_t time_ms = 0;
        struct slice row_key;
        if (!parse(iter_value(iter), &stage, &time_ms, &row_key)) {
            status = STATUS_CORRUPT;
        } else if (chosen(choice, time_ms, row_key)) {
            buf_append_bytes(out, iter_key(iter));
            buf_append_bytes(out, iter_value(iter));
            n++;
        }
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return status != STATUS_OK ? status : walked;
}

static enum status drop_some(struct txn *txn, uint64_t shard, const struct stage_choice *choice)
{
    struct call call = {.txn = txn};
    struct buf found;
    buf_init(&found, SIZE_MAX / 2);
    enum status status = collect(txn, shard, choice, &found);
    struct reader in = reader_of(buf_slice(&found));
    while (status == STATUS_OK && in.rest.len > 0) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        struct slice value = reader_bytes(&in, UINT32_MAX);
        struct stage stage;
        uint64_t time_ms = 0;
        struct slice row_key;
        bool good = parse(value, &stage, &time_ms, &row_key);
        assert(good && !in.failed);
        keyspace_drop_chunks(&call, row_key, stage.version, stage.have);
        txn_delete(txn, STORE_LOCAL, key);
    }
    buf_deinit(&found);
    return status;
}

enum status stage_sweep(struct call *call)
{
    struct stage_choice choice = {
        .before_ms = call->now_ms > STAGE_IDLE_MS ? call->now_ms - STAGE_IDLE_MS : 0,
        .count = STAGE_SWEEP_COUNT,
        .last = UINT64_MAX};
    return drop_some(call->txn, call->scope.shard, &choice);
}

enum status stage_drop_all(struct call *call)
{
    struct stage_choice choice = {.before_ms = UINT64_MAX, .count = SIZE_MAX, .last = UINT64_MAX};
    return drop_some(call->txn, call->scope.shard, &choice);
}

enum status stage_drop_scope(struct txn *txn, uint64_t shard, const struct machine_scope *scope)
{
    struct stage_choice choice = {
        .before_ms = UINT64_MAX, .count = SIZE_MAX, .start = scope->start, .last = scope->last};
    return drop_some(txn, shard, &choice);
}
