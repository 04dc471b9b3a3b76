#include "replication/log/wal_writer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"

enum {
    APPLY_COUNT_MAX = 64, /* Records taken into the index under one lock. */
};

/* A place in the list of chunks. */
struct cursor {
    struct wal_chunk *chunk;
    size_t at;
};

/* The record at the cursor, or NULL at the end. */
static uint8_t *cursor_record(struct cursor *cursor)
{
    while (cursor->chunk != NULL && cursor->at == cursor->chunk->bytes.len) {
        cursor->chunk = cursor->chunk->next;
        cursor->at = 0;
    }
    return cursor->chunk == NULL ? NULL : cursor->chunk->bytes.data + cursor->at;
}

static bool is_on_disk(const uint8_t *record)
{
    enum { TYPE_AT = 12 };
    return record[TYPE_AT] < WAL_TYPE_END;
}

void wal_writer_init(struct wal_writer *writer, uint64_t batch)
{
    writer->batch = batch;
    writer->stage = aligned_alloc(WAL_SEGMENT_PAGE_SIZE, WAL_WRITER_STAGE_SIZE);
    assert(writer->stage != NULL);
}

void wal_writer_deinit(struct wal_writer *writer)
{
    free(writer->stage);
    writer->stage = NULL;
}

void wal_writer_require(const struct wal_writer *writer, enum status status, const char *what)
{
    if (status == STATUS_OK) {
        return;
    }
    log_error(
        "log.failed",
        "folder=%s step=%s status=\"%s\" action=\"the process ends now, since what is on disk "
        "is unknown after a failure: free space or repair the disk, then start it again\"",
        writer->pool->dir, what, status_text(status));
    abort();
}

static void flush(struct wal_writer *writer)
{
    assert(writer->stage_len > 0 && writer->stage_len % WAL_SEGMENT_PAGE_SIZE == 0);
    assert(writer->offset % WAL_SEGMENT_PAGE_SIZE == 0);
    enum status status = wal_segment_write(wal_pool_newest(writer->pool), writer->offset,
                                           writer->stage, writer->stage_len);
    wal_writer_require(writer, status, "write");
    writer->bytes_written += writer->stage_len;
}

static void put(struct wal_writer *writer, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t room = WAL_WRITER_STAGE_SIZE - writer->stage_len;
        size_t part = len < room ? len : room;
        memcpy(writer->stage + writer->stage_len, data, part);
        writer->stage_len += part;
        data += part;
        len -= part;
        if (writer->stage_len == WAL_WRITER_STAGE_SIZE) {
            flush(writer);
            writer->offset += writer->stage_len;
            writer->stage_len = 0;
        }
    }
}

/* The stage goes on where the last batch ended: in the middle of a page whose beginning is in the
 * stage from then, or at the start of a new segment. */
static void begin_batch(struct wal_writer *writer)
{
    uint64_t end = wal_pool_newest(writer->pool)->end;
    if (end == WAL_SEGMENT_START) {
        writer->offset = end;
        writer->stage_len = 0;
    }
    assert(writer->offset + writer->stage_len == end);
}

/* Writes what is left of the batch, with zeros up to the end of the page, and keeps the page's
 * beginning. The next batch writes over the zeros; the bytes before them are written again as they
 * are, so a write that is torn there changes nothing. */
static void end_batch(struct wal_writer *writer)
{
    size_t kept = writer->stage_len % WAL_SEGMENT_PAGE_SIZE;
    size_t whole = writer->stage_len - kept;
    if (kept > 0) {
        memset(writer->stage + writer->stage_len, 0, WAL_SEGMENT_PAGE_SIZE - kept);
        writer->stage_len = whole + WAL_SEGMENT_PAGE_SIZE;
    }
    if (writer->stage_len > 0) {
        flush(writer);
    }
    memmove(writer->stage, writer->stage + whole, kept);
    writer->offset += whole;
    writer->stage_len = kept;
}

static void rotate(struct wal_writer *writer, size_t room)
{
    struct wal_segment *segment;
    enum status status = wal_pool_make(writer->pool, room, writer->batch + 1, &segment);
    wal_writer_require(writer, status, "new-segment");
    mutex_lock(writer->lock);
    wal_pool_push(writer->pool, segment);
    mutex_unlock(writer->lock);
}

static void put_batch_header(struct wal_writer *writer, uint64_t seed)
{
    struct buf header;
    buf_init(&header, 64);
    struct wal_record record = {.type = WAL_BATCH, .index = ++writer->batch};
    wal_record_append(&header, &record);
    assert(header.len == WAL_RECORD_BATCH_SIZE);
    wal_record_seal(header.data, seed);
    put(writer, header.data, header.len);
    buf_deinit(&header);
}

