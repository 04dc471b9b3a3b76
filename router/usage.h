#ifndef ROUTER_USAGE_H
#define ROUTER_USAGE_H

#include "common/base/buf.h"
#include "common/cluster/cluster_view.h"

/* What each database has, summed up from what the shards say of themselves (the internal command
 * `usage`). Pure. Any thread. */

enum { USAGE_DATABASES = 16 };

struct usage_database {
    uint64_t keys, expires;
    uint64_t bytes; /* On disk, about; 0 if they were not asked for. */
    uint64_t ops_per_second;
};

struct usage {
    struct usage_database databases[USAGE_DATABASES];
};

/* Takes the joined reply of all shards apart. False: it is none, and *usage is as it was. */
bool usage_read(struct slice reply, struct usage *usage);

/* Appends the reply to SHERD DATABASES, in the machine's form:
 *   [{db, keys, expires, bytes, ops_per_second, colocated, shards, shard, leader, leader_address}]
 * shard, leader and leader_address: of a co-located database; 0 and "" for database 0, which lies
 * on all shards, and where nobody is known. */
void usage_write(const struct usage *usage, const struct cluster_view *view, struct buf *out);

#endif
