#include "replication/log/wal_segment.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/reader.h"

enum { FILL_SIZE = 8 << 20, CHECKSUM_AT = 48 };

static const char magic[8] = "SHERDLOG";

void wal_segment_encode(const struct wal_header *header, uint8_t bytes[WAL_SEGMENT_HEADER_SIZE])
{
    struct buf out;
    buf_init(&out, 64);
    buf_append(&out, magic, sizeof(magic));
    buf_append_u32(&out, WAL_SEGMENT_FORMAT);
    buf_append_u32(&out, 0);
    buf_append_u64(&out, header->sequence);
    buf_append_u64(&out, header->salt);
    buf_append_u64(&out, header->previous_end);
    buf_append_u64(&out, header->batch_first);
    assert(out.len == CHECKSUM_AT);
    buf_append_u64(&out, hash_bytes_seeded(buf_slice(&out), header->sequence));
    memcpy(bytes, out.data, WAL_SEGMENT_HEADER_SIZE);
    buf_deinit(&out);
}

enum status wal_segment_decode(const uint8_t bytes[WAL_SEGMENT_HEADER_SIZE],
                               struct wal_header *header)
{
    struct reader in = reader_of(slice_of(bytes, WAL_SEGMENT_HEADER_SIZE));
    struct slice name = reader_raw(&in, sizeof(magic));
    uint32_t format = reader_u32(&in);
    uint32_t zero = reader_u32(&in);
    struct wal_header got = {.sequence = reader_u64(&in)};
    got.salt = reader_u64(&in);
    got.previous_end = reader_u64(&in);
    got.batch_first = reader_u64(&in);
    uint64_t checksum = reader_u64(&in);
    assert(reader_done(&in));
    if (!slice_equal(name, slice_of(magic, sizeof(magic))) ||
        checksum != hash_bytes_seeded(slice_of(bytes, CHECKSUM_AT), got.sequence)) {
        return STATUS_CORRUPT;
    }
    if (format > WAL_SEGMENT_FORMAT) {
        return STATUS_NEWER_FORMAT;
    }
    if (format != WAL_SEGMENT_FORMAT || zero != 0 || got.sequence == 0) {
        return STATUS_CORRUPT;
    }
    *header = got;
    return STATUS_OK;
}

uint64_t wal_segment_seed(const struct wal_header *header)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(header->salt >> (8 * i));
    }
    return hash_bytes_seeded(slice_of(bytes, sizeof(bytes)), header->sequence);
}

enum status wal_segment_report(const char *path,
                               uint64_t offset,
                               const char *what,
                               enum status status)
{
    if (status == STATUS_NEWER_FORMAT) {
        log_error("log.newer_format",
                  "file=%s offset=%" PRIu64
                  " reason=\"%s\" action=\"start this node with the "
                  "version that wrote the file, or a later one; nothing was changed\"",
                  path, offset, what);
        return status;
    }
    log_error("log.corrupt",
              "file=%s offset=%" PRIu64
              " reason=\"%s\" action=\"the disk returned other bytes than "
              "were written: check the disk, keep a copy of the data folder, then remove this node "
              "from the cluster and let it join again with an empty folder; do not delete or edit "
              "single files, that would lose acknowledged writes\"",
              path, offset, what);
    return status;
}

static struct wal_segment *segment_new(const char *path, struct disk_file *file)
{
    struct wal_segment *segment = calloc(1, sizeof(*segment));
    assert(segment != NULL);
    segment->file = file;
    wal_segment_set_path(segment, path);
    return segment;
}

void wal_segment_set_path(struct wal_segment *segment, const char *path)
{
    free(segment->path);
    segment->path = strdup(path);
    assert(segment->path != NULL);
}

void wal_segment_close(struct wal_segment *segment)
{
    assert(segment->pins == 0);
    disk_close(segment->file);
    free(segment->path);
    free(segment);
}

