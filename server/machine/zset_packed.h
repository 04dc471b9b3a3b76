#ifndef SERVER_MACHINE_ZSET_PACKED_H
#define SERVER_MACHINE_ZSET_PACKED_H

#include "common/base/buf.h"

/* A small sorted set as bytes: entries in order, each
 *
 *     u8 length of the member | encoded score (8 BE) | member
 *
 * What follows the length is the element's sub-key: sub-keys have the order of the set. Pure. */

enum {
    ZSET_PACKED_COUNT_MAX = 128, /* Redis' zset-max-listpack-entries */
    ZSET_PACKED_MEMBER_MAX = 64, /* and -value. */
};

/* Order of sub-keys, also of beginnings of them. */
int zset_packed_compare(struct slice a, struct slice b);
static inline struct slice zset_packed_member(struct slice sub_key)
{
    return slice_of(sub_key.data + 8, sub_key.len - 8);
}
double zset_packed_score(struct slice sub_key);

/* True if these are count entries, in order. All others want that. */
bool zset_packed_valid(struct slice body, uint64_t count);
/* Takes the first entry off: its sub-key. */
struct slice zset_packed_next(struct slice *rest);
/* Offset of the first entry that is not before the sub-key, and how many are. */
size_t zset_packed_place(struct slice body, struct slice sub_key, uint64_t *before);
bool zset_packed_find(struct slice body, struct slice member, double *score);
/* Adds an element whose member is not there. -0 becomes 0, as in Redis' listpacks. */
void zset_packed_insert(struct buf *body, struct slice sub_key);
/* Removes whole entries. */
void zset_packed_cut(struct buf *body, size_t at, size_t len);

#endif
