#ifndef SERVER_CONTROL_META_ORDER_H
#define SERVER_CONTROL_META_ORDER_H

#include "common/cluster/cluster_job.h"
#include "common/proto/command.h"
#include "server/control/meta_entry.h"

/* A command of the meta group about jobs, nodes and what shards report: as it is sent, in the one
 * argument of META.ORDER, and as it stands in the log, stamped with the time.
 *
 *   u8 format (2) | u8 op | u64 now_ms (0 when sent) | u64 id | u64 value | u64 parent |
 *   u64 undo_of | u8 what | who | text | why | effect | u32 count | count * item
 *
 * Texts are u32 length, bytes. Items: shard_desc_encode() of REPORT, job_spec_encode() of ADD. What
 * an op does not use is 0. Formats and ops never change their meaning. Pure. Any thread. */

enum {
    META_ORDER_FORMAT = 2,
    META_ORDER_SIZE_MAX = 4 << 20,
    META_REPORT_MAX = 64,
    META_DESC_SIZE_MAX = 1024
};

enum meta_set { META_PAUSE = 1, META_RESUME, META_CANCEL, META_THROTTLE, META_SETS };
enum meta_node_verb {
    META_DRAIN = 1,
    META_UNDRAIN,
    META_REMOVE,
    META_REMOVE_DOWN,
    META_LOST, /* It will never come back with its data. */
    META_NODE_VERBS
};

struct meta_order {
    enum meta_op op;
    uint64_t now_ms;
    uint64_t id;      /* STEP, END, SET: job. NODE: node. */
    uint64_t value;   /* END: bytes moved. SET: bytes a second. MODE: enum balancer_mode. */
    uint64_t parent;  /* ADD: of the new jobs. */
    uint64_t undo_of; /* ADD */
    uint8_t what;     /* STEP: the step that the job is at. END: its state. SET, NODE: verb. */
    char who[JOB_WHO_SIZE_MAX];
    char text[JOB_TEXT_SIZE_MAX]; /* END: result. NOTE: what. */
    char why[JOB_TEXT_SIZE_MAX];
    char effect[JOB_TEXT_SIZE_MAX];
    uint32_t count;
    struct slice items; /* Borrowed. */
};

void meta_order_encode(const struct meta_order *order, struct buf *out);
/* CORRUPT, with *order undefined, for anything else than meta_order_encode() writes, and for items
 * that are none. */
MUST_USE enum status meta_order_decode(struct slice bytes, struct meta_order *order);

/* From the arguments of META.ORDER or META.REPORT. items is scratch memory for those of a report.
 * NULL if they are good, else what is wrong with them. */
const char *meta_order_parse(struct args args, struct meta_order *order, struct buf *items);

#endif
