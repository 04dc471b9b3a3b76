#ifndef SERVER_SHARD_RANGE_CHANGE_H
#define SERVER_SHARD_RANGE_CHANGE_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/cluster/shard_map.h"

/* An entry of a shard's log that changes what tokens the shard owns: docs/elastic.md. It stands
 * alone in its entry, and is for the shard, not for its machine. Little endian: u8 format (2; 1 is
 * an entry of commands, see entry.h) | u64 stamp_ms | u8 kind | u64 ver | body 1 split     u64
 * token | u64 child | u64 job | u8 count | count * (u64 node, u64 replica) 2 freeze    u64 target |
 * u64 target's ver | u64 job 3 unfreeze  nothing; ver is that of the frozen shard 4 absorb    u64
 * source | u64 its first token | u64 its last one | u64 its ver, frozen | u8 count | count * (u64
 * node, u64 replica) 5 void      nothing ver is what the shard's must be, else the entry changes
 * nothing. Entries outlive the program that wrote them: kinds are added, never changed. Pure. */

enum range_kind {
    RANGE_SPLIT = 1,
    RANGE_FREEZE,   /* The shard is to be merged into another, and does nothing until then. */
    RANGE_UNFREEZE, /* It is not. */
    RANGE_ABSORB,   /* To the other: it takes the frozen one over. */
    RANGE_VOID,     /* To the other: it never will, at this version of it. */
    RANGE_KINDS,
};

struct range_change {
    enum range_kind kind;
    uint64_t stamp_ms;
    uint64_t ver;
    uint64_t token;       /* SPLIT: the first of the child. */
    uint64_t other;       /* SPLIT: child. FREEZE: target. ABSORB: source. */
    uint64_t other_ver;   /* FREEZE, ABSORB. */
    uint64_t start, last; /* ABSORB: of the source. */
    uint64_t job;         /* Why, for the journal; 0: nobody's. */
    /* SPLIT: members of the child, one on the node of each member of the shard. ABSORB: of the
     * source. */
    unsigned count;
    struct replica_desc members[SHARD_REPLICAS_MAX];
};

/* True of entries that range_change_decode() is for. */
bool range_change_is(struct slice entry);
void range_change_encode(const struct range_change *change, struct buf *out);
/* CORRUPT; NEWER_FORMAT: a kind that this program does not know. */
MUST_USE enum status range_change_decode(struct slice entry, struct range_change *change);

#endif
