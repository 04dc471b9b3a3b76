/* SCAN, KEYS, RANDOMKEY: walks over the metadata rows of one database. Semantics of the arguments:
 * Redis 7.0 db.c. */

#include "common/base/assert.h"
#include "common/base/glob.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "server/machine/keyspace.h"
#include "server/machine/scan_args.h"

enum {
    SCAN_COUNT_MAX = 10000, /* Rows that one call looks at, about. */
    RANDOM_SPREAD = 128,    /* Keys of one token that it chooses among. */
};

/* A walk over the keys of one database in order of (token, length, bytes). */
struct walk {
    struct call *call;
    struct store_iter *iter;
    uint64_t token;
    struct slice key;
    struct row row;
    enum status status;
};

/* Where the walk goes on behind a row that is not a key's; false: nowhere. */
static bool skip_part(struct slice row_key, uint8_t db, struct buf *seek)
{
    struct reader in = reader_of(row_key);
    uint64_t token = reader_u64_be(&in);
    uint8_t at = reader_u8(&in);
    size_t len = __builtin_bswap32(reader_u32(&in));
    assert(!in.failed);
    if (len != UINT32_MAX) {
        /* A chunk: its key's row was before it, so go behind the last version. */
        len += KEYSPACE_PREFIX_SIZE;
        buf_append(seek, row_key.data, len < row_key.len ? len : row_key.len);
        buf_append_u64_be(seek, UINT64_MAX);
        return true;
    }
    /* Elements come behind all keys of their token and database. */
    if (at >= db && token == UINT64_MAX) {
        return false;
    }
    buf_append_u64_be(seek, at < db ? token : token + 1);
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
        struct buf *seek = txn_scratch(call->txn, SCRATCH_INDEX);
        uint8_t db = 0;
        if (row_key.len < KEYSPACE_PREFIX_SIZE) {
            walk->status = STATUS_CORRUPT;
            return false;
        }
        if (!keyspace_parse_row_key(row_key, &walk->token, &db, &walk->key)) {
            if (!skip_part(row_key, call->db, seek)) {
                return false;
            }
        } else if (db < call->db) {
            buf_append_u64_be(seek, walk->token);
            buf_append_u8(seek, call->db);
        } else if (db > call->db && walk->token == UINT64_MAX) {
            return false;
        } else if (db > call->db) {
            buf_append_u64_be(seek, walk->token + 1);
            buf_append_u8(seek, call->db);
        } else {
            walk->status = keyspace_parse_row(iter_value(walk->iter), &walk->row);
            if (walk->status != STATUS_OK) {
                return false;
            }
            if (!keyspace_expired(&walk->row, call->now_ms)) {
                return true;
            }
            iter_next(walk->iter);
            continue;
        }
        iter_seek(walk->iter, buf_slice(seek));
    }
    walk->status = iter_status(walk->iter);
    return false;
}

/* From the first key whose token is >= token. */
static bool walk_open(struct walk *walk, struct call *call, uint64_t token)
{
    *walk = (struct walk){.call = call, .status = STATUS_OK};
    uint64_t constant = call->db == 0 ? token : token_of(call->db, slice_of(NULL, 0));
    struct buf *from = txn_scratch(call->txn, SCRATCH_KEY_A);
    struct buf *to = txn_scratch(call->txn, SCRATCH_KEY_B);
    buf_append_u64_be(from, constant > token ? constant : token);
    buf_append_u8(from, call->db);
    buf_append_u64_be(to, call->scope.last);
    buf_append_u8(to, UINT8_MAX);
    walk->iter = iter_open(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
    return walk_settle(walk);
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
    bool more = walk_open(&walk, call, call->scope.start);
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

/* The cursor is the next token to look at; all keys of a token are returned together. */
enum status cmd_scan_read(struct call *call)
{
    struct scan_args scan;
    const char *error = scan_args_cursor(call->args.argv[1], &scan);
    error = error == NULL ? scan_args_options(call->args, 2, &scan) : error;
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    if (scan.cursor > call->scope.last || (scan.cursor != 0 && scan.cursor < call->scope.start)) {
        return STATUS_NOT_OWNER;
    }
    uint64_t from = scan.cursor > call->scope.start ? scan.cursor : call->scope.start;
    uint64_t limit = scan.count < SCAN_COUNT_MAX ? scan.count : SCAN_COUNT_MAX;
    struct buf *found = txn_scratch(call->txn, SCRATCH_WORK);
    size_t count = 0;
    uint64_t next = 0;
    uint64_t seen = 0;
    uint64_t last_token = 0;
    struct walk walk;
    bool more = walk_open(&walk, call, from);
    for (; more; more = walk_next(&walk)) {
        if (seen >= limit && walk.token != last_token) {
            next = last_token + 1;
            break;
        }
        last_token = walk.token;
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

/* The first key at or behind the token; skips as many more as there are of the same token. */
static enum status random_from(struct call *call, uint64_t token, uint64_t skip, bool *found)
{
    struct walk walk;
    bool more = walk_open(&walk, call, token);
    *found = more;
    struct buf *key = txn_scratch(call->txn, SCRATCH_WORK);
    for (uint64_t n = 0; more && n <= skip; n++) {
        buf_clear(key);
        buf_append_slice(key, walk.key);
        more = n < skip && walk_next(&walk);
    }
    enum status status = walk_close(&walk);
    if (status == STATUS_OK && *found) {
        resp_write_bulk(call->reply, buf_slice(key));
    }
    return status;
}

enum status cmd_randomkey_read(struct call *call)
{
    uint64_t keys = call->seen->keys[call->db];
    bool found = false;
    if (keys == 0) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    uint64_t span = call->scope.last - call->scope.start;
    uint64_t offset = span == UINT64_MAX ? call->seed : call->seed % (span + 1);
    uint64_t skip = call->db == 0 ? 0 : call->seed % (keys < RANDOM_SPREAD ? keys : RANDOM_SPREAD);
    uint64_t token = call->db == 0 ? call->scope.start + offset : call->scope.start;
    enum status status = random_from(call, token, skip, &found);
    if (status == STATUS_OK && !found && token != call->scope.start) {
        status = random_from(call, call->scope.start, 0, &found);
    }
    if (status == STATUS_OK && !found) {
        resp_write_null(call->reply);
    }
    return status;
}
