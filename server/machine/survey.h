#ifndef SERVER_MACHINE_SURVEY_H
#define SERVER_MACHINE_SURVEY_H

#include "server/machine/keyspace.h"

/* A look at the metadata rows of a range of tokens, all databases, which passes over what lies
 * between them (chunks, elements) by seeks. Bounded by rows and bytes, and the same on every
 * replica. Pure. Thread: the txn's. */

struct survey {
    size_t rows_left;     /* Places that may still be looked at, */
    size_t size_left;     /* and bytes. */
    uint64_t keys;        /* Metadata rows of database 0, */
    uint64_t expires;     /* and those of them with an expiry. */
    struct buf *expiring; /* Appended to, of all databases: u64 expiry | u32 length, row key. */
    struct buf *next;     /* Set to where to go on; empty: the range is done. */
};

/* Rows of STORE_DATA with from <= key < to. IO, CORRUPT, AGAIN. */
MUST_USE enum status survey_walk(struct txn *txn,
                                 struct slice from,
                                 struct slice to,
                                 struct survey *survey);

#endif
