#ifndef SERVER_MACHINE_COLLECTION_H
#define SERVER_MACHINE_COLLECTION_H

#include "common/base/rand.h"
#include "server/machine/keyspace.h"
#include "server/machine/packed.h"

/* A hash or a set under one key: fields with values, or members without. A small one is packed into
 * its metadata row (packed.h) and costs what a string costs. A larger one has a row per element,
 * and does not become packed again:
 *   element key   ... | XXH3 of the field (8 BE) | field
 *   its value     u8 0, value; of a set: nothing
 *   body          u8: 1 while OBJECT ENCODING of a hash is still listpack | u64 dead
 * in an order that has nothing to do with the fields, so a place in it is a cursor that stays good
 * while elements come and go, and a random place finds a random element. Dead is how many elements
 * were removed from these rows: an LSM tree walks over what is left of them for a while, so a
 * collection that was drained gets new rows (collection_renew()). Pure.
 *
 * Open it, look and change, close it: then the metadata row is written, if anything changed. One
 * collection per slot at a time. What goes wrong is IO or CORRUPT; AGAIN in cache-only mode. */

enum {
    COLLECTION_FIELD_SIZE_MAX = 64 * 1024,        /* Checked before the log: see */
    COLLECTION_VALUE_SIZE_MAX = 32 * 1024 * 1024, /* collection_refuse_size(). */
    COLLECTION_FAST_COUNT = 1000,                 /* A walk over more elements may take long, */
    COLLECTION_PAGE_MAX = 10000,                  /* and no page of a scan has many more. */
    COLLECTION_CURSOR_BITS = 53,                  /* Clients read cursors as doubles. */
    COLLECTION_REPLY_SIZE_MAX = 512 * 1024 * 1024,
};

struct collection {
    struct call *call;
    enum keyspace_slot slot;
    enum keyspace_type type;
    struct row row;    /* Its size is the number of elements. */
    bool there;        /* Found, or come to be since. */
    bool changed;      /* Since it was opened. */
    bool tight;        /* Redis would hold it as a listpack. */
    uint64_t dead;     /* Elements that were removed from its rows. */
    struct buf *own;   /* The packed body if it was changed. */
    struct slice body; /* The packed body. */
};

struct collection_entry {
    struct slice field;
    struct slice value;
};
/* Is shown elements; OK goes on, anything else ends the walk. */
typedef enum status (*collection_visit)(void *ctx, const struct collection_entry *entry);

/* NULL, or the error text for a field or a value that is too long to be put. */
const char *collection_refuse_size(struct slice field, struct slice value);

/* WRONG_TYPE. What does not exist is empty. */
MUST_USE enum status collection_open(struct call *call,
                                     enum keyspace_slot slot,
                                     struct slice key,
                                     enum keyspace_type type,
                                     struct collection *collection);
/* Writes what was changed; what became empty is gone. */
void collection_close(struct collection *collection);

static inline uint64_t collection_count(const struct collection *collection)
{
    return collection->there ? collection->row.size : 0;
}

/* *value is valid until the next call on any collection. */
MUST_USE enum status collection_get(struct collection *collection,
                                    struct slice field,
                                    struct slice *value,
                                    bool *found);
/* Sets a field, new or not. */
MUST_USE enum status collection_put(struct collection *collection,
                                    struct slice field,
                                    struct slice value,
                                    bool *added);
/* The same for a field that is known not to be there. */
MUST_USE enum status collection_add(struct collection *collection,
                                    struct slice field,
                                    struct slice value);
MUST_USE enum status collection_remove(struct collection *collection,
                                       struct slice field,
                                       bool *removed);
/* The same for a field that is known to be there. */
MUST_USE enum status collection_drop(struct collection *collection, struct slice field);
/* After removals, before the close: gives a collection in rows that was drained new ones. Only
 * for commands that make no collection of the same token: its version has to be unique there. */
MUST_USE enum status collection_renew(struct collection *collection);
/* Removes the key at once, however much it has. */
void collection_clear(struct collection *collection);
/* Removes what is at the key, whatever its type, and opens an empty collection there; slot A. */
MUST_USE enum status collection_overwrite(struct call *call,
                                          struct slice key,
                                          enum keyspace_type type,
                                          struct collection *collection,
                                          bool *existed);

/* A walk in order: of insertion, of integers, or of the hashes of the fields. The collection is not
 * changed meanwhile; others may be looked into. One walk at a time. */
struct collection_walk {
    struct collection *collection;
    struct store_iter *iter; /* NULL: packed. */
    struct packed_walk packed;
    size_t prefix; /* Bytes of an element key before the hash. */
    uint64_t hash; /* Of the element's field; 0 if packed. */
    struct collection_entry entry;
    enum status status;
};
/* To the first element whose hash is not below `hash`; false if there is none. */
bool collection_walk_open(struct collection_walk *walk,
                          struct collection *collection,
                          uint64_t hash);
/* Of a collection in rows, to be sought first. */
void collection_walk_begin(struct collection_walk *walk, struct collection *collection);
bool collection_walk_next(struct collection_walk *walk);
/* To the first element at or behind a place. */
bool collection_walk_seek(struct collection_walk *walk, uint64_t hash);
/* The status of all of the walk. */
MUST_USE enum status collection_walk_close(struct collection_walk *walk);

/* AGAIN if the txn is cache-only and looking at count elements, or at all there are if these are
 * fewer, may take long. */
MUST_USE enum status collection_may_walk(const struct collection *collection, uint64_t count);
/* AGAIN if a reply of a read that is so long already is too long for cache-only mode, TOO_BIG if it
 * is for any. */
MUST_USE enum status collection_may_reply(const struct call *call, uint64_t size);

/* Shows all elements. CORRUPT if there are not as many as there should be. */
MUST_USE enum status collection_each(struct collection *collection,
                                     collection_visit visit,
                                     void *ctx);

/* Shows a page of about count elements from a cursor on; all of a packed collection. Whoever goes
 * on from 0 until *next is 0 sees all elements that were there all the time. */
struct collection_page {
    uint64_t cursor;
    uint64_t count;
    uint64_t next;
};
MUST_USE enum status collection_scan(struct collection *collection,
                                     struct collection_page *page,
                                     collection_visit visit,
                                     void *ctx);

/* Shows count elements chosen at random: any with the same chance if it is small, nearly so if it
 * is large (a random place in the order of the hashes, and a few more steps). The collection is not
 * empty. */
MUST_USE enum status collection_pick(struct collection *collection,
                                     struct rand *rand,
                                     uint64_t count,
                                     collection_visit visit,
                                     void *ctx);
/* The same with none shown twice; count is less than there are. */
MUST_USE enum status collection_pick_distinct(struct collection *collection,
                                              struct rand *rand,
                                              uint64_t count,
                                              collection_visit visit,
                                              void *ctx);
/* Neighbours in the order of the hashes from a random place on, if it is large: the cost is that of
 * what is shown. count is less than there are. */
MUST_USE enum status collection_pick_run(struct collection *collection,
                                         struct rand *rand,
                                         uint64_t count,
                                         collection_visit visit,
                                         void *ctx);

/* What OBJECT ENCODING says of a hash or a set. */
const char *collection_encoding(const struct row *row);

#endif
