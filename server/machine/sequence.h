#ifndef SERVER_MACHINE_SEQUENCE_H
#define SERVER_MACHINE_SEQUENCE_H

#include "server/machine/keyspace.h"

/* The elements of a list, in order. A small list is packed: its elements lie one behind the other
 * in the body of its metadata row. A larger one has a row per element, by position:
 *
 *     packed body      count * (u32 length, bytes)
 *     body             u64 head | u64 tail: elements are at head <= position < tail
 *     element row      position(8 BE) -> the element
 *
 * Pushes to the left make the head smaller, those to the right the tail greater. So pushing,
 * popping and trimming are gets and puts at known places and never walk over what was removed. What
 * is taken from the middle leaves a hole (hole.h); what is put there moves the elements of the
 * shorter side up to the next hole. Pure.
 *
 * A place is where an element is: an index if packed, else a position. Statuses: WRONG_TYPE of
 * sequence_load(); AGAIN, IO, CORRUPT. */

enum {
    SEQUENCE_PACKED_COUNT_MAX = 128,
    SEQUENCE_PACKED_SIZE_MAX = 8 * 1024, /* Of the body. */
};

struct sequence {
    struct call *call;
    struct row row;
    uint64_t size; /* Elements, as changed so far. */
    bool packed;
    uint64_t head, tail;                           /* Not packed. */
    size_t bytes;                                  /* Of the packed body. */
    struct slice items[SEQUENCE_PACKED_COUNT_MAX]; /* Packed: in the slot, or the caller's. */
};

enum sequence_end { SEQUENCE_LEFT, SEQUENCE_RIGHT };

/* Takes the body of a packed list apart: count elements and nothing else, or CORRUPT. */
MUST_USE enum status sequence_unpack(struct slice body, uint64_t count, struct sequence *sequence);

/* A key that is not there gives an empty list. */
MUST_USE enum status sequence_load(struct call *call,
                                   enum keyspace_slot slot,
                                   struct slice key,
                                   struct sequence *sequence);
/* Writes the metadata row after changes. The key goes if nothing is left. */
void sequence_store(struct sequence *sequence);

/* Apply. Pushed and set elements are the caller's until sequence_store(). */
MUST_USE enum status sequence_push(struct sequence *sequence,
                                   enum sequence_end end,
                                   struct slice value);
/* Of a list with elements. Appends the element. */
MUST_USE enum status sequence_pop(struct sequence *sequence,
                                  enum sequence_end end,
                                  struct buf *value);
/* Keeps count elements from index on. */
MUST_USE enum status sequence_trim(struct sequence *sequence, uint64_t index, uint64_t count);
MUST_USE enum status sequence_remove(struct sequence *sequence, uint64_t place);
/* Behind all: the place where the last element is, plus one. */
MUST_USE enum status sequence_insert(struct sequence *sequence, uint64_t place, struct slice value);
void sequence_set(struct sequence *sequence, uint64_t place, struct slice value);

MUST_USE enum status sequence_place(struct sequence *sequence, uint64_t index, uint64_t *place);
/* Borrowed until the next call. */
MUST_USE enum status sequence_get(struct sequence *sequence, uint64_t place, struct slice *value);

/* From the element with an index on, in either direction; count says how many are wanted at most,
 * so that less is prepared. Nothing is written meanwhile. */
struct sequence_walk {
    struct sequence *sequence;
    struct store_iter *iter;
    bool backward;
    bool moved;
    uint64_t place;
    struct slice value; /* Borrowed until the next step. */
    enum status status;
};
MUST_USE enum status sequence_walk_open(struct sequence_walk *walk,
                                        struct sequence *sequence,
                                        uint64_t index,
                                        uint64_t count,
                                        bool backward);
/* To the first, then to the next; false at the end. */
bool sequence_walk_next(struct sequence_walk *walk);
MUST_USE enum status sequence_walk_close(struct sequence_walk *walk);

#endif
