#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "server/machine/adopt.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"
#include "server/machine/stage.h"

/* A planned ADOPT: u64 version that the shard's is lifted to, u64 1 if the shard is emptied first,
 * rows. Replies with the number of keys that came to be. */
enum { ADOPT_VERSION, ADOPT_EMPTY, ADOPT_ROWS, ADOPT_ARGC };

/* Takes the next row; false at the end, or if it is malformed. */
static bool next(struct reader *in, struct slice *key, struct slice *value)
{
    if (in->failed || in->rest.len == 0) {
        return false;
    }
    *key = reader_bytes(in, UINT32_MAX);
    *value = reader_bytes(in, UINT32_MAX);
    return !in->failed;
}

/* A key of one database, and, if it is a metadata row's, such a value under the key's own token. */
static bool well_formed(struct slice row_key, struct slice value)
{
    struct keyspace_prefix prefix;
    struct row row = {0};
    if (!keyspace_parse_prefix(row_key, &prefix) || prefix.db >= MACHINE_DATABASES) {
        return false;
    }
    if (prefix.element) {
        return true;
    }
    const struct machine_scope one = {.start = prefix.token, .last = prefix.token};
    bool key = prefix.key.len <= KEYSPACE_KEY_SIZE_MAX &&
               keyspace_owns(&one, prefix.db, prefix.key) &&
               prefix.spot == keyspace_spot(prefix.db, prefix.key);
    return key && (prefix.size < row_key.len || keyspace_parse_row(value, &row) == STATUS_OK);
}

enum status cmd_adopt_plan(const struct machine_plan_input *input, struct plan *plan)
{
    const struct slice *argv = input->args.argv;
    int64_t version = 0;
    int64_t empty = 0;
    if (!number_parse_i64(argv[1], &version) || version < 0 || !number_parse_i64(argv[2], &empty)) {
        return planned_refuse(plan, ERR_NOT_INTEGER);
    }
    struct reader in = reader_of(argv[3]);
    struct slice key;
    struct slice value;
    bool good = true;
    while (good && next(&in, &key, &value)) {
        good = well_formed(key, value);
    }
    if (!good || !reader_done(&in)) {
        return planned_refuse(plan, "ERR malformed rows");
    }
    planned_begin(plan, CMD_adopt, 0, 0, ADOPT_ARGC);
    planned_u64(plan, (uint64_t)version);
    planned_u64(plan, empty != 0);
    planned_bytes(plan, argv[3]);
    return STATUS_OK;
}

bool adopt_owned(const struct call *call)
{
    if (call->args.argc != ADOPT_ARGC) {
        return true; /* Apply says what is wrong with it. */
    }
    struct reader in = reader_of(call->args.argv[ADOPT_ROWS]);
    struct slice key;
    struct slice value;
    while (next(&in, &key, &value)) {
        struct keyspace_prefix prefix;
        bool parsed = keyspace_parse_prefix(key, &prefix);
        if (parsed && (prefix.token < call->scope.start || prefix.token > call->scope.last)) {
            return false;
        }
    }
    return true;
}

/* All keys go, and with them what is left of removed and unfinished values: their versions may be
 * those of what comes. */
static enum status empty_shard(struct call *call)
{
    enum status status = stage_drop_all(call);
    if (status != STATUS_OK) {
        return status;
    }
    keyspace_flush(call, 0, true);
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    keyspace_local_key(call->scope.shard, LOCAL_GARBAGE, from);
    keyspace_local_key(call->scope.shard, (enum keyspace_local)(LOCAL_GARBAGE + 1), to);
    txn_delete_range(call->txn, STORE_LOCAL, buf_slice(from), buf_slice(to));
    call->state->garbage = 0;
    return STATUS_OK;
}

static enum status adopt_row(struct call *call, struct slice key, struct slice value, int64_t *keys)
{
    struct keyspace_prefix prefix;
    if (!keyspace_parse_prefix(key, &prefix)) {
        return STATUS_CORRUPT;
    }
    if (prefix.element || prefix.size < key.len) {
        txn_put(call->txn, STORE_DATA, key, value);
        return STATUS_OK;
    }
    bool added = false;
    enum status status = keyspace_adopt(call, prefix.db, prefix.key, value, &added);
    *keys += added ? 1 : 0;
    return status;
}

enum status cmd_adopt_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != ADOPT_ARGC || call->key_count != 0) {
        return STATUS_CORRUPT;
    }
    enum status status = planned_number(argv[ADOPT_EMPTY]) != 0 ? empty_shard(call) : STATUS_OK;
    uint64_t version = planned_number(argv[ADOPT_VERSION]);
    if (call->state->version < version) {
        call->state->version = version;
    }
    struct reader in = reader_of(argv[ADOPT_ROWS]);
    struct slice key;
    struct slice value;
    int64_t keys = 0;
    while (status == STATUS_OK && next(&in, &key, &value)) {
        status = adopt_row(call, key, value, &keys);
    }
    if (status == STATUS_OK && !reader_done(&in)) {
        status = STATUS_CORRUPT;
    }
    resp_write_int(call->reply, keys);
    return status;
}
