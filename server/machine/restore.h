#ifndef SERVER_MACHINE_RESTORE_H
#define SERVER_MACHINE_RESTORE_H

#include "common/rdb/rdb_value.h"
#include "server/machine/keyspace.h"

/* Values of dumps become keys. What the log holds is the value in the form of rdb_value.h, but of a
 * sorted set the sub-keys in order, each u32 length, bytes: so what a dump means is decided once,
 * and all replicas do little. Pure. */

/* NULL, or an error: something in it is longer than it may be here. */
const char *restore_refuse(const struct rdb_value *value);
/* Appends it as the log is to hold it. */
void restore_encode(const struct rdb_value *value, struct buf *out);
/* Makes a key that is not there. CORRUPT: it was not written by restore_encode(). */
MUST_USE enum status restore_value(
    struct call *call, struct slice key, enum rdb_kind kind, uint64_t count, struct slice bytes);

#endif
