#ifndef COMMON_RDB_RDB_SOURCE_H
#define COMMON_RDB_RDB_SOURCE_H

#include "common/base/buf.h"
#include "common/base/status.h"

/* Takes the primitives of Redis' dumps (rdb.c: lengths, strings, numbers) off the front of bytes
 * that came from outside. The first take that fails sets the status, and from then on every take
 * gives nothing, so that who reads looks once, at the end:
 *   AGAIN    the bytes end too early: with more of them it may work
 *   CORRUPT  they are no dump
 *   TOO_BIG  a string would be longer than size_max
 * Memory is taken for compressed strings alone, at most size_max, and never more than these bytes
 * can become. Pure. Thread: one owner at a time. */

struct rdb_source {
    struct slice rest;
    enum status status;
    size_t size_max; /* Of a string. */
    struct buf
        *text; /* The caller's: where strings are made that do not stand there as they are. */
};

struct rdb_source rdb_source_of(struct slice bytes, size_t size_max, struct buf *text);
static inline bool rdb_source_good(const struct rdb_source *source)
{
    return source->status == STATUS_OK;
}
/* Unless it failed before. */
void rdb_source_fail(struct rdb_source *source, enum status status);

uint8_t rdb_source_u8(struct rdb_source *source);
/* Little endian. */
uint32_t rdb_source_u32(struct rdb_source *source);
uint64_t rdb_source_u64(struct rdb_source *source);
struct slice rdb_source_raw(struct rdb_source *source, uint64_t len);
uint64_t rdb_source_length(struct rdb_source *source);
/* Valid until the next one. */
struct slice rdb_source_string(struct rdb_source *source);
void rdb_source_skip_string(struct rdb_source *source);
/* A score as old dumps have it, in text. */
double rdb_source_score(struct rdb_source *source);

#endif