static enum status read_header(struct wal_segment *segment, uint64_t sequence)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_SIZE];
    enum status status = disk_size(segment->file, &segment->filled);
    if (status != STATUS_OK) {
        return status;
    }
    if (segment->filled < WAL_SEGMENT_START) {
        return wal_segment_report(segment->path, 0, "the file is too short", STATUS_CORRUPT);
    }
    status = disk_read(segment->file, 0, bytes, sizeof(bytes));
    if (status != STATUS_OK) {
        return status;
    }
    status = wal_segment_decode(bytes, &segment->header);
    if (status != STATUS_OK) {
        return wal_segment_report(segment->path, 0, "segment header", status);
    }
    if (segment->header.sequence != sequence) {
        return wal_segment_report(segment->path, 0, "sequence number differs from the file's name",
                                  STATUS_CORRUPT);
    }
    segment->seed = wal_segment_seed(&segment->header);
    segment->size_max = segment->filled;
    return STATUS_OK;
}

enum status wal_segment_open(const char *path, uint64_t sequence, struct wal_segment **segment)
{
    struct disk_file *file;
    enum status status = disk_open(path, DISK_WRITE, &file);
    if (status != STATUS_OK) {
        return status;
    }
    struct wal_segment *opened = segment_new(path, file);
    status = read_header(opened, sequence);
    if (status != STATUS_OK) {
        wal_segment_close(opened);
        return status;
    }
    *segment = opened;
    return STATUS_OK;
}

static enum status write_header(struct wal_segment *segment)
{
    uint8_t page[WAL_SEGMENT_START] = {0};
    wal_segment_encode(&segment->header, page);
    enum status status = wal_segment_write(segment, 0, page, sizeof(page));
    return status == STATUS_OK ? disk_sync(segment->file) : status;
}

enum status wal_segment_make(const char *path,
                             const struct wal_header *header,
                             uint64_t size_max,
                             struct wal_segment **segment)
{
    assert(size_max % WAL_SEGMENT_PAGE_SIZE == 0);
    assert(header->sequence > 0 && header->sequence < UINT32_MAX);
    struct disk_file *file;
    enum status status = disk_open(path, disk_exists(path) ? DISK_WRITE : DISK_CREATE, &file);
    if (status != STATUS_OK) {
        return status;
    }
    disk_set_direct(file);
    struct wal_segment *made = segment_new(path, file);
    made->header = *header;
    made->seed = wal_segment_seed(header);
    made->size_max = size_max;
    made->end = WAL_SEGMENT_START;
    status = disk_size(file, &made->filled);
    if (status == STATUS_OK) {
        status = write_header(made);
    }
    if (status != STATUS_OK) {
        wal_segment_close(made);
        return status;
    }
    *segment = made;
    return STATUS_OK;
}

enum status wal_segment_write(struct wal_segment *segment,
                              uint64_t offset,
                              const uint8_t *data,
                              size_t len)
{
    uint64_t end = offset + len;
    assert(len > 0 && end <= segment->size_max);
    /* A write as large as a step of filling grows the file itself: zeros first would double it. */
    if (end > segment->filled && len < FILL_SIZE) {
        uint64_t size = segment->filled + FILL_SIZE;
        size = size < end ? end : size;
        size = size > segment->size_max ? segment->size_max : size;
        enum status status = disk_fill(segment->file, size);
        if (status != STATUS_OK) {
            return status;
        }
        segment->filled = size;
    }
    segment->filled = segment->filled < end ? end : segment->filled;
    return disk_write(segment->file, offset, data, len);
}

enum status wal_segment_read(struct wal_segment *segment,
                             uint64_t offset,
                             size_t size,
                             struct buf *bytes,
                             struct wal_record *record)
{
    assert(bytes->len == 0);
    uint8_t *at = buf_reserve(bytes, size);
    enum status status = disk_read(segment->file, offset, at, size);
    if (status == STATUS_NOT_FOUND) {
        return wal_segment_report(segment->path, offset, "the file ends early", STATUS_CORRUPT);
    }
    if (status != STATUS_OK) {
        return status;
    }
    bytes->len = size;
    size_t whole = 0;
    status = wal_record_check(buf_slice(bytes), segment->seed, &whole);
    if (status != STATUS_OK || whole != size) {
        return wal_segment_report(segment->path, offset, "checksum", STATUS_CORRUPT);
    }
    status = wal_record_parse(at, record);
    if (status != STATUS_OK) {
        return wal_segment_report(segment->path, offset, "malformed record", status);
    }
    return STATUS_OK;
}
