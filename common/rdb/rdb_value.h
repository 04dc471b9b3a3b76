#ifndef COMMON_RDB_RDB_VALUE_H
#define COMMON_RDB_RDB_VALUE_H

#include "common/rdb/rdb_source.h"

/* Values as they stand in the dumps of Redis 2.6 to 7.2, in whatever form, to one form per type:
 *
 *   string      the bytes
 *   list, set   elements, each u32 length, bytes
 *   hash        fields and values in turn, each so
 *   sorted set  elements: u64 score (IEEE 754), u32 length, bytes
 *   stream      u64 entries ever, id last, id greatest deleted
 *               u64 entries, entries * (id, u32 strings, strings * (u32 length, bytes))
 *               u64 groups, groups * (name, id last delivered, u64 entries read (-1: not known,
 *               -2: to be estimated), u64 consumers, consumers * (name, u64 time seen, u64 pending,
 *               pending * (id, u64 time of delivery, u64 deliveries)))
 *
 * Numbers are little endian; ids u64 ms, u64 seq, big endian; names u32 length, bytes. What comes
 * out is whole: collections are not empty and have no element twice, no score is NaN, ids ascend
 * and none is behind the last one, entries have as many values as fields, every pending entry has
 * one consumer. Source: Redis 7.0 rdb.c, rdbLoadObject(). Pure. Thread: one owner at a time. */

enum rdb_kind { RDB_STRING = 1, RDB_HASH, RDB_SET, RDB_ZSET, RDB_LIST, RDB_STREAM, RDB_KIND_END };

/* The first byte of a value, RDB_TYPE_* in rdb.h. */
enum rdb_type {
    RDB_TYPE_STRING = 0,
    RDB_TYPE_LIST = 1,
    RDB_TYPE_SET = 2,
    RDB_TYPE_ZSET = 3,
    RDB_TYPE_HASH = 4,
    RDB_TYPE_ZSET_2 = 5,
    RDB_TYPE_MODULE = 6,
    RDB_TYPE_MODULE_2 = 7,
    RDB_TYPE_HASH_ZIPMAP = 9,
    RDB_TYPE_LIST_ZIPLIST = 10,
    RDB_TYPE_SET_INTSET = 11,
    RDB_TYPE_ZSET_ZIPLIST = 12,
    RDB_TYPE_HASH_ZIPLIST = 13,
    RDB_TYPE_LIST_QUICKLIST = 14,
    RDB_TYPE_STREAM_LISTPACKS = 15,
    RDB_TYPE_HASH_LISTPACK = 16,
    RDB_TYPE_ZSET_LISTPACK = 17,
    RDB_TYPE_LIST_QUICKLIST_2 = 18,
    RDB_TYPE_STREAM_LISTPACKS_2 = 19,
    RDB_TYPE_SET_LISTPACK = 20,
    RDB_TYPE_STREAM_LISTPACKS_3 = 21,
};

enum { RDB_VALUE_ID_SIZE = 16 };
#define RDB_VALUE_READ_ESTIMATED (UINT64_MAX - 1) /* -2 */

struct rdb_value {
    enum rdb_kind kind;
    uint64_t count;   /* Of elements, of pairs, of entries; 1 for a string. */
    struct buf bytes; /* Owned. */
};

/* size_max: of the bytes that come out. */
void rdb_value_init(struct rdb_value *value, size_t size_max);
void rdb_value_deinit(struct rdb_value *value);

/* A value without the byte of its type; what is behind it is left alone. CORRUPT, also for types
 * that are not known; TOO_BIG; on either the value is not to be used. */
MUST_USE enum status rdb_value_decode(uint8_t type, struct slice bytes, struct rdb_value *value);

/* Takes a value off, as far as that can be told without looking into it; the source has a status.
 * Values of modules are passed over from Redis 4 on. */
void rdb_value_skip(uint8_t type, struct rdb_source *source);

/* True if rdb_value_decode() knows it. */
bool rdb_value_known(uint8_t type);

#endif
