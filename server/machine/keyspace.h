#ifndef SERVER_MACHINE_KEYSPACE_H
#define SERVER_MACHINE_KEYSPACE_H

#include "server/machine/handlers.h"

/* Keys and their values as rows of the store; docs/storage_format.md has the bytes. A string of up
 * to KEYSPACE_INLINE_SIZE_MAX bytes lies in its key's metadata row, a longer one in chunks under
 * the version at which it was made, so that changing a part of it costs a chunk. What a chunk
 * lacks is zeros. Keeps the counters of machine_state and the expiry index true. Pure. */

enum {
    KEYSPACE_KEY_SIZE_MAX = 64 * 1024,
    KEYSPACE_VALUE_SIZE_MAX = 512 * 1024 * 1024,
    KEYSPACE_INLINE_SIZE_MAX = 256 * 1024,
    KEYSPACE_CHUNK_SIZE = 256 * 1024,
    KEYSPACE_FAST_READ_SIZE_MAX = 1024 * 1024, /* More of a value is read where it may take long. */
    KEYSPACE_PREFIX_SIZE = 8 + 1 + 4,          /* Token, database, length of the key. */
};

enum keyspace_type { KEYSPACE_STRING = 1 };

enum keyspace_flag {
    KEYSPACE_CHUNKED = 1 << 0,
    KEYSPACE_RAW = 1 << 1,      /* Was changed in place: OBJECT ENCODING says raw. */
    KEYSPACE_TEXT = 1 << 2,     /* Never int, though it may look like one. */
    KEYSPACE_UNSHARED = 1 << 3, /* OBJECT REFCOUNT 1, though it is a small int. */
    KEYSPACE_FLAGS = (1 << 4) - 1,
};

enum keyspace_slot { SLOT_A, SLOT_B };

struct row {
    struct slice row_key; /* In the slot's scratch. */
    bool found;
    uint8_t db;
    uint8_t type;
    uint8_t flags;
    uint64_t expire_ms; /* 0: never */
    uint64_t version;   /* Of the newest change. */
    uint64_t size;      /* Of the string. */
    uint64_t chunk_version;
    struct slice value; /* Unless chunked: in the slot's scratch. */
};

/* Appends the metadata row's key. */
void keyspace_row_key(uint8_t db, struct slice key, struct buf *out);
/* Takes a key of STORE_DATA apart. False: it is no metadata row's. */
bool keyspace_parse_row_key(struct slice row_key, uint64_t *token, uint8_t *db, struct slice *key);
/* Takes a metadata row's value apart; CORRUPT. */
MUST_USE enum status keyspace_parse_row(struct slice value, struct row *row);

/* True if the token of the key is the shard's. */
bool keyspace_owns(const struct machine_scope *scope, uint8_t db, struct slice key);

static inline bool keyspace_expired(const struct row *row, uint64_t now_ms)
{
    return row->expire_ms != 0 && now_ms > row->expire_ms;
}

/* Looks a key up. What has expired is not found; when applying it is removed on the way. The row
 * is valid until the slot's next use. */
MUST_USE enum status keyspace_load(
    struct call *call, enum keyspace_slot slot, uint8_t db, struct slice key, struct row *row);

/* All below are for apply, on a row just loaded, which they bring up to date. */

/* Sets the whole value, new or not. */
MUST_USE enum status keyspace_set(
    struct call *call, struct row *row, struct slice value, unsigned flags, uint64_t expire_ms);
/* Overwrites bytes from offset on; the string grows with zeros as needed; raw from then on. */
MUST_USE enum status keyspace_patch(struct call *call,
                                    struct row *row,
                                    uint64_t offset,
                                    struct slice bytes);
MUST_USE enum status keyspace_set_expire(struct call *call, struct row *row, uint64_t expire_ms);
MUST_USE enum status keyspace_delete(struct call *call, struct row *row);
/* A part of a long value that no row names yet: whole chunks, but for the end. offset is the first
 * one's. */
void keyspace_put_chunks(
    struct call *call, struct slice row_key, uint64_t version, uint64_t offset, struct slice bytes);
void keyspace_drop_chunks(struct call *call, struct slice row_key, uint64_t version, uint64_t size);
/* Sets the whole value to chunks that were put before. */
MUST_USE enum status keyspace_set_chunked(
    struct call *call, struct row *row, uint64_t version, uint64_t size, uint64_t expire_ms);
/* to becomes what from is. */
MUST_USE enum status keyspace_copy(struct call *call, const struct row *from, struct row *to);

/* Appends offset <= byte < offset + len of the value, which has that many. AGAIN also for much of a
 * value, if the txn is cache-only. */
MUST_USE enum status keyspace_read(
    struct call *call, const struct row *row, uint64_t offset, uint64_t len, struct buf *out);
/* The whole value as a bulk string. */
MUST_USE enum status keyspace_reply(struct call *call, const struct row *row);

/* Removes the keys of a database, or of all of them. */
void keyspace_flush(struct call *call, uint8_t db, bool all);

/* LOCAL rows of a shard: shard(8 BE) | kind | ... */
enum keyspace_local {
    LOCAL_STATE = 'A',
    LOCAL_STAGE = 'C',   /* session(8 BE) | id(8 BE) -> how far a value in pieces has come */
    LOCAL_EXPIRY = 'E',  /* expire_ms(8 BE) | row key -> nothing */
    LOCAL_REPLY = 'R',   /* session(8 BE) | seq(8 BE) -> reply */
    LOCAL_SESSION = 'S', /* session(8 BE) -> window */
};
/* Starts such a key; the buffer is cleared before. */
void keyspace_local_key(uint64_t shard, enum keyspace_local kind, struct buf *key);

/* Removes at most count keys that had expired before call->now_ms, and learns when the next do. */
MUST_USE enum status keyspace_expire(struct call *call, size_t count);

#endif
