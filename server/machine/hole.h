#ifndef SERVER_MACHINE_HOLE_H
#define SERVER_MACHINE_HOLE_H

#include "server/machine/keyspace.h"

/* Positions of a list without an element: what LREM took from its middle. They are counted by
 * segments of segments, so that the nth element is found with some dozens of gets, however many
 * holes there are before it. Rows behind the elements of the list:
 *
 *     0xFF | level(1) | segment(8 BE) -> u64
 *
 * Level 0: a bit for each of 64 positions; levels 1 to 3: holes among 64 segments of the level
 * below. A row of zero is not there. What is outside the list is no hole. Pure.
 *
 * Statuses: AGAIN, IO, CORRUPT of the store. */

enum {
    HOLE_BITS = 6, /* Of a position, or of a segment, within its segment. */
    HOLE_LEVELS = 4,
    HOLE_MARK = 0xFF, /* No position begins with it. */
};

/* The element at position goes, or comes to a hole. */
MUST_USE enum status hole_add(struct call *call, const struct row *row, uint64_t position);
MUST_USE enum status hole_fill(struct call *call, const struct row *row, uint64_t position);
/* from <= position < to leave the list, at one of its ends. */
MUST_USE enum status hole_forget(struct call *call,
                                 const struct row *row,
                                 uint64_t from,
                                 uint64_t to);
MUST_USE enum status hole_check(struct call *call,
                                const struct row *row,
                                uint64_t position,
                                bool *hole);
/* Moves *position to the nth (0: the first) at or behind it that is no hole. */
MUST_USE enum status hole_seek(struct call *call,
                               const struct row *row,
                               uint64_t nth,
                               uint64_t *position);

#endif
