#ifndef SERVER_MACHINE_BATCH_H
#define SERVER_MACHINE_BATCH_H

#include "common/base/reader.h"
#include "server/machine/planned.h"

/* A transaction in the log: the last argument of the planned command `batch`, little endian.
 *
 *   u8 format (1) | u64 seed | u32 watches | watches * (u8 db, u64 version, u32 length, key)
 *   | u32 items | items * (u8 kind, u32 length, bytes)
 *
 *   kind 1  a planned command of any kind but this one (planned.h)
 *   kind 2  a read: u8 db | u16 code | u32 arguments | arguments * (u32 length, bytes), name first
 *   kind 3  a reply: the command was refused when it was planned
 *
 * Pure. */

enum {
    BATCH_FORMAT = 1,
    BATCH_REPLY_SIZE_MAX = 64 << 20, /* Reads beyond get an error instead. */
    BATCH_LARGE_KEYS_MAX = 100000,   /* In a database that a CMD_LARGE read may walk through, */
    BATCH_LARGE_MAX = 4, /* and so many such reads: all replicas stand still meanwhile. */
};

struct batch_watch {
    uint8_t db;
    uint64_t version;
    struct slice key;
};

enum batch_kind { BATCH_WRITE = 1, BATCH_READ, BATCH_REPLY };

struct batch_item {
    enum batch_kind kind;
    struct planned planned; /* WRITE: keys first. READ: name first, key_count 0. */
    struct slice reply;     /* REPLY. */
};

/* Being read; borrows from the bytes. */
struct batch {
    uint64_t seed;
    size_t watch_count;
    size_t item_count;
    struct reader watches;
    struct reader items;
};

/* CORRUPT unless all of it is well-formed. */
MUST_USE enum status batch_open(struct slice bytes, struct batch *batch);
/* False: there are no more. All watches come before the items. */
bool batch_next_watch(struct batch *batch, struct batch_watch *watch);
bool batch_next_item(struct batch *batch, struct batch_item *item);

/* Making: begin, then as many watches and items as it says, in this order. */
void batch_begin(struct buf *out, uint64_t seed, size_t watch_count);
void batch_watch(struct buf *out, const struct batch_watch *watch);
void batch_begin_items(struct buf *out, size_t item_count);
void batch_item(struct buf *out, enum batch_kind kind, struct slice bytes);
/* The bytes of a READ. */
void batch_write_read(struct buf *out, const struct command *command, uint8_t db, struct args args);

#endif
