#ifndef COMMON_RDB_RDB_FILE_H
#define COMMON_RDB_RDB_FILE_H

#include "common/rdb/rdb_source.h"

/* RDB files of Redis 2.6 to 7.2 (versions 1 to 11; rdb.c rdbLoadRioWithLoadingCtx()), as a state
 * machine that is shown the file through a window: it takes what stands at the front of the window,
 * one item at a time, and says when it must see more. Pure. Thread: one owner at a time. */

enum { RDB_FILE_VERSION_MAX = 11 };

enum rdb_item_kind {
    RDB_ITEM_KEY,
    RDB_ITEM_NOTE,      /* key: its name; value: what it is. */
    RDB_ITEM_SIZES,     /* How many keys a database has, about. */
    RDB_ITEM_FUNCTIONS, /* A library of functions, passed over. */
    RDB_ITEM_MODULE,    /* What a module wrote, passed over. */
    RDB_ITEM_END,
};

struct rdb_item {
    enum rdb_item_kind kind;
    uint64_t db;
    struct slice key;   /* In the window, or in the file's own memory: until the next call. */
    uint8_t type;       /* Of a key: enum rdb_type. */
    struct slice value; /* Of a key: in the window. */
    uint64_t expire_ms; /* 0: never. */
    uint64_t keys;
};

/* Where reading can go on. */
struct rdb_mark {
    uint64_t offset;   /* Bytes before. */
    uint64_t checksum; /* Of them. */
    uint64_t db;
    unsigned version; /* 0: nothing was read yet. */
};

struct rdb_file {
    struct rdb_mark at; /* Behind the last item. */
    const char *fault;  /* After CORRUPT: what is wrong. */
    struct buf text;
    struct buf key;
};

void rdb_file_init(struct rdb_file *file, struct rdb_mark start);
void rdb_file_deinit(struct rdb_file *file);

/* The next item of the bytes that begin at file->at.offset, which moves behind it. AGAIN: the
 * window has to begin there and be longer. CORRUPT: see fault. After RDB_ITEM_END nothing is to
 * come; the checksum was compared. */
MUST_USE enum status rdb_file_next(struct rdb_file *file,
                                   struct slice window,
                                   struct rdb_item *item);

#endif
