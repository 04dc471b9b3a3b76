#ifndef SERVER_MACHINE_TRANSPLANT_H
#define SERVER_MACHINE_TRANSPLANT_H

#include "server/machine/keyspace.h"

/* LOCAL rows of one shard that become, or are copied to, those of another: what a split or a merge
 * does with what is not addressed by token. Pure. Thread: the txn's. */

struct transplant {
    struct txn *txn;
    uint64_t from, to; /* Shards. */
    enum keyspace_local kind;
    bool copy;
    /* Which rows: the key behind the kind, and the value. NULL: all. */
    bool (*wanted)(const struct transplant *transplant, struct slice rest, struct slice value);
    /* Appends what the row's key is at its new place, behind the kind. NULL: the same. */
    void (*rename)(const struct transplant *transplant, struct slice rest, struct buf *key);
    struct machine_scope scope; /* For wanted(). */
    uint64_t count;             /* Rows that were taken. */
};

/* IO, CORRUPT. */
MUST_USE enum status transplant_run(struct transplant *transplant);
/* How many rows of the kind a shard has; stops at max. */
MUST_USE enum status transplant_count(
    struct txn *txn, uint64_t shard, enum keyspace_local kind, uint64_t max, uint64_t *count);

#endif
