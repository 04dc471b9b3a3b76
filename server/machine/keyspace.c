#include "server/machine/keyspace.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "server/machine/event.h"
#include "server/machine/garbage.h"
#include "server/machine/recount.h"

enum { COPY_STEP_SIZE = 1024 * 1024 }; /* Elements that are copied at once, bytes. */

static struct slice expiry_key(struct txn *txn,
                               uint64_t shard,
                               uint64_t expire_ms,
                               struct slice row_key)
{
    struct buf *key = txn_scratch(txn, SCRATCH_INDEX);
    keyspace_local_key(shard, LOCAL_EXPIRY, key);
    buf_append_u64_be(key, expire_ms);
    buf_append_slice(key, row_key);
    return buf_slice(key);
}

void keyspace_index_expiry(struct txn *txn,
                           uint64_t shard,
                           uint64_t expire_ms,
                           struct slice row_key)
{
    struct slice nothing = slice_of("", 0);
    txn_put(txn, STORE_LOCAL, expiry_key(txn, shard, expire_ms, row_key), nothing);
}

void keyspace_unindex_expiry(struct txn *txn,
                             uint64_t shard,
                             uint64_t expire_ms,
                             struct slice row_key)
{
    txn_delete(txn, STORE_LOCAL, expiry_key(txn, shard, expire_ms, row_key));
}

static void move_expiry(struct call *call, const struct row *row, uint64_t expire_ms)
{
    uint64_t old = row->found ? row->expire_ms : 0;
    if (old == expire_ms) {
        return;
    }
    uint64_t *expires = &call->state->expires[row->db];
    *expires += expire_ms != 0 ? 1 : 0;
    *expires -= old != 0 && *expires > 0 ? 1 : 0;
    recount_note(call, row, 0, (expire_ms != 0) - (old != 0));
    if (old != 0) {
        keyspace_unindex_expiry(call->txn, call->scope.shard, old, row->row_key);
    }
    if (expire_ms == 0) {
        return;
    }
    keyspace_index_expiry(call->txn, call->scope.shard, expire_ms, row->row_key);
    if (call->state->expiry_ms == 0 || expire_ms < call->state->expiry_ms) {
        call->state->expiry_ms = expire_ms;
    }
}

static uint64_t chunk_count(uint64_t size)
{
    return (size + KEYSPACE_CHUNK_SIZE - 1) / KEYSPACE_CHUNK_SIZE;
}

static struct slice chunk_key(struct call *call, const struct row *row, uint64_t index)
{
    struct buf *key = txn_scratch(call->txn, SCRATCH_INDEX);
    keyspace_chunk_key(row->row_key, row->chunk_version, index, key);
    return buf_slice(key);
}

/* Someone may wait for that. */
static void note_ready(struct call *call, const struct row *row)
{
    bool awaited =
        row->type == KEYSPACE_LIST || row->type == KEYSPACE_ZSET || row->type == KEYSPACE_STREAM;
    if (awaited && call->ready != NULL) {
        buf_append_u8(call->ready, row->type);
        buf_append_bytes(call->ready, row->row_key);
    }
}

/* What belongs to the value and is not in the metadata row. */
static void drop_value(struct call *call, const struct row *row)
{
    if (row->found && row->type == KEYSPACE_STREAM) {
        note_ready(call, row); /* Who waits for a group of it is told that it is gone. */
    }
    if (row->found && row->type != KEYSPACE_STRING) {
        garbage_add(call, row);
        return;
    }
    if (!row->found || (row->flags & KEYSPACE_CHUNKED) == 0) {
        return;
    }
    for (uint64_t i = 0; i < chunk_count(row->size); i++) {
        txn_delete(call->txn, STORE_DATA, chunk_key(call, row, i));
    }
}

