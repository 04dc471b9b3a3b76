#ifndef SERVER_MACHINE_ZSET_H
#define SERVER_MACHINE_ZSET_H

#include "server/machine/keyspace.h"
#include "server/machine/rank_index.h"
#include "server/machine/zset_packed.h"

/* Sorted sets as rows; docs/storage_format.md has the bytes. An element has a sub-key, its encoded
 * score (8 BE) and then its member: their order is that of the set.
 *
 * A small set lies in the metadata row's body: zset_packed.h. Else there are three kinds of element
 * rows 'm' hash(8 BE) member  -> encoded score (8 BE)     for a look at one, and for ZSCAN 's'
 * sub-key            -> nothing                  for the order 'n' ... counts over these:
 * rank_index.h and the body says between which sub-keys there is something: u8 levels | u32 top |
 * u8 size, low | u8 size, high low is the first sub-key, high is behind the last one; both may be
 * cut, so that they stay small. A queue removes at one end and adds at the other: what an LSM tree
 * keeps of the removed rows is outside of these bounds, so that nothing walks over it.
 *
 * Pure. Statuses: AGAIN (reads on a cache-only txn), IO, CORRUPT. */

enum {
    ZSET_MEMBER_SIZE_MAX = 65536, /* It is a part of keys. */
    ZSET_REPLY_SIZE_MAX = 512 * 1024 * 1024,
    ZSET_FAST_REPLY_SIZE_MAX = 1024 * 1024, /* A longer one is made where it may take long. */
    ZSET_BOUND_SIZE_MAX = 8 + 64 + 1,
    ZSET_PREFIX_SIZE = 8 + 1 + 4 + 8 + 1, /* Of an element row, with its kind. */
};

#define ERR_MEMBER_SIZE "ERR field or member is longer than 65536 bytes"

struct zset_bound {
    uint8_t size;
    uint8_t bytes[ZSET_BOUND_SIZE_MAX];
};

struct zset {
    struct call *call;
    struct row row;
    bool packed;
    bool cleared; /* All elements go at once, by garbage.h. */
    uint64_t size;
    struct buf *work;  /* The packed entries once they were changed: SCRATCH_BODY. */
    struct slice body; /* Packed entries. */
    struct zset_bound low;
    struct zset_bound high;
    uint8_t levels; /* Of the rank index, and the next two too. */
    uint32_t top;
    struct zset_bound first;
};

/* An element into a reply, as it stands in resp_write_pairs() if it has a score. */
void zset_reply(struct slice sub_key, bool with_score, struct buf *out);

/* An interval of sub-keys: from <= sub-key < to. */
struct zset_range {
    struct slice from;
    struct slice to;
};
/* The whole set. */
struct zset_range zset_range_all(void);

/* An empty set if the key is not there (row.found says so); WRONG_TYPE. One set at a time is
 * changed. */
MUST_USE enum status zset_load(struct call *call,
                               enum keyspace_slot slot,
                               struct slice key,
                               struct zset *zset);
/* Takes a metadata row apart that was loaded before. */
MUST_USE enum status zset_open(struct call *call, const struct row *row, struct zset *zset);

MUST_USE enum status zset_find(struct zset *zset, struct slice member, bool *found, double *score);
/* Elements before the sub-key. */
MUST_USE enum status zset_count(struct zset *zset, struct slice sub_key, uint64_t *before);
/* Appends the sub-key of an element. */
void zset_sub_key(double score, struct slice member, struct buf *out);
/* AGAIN if a reply of so many bytes is too long for a cache-only txn, TOO_BIG if it is for any. */
MUST_USE enum status zset_may_reply(const struct call *call, size_t size);

/* What changes the set is not seen by others before zset_save(). */

/* Adds the member, or gives it another score: old is the one it has. */
MUST_USE enum status zset_put(struct zset *zset,
                              struct slice member,
                              double score,
                              const double *old);
MUST_USE enum status zset_remove(struct zset *zset, struct slice member, double score);
/* Removes at most limit elements of an interval, from its end if reverse. Their sub-keys are
 * appended to removed (may be NULL), each with its length, in that order; *count of them. */
struct zset_removal {
    struct zset_range range;
    uint64_t limit;
    bool reverse;
    struct buf *removed;
    uint64_t count;
};
MUST_USE enum status zset_remove_range(struct zset *zset, struct zset_removal *removal);
/* Writes the metadata row; an empty set is deleted. */
void zset_save(struct zset *zset);
/* The same after a removal, which is noted as an event of this name, and "del" if that was all. */
void zset_finish(struct zset *zset, const char *event, struct slice key);
/* Makes the key of the row anew with these elements: sub-keys, sorted, each once. */
void zset_replace(struct call *call, struct row *row, const struct slice *sub_keys, size_t count);

/* The end of a command that stores its result: the same under a key, with the reply and events. An
 * empty result removes what is there. Uses SLOT_A. */
MUST_USE enum status zset_store(struct call *call,
                                struct slice key,
                                const struct slice *sub_keys,
                                size_t count,
                                const char *event);

/* The encoded score of the first element; the set is not empty. */
uint64_t zset_first_score(const struct zset *zset);

/* For zset_cursor.h. */
struct rank_index zset_index(struct zset *zset, uint8_t prefixes[2 * ZSET_PREFIX_SIZE]);
/* Starts the key of an element row of this kind. */
enum zset_kind { ZSET_MEMBER = 'm', ZSET_NODE = 'n', ZSET_SCORE = 's' };
void zset_row_key(const struct zset *zset, enum zset_kind kind, struct buf *key);
/* Narrows an interval to where there is something. */
struct zset_range zset_within(const struct zset *zset, struct zset_range range);

#endif
