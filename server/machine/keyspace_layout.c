/* The bytes of the keyspace's rows: their keys, and what metadata rows begin with. Pure. */

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "server/machine/keyspace.h"

/* In place of a key's length: behind every key. */
static const uint32_t element_mark = UINT32_MAX;

static void append_u32_be(struct buf *buf, uint32_t value)
{
    buf_append_u32(buf, __builtin_bswap32(value));
}

uint64_t keyspace_spot(uint8_t db, struct slice key)
{
    return db == 0 ? token_of(db, key) : hash_bytes(key) >> 1;
}

void keyspace_row_key(uint8_t db, struct slice key, struct buf *out)
{
    assert(db < MACHINE_DATABASES);
    assert(key.len <= UINT32_MAX);
    buf_append_u64_be(out, token_of(db, key));
    buf_append_u8(out, db);
    if (db != 0) {
        buf_append_u64_be(out, keyspace_spot(db, key));
    }
    append_u32_be(out, (uint32_t)key.len);
    buf_append_slice(out, key);
}

bool keyspace_parse_prefix(struct slice row_key, struct keyspace_prefix *prefix)
{
    struct reader in = reader_of(row_key);
    *prefix = (struct keyspace_prefix){.token = reader_u64_be(&in), .db = UINT8_MAX};
    prefix->db = reader_u8(&in);
    struct reader mark = in;
    prefix->element = __builtin_bswap32(reader_u32(&mark)) == element_mark;
    if (prefix->element) {
        return !mark.failed;
    }
    prefix->spot = prefix->db == 0 ? prefix->token : reader_u64_be(&in);
    size_t len = __builtin_bswap32(reader_u32(&in));
    prefix->key = reader_raw(&in, len);
    prefix->size = row_key.len - in.rest.len;
    return !in.failed;
}

bool keyspace_parse_row_key(struct slice row_key, uint64_t *token, uint8_t *db, struct slice *key)
{
    struct keyspace_prefix prefix;
    bool good =
        keyspace_parse_prefix(row_key, &prefix) && !prefix.element && prefix.size == row_key.len;
    *token = prefix.token;
    *db = prefix.db;
    *key = prefix.key;
    return good;
}

/* Metadata row, little endian:
 *   u8 type | u8 flags | u64 expire_ms | u64 version | the string
 * or, if chunked, u64 size | u64 chunk version in place of the string; or, of a collection,
 * u64 born | u64 size | the body. */
enum status keyspace_parse_row(struct slice value, struct row *row)
{
    struct reader in = reader_of(value);
    row->type = reader_u8(&in);
    row->flags = reader_u8(&in);
    row->expire_ms = reader_u64(&in);
    row->version = reader_u64(&in);
    if (in.failed || row->type == 0 || row->type >= KEYSPACE_TYPE_END ||
        (row->flags & ~(unsigned)KEYSPACE_FLAGS) != 0) {
        return STATUS_CORRUPT;
    }
    if (row->type != KEYSPACE_STRING) {
        row->born = reader_u64(&in);
        row->size = reader_u64(&in);
        row->value = in.rest;
        return in.failed || (row->flags & KEYSPACE_CHUNKED) != 0 ? STATUS_CORRUPT : STATUS_OK;
    }
    if ((row->flags & KEYSPACE_CHUNKED) == 0) {
        row->value = in.rest;
        row->size = in.rest.len;
        return STATUS_OK;
    }
    row->size = reader_u64(&in);
    row->chunk_version = reader_u64(&in);
    return reader_done(&in) && row->size <= KEYSPACE_VALUE_SIZE_MAX ? STATUS_OK : STATUS_CORRUPT;
}

void keyspace_row_header(const struct row *row, struct buf *out)
{
    buf_append_u8(out, row->type);
    buf_append_u8(out, row->flags);
    buf_append_u64(out, row->expire_ms);
    buf_append_u64(out, row->version);
    if (row->type != KEYSPACE_STRING) {
        buf_append_u64(out, row->born);
        buf_append_u64(out, row->size);
    }
    if ((row->flags & KEYSPACE_CHUNKED) != 0) {
        buf_append_u64(out, row->size);
        buf_append_u64(out, row->chunk_version);
    }
}

bool keyspace_owns(const struct machine_scope *scope, uint8_t db, struct slice key)
{
    uint64_t token = token_of(db, key);
    return token >= scope->start && token <= scope->last;
}

void keyspace_chunk_key(struct slice row_key, uint64_t version, uint64_t index, struct buf *key)
{
    buf_append_slice(key, row_key);
    buf_append_u64_be(key, version);
    append_u32_be(key, (uint32_t)index);
}

void keyspace_element_key(const struct row *row, struct buf *key)
{
    assert(row->type > KEYSPACE_STRING && row->born > 0);
    buf_clear(key);
    buf_append(key, row->row_key.data, KEYSPACE_PLACE_SIZE);
    append_u32_be(key, element_mark);
    buf_append_u64_be(key, row->born);
}

void keyspace_element_end(const struct row *row, struct buf *key)
{
    struct row next = *row;
    next.born++;
    keyspace_element_key(&next, key);
}

void keyspace_local_key(uint64_t shard, enum keyspace_local kind, struct buf *key)
{
    buf_clear(key);
    buf_append_u64_be(key, shard);
    buf_append_u8(key, (uint8_t)kind);
}

const char *keyspace_type_name(uint8_t type)
{
    static const char *const names[KEYSPACE_TYPE_END] = {
        [KEYSPACE_STRING] = "string", [KEYSPACE_HASH] = "hash", [KEYSPACE_SET] = "set",
        [KEYSPACE_ZSET] = "zset",     [KEYSPACE_LIST] = "list", [KEYSPACE_STREAM] = "stream"};
    assert(type > 0 && type < KEYSPACE_TYPE_END);
    return names[type];
}