/* Appends the chunk, which may have less than it stands for; nothing if it is not there. */
static enum status load_chunk(struct call *call,
                              const struct row *row,
                              uint64_t index,
                              struct buf *chunk)
{
    enum status status = txn_get(call->txn, STORE_DATA, chunk_key(call, row, index), chunk);
    if (status == STATUS_OK && chunk->len > KEYSPACE_CHUNK_SIZE) {
        return STATUS_CORRUPT;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void note_row(struct call *call,
                     const struct row *row,
                     enum event_class class,
                     const char *name)
{
    if (call->events == NULL) {
        return;
    }
    uint64_t token = 0;
    uint8_t db = 0;
    struct slice key;
    bool whole = keyspace_parse_row_key(row->row_key, &token, &db, &key);
    assert(whole && db == row->db);
    event_note_in(call, row->db, class, name, key);
}

enum status keyspace_load(
    struct call *call, enum keyspace_slot slot, uint8_t db, struct slice key, struct row *row)
{
    size_t scratch = slot == SLOT_A ? SCRATCH_KEY_A : SCRATCH_KEY_B;
    struct buf *row_key = txn_scratch(call->txn, scratch);
    struct buf *value = txn_scratch(call->txn, scratch + 1);
    *row = (struct row){.db = db};
    keyspace_row_key(db, key, row_key);
    row->row_key = buf_slice(row_key);
    enum status status = txn_get(call->txn, STORE_DATA, row->row_key, value);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    status = keyspace_parse_row(buf_slice(value), row);
    if (status != STATUS_OK) {
        return status;
    }
    row->found = true;
    if (keyspace_expired(row, call->now_ms)) {
        if (call->state != NULL) {
            note_row(call, row, EVENT_EXPIRED, "expired");
            keyspace_delete(call, row);
            return STATUS_OK;
        }
        row->found = false;
    }
    return STATUS_OK;
}

enum status keyspace_load_type(struct call *call,
                               enum keyspace_slot slot,
                               struct slice key,
                               enum keyspace_type type,
                               struct row *row)
{
    enum status status = keyspace_load(call, slot, call->db, key, row);
    return status == STATUS_OK && row->found && row->type != type ? STATUS_WRONG_TYPE : status;
}

/* Writes the row as it is now; value is what is in line. */
static void put_row(struct call *call, const struct row *row, struct slice value)
{
    assert(IMPLIES((row->flags & KEYSPACE_CHUNKED) != 0, value.len == 0));
    struct buf *bytes = txn_scratch(call->txn, SCRATCH_CHUNK);
    keyspace_row_header(row, bytes);
    buf_append_slice(bytes, value);
    txn_put(call->txn, STORE_DATA, row->row_key, buf_slice(bytes));
    note_ready(call, row);
}

/* A key comes to be, if it is not there yet. */
static void enter(struct call *call, struct row *row)
{
    assert(call->state != NULL);
    if (!row->found) {
        row->found = true;
        call->state->keys[row->db]++;
        recount_note(call, row, 1, 0);
        note_row(call, row, EVENT_NEW, "new");
    }
    row->version = call->state->version;
}

void keyspace_begin(struct call *call, struct row *row, enum keyspace_type type)
{
    assert(!row->found);
    row->type = (uint8_t)type;
    row->flags = KEYSPACE_PACKED;
    row->expire_ms = 0;
    row->size = 0;
    row->born = call->state->version;
    row->value = slice_of(NULL, 0);
}

void keyspace_put(struct call *call, struct row *row, uint64_t size, struct slice body)
{
    assert(row->type > KEYSPACE_STRING);
    if (size == 0 && row->type != KEYSPACE_STREAM) {
        row->size = 0;
        if (row->found) {
            keyspace_delete(call, row);
        }
        return;
    }
    enter(call, row);
    row->size = size;
    put_row(call, row, body);
}

enum status keyspace_set(
    struct call *call, struct row *row, struct slice value, unsigned flags, uint64_t expire_ms)
{
    assert(value.len <= KEYSPACE_VALUE_SIZE_MAX);
    move_expiry(call, row, expire_ms);
    drop_value(call, row);
    enter(call, row);
    row->type = KEYSPACE_STRING;
    row->flags = (uint8_t)(flags & ~(unsigned)KEYSPACE_CHUNKED);
    row->expire_ms = expire_ms;
    row->size = value.len;
    if (value.len <= KEYSPACE_INLINE_SIZE_MAX) {
        put_row(call, row, value);
        return STATUS_OK;
    }
    row->flags |= KEYSPACE_CHUNKED;
    row->chunk_version = row->version;
    for (uint64_t i = 0; i < chunk_count(value.len); i++) {
        uint64_t at = i * KEYSPACE_CHUNK_SIZE;
        uint64_t len = value.len - at < KEYSPACE_CHUNK_SIZE ? value.len - at : KEYSPACE_CHUNK_SIZE;
        txn_put(call->txn, STORE_DATA, chunk_key(call, row, i), slice_of(value.data + at, len));
    }
    put_row(call, row, slice_of(NULL, 0));
    return STATUS_OK;
}

void keyspace_put_chunks(
    struct call *call, struct slice row_key, uint64_t version, uint64_t offset, struct slice bytes)
{
    assert(offset % KEYSPACE_CHUNK_SIZE == 0);
    const struct row row = {.row_key = row_key, .chunk_version = version};
    uint64_t first = offset / KEYSPACE_CHUNK_SIZE;
    for (uint64_t i = 0; i < chunk_count(bytes.len); i++) {
        uint64_t at = i * KEYSPACE_CHUNK_SIZE;
        uint64_t len = bytes.len - at < KEYSPACE_CHUNK_SIZE ? bytes.len - at : KEYSPACE_CHUNK_SIZE;
        struct slice key = chunk_key(call, &row, first + i);
        txn_put(call->txn, STORE_DATA, key, slice_of(bytes.data + at, len));
    }
}

void keyspace_drop_chunks(struct call *call, struct slice row_key, uint64_t version, uint64_t size)
{
    const struct row row = {.row_key = row_key,
                            .found = true,
                            .type = KEYSPACE_STRING,
                            .flags = KEYSPACE_CHUNKED,
                            .size = size,
                            .chunk_version = version};
    drop_value(call, &row);
}

enum status keyspace_set_chunked(
    struct call *call, struct row *row, uint64_t version, uint64_t size, uint64_t expire_ms)
{
    assert(size > KEYSPACE_INLINE_SIZE_MAX && size <= KEYSPACE_VALUE_SIZE_MAX);
    move_expiry(call, row, expire_ms);
    drop_value(call, row);
    enter(call, row);
    row->type = KEYSPACE_STRING;
    row->flags = KEYSPACE_CHUNKED;
    row->expire_ms = expire_ms;
    row->size = size;
    row->chunk_version = version;
    put_row(call, row, slice_of(NULL, 0));
    return STATUS_OK;
}

static void append_zeros(struct buf *out, uint64_t len)
{
    if (len > 0) {
        memset(buf_reserve(out, len), 0, len);
        out->len += len;
    }
}

/* Lays bytes over what buf has from offset on. */
static void lay_over(struct buf *buf, uint64_t offset, struct slice bytes)
{
    if (buf->len < offset + bytes.len) {
        append_zeros(buf, offset + bytes.len - buf->len);
    }
    memcpy(buf->data + offset, bytes.data, bytes.len);
}

static enum status patch_chunks(struct call *call,
                                struct row *row,
                                uint64_t offset,
                                struct slice bytes)
{
    uint64_t at = offset;
    uint64_t end = offset + bytes.len;
    while (at < end) {
        uint64_t index = at / KEYSPACE_CHUNK_SIZE;
        uint64_t in_chunk = at % KEYSPACE_CHUNK_SIZE;
        uint64_t room = KEYSPACE_CHUNK_SIZE - in_chunk;
        uint64_t len = end - at < room ? end - at : room;
        struct buf *chunk = txn_scratch(call->txn, SCRATCH_CHUNK);
        enum status status = load_chunk(call, row, index, chunk);
        if (status != STATUS_OK) {
            return status;
        }
        lay_over(chunk, in_chunk, slice_of(bytes.data + (at - offset), len));
        txn_put(call->txn, STORE_DATA, chunk_key(call, row, index), buf_slice(chunk));
        at += len;
    }
    return STATUS_OK;
}

enum status keyspace_patch(struct call *call, struct row *row, uint64_t offset, struct slice bytes)
{
    assert(offset + bytes.len <= KEYSPACE_VALUE_SIZE_MAX);
    uint64_t size = offset + bytes.len > row->size ? offset + bytes.len : row->size;
    bool chunked = row->found && (row->flags & KEYSPACE_CHUNKED) != 0;
    struct slice old = row->found && !chunked ? row->value : slice_of(NULL, 0);
    enter(call, row);
    row->type = KEYSPACE_STRING;
    row->flags = KEYSPACE_RAW;
    row->size = size;
    if (!chunked && size <= KEYSPACE_INLINE_SIZE_MAX) {
        struct buf *value = txn_scratch(call->txn, SCRATCH_CHUNK);
        keyspace_row_header(row, value);
        size_t header = value->len;
        buf_append_slice(value, old);
        append_zeros(value, size - old.len);
        if (bytes.len > 0) {
            memcpy(value->data + header + offset, bytes.data, bytes.len);
        }
        txn_put(call->txn, STORE_DATA, row->row_key, buf_slice(value));
        return STATUS_OK;
    }
    row->flags |= KEYSPACE_CHUNKED;
    if (!chunked) {
        _Static_assert(KEYSPACE_INLINE_SIZE_MAX <= KEYSPACE_CHUNK_SIZE, "it becomes one chunk");
        row->chunk_version = row->version;
        txn_put(call->txn, STORE_DATA, chunk_key(call, row, 0), old);
    }
    put_row(call, row, slice_of(NULL, 0));
    return patch_chunks(call, row, offset, bytes);
}

enum status keyspace_set_expire(struct call *call, struct row *row, uint64_t expire_ms)
{
    assert(row->found);
    move_expiry(call, row, expire_ms);
    enter(call, row);
    row->expire_ms = expire_ms;
    put_row(call, row, (row->flags & KEYSPACE_CHUNKED) != 0 ? slice_of(NULL, 0) : row->value);
    return STATUS_OK;
}

void keyspace_delete(struct call *call, struct row *row)
{
    assert(row->found);
    uint64_t *keys = &call->state->keys[row->db];
    assert(*keys > 0 || recount_active(call->state));
    move_expiry(call, row, 0);
    drop_value(call, row);
    txn_delete(call->txn, STORE_DATA, row->row_key);
    *keys -= *keys > 0 ? 1 : 0;
    recount_note(call, row, -1, 0);
    struct slice row_key = row->row_key;
    uint8_t db = row->db;
    *row = (struct row){.row_key = row_key, .db = db};
}

enum status keyspace_adopt(
    struct call *call, uint8_t db, struct slice key, struct slice value, bool *added)
{
    struct row row;
    struct row other = {.db = db};
    enum status status = keyspace_load(call, SLOT_A, db, key, &row);
    if (status == STATUS_OK) {
        status = keyspace_parse_row(value, &other);
    }
    *added = false;
    bool same = row.found && row.version == other.version && row.born == other.born &&
                row.chunk_version == other.chunk_version;
    if (status != STATUS_OK || same) {
        return status;
    }
    if (row.found) {
        keyspace_delete(call, &row);
    }
    move_expiry(call, &row, other.expire_ms);
    *added = true;
    call->state->keys[db]++;
    other.row_key = row.row_key;
    txn_put(call->txn, STORE_DATA, row.row_key, value);
    note_ready(call, &other);
    return STATUS_OK;
}

/* The element rows of from under the version of to. */
static enum status copy_elements(struct call *call, const struct row *from, const struct row *to)
{
    struct buf *lower = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *upper = txn_scratch(call->txn, SCRATCH_TO);
    struct buf *copied = txn_scratch(call->txn, SCRATCH_RESULT);
    struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
    keyspace_element_key(from, lower);
    keyspace_element_end(from, upper);
    size_t prefix = lower->len;
    bool more = true;
    while (more) {
        buf_clear(copied);
        struct store_iter *iter =
            iter_open(call->txn, STORE_DATA, buf_slice(lower), buf_slice(upper));
        for (; iter_valid(iter) && copied->len < COPY_STEP_SIZE; iter_next(iter)) {
            buf_append_bytes(copied, iter_key(iter));
            buf_append_bytes(copied, iter_value(iter));
        }
        more = iter_valid(iter);
        if (more) {
            buf_clear(lower);
            buf_append_slice(lower, iter_key(iter));
        }
        enum status status = iter_status(iter);
        iter_close(iter);
        if (status != STATUS_OK) {
            return status;
        }
        struct reader in = reader_of(buf_slice(copied));
        while (in.rest.len > 0) {
            struct slice old = reader_bytes(&in, UINT32_MAX);
            struct slice value = reader_bytes(&in, UINT32_MAX);
            assert(!in.failed && old.len >= prefix);
            keyspace_element_key(to, key);
            buf_append(key, old.data + prefix, old.len - prefix);
            txn_put(call->txn, STORE_DATA, buf_slice(key), value);
        }
    }
    return STATUS_OK;
}

static enum status copy_chunks(struct call *call, const struct row *from, const struct row *to)
{
    for (uint64_t i = 0; i < chunk_count(from->size); i++) {
        struct buf *chunk = txn_scratch(call->txn, SCRATCH_CHUNK);
        enum status status = load_chunk(call, from, i, chunk);
        if (status != STATUS_OK) {
            return status;
        }
        if (chunk->len > 0) {
            txn_put(call->txn, STORE_DATA, chunk_key(call, to, i), buf_slice(chunk));
        }
    }
    return STATUS_OK;
}

/* All of the metadata row of to but what says where the rest of the value lies. */
static void become(struct call *call, const struct row *from, struct row *to)
{
    move_expiry(call, to, from->expire_ms);
    drop_value(call, to);
    enter(call, to);
    to->type = from->type;
    to->flags = from->flags;
    to->expire_ms = from->expire_ms;
    to->size = from->size;
}

enum status keyspace_copy(struct call *call, const struct row *from, struct row *to)
{
    assert(from->found);
    become(call, from, to);
    to->chunk_version = to->version;
    to->born = to->version;
    enum status status = STATUS_OK;
    if (from->type != KEYSPACE_STRING && (from->flags & KEYSPACE_PACKED) == 0) {
        status = copy_elements(call, from, to);
    } else if ((from->flags & KEYSPACE_CHUNKED) != 0) {
        status = copy_chunks(call, from, to);
    }
    bool chunked = (from->flags & KEYSPACE_CHUNKED) != 0;
    put_row(call, to, chunked ? slice_of(NULL, 0) : from->value);
    return status;
}

enum status keyspace_move(struct call *call, struct row *from, struct row *to)
{
    assert(from->found);
    bool near = memcmp(from->row_key.data, to->row_key.data, KEYSPACE_PLACE_SIZE) == 0;
    if (!near || from->type == KEYSPACE_STRING) {
        enum status status = keyspace_copy(call, from, to);
        if (status == STATUS_OK) {
            keyspace_delete(call, from);
        }
        return status;
    }
    become(call, from, to);
    to->born = from->born;
    put_row(call, to, from->value);
    from->flags |= KEYSPACE_PACKED; /* The elements are not its own any more. */
    keyspace_delete(call, from);
    return STATUS_OK;
}

enum status keyspace_read(
    struct call *call, const struct row *row, uint64_t offset, uint64_t len, struct buf *out)
{
    assert(row->found && offset <= row->size && len <= row->size - offset);
    if ((row->flags & KEYSPACE_CHUNKED) == 0) {
        buf_append(out, row->value.data + offset, len);
        return STATUS_OK;
    }
    if (len > KEYSPACE_FAST_READ_SIZE_MAX && txn_cache_only(call->txn)) {
        return STATUS_AGAIN;
    }
    buf_reserve(out, len); /* At once, instead of growing again and again. */
    uint64_t at = offset;
    while (at < offset + len) {
        uint64_t in_chunk = at % KEYSPACE_CHUNK_SIZE;
        uint64_t room = KEYSPACE_CHUNK_SIZE - in_chunk;
        uint64_t take = offset + len - at < room ? offset + len - at : room;
        struct buf *chunk = txn_scratch(call->txn, SCRATCH_CHUNK);
        enum status status = load_chunk(call, row, at / KEYSPACE_CHUNK_SIZE, chunk);
        if (status != STATUS_OK) {
            return status;
        }
        uint64_t there = chunk->len > in_chunk ? chunk->len - in_chunk : 0;
        there = there < take ? there : take;
        if (there > 0) {
            buf_append(out, chunk->data + in_chunk, there);
        }
        append_zeros(out, take - there);
        at += take;
    }
    return STATUS_OK;
}

enum status keyspace_reply(struct call *call, const struct row *row)
{
    if ((row->flags & KEYSPACE_CHUNKED) == 0) {
        resp_write_bulk(call->reply, row->value);
        return STATUS_OK;
    }
    buf_append_format(call->reply, "$%llu\r\n", (unsigned long long)row->size);
    enum status status = keyspace_read(call, row, 0, row->size, call->reply);
    buf_append(call->reply, "\r\n", 2);
    return status;
}

/* DATA keys from <= key < to where from is (token, db) and to is (token_to, db_to). */
static void delete_tokens(
    struct call *call, uint64_t token, uint8_t db, uint64_t token_to, uint8_t db_to)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_KEY_A);
    struct buf *to = txn_scratch(call->txn, SCRATCH_KEY_B);
    buf_append_u64_be(from, token);
    buf_append_u8(from, db);
    buf_append_u64_be(to, token_to);
    buf_append_u8(to, db_to);
    txn_delete_range(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

/* Database 0 lies at all tokens, and at those few where another database lies that one follows. */
static void flush_sharded(struct call *call)
{
    uint64_t from = call->scope.start;
    while (true) {
        uint64_t stop = call->scope.last;
        bool shared = false;
        for (uint8_t db = 1; db < MACHINE_DATABASES; db++) {
            uint64_t token = token_of(db, slice_of(NULL, 0));
            if (token >= from && token <= stop) {
                stop = token;
                shared = true;
            }
        }
        delete_tokens(call, from, 0, stop, 1);
        if (!shared || stop == call->scope.last) {
            return;
        }
        from = stop + 1;
    }
}

void keyspace_flush(struct call *call, uint8_t db, bool all)
{
    if (call->ready != NULL) {
        buf_append_u8(call->ready, KEYSPACE_ANY);
        buf_append_bytes(call->ready, slice_of(NULL, 0));
    }
    struct machine_state *state = call->state;
    uint64_t others = 0;
    for (uint8_t i = 0; i < MACHINE_DATABASES; i++) {
        others += i == db ? 0 : state->keys[i];
    }
    /* An estimate of nothing may be wrong. */
    others += db != 0 && recount_active(state) ? 1 : 0;
    if (all || others == 0) {
        delete_tokens(call, call->scope.start, 0, call->scope.last, UINT8_MAX);
        memset(state->keys, 0, sizeof(state->keys));
        memset(state->expires, 0, sizeof(state->expires));
    } else if (db == 0) {
        flush_sharded(call);
    } else if (state->keys[db] > 0) {
        uint64_t token = token_of(db, slice_of(NULL, 0));
        delete_tokens(call, token, db, token, (uint8_t)(db + 1));
    }
    state->keys[db] = 0;
    state->expires[db] = 0;
    if (db == 0 || all) {
        recount_flushed(call, all || others == 0);
    }
    if (!all && others > 0) {
        return; /* Index rows whose key is gone are dropped when their time comes. */
    }
    struct buf *from = txn_scratch(call->txn, SCRATCH_KEY_A);
    struct buf *to = txn_scratch(call->txn, SCRATCH_KEY_B);
    keyspace_local_key(call->scope.shard, LOCAL_EXPIRY, from);
    keyspace_local_key(call->scope.shard, (enum keyspace_local)(LOCAL_EXPIRY + 1), to);
    txn_delete_range(call->txn, STORE_LOCAL, buf_slice(from), buf_slice(to));
    state->expiry_ms = 0;
}

/* Appends the row keys of at most count expired keys, each with its length before it and behind
 * its expiry. */
static enum status collect_expired(struct call *call, size_t count, struct buf *out)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_KEY_A);
    struct buf *to = txn_scratch(call->txn, SCRATCH_KEY_B);
    keyspace_local_key(call->scope.shard, LOCAL_EXPIRY, from);
    keyspace_local_key(call->scope.shard, (enum keyspace_local)(LOCAL_EXPIRY + 1), to);
    struct store_iter *iter = iter_open(call->txn, STORE_LOCAL, buf_slice(from), buf_slice(to));
    uint64_t next_ms = 0;
    enum status status = STATUS_OK;
    for (size_t n = 0; iter_valid(iter) && status == STATUS_OK; n++) {
        struct reader in = reader_of(iter_key(iter));
        (void)reader_raw(&in, from->len);
        uint64_t expire_ms = reader_u64_be(&in);
        if (in.failed) {
            status = STATUS_CORRUPT;
        } else if (n == count || expire_ms >= call->now_ms) {
            next_ms = expire_ms;
            break;
        }
        buf_append_u64(out, expire_ms);
        buf_append_bytes(out, in.rest);
        iter_next(iter);
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    call->state->expiry_ms = next_ms;
    return status != STATUS_OK ? status : walked;
}

/* The index may name a key that was flushed, or made again since, or that went to another shard
 * when this one was split. */
static enum status remove_expired(struct call *call, uint64_t expire_ms, struct slice row_key)
{
    uint64_t token = 0;
    struct slice key;
    struct row row = {.row_key = row_key};
    if (!keyspace_parse_row_key(row_key, &token, &row.db, &key) || row.db >= MACHINE_DATABASES) {
        return STATUS_CORRUPT;
    }
    if (token < call->scope.start || token > call->scope.last) {
        keyspace_unindex_expiry(call->txn, call->scope.shard, expire_ms, row_key);
        return STATUS_OK;
    }
    struct buf *value = txn_scratch(call->txn, SCRATCH_VALUE_A);
    enum status status = txn_get(call->txn, STORE_DATA, row_key, value);
    if (status == STATUS_OK) {
        status = keyspace_parse_row(buf_slice(value), &row);
        row.found = true;
    }
    if (status == STATUS_OK && row.expire_ms == expire_ms) {
        note_row(call, &row, EVENT_EXPIRED, "expired");
        keyspace_delete(call, &row);
        return STATUS_OK;
    }
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        keyspace_unindex_expiry(call->txn, call->scope.shard, expire_ms, row_key);
        return STATUS_OK;
    }
    return status;
}

enum status keyspace_expire(struct call *call, size_t count)
{
    struct buf *expired = txn_scratch(call->txn, SCRATCH_WORK);
    enum status status = collect_expired(call, count, expired);
    struct reader in = reader_of(buf_slice(expired));
    while (status == STATUS_OK && in.rest.len > 0) {
        uint64_t expire_ms = reader_u64(&in);
        struct slice row_key = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        status = remove_expired(call, expire_ms, row_key);
    }
    return status;
}