static void sync_batch(struct wal_writer *writer)
{
    uint64_t begin_ns = clock_now_ns();
    wal_writer_require(writer, disk_sync(wal_pool_newest(writer->pool)->file), "sync");
    uint64_t ns = clock_now_ns() - begin_ns;
    mutex_lock(writer->lock);
    writer->stats->syncs++;
    writer->stats->sync_ns_total += ns;
    writer->stats->sync_ns_max = ns > writer->stats->sync_ns_max ? ns : writer->stats->sync_ns_max;
    writer->stats->bytes_written += writer->bytes_written;
    mutex_unlock(writer->lock);
    writer->bytes_written = 0;
}

/* Seals the record and puts it at `end`, the batch's header before the first one. False if it does
 * not fit into the segment any more. */
static bool put_record(struct wal_writer *writer,
                       const struct wal_segment *segment,
                       uint8_t *record,
                       uint64_t *end)
{
    bool first = *end == segment->end;
    size_t size = wal_record_size(record);
    uint64_t end_with = *end + (first ? WAL_RECORD_BATCH_SIZE : 0) + size;
    if (end_with > segment->size_max) {
        return false;
    }
    if (first) {
        put_batch_header(writer, segment->seed);
    }
    wal_record_seal(record, segment->seed);
    put(writer, record, size);
    *end = end_with;
    return true;
}

/* Writes as many records as fit behind the newest segment's end, as one batch, and moves the
 * cursor past them. */
static void write_records(struct wal_writer *writer, struct cursor *cursor)
{
    const struct wal_segment *segment = wal_pool_newest(writer->pool);
    uint64_t end = segment->end;
    begin_batch(writer);
    for (uint8_t *record; (record = cursor_record(cursor)) != NULL;) {
        if (is_on_disk(record) && !put_record(writer, segment, record, &end)) {
            break;
        }
        cursor->at += wal_record_size(record);
    }
    if (end > segment->end) {
        end_batch(writer);
        sync_batch(writer);
    }
}

/* Takes the records from `from` up to `to` into the index; the segment's end moves behind them. */
static void apply_records(struct wal_writer *writer, struct cursor from, struct cursor to)
{
    struct wal_segment *segment = wal_pool_newest(writer->pool);
    uint32_t sequence = (uint32_t)segment->header.sequence;
    uint64_t offset = segment->end + WAL_RECORD_BATCH_SIZE;
    uint64_t end = segment->end;
    unsigned held = 0;
    mutex_lock(writer->lock);
    for (uint8_t *bytes; (bytes = cursor_record(&from)) != NULL;) {
        if (from.chunk == to.chunk && from.at == to.at) {
            break;
        }
        struct wal_record record;
        wal_record_peek(bytes, &record);
        size_t size = wal_record_size(bytes);
        wal_index_apply(writer->index, &record, sequence, offset, size);
        if (is_on_disk(bytes)) {
            writer->stats->records++;
            offset += size;
            end = offset;
        }
        from.at += size;
        if (++held == APPLY_COUNT_MAX) {
            mutex_unlock(writer->lock);
            mutex_lock(writer->lock);
            held = 0;
        }
    }
    segment->end = end;
    mutex_unlock(writer->lock);
}

void wal_writer_write(struct wal_writer *writer, struct wal_chunk *chunks)
{
    struct cursor cursor = {.chunk = chunks};
    for (uint8_t *record; (record = cursor_record(&cursor)) != NULL;) {
        struct wal_segment *segment = wal_pool_newest(writer->pool);
        size_t size = wal_record_size(record);
        if (is_on_disk(record) && segment->end + WAL_RECORD_BATCH_SIZE + size > segment->size_max) {
            rotate(writer, size);
        }
        struct cursor from = cursor;
        write_records(writer, &cursor);
        assert(cursor.chunk != from.chunk || cursor.at != from.at);
        apply_records(writer, from, cursor);
    }
}

void wal_writer_seal(struct wal_writer *writer)
{
    struct wal_segment *segment = wal_pool_newest(writer->pool);
    bool fits = segment->end + WAL_RECORD_BATCH_SIZE <= segment->size_max;
    if (segment->end == WAL_SEGMENT_START || !fits) {
        return;
    }
    begin_batch(writer);
    put_batch_header(writer, segment->seed);
    end_batch(writer);
    sync_batch(writer);
    segment->end += WAL_RECORD_BATCH_SIZE;
}
