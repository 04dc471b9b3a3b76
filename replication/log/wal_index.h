#ifndef REPLICATION_LOG_WAL_INDEX_H
#define REPLICATION_LOG_WAL_INDEX_H

#include "common/base/map.h"
#include "replication/log/wal_record.h"

/* Where the shared log has what: per group its term, vote, base and the runs of its entries, and
 * per segment how much of it is still needed. A run is what one record holds, 24 bytes in memory,
 * whatever the number of entries in it.
 *
 * The state is that of replaying the records from the oldest segment on. While recovering, a group
 * may have holes: entries that were copied out of old segments come later than their successors.
 * wal_index_finish() then keeps the last unbroken stretch; what is before a hole had been
 * compacted, since nothing else leaves the log from below.
 *
 * Pure memory. Thread: the writer changes it under the wal's index lock, and reads it without. */

struct wal_run {
    uint64_t first;
    uint32_t count;
    uint32_t segment;
    uint32_t offset; /* In units of WAL_RECORD_ALIGN. */
    uint32_t size;   /* Of the whole record, which may hold more entries than the run. */
};

struct wal_index_group {
    uint64_t id;
    uint64_t term;
    uint64_t vote;
    uint64_t base_index;
    uint64_t base_term;
    uint64_t compacted; /* Entries up to here are not needed. */
    uint8_t *base_data;
    uint32_t base_len;
    uint32_t vote_segment; /* Holds term and vote; 0: none does. */
    uint32_t base_segment;
    uint32_t slot;
    struct wal_run *runs; /* Live: [head, head + count). */
    uint32_t head;
    uint32_t count;
    uint32_t size;
};

struct wal_usage {
    uint64_t items; /* Runs, votes and bases. */
    uint64_t bytes; /* The records that hold them. */
};

struct wal_index {
    struct map ids;                 /* Group id -> group. */
    struct wal_index_group **slots; /* Group or NULL, stable while the group lives. */
    uint32_t *slots_free;
    uint32_t slots_count;
    uint32_t slots_size;
    uint32_t slots_free_count;
    struct wal_usage *usage; /* Of segments usage_first and up. */
    uint32_t usage_first;
    uint32_t usage_count;
    uint32_t usage_size;
    uint64_t bytes; /* Sum of the usage. */
    bool recovering;
};

void wal_index_init(struct wal_index *index);
void wal_index_deinit(struct wal_index *index);

/* Takes in a record at offset of a segment; size is the whole record's. Not for WAL_BATCH. */
void wal_index_apply(struct wal_index *index,
                     const struct wal_record *record,
                     uint32_t segment,
                     uint64_t offset,
                     size_t size);
/* Ends recovery. */
void wal_index_finish(struct wal_index *index);

/* NULL if there is none. */
const struct wal_index_group *wal_index_find(const struct wal_index *index, uint64_t group);
static inline const struct wal_run *wal_index_run(const struct wal_index_group *group, uint32_t i)
{
    return &group->runs[group->head + i];
}
/* The run that holds entry at, or the first one behind it; group->count if there is none. */
uint32_t wal_index_seek(const struct wal_index_group *group, uint64_t at);
uint64_t wal_index_last(const struct wal_index_group *group);

struct wal_usage wal_index_usage(const struct wal_index *index, uint32_t segment);
/* The segment and all before it are gone; nothing is used there. */
void wal_index_forget(struct wal_index *index, uint32_t segment);

#endif
