#ifndef SERVER_MACHINE_KEYSPACE_H
#define SERVER_MACHINE_KEYSPACE_H

#include "server/machine/handlers.h"

/* Keys and their values as rows of the store; docs/storage_format.md has the bytes. A string of up
 * to KEYSPACE_INLINE_SIZE_MAX bytes lies in its key's metadata row, a longer one in chunks under
 * the version at which it was made, so that changing a part of it costs a chunk. What a chunk
 * lacks is zeros. Keeps the counters of machine_state and the expiry index true. Pure.
 *
 * A collection has a metadata row too, with the number of its elements and a body that its type
 * gives a meaning to. A small one is packed: all of it lies in the body. The elements of a larger
 * one are rows of their own under the version at which the key came to be ("born"), behind all
 * metadata rows of the token and database: so removing or renaming a collection costs the same for
 * any size, and a walk over the keys does not meet elements. Removed elements are taken away later,
 * by garbage.h. */

enum {
    KEYSPACE_KEY_SIZE_MAX = 64 * 1024,
    KEYSPACE_VALUE_SIZE_MAX = 512 * 1024 * 1024,
    KEYSPACE_INLINE_SIZE_MAX = 256 * 1024,
    KEYSPACE_CHUNK_SIZE = 256 * 1024,
    KEYSPACE_PLACE_SIZE = 8 + 1, /* Token and database: what every key of STORE_DATA begins with. */
    KEYSPACE_FAST_READ_SIZE_MAX = 1024 * 1024, /* More of a value is read where it may take long. */
};

enum keyspace_type {
    KEYSPACE_STRING = 1,
    KEYSPACE_HASH = 2,
    KEYSPACE_SET = 3,
    KEYSPACE_ZSET = 4,
    KEYSPACE_LIST = 5,
    KEYSPACE_STREAM = 6,
    KEYSPACE_TYPE_END,
};

enum { KEYSPACE_ANY = 0 }; /* In place of a type: all of them are meant. */

enum keyspace_flag {
    KEYSPACE_CHUNKED = 1 << 0,
    KEYSPACE_RAW = 1 << 1,      /* Was changed in place: OBJECT ENCODING says raw. */
    KEYSPACE_TEXT = 1 << 2,     /* Never int, though it may look like one. */
    KEYSPACE_UNSHARED = 1 << 3, /* OBJECT REFCOUNT 1, though it is a small int. */
    KEYSPACE_PACKED = 1 << 4,   /* A collection without element rows. */
    KEYSPACE_INTEGERS = 1 << 5, /* A set that never had anything but integers. */
    KEYSPACE_FLAGS = (1 << 6) - 1,
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
    uint64_t size;      /* Of the string, or the number of elements. */
    uint64_t chunk_version;
    uint64_t born;      /* Of a collection: the version its element rows lie under. */
    struct slice value; /* The string unless chunked, or the body: in the slot's scratch. */
};

/* Keys of a database stand in the order of their spots: database 0 in that of its tokens, another,
 * which has one token, in that of a hash with 63 bits. Equal spots: in the order of (length,
 * bytes).
 */
uint64_t keyspace_spot(uint8_t db, struct slice key);
/* Appends the metadata row's key. */
void keyspace_row_key(uint8_t db, struct slice key, struct buf *out);
/* What rows of STORE_DATA begin with. */
struct keyspace_prefix {
    uint64_t token;
    uint8_t db;
    bool element; /* Of a collection; then nothing of the following. */
    uint64_t spot;
    struct slice key;
    size_t size; /* Up to the end of the key; more is behind it in a chunk's. */
};
/* False: it is no row's key. */
bool keyspace_parse_prefix(struct slice row_key, struct keyspace_prefix *prefix);
/* Takes a key of STORE_DATA apart. False: it is no metadata row's. */
bool keyspace_parse_row_key(struct slice row_key, uint64_t *token, uint8_t *db, struct slice *key);
/* Takes a metadata row's value apart; CORRUPT. */
MUST_USE enum status keyspace_parse_row(struct slice value, struct row *row);
/* Appends such a value but for the string or the body. */
void keyspace_row_header(const struct row *row, struct buf *out);
/* Appends the key of a chunk. */
void keyspace_chunk_key(struct slice row_key, uint64_t version, uint64_t index, struct buf *key);

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

