#ifndef SERVER_CONTROL_META_ENTRY_H
#define SERVER_CONTROL_META_ENTRY_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/cluster/shard_map.h"
#include "common/proto/command.h"

/* A planned command of the meta group about who is in the cluster, as it stands in the log; for all
 * others see meta_order.h:
 *   u8 format | u8 op | cluster[16] | u8 replicas | u32 shards | u64 node | u64 incarnation |
 *   u64 disk | u32 length, address | u32 length, zone
 * Format and ops never change their meaning. Pure. Any thread. */

enum meta_op {
    META_INIT = 1,
    META_JOIN,
    META_REPORT, /* Shards say what they are. From here on: struct meta_order. */
    META_JOB_ADD,
    META_JOB_STEP, /* A job begins, or goes on. */
    META_JOB_END,
    META_JOB_SET, /* A user's: pause, resume, cancel, throttle. */
    META_NODE,
    META_NOTE,    /* A line of the journal. */
    META_MODE,    /* Of the balancer. */
    META_RECOVER, /* A shard that lost its majority goes on with what is left. */
    META_OPS,
};

struct meta_entry {
    enum meta_op op;
    uint8_t cluster[16];
    unsigned replicas; /* INIT only, else 0. */
    unsigned shards;
    uint64_t node;
    uint64_t incarnation;
    uint64_t disk;
    char address[NODE_ADDRESS_SIZE_MAX];
    char zone[NODE_ZONE_SIZE_MAX];
};

enum { META_ENTRY_FORMAT = 1, META_ENTRY_SIZE_MAX = 256 };

void meta_entry_encode(const struct meta_entry *entry, struct buf *out);
/* CORRUPT, with *entry undefined, for anything that meta_entry_encode() does not write. */
MUST_USE enum status meta_entry_decode(struct slice bytes, struct meta_entry *entry);

/* From the arguments of META.INIT or META.JOIN (meta_machine.h). NULL if they are good, else what
 * is wrong with them, for an error reply. */
const char *meta_entry_parse(struct args args, struct meta_entry *entry);

/* "HOST:PORT", port 1 to 65535, printable, without spaces; IPv6 in brackets. */
bool meta_entry_address_ok(struct slice address);

#endif
