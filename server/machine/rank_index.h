#ifndef SERVER_MACHINE_RANK_INDEX_H
#define SERVER_MACHINE_RANK_INDEX_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "server/store/store.h"

/* Counts over an ordered run of rows, so that the number of rows before a sub-key, and the row at a
 * rank, are found without a walk over all. It knows sub-keys (bytes, compared as bytes) and their
 * order, not what they mean. docs/decisions/0003-ranks.md says why it is made like this.
 *
 * A node of level 1 stands for up to leaf_max rows that follow each other, a node of a higher level
 * for up to fan_max nodes of the level below. A node is a row:
 *
 *     nodes | level(1) | name -> u64 count | u32 children     (little endian)
 *
 * Its name is not greater than any sub-key below it, and greater than all sub-keys before it; so a
 * sub-key belongs, from the top level down, to the node with the greatest name that is not greater.
 * A node without rows is removed. Nodes are split when too large and never merged: what bounds a
 * search is how many children a node has, not how few.
 *
 * low, high and first keep all walks away from rows and nodes that were removed at either end: an
 * LSM tree steps over each of them until it is compacted.
 *
 * Functions that change something write nodes only; the caller puts and deletes the rows, and keeps
 * levels, top and first with them. Statuses: AGAIN (cache-only), IO, CORRUPT. Uses SCRATCH_RANK_*.
 * Pure.
 */

enum {
    RANK_INDEX_LEAF_MAX = 128,
    RANK_INDEX_FAN_MAX = 128,
    RANK_INDEX_LEVELS_MAX = 8,
    RANK_INDEX_SIZE_MIN = 512, /* Rows up to which a walk does. */
    RANK_INDEX_FIRST_MAX = 72,
};

struct rank_index {
    struct txn *txn;
    struct slice rows;  /* What the keys of the rows begin with, */
    struct slice nodes; /* and those of the nodes. Both in STORE_DATA. */
    struct slice low;   /* No row is before, */
    struct slice high;  /* nor at or behind. */
    uint64_t size;      /* Rows. */
    uint32_t leaf_max;  /* RANK_INDEX_LEAF_MAX, and the other: less of them in tests. */
    uint32_t fan_max;
    uint8_t levels;     /* 0: no nodes, everything is a walk. */
    uint32_t top;       /* Nodes of the highest level, */
    uint8_t first_size; /* none of them with a name before this one, which may be cut. */
    uint8_t first[RANK_INDEX_FIRST_MAX];
};

/* A row was put, where there was none; size, low and high are from before. Needs levels > 0. */
MUST_USE enum status rank_index_add(struct rank_index *index, struct slice key);
/* So many rows were deleted that follow each other from key on, within its node of level 1; size,
 * low and high are from before. Needs levels > 0. */
MUST_USE enum status rank_index_remove(struct rank_index *index, struct slice key, uint64_t count);
/* Where the node of level 1 ends that the key belongs to: *end is the next one's name, empty if
 * there is none. */
MUST_USE enum status rank_index_leaf_end(struct rank_index *index,
                                         struct slice key,
                                         struct buf *end);
/* *before: rows whose sub-key is less than key, which need not be one. */
MUST_USE enum status rank_index_count(struct rank_index *index, struct slice key, uint64_t *before);
/* The row at a rank (< size) is the one that is *skip rows behind the first at or behind *from. */
MUST_USE enum status rank_index_at(struct rank_index *index,
                                   uint64_t rank,
                                   struct buf *from,
                                   uint64_t *skip);

/* Makes the nodes of rows that had none, in order. */
struct rank_builder {
    struct rank_index *index;
    bool started;
    struct {
        size_t name_at; /* In SCRATCH_RANK_NAMES, of the node that is being filled. */
        size_t name_len;
        uint64_t count;
        uint32_t children;
        uint32_t nodes; /* Of this level, written. */
    } levels[RANK_INDEX_LEVELS_MAX + 1];
    struct buf *names;
};
void rank_builder_begin(struct rank_builder *builder, struct rank_index *index);
void rank_builder_add(struct rank_builder *builder, struct slice key);
/* Sets levels, top and first. */
void rank_builder_end(struct rank_builder *builder);
/* The same of rows that are there already. */
MUST_USE enum status rank_index_build(struct rank_index *index);

#endif
