#ifndef REPLICATION_LOG_WAL_READER_H
#define REPLICATION_LOG_WAL_READER_H

#include "common/base/thread.h"
#include "replication/log/wal_index.h"
#include "replication/log/wal_pool.h"

/* Reads entries of one group back from the segments. Any thread; lock guards index, the list of
 * segments and their pins, and is not held while reading. What it says: wal_load(). */
struct wal_reader {
    struct wal_pool *pool;
    const struct wal_index *index;
    struct mutex *lock;
    void (*visit)(void *arg, uint64_t index, const struct wal_entry *entry);
    void *arg;
};

MUST_USE enum status wal_reader_load(struct wal_reader *reader, uint64_t group, uint64_t index);

#endif
