#ifndef REPLICATION_RAFT_GUARD_H
#define REPLICATION_RAFT_GUARD_H

#include <stdbool.h>

#include "replication/host.h"

/* The guards that make the library safe, one file each (guard_<name>.h; docs/replication.md has
 * the table). All are on, always, in production: the mask exists so that a test can show what goes
 * wrong without each of them. */
enum guard {
    GUARD_CLAMP = 1 << 0,
    GUARD_BARRIER = 1 << 1,
    GUARD_HOLD = 1 << 2,
    GUARD_STORE = 1 << 3,
    GUARD_SNAP = 1 << 4,
    GUARD_XFER = 1 << 5,
    GUARD_TRIM = 1 << 6,
    GUARD_HINT = 1 << 7,
    GUARD_PREV = 1 << 8,
    GUARD_CONF = 1 << 9,
    GUARD_SOLO = 1 << 10,
    GUARD_VOTE = 1 << 11,
    GUARD_CTERM = 1 << 12,
    GUARD_POINT = 1 << 13, /* Ours, not against the library: replica_read.h. */
    GUARD_ALL = (1 << 14) - 1,
};

/* Tests only: switches the guards in mask off for every group of the host from now on. */
void guard_disable(struct host *host, unsigned mask);

#endif
