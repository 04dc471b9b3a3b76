/* SCAN, KEYS, RANDOMKEY: walks over the metadata rows of one database. Semantics of the arguments:
 * Redis 7.0 db.c. */

#include "common/base/assert.h"
#include "common/base/glob.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "server/machine/keyspace.h"
#include "server/machine/recount.h"
#include "server/machine/scan_args.h"

enum {
    SCAN_COUNT_MAX = 10000, /* Rows that one call looks at, about. */
};

/* A walk over the keys of one database in the order of their spots. */
struct walk {
    struct call *call;
    struct store_iter *iter;
    uint64_t spot;
    struct slice key;
    struct row row;
    enum status status;
};

/* Where the walk goes on behind a row that is not a key of the database; false: nowhere. */
static bool skip(const struct keyspace_prefix *at,
                 struct slice row_key,
                 uint8_t db,
                 struct buf *seek)
{
    if (at->db == db && !at->element) {
        /* A chunk: its key's row was before it, so go behind the last version. */
        buf_append(seek, row_key.data, at->size);
        buf_append_u64_be(seek, UINT64_MAX);
        return true;
    }
    /* Elements come behind all keys of their token and database. */
    if (at->db >= db && at->token == UINT64_MAX) {
        return false;
    }
    buf_append_u64_be(seek, at->db < db ? at->token : at->token + 1);
    buf_append_u8(seek, db);
    return true;
}

/* Moves to the first place at or behind where the iterator is that is a live key of the database;
 * false at the end. */
static bool walk_settle(struct walk *walk)
{
    struct call *call = walk->call;
    while (iter_valid(walk->iter)) {
        struct slice row_key = iter_key(walk->iter);
        struct keyspace_prefix at;
        if (!keyspace_parse_prefix(row_key, &at)) {
            walk->status = STATUS_CORRUPT;
            return false;
        }
        if (at.db != call->db || at.element || at.size != row_key.len) {
            struct buf *seek = txn_scratch(call->txn, SCRATCH_INDEX);
            if (!skip(&at, row_key, call->db, seek)) {
                return false;
            }
            iter_seek(walk->iter, buf_slice(seek));
            continue;
        }
        walk->status = keyspace_parse_row(iter_value(walk->iter), &walk->row);
        if (walk->status != STATUS_OK) {
            return false;
        }
        if (!keyspace_expired(&walk->row, call->now_ms)) {
            walk->spot = at.spot;
            walk->key = at.key;
            return true;
        }
        iter_next(walk->iter);
    }
    walk->status = iter_status(walk->iter);
    return false;
}

