#include "replication/log/wal_recovery.h"

#include <inttypes.h>

#include "common/base/assert.h"
#include "common/base/log.h"

enum { READ_SIZE = 4 << 20 };

/* A window of the file that moves forward. */
struct scan {
    struct wal_segment *segment;
    struct wal_index *index;
    struct buf bytes;
    uint64_t start; /* Offset in the file of the first byte in the window. */
    uint64_t limit; /* Nothing is read from here on. */
    uint64_t batch; /* Number of the last batch begun. */
    uint64_t batch_at;
    uint64_t records;
};

static enum status scan_read(struct scan *scan, uint64_t offset, size_t len)
{
    assert(offset + len <= scan->limit);
    buf_clear(&scan->bytes);
    uint8_t *at = buf_reserve(&scan->bytes, len);
    scan->start = offset;
    if (len == 0) {
        return STATUS_OK;
    }
    enum status status = disk_read(scan->segment->file, offset, at, len);
    scan->bytes.len = status == STATUS_OK ? len : 0;
    return status;
}

/* The bytes at offset: at least `needed` of them, unless the limit is nearer. */
static enum status scan_window(struct scan *scan,
                               uint64_t offset,
                               size_t needed,
                               struct slice *bytes)
{
    uint64_t left = scan->limit - offset;
    needed = needed > left ? (size_t)left : needed;
    bool inside = offset >= scan->start && offset + needed <= scan->start + scan->bytes.len;
    if (!inside) {
        size_t len = needed < READ_SIZE ? READ_SIZE : needed;
        len = len > left ? (size_t)left : len;
        enum status status = scan_read(scan, offset, len);
        if (status != STATUS_OK) {
            return status;
        }
    }
    size_t skip = (size_t)(offset - scan->start);
    *bytes = slice_of(scan->bytes.data + skip, scan->bytes.len - skip);
    return STATUS_OK;
}

/* The record at offset. AGAIN: there is none that checks out. */
static enum status scan_record(struct scan *scan,
                               uint64_t offset,
                               struct slice *bytes,
                               size_t *size)
{
    size_t needed = WAL_RECORD_HEADER_SIZE;
    for (int tries = 0; tries < 3; tries++) {
        enum status status = scan_window(scan, offset, needed, bytes);
        if (status != STATUS_OK) {
            return status;
        }
        status = wal_record_check(*bytes, scan->segment->seed, size);
        if (status == STATUS_OK) {
            return STATUS_OK;
        }
        if (status == STATUS_CORRUPT || *size > scan->limit - offset) {
            return STATUS_AGAIN;
        }
        needed = *size;
    }
    return STATUS_AGAIN;
}

static enum status take(struct scan *scan, uint64_t offset, struct slice bytes, size_t size)
{
    struct wal_record record;
    enum status status = wal_record_parse(bytes.data, &record);
    if (status != STATUS_OK) {
        return wal_segment_report(scan->segment->path, offset, "malformed record", status);
    }
    if (record.type == WAL_BATCH) {
        if (record.index != scan->batch + 1) {
            return wal_segment_report(scan->segment->path, offset, "batches out of order",
                                      STATUS_CORRUPT);
        }
        scan->batch = record.index;
        scan->batch_at = offset;
        return STATUS_OK;
    }
    if (offset == WAL_SEGMENT_START) {
        return wal_segment_report(scan->segment->path, offset, "no batch begins here",
                                  STATUS_CORRUPT);
    }
    scan->records++;
    wal_index_apply(scan->index, &record, (uint32_t)scan->segment->header.sequence, offset, size);
    return STATUS_OK;
}

