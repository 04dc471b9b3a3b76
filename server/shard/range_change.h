#ifndef SERVER_SHARD_RANGE_CHANGE_H
#define SERVER_SHARD_RANGE_CHANGE_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/cluster/shard_map.h"

/* An entry of a shard's log that changes what tokens the shard owns. It stands alone in its entry,
 * and is for the shard, not for its machine. Little endian:
 *   u8 format (2; 1 is an entry of commands, see entry.h) | u64 stamp_ms | u8 kind | body
 *   split: u64 ver | u64 token | u64 child | u64 job | u8 count | count * (u64 node, u64 replica)
 * Entries outlive the program that wrote them: kinds are added, never changed. Pure. */

enum range_kind { RANGE_SPLIT = 1 };

struct range_change {
    enum range_kind kind;
    uint64_t stamp_ms;
    uint64_t ver; /* Of the shard as it must be, else nothing happens. */
    /* Split: */
    uint64_t token; /* The first of the child, */
    uint64_t child; /* and its id. */
    uint64_t job;   /* Why, for the journal; 0: nobody's. */
    unsigned count; /* Members of the child: one on the node of each member of the shard. */
    struct replica_desc members[SHARD_REPLICAS_MAX];
};

/* True of entries that range_change_decode() is for. */
bool range_change_is(struct slice entry);
void range_change_encode(const struct range_change *change, struct buf *out);
/* CORRUPT; NEWER_FORMAT: a kind that this program does not know. */
MUST_USE enum status range_change_decode(struct slice entry, struct range_change *change);

#endif
