#include "replication/log/wal_index.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum { RUNS_SIZE_MIN = 4 };

void wal_index_init(struct wal_index *index)
{
    *index = (struct wal_index){.recovering = true};
    map_init(&index->ids);
}

static void group_free(struct wal_index_group *group)
{
    free(group->base_data);
    free(group->runs);
    free(group);
}

void wal_index_deinit(struct wal_index *index)
{
    for (uint32_t i = 0; i < index->slots_count; i++) {
        if (index->slots[i] != NULL) {
            group_free(index->slots[i]);
        }
    }
    map_deinit(&index->ids);
    free(index->slots);
    free(index->slots_free);
    free(index->usage);
    *index = (struct wal_index){0};
}

static struct wal_usage *usage_of(struct wal_index *index, uint32_t segment)
{
    if (index->usage_count == 0) {
        index->usage_first = segment;
    }
    assert(segment >= index->usage_first);
    uint32_t at = segment - index->usage_first;
    if (at >= index->usage_size) {
        index->usage_size = at * 2 + 16;
        index->usage = realloc(index->usage, index->usage_size * sizeof(*index->usage));
        assert(index->usage != NULL);
    }
    while (index->usage_count <= at) {
        index->usage[index->usage_count++] = (struct wal_usage){0};
    }
    return &index->usage[at];
}

static void hold(struct wal_index *index, uint32_t segment, size_t bytes)
{
    struct wal_usage *usage = usage_of(index, segment);
    usage->items++;
    usage->bytes += bytes;
    index->bytes += bytes;
}

static void release(struct wal_index *index, uint32_t segment, size_t bytes)
{
    struct wal_usage *usage = usage_of(index, segment);
    assert(usage->items > 0);
    assert(usage->bytes >= bytes && index->bytes >= bytes);
    usage->items--;
    usage->bytes -= bytes;
    index->bytes -= bytes;
}

struct wal_usage wal_index_usage(const struct wal_index *index, uint32_t segment)
{
    if (segment < index->usage_first || segment - index->usage_first >= index->usage_count) {
        return (struct wal_usage){0};
    }
    return index->usage[segment - index->usage_first];
}

void wal_index_forget(struct wal_index *index, uint32_t segment)
{
    while (index->usage_count > 0 && index->usage_first <= segment) {
        assert(index->usage[0].items == 0);
        index->usage_count--;
        index->usage_first++;
        memmove(index->usage, index->usage + 1, index->usage_count * sizeof(*index->usage));
    }
}

static uint32_t slot_take(struct wal_index *index)
{
    if (index->slots_free_count > 0) {
        return index->slots_free[--index->slots_free_count];
    }
    if (index->slots_count == index->slots_size) {
        index->slots_size = index->slots_size * 2 + 16;
        index->slots = realloc(index->slots, index->slots_size * sizeof(struct wal_index_group *));
        index->slots_free = realloc(index->slots_free, index->slots_size * sizeof(uint32_t));
        assert(index->slots != NULL && index->slots_free != NULL);
    }
    return index->slots_count++;
}

static struct wal_index_group *obtain(struct wal_index *index, uint64_t id)
{
    struct wal_index_group *group = map_get(&index->ids, id);
    if (group != NULL) {
        return group;
    }
    group = calloc(1, sizeof(*group));
    assert(group != NULL);
    group->id = id;
    group->slot = slot_take(index);
    index->slots[group->slot] = group;
    void *old = map_put(&index->ids, id, group);
    assert(old == NULL);
    return group;
}

static uint64_t run_last(const struct wal_run *run)
{
    return run->first + run->count - 1;
}

uint64_t wal_index_last(const struct wal_index_group *group)
{
    return group->count == 0 ? group->base_index : run_last(wal_index_run(group, group->count - 1));
}

