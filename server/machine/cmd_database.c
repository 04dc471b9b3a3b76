/* MOVE; what a database has here. Semantics of MOVE: Redis 7.0 db.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/cluster/token.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

/* A planned MOVE: key, u64 database to move to. There the key has another token, which apply looks
 * at. */
enum { MOVE_KEY, MOVE_DB, MOVE_ARGC };

enum status cmd_move_plan(const struct machine_plan_input *input, struct plan *plan)
{
    int64_t db = 0;
    if (!number_parse_i64(input->args.argv[2], &db)) {
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
    if (db == input->db) {
        return planned_refuse(plan, "ERR source and destination objects are the same");
    }
    planned_begin(plan, CMD_move, input->db, 1, MOVE_ARGC);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, (uint64_t)db);
    return STATUS_OK;
}

static void note(struct call *call, uint8_t db, const char *name, struct slice key)
{
    uint8_t own = call->db;
    call->db = db;
    event_note(call, EVENT_GENERIC, name, key);
    call->db = own;
}

enum status cmd_move_apply(struct call *call)
{
    if (call->args.argc != MOVE_ARGC || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct slice key = call->args.argv[MOVE_KEY];
    uint64_t number = planned_number(call->args.argv[MOVE_DB]);
    if (number >= MACHINE_DATABASES || number == call->db) {
        return STATUS_CORRUPT;
    }
    uint8_t db = (uint8_t)number;
    if (!keyspace_owns(&call->scope, db, key)) {
        resp_write_errorf(call->reply,
                          "CROSSSLOT databases %u and %u of this key lie on different "
                          "shards",
                          (unsigned)call->db, (unsigned)db);
        return STATUS_OK;
    }
    struct row from;
    struct row to;
    enum status status = keyspace_load(call, SLOT_A, call->db, key, &from);
    if (status == STATUS_OK) {
        status = keyspace_load(call, SLOT_B, db, key, &to);
    }
    if (status != STATUS_OK) {
        return status;
    }
    bool moves = from.found && !to.found;
    if (moves) {
        status = keyspace_move(call, &from, &to);
        note(call, call->db, "move_from", key);
        note(call, db, "move_to", key);
    }
    resp_write_int(call->reply, moves ? 1 : 0);
    return status;
}

/* Approximate bytes on disk of a co-located database. */
static uint64_t size_of(const struct call *call, uint8_t db)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    uint64_t token = token_of(db, slice_of(NULL, 0));
    buf_append_u64_be(from, token);
    buf_append_u8(from, db);
    buf_append_u64_be(to, token);
    buf_append_u8(to, (uint8_t)(db + 1));
    return txn_size(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

static bool lies_here(const struct call *call, unsigned db)
{
    return db == 0 || keyspace_owns(&call->scope, (uint8_t)db, slice_of(NULL, 0));
}

static void measure(const struct call *call, uint64_t sizes[MACHINE_DATABASES])
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    machine_range(call->scope, STORE_DATA, from, to);
    uint64_t rest = txn_size(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
    for (unsigned db = 1; db < MACHINE_DATABASES; db++) {
        sizes[db] = lies_here(call, db) ? size_of(call, (uint8_t)db) : 0;
        rest -= sizes[db] < rest ? sizes[db] : rest;
    }
    sizes[0] = rest;
}

/* USAGE [BYTES]: [[shard, database, keys, keys that expire, bytes, operations per second]], of the
 * databases that lie here. Bytes are asked of the engine, which may take long; without the word
 * they are 0. */
enum status cmd_usage_read(struct call *call)
{
    enum { USAGE_COLUMNS = 6 };
    uint64_t sizes[MACHINE_DATABASES] = {0};
    if (call->args.argc > 1) {
        if (txn_cache_only(call->txn)) {
            return STATUS_AGAIN;
        }
        measure(call, sizes);
    }
    size_t count = 0;
    for (unsigned db = 0; db < MACHINE_DATABASES; db++) {
        count += lies_here(call, db) ? 1 : 0;
    }
    resp_write_array(call->reply, count);
    for (unsigned db = 0; db < MACHINE_DATABASES; db++) {
        if (!lies_here(call, db)) {
            continue;
        }
        resp_write_array(call->reply, USAGE_COLUMNS);
        resp_write_int(call->reply, (int64_t)call->scope.shard);
        resp_write_int(call->reply, db);
        resp_write_int(call->reply, (int64_t)call->seen->keys[db]);
        resp_write_int(call->reply, (int64_t)call->seen->expires[db]);
        resp_write_int(call->reply, (int64_t)sizes[db]);
        uint64_t ops = call->load == NULL ? 0 : call->load->ops_per_second[db];
        resp_write_int(call->reply, (int64_t)ops);
    }
    return STATUS_OK;
}
