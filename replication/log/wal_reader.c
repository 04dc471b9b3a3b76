#include "replication/log/wal_reader.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum {
    RUNS_MAX = 1024,           /* Taken from the index under one lock. */
    SPAN_SIZE_MAX = 1 << 20,   /* Read at once, if the runs lie near each other. */
    SPAN_GAP_SIZE_MAX = 16384, /* Records of other groups that are read along. */
};

struct plan {
    uint32_t count;
    struct wal_run runs[RUNS_MAX];
    struct wal_segment *segments[RUNS_MAX]; /* Each one pinned. */
};

static uint64_t offset_of(const struct wal_run *run)
{
    return (uint64_t)run->offset * WAL_RECORD_ALIGN;
}

/* Fills the plan with runs from entry `from` on. False if there is no such group. */
static bool plan_make(const struct wal_reader *reader,
                      struct plan *plan,
                      uint64_t id,
                      uint64_t from)
{
    plan->count = 0;
    mutex_lock(reader->lock);
    const struct wal_index_group *group = wal_index_find(reader->index, id);
    uint32_t count = group == NULL ? 0 : group->count;
    for (uint32_t i = count == 0 ? 0 : wal_index_seek(group, from);
         i < count && plan->count < RUNS_MAX; i++) {
        plan->runs[plan->count] = *wal_index_run(group, i);
        struct wal_segment *segment = wal_pool_find(reader->pool, plan->runs[plan->count].segment);
        assert(segment != NULL);
        segment->pins++;
        plan->segments[plan->count++] = segment;
    }
    mutex_unlock(reader->lock);
    return group != NULL;
}

static void plan_unpin(const struct wal_reader *reader, struct plan *plan)
{
    mutex_lock(reader->lock);
    for (uint32_t i = 0; i < plan->count; i++) {
        assert(plan->segments[i]->pins > 0);
        plan->segments[i]->pins--;
    }
    mutex_unlock(reader->lock);
}

static enum status visit_run(const struct wal_reader *reader,
                             struct wal_segment *segment,
                             const struct wal_run *run,
                             const uint8_t *bytes,
                             uint64_t from)
{
    struct wal_record record;
    size_t size;
    enum status status = wal_record_check(slice_of(bytes, run->size), segment->seed, &size);
    if (status == STATUS_OK) {
        status = wal_record_parse(bytes, &record);
    }
    if (status != STATUS_OK || size != run->size || record.index > run->first ||
        record.index + record.count < run->first + run->count) {
        return wal_segment_report(segment->path, offset_of(run), "checksum", STATUS_CORRUPT);
    }
    struct wal_entry entry;
    for (uint64_t index = record.index; index < run->first + run->count; index++) {
        if (!wal_record_unpack(&record.data, &entry)) {
            break;
        }
        if (index >= run->first && index >= from) {
            reader->visit(reader->arg, index, &entry);
        }
    }
    return STATUS_OK;
}

/* How many runs from i on are read at once, and with how many bytes. */
static uint32_t span_of(const struct plan *plan, uint32_t i, size_t *size)
{
    uint64_t begin = offset_of(&plan->runs[i]);
    uint64_t end = begin + plan->runs[i].size;
    uint32_t count = 1;
    for (; i + count < plan->count; count++) {
        const struct wal_run *next = &plan->runs[i + count];
        uint64_t at = offset_of(next);
        if (plan->segments[i + count] != plan->segments[i] || at < end ||
            at - end > SPAN_GAP_SIZE_MAX || at + next->size - begin > SPAN_SIZE_MAX) {
            break;
        }
        end = at + next->size;
    }
    *size = (size_t)(end - begin);
    return count;
}

static enum status plan_read(const struct wal_reader *reader,
                             const struct plan *plan,
                             struct buf *bytes,
                             uint64_t from)
{
    uint32_t i = 0;
    while (i < plan->count) {
        size_t size;
        uint32_t count = span_of(plan, i, &size);
        uint64_t begin = offset_of(&plan->runs[i]);
        buf_clear(bytes);
        uint8_t *at = buf_reserve(bytes, size);
        enum status status = disk_read(plan->segments[i]->file, begin, at, size);
        if (status == STATUS_NOT_FOUND) {
            return wal_segment_report(plan->segments[i]->path, begin, "the file ends early",
                                      STATUS_CORRUPT);
        }
        for (uint32_t end = i + count; i < end && status == STATUS_OK; i++) {
            const struct wal_run *run = &plan->runs[i];
            status = visit_run(reader, plan->segments[i], run, at + (offset_of(run) - begin), from);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status wal_reader_load(struct wal_reader *reader, uint64_t group, uint64_t index)
{
    struct plan *plan = calloc(1, sizeof(*plan));
    assert(plan != NULL);
    struct buf bytes;
    buf_init(&bytes, SIZE_MAX / 4);
    uint64_t from = index;
    enum status status = STATUS_OK;
    do {
        if (!plan_make(reader, plan, group, from)) {
            status = STATUS_NOT_FOUND;
            break;
        }
        status = plan_read(reader, plan, &bytes, from);
        plan_unpin(reader, plan);
        if (plan->count > 0) {
            const struct wal_run *last = &plan->runs[plan->count - 1];
            from = last->first + last->count;
        }
    } while (status == STATUS_OK && plan->count == RUNS_MAX);
    buf_deinit(&bytes);
    free(plan);
    return status;
}
