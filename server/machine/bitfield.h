#ifndef SERVER_MACHINE_BITFIELD_H
#define SERVER_MACHINE_BITFIELD_H

#include "common/base/slice.h"

/* Integers of 1 to 64 bits at any bit of a string, the highest bit first. Semantics: Redis 7.0
 * bitops.c. Pure. */

enum bitfield_overflow { BITFIELD_WRAP, BITFIELD_SAT, BITFIELD_FAIL };
enum bitfield_action { BITFIELD_GET, BITFIELD_SET, BITFIELD_INCR };

struct bitfield_op {
    enum bitfield_action action;
    enum bitfield_overflow overflow;
    bool is_signed;
    unsigned bits;   /* 1..64, 1..63 if it is not signed. */
    uint64_t offset; /* Of the first bit. */
    int64_t value;   /* To set or to add. */
};

enum { BITFIELD_WINDOW_SIZE = 9 }; /* Bytes that an integer may touch. */

/* Does the operation on the bytes from offset / 8 on, zeros behind the end of the string. *answer:
 * the value to reply. False: it would overflow, and nothing was done. */
bool bitfield_apply(const struct bitfield_op *op,
                    uint8_t window[BITFIELD_WINDOW_SIZE],
                    int64_t *answer);

/* How many bytes a string has to have to hold the integer. */
static inline uint64_t bitfield_end(const struct bitfield_op *op)
{
    return (op->offset + op->bits - 1) / 8 + 1;
}

#endif
