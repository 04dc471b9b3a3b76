#include "replication/log/wal_gc.h"

#include "common/base/assert.h"

enum { MOVED_SIZE_MAX = 256 << 10 };

void wal_gc_init(struct wal_gc *gc, struct wal_writer *writer)
{
    *gc = (struct wal_gc){.writer = writer};
    buf_init(&gc->read, SIZE_MAX / 4);
}

void wal_gc_deinit(struct wal_gc *gc)
{
    buf_deinit(&gc->read);
}

static void copy_state(const struct wal_index_group *group, struct buf *out)
{
    struct wal_record record = {.type = WAL_STATE,
                                .group = group->id,
                                .index = group->base_index,
                                .term = group->term,
                                .vote = group->vote,
                                .base_term = group->base_term,
                                .data = slice_of(group->base_data, group->base_len)};
    wal_record_append(out, &record);
}

/* Appends the packed entries of the run: a record may hold more on both sides. */
static void copy_run(struct wal_gc *gc,
                     struct wal_segment *segment,
                     const struct wal_run *run,
                     struct buf *out)
{
    struct wal_record record;
    buf_clear(&gc->read);
    enum status status = wal_segment_read(segment, (uint64_t)run->offset * WAL_RECORD_ALIGN,
                                          run->size, &gc->read, &record);
    wal_writer_require(gc->writer, status, "read-old-segment");
    assert(record.index <= run->first);
    assert(record.index + record.count >= run->first + run->count);
    struct slice packed = record.data;
    struct wal_entry entry;
    for (uint64_t index = record.index; index < run->first; index++) {
        bool whole = wal_record_unpack(&packed, &entry);
        assert(whole);
    }
    const uint8_t *begin = packed.data;
    for (uint32_t i = 0; i < run->count; i++) {
        bool whole = wal_record_unpack(&packed, &entry);
        assert(whole);
    }
    buf_append(out, begin, (size_t)(packed.data - begin));
}

/* Appends one record with the run at *i and those behind it that continue it in the same segment.
 */
static void copy_runs(struct wal_gc *gc,
                      const struct wal_index_group *group,
                      struct wal_segment *segment,
                      uint32_t *i,
                      struct buf *out)
{
    uint64_t first = wal_index_run(group, *i)->first;
    uint64_t next = first;
    size_t begin = wal_record_begin(out, WAL_MOVED, group->id, first);
    while (*i < group->count) {
        const struct wal_run *run = wal_index_run(group, *i);
        bool fits = next == first || out->len - begin + run->size <= MOVED_SIZE_MAX;
        if (run->segment != segment->header.sequence || run->first != next || !fits) {
            break;
        }
        copy_run(gc, segment, run, out);
        next += run->count;
        ++*i;
    }
    wal_record_end(out, begin, (uint32_t)(next - first));
}

/* Appends what the group has in the segment; false if the piece was full before the end. */
static bool copy_group(struct wal_gc *gc,
                       const struct wal_index_group *group,
                       struct wal_segment *segment,
                       struct buf *out)
{
    uint32_t sequence = (uint32_t)segment->header.sequence;
    if (group->vote_segment == sequence || group->base_segment == sequence) {
        copy_state(group, out);
    }
    uint32_t i = 0;
    while (i < group->count && out->len < WAL_GC_PIECE_SIZE) {
        if (wal_index_run(group, i)->segment == sequence) {
            copy_runs(gc, group, segment, &i, out);
        } else {
            i++;
        }
    }
    return i == group->count;
}

bool wal_gc_plan(struct wal_gc *gc, struct buf *out)
{
    const struct wal_pool *pool = gc->writer->pool;
    const struct wal_index *index = gc->writer->index;
    if (pool->count <= WAL_GC_SEGMENTS_KEPT) {
        return false;
    }
    struct wal_segment *oldest = pool->segments[0];
    uint64_t items = wal_index_usage(index, (uint32_t)oldest->header.sequence).items;
    if (items == 0 || wal_pool_bytes(pool) <= 2 * index->bytes) {
        return false;
    }
    assert(out->len == 0);
    for (uint32_t n = 0; n < index->slots_count && out->len < WAL_GC_PIECE_SIZE; n++) {
        gc->slot = gc->slot < index->slots_count ? gc->slot : 0;
        const struct wal_index_group *group = index->slots[gc->slot];
        if (group != NULL && !copy_group(gc, group, oldest, out)) {
            break;
        }
        gc->slot++;
    }
    assert(out->len > 0);
    return true;
}

bool wal_gc_collect(struct wal_gc *gc)
{
    struct wal_writer *writer = gc->writer;
    bool any = false;
    while (writer->pool->count > 1) {
        struct wal_segment *oldest = writer->pool->segments[0];
        uint32_t sequence = (uint32_t)oldest->header.sequence;
        mutex_lock(writer->lock);
        bool free = oldest->pins == 0 && wal_index_usage(writer->index, sequence).items == 0;
        if (free) {
            wal_index_forget(writer->index, sequence);
            (void)wal_pool_pop(writer->pool);
        }
        mutex_unlock(writer->lock);
        if (!free) {
            break;
        }
        wal_writer_require(writer, wal_pool_recycle(writer->pool, oldest), "recycle");
        any = true;
    }
    return any;
}