uint32_t wal_index_seek(const struct wal_index_group *group, uint64_t at)
{
    uint32_t low = 0;
    uint32_t high = group->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run_last(wal_index_run(group, middle)) < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Gives memory back once a group has fallen quiet: there are thousands of them. */
static void shrink(struct wal_index_group *group)
{
    if (group->size <= RUNS_SIZE_MIN || group->count > group->size / 4) {
        return;
    }
    uint32_t size = group->count * 2 < RUNS_SIZE_MIN ? RUNS_SIZE_MIN : group->count * 2;
    if (group->count > 0) {
        memmove(group->runs, group->runs + group->head, group->count * sizeof(*group->runs));
    }
    group->head = 0;
    group->size = size;
    group->runs = realloc(group->runs, size * sizeof(*group->runs));
    assert(group->runs != NULL);
}

/* Makes room for count more runs behind the last one. */
static void reserve(struct wal_index_group *group, uint32_t count)
{
    if (group->head + group->count + count <= group->size) {
        return;
    }
    if (group->head > 0) {
        memmove(group->runs, group->runs + group->head, group->count * sizeof(*group->runs));
        group->head = 0;
    }
    if ((group->count + count) * 4 > group->size * 3) {
        group->size = (group->count + count) * 2 + RUNS_SIZE_MIN;
        group->runs = realloc(group->runs, group->size * sizeof(*group->runs));
        assert(group->runs != NULL);
    }
}

static void drop_front(struct wal_index *index, struct wal_index_group *group, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct wal_run *run = wal_index_run(group, i);
        release(index, run->segment, run->size);
    }
    group->head += count;
    group->count -= count;
    shrink(group);
}

static void cut(struct wal_index *index, struct wal_index_group *group, uint64_t at)
{
    while (group->count > 0) {
        struct wal_run *run = &group->runs[group->head + group->count - 1];
        if (run_last(run) < at) {
            break;
        }
        if (run->first < at) {
            run->count = (uint32_t)(at - run->first);
            break;
        }
        release(index, run->segment, run->size);
        group->count--;
    }
    shrink(group);
}

static void append(struct wal_index *index,
                   struct wal_index_group *group,
                   const struct wal_run *run)
{
    cut(index, group, run->first);
    /* The state is ahead of what the log still had: the log goes on behind it. */
    if (!index->recovering && group->count > 0 && wal_index_last(group) + 1 < run->first) {
        drop_front(index, group, group->count);
    }
    reserve(group, 1);
    group->runs[group->head + group->count] = *run;
    group->count++;
    hold(index, run->segment, run->size);
}

/* Puts run in place of whatever is known of its entries, and nothing else. */
static void replace(struct wal_index *index,
                    struct wal_index_group *group,
                    const struct wal_run *run)
{
    uint32_t from = wal_index_seek(group, run->first);
    uint32_t to = from;
    while (to < group->count && wal_index_run(group, to)->first <= run_last(run)) {
        to++;
    }
    struct wal_run made[3];
    uint32_t made_count = 0;
    if (from < to && wal_index_run(group, from)->first < run->first) {
        made[made_count] = *wal_index_run(group, from);
        made[made_count].count = (uint32_t)(run->first - made[made_count].first);
        made_count++;
    }
    made[made_count++] = *run;
    if (from < to && run_last(wal_index_run(group, to - 1)) > run_last(run)) {
        made[made_count] = *wal_index_run(group, to - 1);
        made[made_count].count = (uint32_t)(run_last(&made[made_count]) - run_last(run));
        made[made_count].first = run_last(run) + 1;
        made_count++;
    }
    for (uint32_t i = 0; i < made_count; i++) {
        hold(index, made[i].segment, made[i].size);
    }
    for (uint32_t i = from; i < to; i++) {
        release(index, wal_index_run(group, i)->segment, wal_index_run(group, i)->size);
    }
    reserve(group, made_count);
    struct wal_run *at = group->runs + group->head;
    memmove(at + from + made_count, at + to, (group->count - to) * sizeof(*at));
    memcpy(at + from, made, made_count * sizeof(*at));
    group->count += made_count - (to - from);
}

static size_t base_size(const struct wal_index_group *group)
{
    return WAL_RECORD_HEADER_SIZE + 16 + group->base_len;
}

enum { VOTE_SIZE = WAL_RECORD_HEADER_SIZE + 16 };

static void set_vote(struct wal_index *index,
                     struct wal_index_group *group,
                     const struct wal_record *record,
                     uint32_t segment)
{
    hold(index, segment, VOTE_SIZE);
    if (group->vote_segment != 0) {
        release(index, group->vote_segment, VOTE_SIZE);
    }
    group->vote_segment = segment;
    group->term = record->term;
    group->vote = record->vote;
}