/* Takes records until the limit or the first that does not check out; *end is behind the last. */
static enum status take_all(struct scan *scan, uint64_t *end)
{
    uint64_t offset = WAL_SEGMENT_START;
    enum status status = STATUS_OK;
    while (offset < scan->limit) {
        struct slice bytes;
        size_t size;
        status = scan_record(scan, offset, &bytes, &size);
        if (status == STATUS_OK) {
            status = take(scan, offset, bytes, size);
        }
        if (status != STATUS_OK) {
            break;
        }
        offset += size;
    }
    *end = offset;
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

/* Looks behind offset for the beginning of a batch later than the last one taken. */
static enum status find_later_batch(struct scan *scan, uint64_t offset, bool *found)
{
    *found = false;
    for (; offset + WAL_RECORD_BATCH_SIZE <= scan->limit; offset += WAL_RECORD_ALIGN) {
        struct slice bytes;
        enum status status = scan_window(scan, offset, WAL_RECORD_BATCH_SIZE, &bytes);
        if (status != STATUS_OK) {
            return status;
        }
        if (wal_record_size(bytes.data) != WAL_RECORD_BATCH_SIZE) {
            continue;
        }
        size_t size;
        struct wal_record record;
        if (wal_record_check(bytes, scan->segment->seed, &size) == STATUS_OK &&
            wal_record_parse(bytes.data, &record) == STATUS_OK && record.type == WAL_BATCH &&
            record.index > scan->batch) {
            *found = true;
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

/* Marks the last batch dirty again and syncs it; see the header. */
static enum status rewrite_last_batch(struct scan *scan, uint64_t end)
{
    struct disk_file *file = scan->segment->file;
    uint64_t offset = scan->batch_at;
    while (scan->batch_at != 0 && offset < end) {
        struct slice bytes;
        enum status status = scan_window(scan, offset, WAL_RECORD_ALIGN, &bytes);
        if (status != STATUS_OK) {
            return status;
        }
        size_t len = bytes.len > end - offset ? (size_t)(end - offset) : bytes.len;
        status = disk_write(file, offset, bytes.data, len);
        if (status != STATUS_OK) {
            return status;
        }
        offset += len;
    }
    return disk_sync(file);
}

static enum status replay_newest(struct scan *scan)
{
    uint64_t end;
    enum status status = take_all(scan, &end);
    bool found = false;
    if (status == STATUS_OK) {
        status = find_later_batch(scan, end, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (found) {
        return wal_segment_report(scan->segment->path, end,
                                  "damaged, although a later batch shows that it was synced",
                                  STATUS_CORRUPT);
    }
    scan->segment->end = end;
    return rewrite_last_batch(scan, end);
}

static enum status replay_old(struct scan *scan)
{
    uint64_t end;
    enum status status = take_all(scan, &end);
    if (status == STATUS_OK && end != scan->limit) {
        return wal_segment_report(scan->segment->path, end, "checksum", STATUS_CORRUPT);
    }
    return status;
}

static enum status replay(struct scan *scan, bool newest)
{
    struct wal_segment *segment = scan->segment;
    if (segment->header.batch_first != scan->batch + 1) {
        return wal_segment_report(segment->path, 0, "batches out of order", STATUS_CORRUPT);
    }
    scan->limit = newest ? segment->filled : segment->end;
    scan->batch_at = 0;
    buf_clear(&scan->bytes);
    return newest ? replay_newest(scan) : replay_old(scan);
}

enum status wal_recovery_run(struct wal_pool *pool, struct wal_index *index, uint64_t *batch_last)
{
    struct scan scan = {.index = index};
    buf_init(&scan.bytes, SIZE_MAX / 4);
    if (pool->count > 0) {
        scan.batch = pool->segments[0]->header.batch_first - 1;
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < pool->count && status == STATUS_OK; i++) {
        scan.segment = pool->segments[i];
        scan.start = 0;
        status = replay(&scan, i + 1 == pool->count);
    }
    buf_deinit(&scan.bytes);
    if (status != STATUS_OK) {
        return status;
    }
    wal_index_finish(index);
    *batch_last = scan.batch;
    if (pool->count > 0) {
        log_info("log.recovered",
                 "folder=%s segments=%zu records=%" PRIu64 " groups=%zu end=%" PRIu64, pool->dir,
                 pool->count, scan.records, index->ids.count, wal_pool_newest(pool)->end);
    }
    return STATUS_OK;
}
