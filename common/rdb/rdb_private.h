#ifndef COMMON_RDB_RDB_PRIVATE_H
#define COMMON_RDB_RDB_PRIVATE_H

#include "common/rdb/rdb_value.h"

/* Between the parts of rdb_value. What does not fit in the value any more sets TOO_BIG. */

/* A value being made of what comes from a source. */
struct rdb_build {
    struct rdb_source *in;
    struct buf *out;
};

/* True if so many bytes more fit. */
bool rdb_private_room(struct rdb_build *build, uint64_t size);
void rdb_private_bytes(struct rdb_build *build, struct slice bytes); /* u32 length, bytes. */
void rdb_private_raw(struct rdb_build *build, struct slice bytes);
void rdb_private_u64(struct rdb_build *build, uint64_t value);
/* Overwrites a number that was put at an offset. */
void rdb_private_patch(struct rdb_build *build, size_t offset, uint64_t value);
/* Fails the source with CORRUPT if one of these texts is there twice: count times `lead` bytes, the
 * text, and what belongs to it, `step` strings in all. */
struct rdb_texts {
    struct slice bytes;
    size_t lead;
    size_t step;
    uint64_t count;
};
void rdb_private_unique(struct rdb_build *build, struct rdb_texts texts);

/* rdb_stream.c: returns the number of entries. */
uint64_t rdb_private_stream(struct rdb_build *build, uint8_t type);
void rdb_private_skip_stream(struct rdb_source *in, uint8_t type);

#endif
