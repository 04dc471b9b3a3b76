#include "replication/log/wal_record.h"

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"

enum { ENTRIES_HEADER_SIZE = 16, LENGTH_AT = 8, TYPE_AT = 12, GROUP_AT = 16 };

static size_t align(size_t size)
{
    return (size + WAL_RECORD_ALIGN - 1) / WAL_RECORD_ALIGN * WAL_RECORD_ALIGN;
}

/* Appends a header without length and returns where the record begins. */
static size_t begin(struct buf *out, enum wal_record_type type, uint64_t group)
{
    size_t start = out->len;
    uint8_t *at = buf_reserve(out, WAL_RECORD_HEADER_SIZE);
    memset(at, 0, WAL_RECORD_HEADER_SIZE);
    at[TYPE_AT] = (uint8_t)type;
    little_put_u64(at + GROUP_AT, group);
    out->len += WAL_RECORD_HEADER_SIZE;
    return start;
}

static void end(struct buf *out, size_t start)
{
    size_t length = out->len - start - WAL_RECORD_HEADER_SIZE;
    assert(length <= WAL_RECORD_PAYLOAD_SIZE_MAX);
    buf_put_u32(out, start + LENGTH_AT, (uint32_t)length);
    size_t padding = align(length) - length;
    memset(buf_reserve(out, WAL_RECORD_ALIGN), 0, padding);
    out->len += padding;
}

void wal_record_append(struct buf *out, const struct wal_record *record)
{
    assert(record->type != WAL_ENTRIES && record->type != WAL_MOVED);
    size_t start = begin(out, record->type, record->group);
    if (record->type == WAL_VOTE || record->type == WAL_STATE) {
        buf_append_u64(out, record->term);
        buf_append_u64(out, record->vote);
    }
    if (record->type != WAL_VOTE && record->type != WAL_DROP) {
        buf_append_u64(out, record->index);
    }
    if (record->type == WAL_RESET || record->type == WAL_STATE) {
        buf_append_u64(out, record->base_term);
        buf_append_slice(out, record->data);
    }
    end(out, start);
}

size_t wal_record_begin(struct buf *out, enum wal_record_type type, uint64_t group, uint64_t first)
{
    assert(type == WAL_ENTRIES || type == WAL_MOVED);
    size_t start = begin(out, type, group);
    uint8_t *at = buf_reserve(out, ENTRIES_HEADER_SIZE);
    little_put_u64(at, first);
    little_put_u64(at + 8, 0);
    out->len += ENTRIES_HEADER_SIZE;
    return start;
}

void wal_record_pack(struct buf *out, const struct wal_entry *entry)
{
    assert(entry->data.len < WAL_RECORD_PAYLOAD_SIZE_MAX);
    uint8_t *at = buf_reserve(out, WAL_RECORD_ENTRY_SIZE + entry->data.len);
    little_put_u64(at, entry->term);
    little_put_u32(at + 8, (uint32_t)entry->data.len);
    little_put_u32(at + 12, entry->type);
    if (entry->data.len > 0) {
        memcpy(at + WAL_RECORD_ENTRY_SIZE, entry->data.data, entry->data.len);
    }
    out->len += WAL_RECORD_ENTRY_SIZE + entry->data.len;
}

void wal_record_end(struct buf *out, size_t start, uint32_t count)
{
    assert(count > 0);
    buf_put_u32(out, start + WAL_RECORD_HEADER_SIZE + 8, count);
    end(out, start);
}

size_t wal_record_size(const uint8_t *record)
{
    return WAL_RECORD_HEADER_SIZE + align(little_u32(record + LENGTH_AT));
}

static uint64_t checksum(const uint8_t *record, uint64_t seed)
{
    size_t size = WAL_RECORD_HEADER_SIZE + little_u32(record + LENGTH_AT);
    return hash_bytes_seeded(slice_of(record + LENGTH_AT, size - LENGTH_AT), seed);
}

void wal_record_seal(uint8_t *record, uint64_t seed)
{
    assert(record[TYPE_AT] > 0 && record[TYPE_AT] < WAL_TYPE_END);
    little_put_u64(record, checksum(record, seed));
}

