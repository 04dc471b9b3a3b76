#ifndef TESTS_RAFT_WAL_FAKE_H
#define TESTS_RAFT_WAL_FAKE_H

#include "replication/log/wal.h"

/* The shared log in memory, behind replication/log/wal.h, with a disk that the test controls: a
 * submitted batch becomes durable when wal_fake_sync() takes it, and a crash loses the rest. The
 * wal outlives the crash, as a disk does. One port at a time. */

struct wal *wal_fake_new(void);
void wal_fake_free(struct wal *wal);
/* Batches that were submitted and are not durable. */
size_t wal_fake_waiting(const struct wal *wal);
/* Makes the oldest count batches durable. */
void wal_fake_sync(struct wal *wal, size_t count);
/* Everything that is not durable is gone, the port writes nothing any more. */
void wal_fake_crash(struct wal *wal);
/* The next life: a new port, and what is durable is what is known. */
struct wal_port *wal_fake_reopen(struct wal *wal);

/* What is durable, for setting up and looking. */
void wal_fake_put_vote(struct wal *wal, uint64_t group, uint64_t term, uint64_t vote);
void wal_fake_put_reset(
    struct wal *wal, uint64_t group, uint64_t index, uint64_t term, struct slice data);
void wal_fake_put_entry(struct wal *wal, uint64_t group, uint64_t index, const struct wal_entry *);

#endif