/* The same for a value that has to be of a type: WRONG_TYPE if it is found and is not. */
MUST_USE enum status keyspace_load_type(struct call *call,
                                        enum keyspace_slot slot,
                                        struct slice key,
                                        enum keyspace_type type,
                                        struct row *row);
/* "string", "hash", ..., as TYPE says it. */
const char *keyspace_type_name(uint8_t type);

/* All below are for apply, on a row just loaded, which they bring up to date. */

/* Makes of a row that was not found that of an empty, packed collection. Writes nothing. At most
 * one collection comes to be per command and token: that makes its version unique there. */
void keyspace_begin(struct call *call, struct row *row, enum keyspace_type type);
/* Writes the metadata row of a collection as it is in row (type, flags, expiry), with the size and
 * the body; not from SCRATCH_CHUNK. An empty collection is deleted instead, unless it is a stream.
 */
void keyspace_put(struct call *call, struct row *row, uint64_t size, struct slice body);
/* Starts the key of an element row; the buffer is cleared before. All of them: from this key to
 * keyspace_element_end(). */
void keyspace_element_key(const struct row *row, struct buf *key);
void keyspace_element_end(const struct row *row, struct buf *key);

/* Sets the whole value, new or not. */
MUST_USE enum status keyspace_set(
    struct call *call, struct row *row, struct slice value, unsigned flags, uint64_t expire_ms);
/* Overwrites bytes from offset on; the string grows with zeros as needed; raw from then on. */
MUST_USE enum status keyspace_patch(struct call *call,
                                    struct row *row,
                                    uint64_t offset,
                                    struct slice bytes);
MUST_USE enum status keyspace_set_expire(struct call *call, struct row *row, uint64_t expire_ms);
void keyspace_delete(struct call *call, struct row *row);
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
/* to becomes what from is, and from is removed. Within a token and database elements stay where
 * they are. */
MUST_USE enum status keyspace_move(struct call *call, struct row *from, struct row *to);

/* Appends offset <= byte < offset + len of the value, which has that many. AGAIN also for much of a
 * value, if the txn is cache-only. */
MUST_USE enum status keyspace_read(
    struct call *call, const struct row *row, uint64_t offset, uint64_t len, struct buf *out);
/* The whole value as a bulk string. */
MUST_USE enum status keyspace_reply(struct call *call, const struct row *row);

/* The metadata row of another shard becomes one of this shard, with its version; whatever has the
 * key here goes, unless it is the same row already. CORRUPT: value is no such row. */
MUST_USE enum status keyspace_adopt(
    struct call *call, uint8_t db, struct slice key, struct slice value, bool *added);

/* Removes the keys of a database, or of all of them. */
void keyspace_flush(struct call *call, uint8_t db, bool all);

/* LOCAL rows of a shard: shard(8 BE) | kind | ... */
enum keyspace_local {
    LOCAL_STATE = 'A',
    LOCAL_STAGE = 'C',   /* session(8 BE) | id(8 BE) -> how far a value in pieces has come */
    LOCAL_EXPIRY = 'E',  /* expire_ms(8 BE) | row key -> nothing */
    LOCAL_GARBAGE = 'G', /* start of element keys -> where the removal goes on */
    LOCAL_SCRIPT = 'L',  /* SHA-1 (20 bytes) -> source */
    LOCAL_REPLY = 'R',   /* session(8 BE) | seq(8 BE) -> reply */
    LOCAL_SESSION = 'S', /* session(8 BE) -> window */
    LOCAL_RECOUNT = 'W', /* nothing -> how far a count of the keys has come: recount.h */
};
/* Starts such a key; the buffer is cleared before. */
void keyspace_local_key(uint64_t shard, enum keyspace_local kind, struct buf *key);

/* Writes, or removes, the row of the expiry index of a shard. */
void keyspace_index_expiry(struct txn *txn,
                           uint64_t shard,
                           uint64_t expire_ms,
                           struct slice row_key);
void keyspace_unindex_expiry(struct txn *txn,
                             uint64_t shard,
                             uint64_t expire_ms,
                             struct slice row_key);

/* Removes at most count keys that had expired before call->now_ms, and learns when the next do. */
MUST_USE enum status keyspace_expire(struct call *call, size_t count);

#endif
