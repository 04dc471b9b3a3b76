#ifndef SERVER_MACHINE_PACKED_H
#define SERVER_MACHINE_PACKED_H

#include "common/base/buf.h"
#include "common/base/number.h"
#include "common/base/status.h"

/* A small hash or set as bytes, all of it in the body of one row:
 *   pairs     count * (u8 size, field, u8 size, value)    in order of insertion
 *   members   count * (u8 size, member)                   in order of insertion
 *   integers  count * i64                                 ascending
 * The bytes may come from a damaged store: whatever they are, nothing outside of them is read, and
 * what cannot be is CORRUPT. Pure. Any thread. */

enum packed_form { PACKED_PAIRS, PACKED_MEMBERS, PACKED_INTEGERS };

enum {
    PACKED_COUNT_MAX = 128, /* Of pairs and of members. */
    PACKED_INTEGERS_MAX = 512,
    PACKED_SIZE_MAX = 64, /* Of a field, a value, a member. */
};

/* Fields are members, or integers as text. The slices borrow from the body, or from text. */
struct packed_entry {
    struct slice field;
    struct slice value;
    size_t at;   /* Where the entry begins, */
    size_t size; /* and its bytes. */
    char text[NUMBER_I64_SIZE_MAX];
};

/* A walk over all entries. Begin with the body as rest and all else zero. */
struct packed_walk {
    enum packed_form form;
    struct slice body;
    size_t at;
    struct packed_entry entry;
    bool corrupt;
};
/* False at the end, and when the rest is CORRUPT. */
bool packed_next(struct packed_walk *walk);

/* Looks a field up. If it is not there, entry->at is where it would be put and entry->size 0. */
MUST_USE enum status packed_find(enum packed_form form,
                                 struct slice body,
                                 struct slice field,
                                 struct packed_entry *entry,
                                 bool *found);

/* True if a body of count entries may have this one among them. */
bool packed_takes(enum packed_form form, uint64_t count, struct slice field, struct slice value);
/* Puts a field that packed_takes() to where packed_find() said. */
void packed_put(enum packed_form form,
                struct buf *body,
                const struct packed_entry *entry,
                struct slice field,
                struct slice value);
/* Removes what packed_find() found. */
void packed_remove(struct buf *body, const struct packed_entry *entry);

#endif