static void set_base(struct wal_index *index,
                     struct wal_index_group *group,
                     const struct wal_record *record,
                     uint32_t segment)
{
    if (group->base_segment != 0) {
        release(index, group->base_segment, base_size(group));
    }
    bool same = slice_equal(slice_of(group->base_data, group->base_len), record->data);
    if (!same) { /* Readers may hold the old bytes: they stay where they are if nothing changes. */
        free(group->base_data);
        group->base_data = malloc(record->data.len + 1);
        assert(group->base_data != NULL);
        if (record->data.len > 0) {
            memcpy(group->base_data, record->data.data, record->data.len);
        }
        group->base_len = (uint32_t)record->data.len;
    }
    group->base_segment = segment;
    group->base_index = record->index;
    group->base_term = record->base_term;
    hold(index, segment, base_size(group));
}

static void drop(struct wal_index *index, uint64_t id)
{
    struct wal_index_group *group = map_remove(&index->ids, id);
    if (group == NULL) {
        return;
    }
    drop_front(index, group, group->count);
    if (group->vote_segment != 0) {
        release(index, group->vote_segment, VOTE_SIZE);
    }
    if (group->base_segment != 0) {
        release(index, group->base_segment, base_size(group));
    }
    index->slots[group->slot] = NULL;
    index->slots_free[index->slots_free_count++] = group->slot;
    group_free(group);
}

static void compact(struct wal_index *index, uint64_t id, uint64_t at)
{
    struct wal_index_group *group = map_get(&index->ids, id);
    if (group == NULL || at <= group->compacted) {
        return;
    }
    group->compacted = at;
    uint32_t count = wal_index_seek(group, at + 1);
    if (count > 0) {
        drop_front(index, group, count);
    }
}

static void reset(struct wal_index *index,
                  struct wal_index_group *group,
                  const struct wal_record *record,
                  uint32_t segment)
{
    drop_front(index, group, group->count);
    set_base(index, group, record, segment);
    group->compacted = record->index;
}

void wal_index_apply(struct wal_index *index,
                     const struct wal_record *record,
                     uint32_t segment,
                     uint64_t offset,
                     size_t size)
{
    assert(segment > 0);
    assert(offset % WAL_RECORD_ALIGN == 0 && offset / WAL_RECORD_ALIGN <= UINT32_MAX);
    struct wal_run run = {.first = record->index,
                          .count = record->count,
                          .segment = segment,
                          .offset = (uint32_t)(offset / WAL_RECORD_ALIGN),
                          .size = (uint32_t)size};
    struct wal_index_group *group = NULL;
    switch (record->type) {
    case WAL_ENTRIES: append(index, obtain(index, record->group), &run); break;
    case WAL_MOVED: replace(index, obtain(index, record->group), &run); break;
    case WAL_TRUNCATE: cut(index, obtain(index, record->group), record->index); break;
    case WAL_VOTE: set_vote(index, obtain(index, record->group), record, segment); break;
    case WAL_RESET: reset(index, obtain(index, record->group), record, segment); break;
    case WAL_DROP: drop(index, record->group); break;
    case WAL_STATE:
        group = obtain(index, record->group);
        set_vote(index, group, record, segment);
        set_base(index, group, record, segment);
        break;
    case WAL_COMPACT: compact(index, record->group, record->index); break;
    case WAL_BATCH:
    case WAL_TYPE_END: assert(record->type != WAL_BATCH && record->type != WAL_TYPE_END); break;
    }
}

void wal_index_finish(struct wal_index *index)
{
    assert(index->recovering);
    index->recovering = false;
    for (uint32_t slot = 0; slot < index->slots_count; slot++) {
        struct wal_index_group *group = index->slots[slot];
        uint32_t from = group == NULL || group->count == 0 ? 0 : group->count - 1;
        while (from > 0 &&
               run_last(wal_index_run(group, from - 1)) + 1 == wal_index_run(group, from)->first) {
            from--;
        }
        if (from > 0) {
            drop_front(index, group, from);
        }
    }
}

const struct wal_index_group *wal_index_find(const struct wal_index *index, uint64_t group)
{
    return map_get(&index->ids, group);
}