enum status wal_record_check(struct slice bytes, uint64_t seed, size_t *size)
{
    *size = WAL_RECORD_HEADER_SIZE;
    if (bytes.len < WAL_RECORD_HEADER_SIZE) {
        return STATUS_AGAIN;
    }
    if (little_u32(bytes.data + LENGTH_AT) > WAL_RECORD_PAYLOAD_SIZE_MAX) {
        return STATUS_CORRUPT;
    }
    /* The type is never 0, so that zeros are no record whatever their checksum. */
    if (bytes.data[TYPE_AT] == 0) {
        return STATUS_CORRUPT;
    }
    *size = wal_record_size(bytes.data);
    if (bytes.len < *size) {
        return STATUS_AGAIN;
    }
    return checksum(bytes.data, seed) == little_u64(bytes.data) ? STATUS_OK : STATUS_CORRUPT;
}

bool wal_record_unpack(struct slice *packed, struct wal_entry *entry)
{
    if (packed->len < WAL_RECORD_ENTRY_SIZE) {
        return false;
    }
    size_t len = little_u32(packed->data + 8);
    uint32_t type = little_u32(packed->data + 12);
    if (len > packed->len - WAL_RECORD_ENTRY_SIZE || type > UINT8_MAX) {
        return false;
    }
    entry->term = little_u64(packed->data);
    entry->type = (uint8_t)type;
    entry->data = slice_of(packed->data + WAL_RECORD_ENTRY_SIZE, len);
    size_t size = WAL_RECORD_ENTRY_SIZE + len;
    *packed = slice_of(packed->data + size, packed->len - size);
    return true;
}

/* True if packed is exactly count entries whose indexes do not overflow. */
static bool entries_are_whole(const struct wal_record *record)
{
    struct slice rest = record->data;
    struct wal_entry entry;
    for (uint32_t i = 0; i < record->count; i++) {
        if (!wal_record_unpack(&rest, &entry)) {
            return false;
        }
    }
    bool fits = record->index > 0 && record->index <= UINT64_MAX - record->count;
    return record->count > 0 && rest.len == 0 && fits;
}

void wal_record_peek(const uint8_t *bytes, struct wal_record *record)
{
    *record = (struct wal_record){.type = (enum wal_record_type)bytes[TYPE_AT],
                                  .group = little_u64(bytes + GROUP_AT)};
    size_t length = little_u32(bytes + LENGTH_AT);
    struct reader in = reader_of(slice_of(bytes + WAL_RECORD_HEADER_SIZE, length));
    if (record->type == WAL_VOTE || record->type == WAL_STATE) {
        record->term = reader_u64(&in);
        record->vote = reader_u64(&in);
    }
    if (record->type != WAL_VOTE && record->type != WAL_DROP) {
        record->index = reader_u64(&in);
    }
    if (record->type == WAL_RESET || record->type == WAL_STATE) {
        record->base_term = reader_u64(&in);
    }
    if (record->type == WAL_ENTRIES || record->type == WAL_MOVED) {
        record->count = reader_u32(&in);
        uint32_t zero = reader_u32(&in);
        in.failed |= zero != 0;
    }
    record->data = in.failed ? slice_of(NULL, 0) : in.rest;
    if (in.failed) {
        record->type = WAL_TYPE_END;
    }
}

enum status wal_record_parse(const uint8_t *bytes, struct wal_record *record)
{
    if (bytes[TYPE_AT] >= WAL_TYPE_END) {
        return STATUS_NEWER_FORMAT;
    }
    wal_record_peek(bytes, record);
    bool zero = bytes[TYPE_AT + 1] == 0 && bytes[TYPE_AT + 2] == 0 && bytes[TYPE_AT + 3] == 0;
    if (record->type == WAL_TYPE_END || !zero) {
        return STATUS_CORRUPT;
    }
    bool good = record->data.len == 0;
    if (record->type == WAL_ENTRIES || record->type == WAL_MOVED) {
        good = entries_are_whole(record);
    } else if (record->type == WAL_RESET || record->type == WAL_STATE) {
        good = record->index < UINT64_MAX;
    } else if (record->type == WAL_BATCH) {
        good = good && record->group == 0;
    }
    return good ? STATUS_OK : STATUS_CORRUPT;
}