/* From the first key whose spot is >= spot. */
static bool walk_open(struct walk *walk, struct call *call, uint64_t spot)
{
    *walk = (struct walk){.call = call, .status = STATUS_OK};
    struct buf *from = txn_scratch(call->txn, SCRATCH_KEY_A);
    struct buf *to = txn_scratch(call->txn, SCRATCH_KEY_B);
    if (call->db == 0) {
        buf_append_u64_be(from, spot);
        buf_append_u8(from, 0);
        buf_append_u64_be(to, call->scope.last);
        buf_append_u8(to, UINT8_MAX);
    } else {
        uint64_t token = token_of(call->db, slice_of(NULL, 0));
        buf_append_u64_be(from, token);
        buf_append_u8(from, call->db);
        buf_append_u64_be(from, spot);
        buf_append_u64_be(to, token);
        buf_append_u8(to, (uint8_t)(call->db + 1));
    }
    walk->iter = iter_open(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
    return walk_settle(walk);
}

/* Where a walk over all keys begins. */
static uint64_t first_spot(const struct call *call)
{
    return call->db == 0 ? call->scope.start : 0;
}

static bool walk_next(struct walk *walk)
{
    iter_next(walk->iter);
    return walk_settle(walk);
}

static enum status walk_close(struct walk *walk)
{
    /* Also of a walk that stopped before the end: rows of the engine that were not in memory
     * (AGAIN) are missing between those of the txn. */
    if (walk->status == STATUS_OK) {
        walk->status = iter_status(walk->iter);
    }
    iter_close(walk->iter);
    return walk->status;
}

static bool matches_all(struct slice pattern)
{
    return pattern.len == 1 && pattern.data[0] == '*';
}

enum status cmd_keys_read(struct call *call)
{
    struct slice pattern = call->args.argv[1];
    bool all = matches_all(pattern);
    struct buf *found = txn_scratch(call->txn, SCRATCH_WORK);
    size_t count = 0;
    struct walk walk;
    bool more = walk_open(&walk, call, first_spot(call));
    for (; more; more = walk_next(&walk)) {
        if (all || glob_match(pattern, walk.key)) {
            resp_write_bulk(found, walk.key);
            count++;
        }
    }
    enum status status = walk_close(&walk);
    if (status == STATUS_OK) {
        resp_write_array(call->reply, count);
        buf_append_slice(call->reply, buf_slice(found));
    }
    return status;
}

static bool scan_takes(const struct scan_args *scan, const struct walk *walk)
{
    if (!scan_args_match(scan, walk->key)) {
        return false;
    }
    return !scan->has_type || command_word(scan->type, keyspace_type_name(walk->row.type));
}

/* The cursor is the next spot to look at; all keys of a spot are returned together. */
enum status cmd_scan_read(struct call *call)
{
    struct scan_args scan;
    const char *error = scan_args_cursor(call->args.argv[1], &scan);
    error = error == NULL ? scan_args_options(call->args, 2, &scan) : error;
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    bool elsewhere =
        scan.cursor > call->scope.last || (scan.cursor != 0 && scan.cursor < call->scope.start);
    if (call->db == 0 && elsewhere) {
        return STATUS_NOT_OWNER;
    }
    uint64_t from = scan.cursor > first_spot(call) ? scan.cursor : first_spot(call);
    uint64_t limit = scan.count < SCAN_COUNT_MAX ? scan.count : SCAN_COUNT_MAX;
    struct buf *found = txn_scratch(call->txn, SCRATCH_WORK);
    size_t count = 0;
    uint64_t next = 0;
    uint64_t seen = 0;
    uint64_t last = 0;
    struct walk walk;
    bool more = walk_open(&walk, call, from);
    for (; more; more = walk_next(&walk)) {
        if (seen >= limit && walk.spot != last) {
            next = last + 1;
            break;
        }
        last = walk.spot;
        seen++;
        if (scan_takes(&scan, &walk)) {
            resp_write_bulk(found, walk.key);
            count++;
        }
    }
    enum status status = walk_close(&walk);
    if (status != STATUS_OK) {
        return status;
    }
    scan_args_reply(call->reply, next, count, buf_slice(found));
    return STATUS_OK;
}

/* The first key at or behind the spot. */
static enum status random_from(struct call *call, uint64_t spot, bool *found)
{
    struct walk walk;
    *found = walk_open(&walk, call, spot);
    if (*found) {
        resp_write_bulk(call->reply, walk.key);
    }
    return walk_close(&walk);
}

enum status cmd_randomkey_read(struct call *call)
{
    bool found = false;
    if (call->seen->keys[call->db] == 0 && !recount_active(call->seen)) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    uint64_t span = call->db == 0 ? call->scope.last - call->scope.start : INT64_MAX;
    uint64_t offset = span == UINT64_MAX ? call->seed : call->seed % (span + 1);
    uint64_t spot = first_spot(call) + offset;
    enum status status = random_from(call, spot, &found);
    if (status == STATUS_OK && !found && offset != 0) {
        status = random_from(call, first_spot(call), &found);
    }
    if (status == STATUS_OK && !found) {
        resp_write_null(call->reply);
    }
    return status;
}
