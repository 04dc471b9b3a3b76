#ifndef SERVER_MACHINE_HYPERLOGLOG_H
#define SERVER_MACHINE_HYPERLOGLOG_H

#include "common/base/buf.h"

/* Estimates how many different elements were added, in a string of at most 12 KB whose bytes are
 * those of Redis 7.0 hyperloglog.c: so it can be read, copied and restored anywhere, and counts are
 * the same to the number.
 *
 *   "HYLL" | u8 encoding | 3 zeros | u64 count that was computed last, or its top bit: none is
 * known
 *
 * 16384 registers follow. Dense: 6 bits each, from the lowest bit of the first byte on. Sparse:
 * runs, 00nnnnnn           n + 1 registers that are 0 01nnnnnn nnnnnnnn  the same, 14 bits 1vvvvvnn
 * n + 1 registers that are v + 1
 *
 * A sparse one that would be longer than 3000 bytes, or have a value over 32, becomes dense. Pure.
 */

enum {
    HYPERLOGLOG_REGISTERS = 1 << 14,
    HYPERLOGLOG_HEADER_SIZE = 16,
    HYPERLOGLOG_DENSE_SIZE = HYPERLOGLOG_HEADER_SIZE + HYPERLOGLOG_REGISTERS * 6 / 8,
    /* No sparse one with that many bytes has the right number of registers. */
    HYPERLOGLOG_SIZE_MAX = HYPERLOGLOG_HEADER_SIZE + 2 * HYPERLOGLOG_REGISTERS,
};

/* What an element changes: the register, and the value it has at least then. */
struct hyperloglog_hash {
    uint16_t index;
    uint8_t value; /* 1..51 */
};
struct hyperloglog_hash hyperloglog_hash(struct slice element);

/* True if the bytes may be one: header and, if it is dense, size; what a sparse one has behind the
 * header shows when it is used. */
bool hyperloglog_check(struct slice bytes);

/* Appends an empty one. */
void hyperloglog_init(struct buf *out);
/* The whole buffer is one that was checked. *changed: whether it did. False: it is corrupt, and may
 * have been changed. */
bool hyperloglog_add(struct buf *bytes, struct hyperloglog_hash hash, bool *changed);
/* Makes a sparse one dense; false: it is corrupt. */
bool hyperloglog_widen(struct buf *bytes);
/* The count is not known any more. */
void hyperloglog_forget(struct buf *bytes);

/* Each register becomes the greater of both; false: it is corrupt. */
bool hyperloglog_merge(struct slice bytes, uint8_t registers[HYPERLOGLOG_REGISTERS]);
uint64_t hyperloglog_count(const uint8_t registers[HYPERLOGLOG_REGISTERS]);
/* The count that it knows; false: none. */
bool hyperloglog_known(struct slice bytes, uint64_t *count);
bool hyperloglog_dense(struct slice bytes);

#endif
