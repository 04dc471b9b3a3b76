#ifndef SERVER_NODE_LOAD_H
#define SERVER_NODE_LOAD_H

#include "server/control/load_table.h"
#include "server/worker.h"

/* The loads of a node's loops on their way to the node that leads the meta group: gathered from all
 * loops, sent once a second (FRAME_LOAD), kept in a table there. Thread: loop 0. */

struct node_load_desk;

struct node_load_options {
    uint64_t node;
    uint64_t incarnation;
    unsigned loops;
};

struct node_load_desk *node_load_new(const struct node_load_options *options);
void node_load_free(struct node_load_desk *desk);

/* What one loop had to do: taken, until its next. */
void node_load_measured(struct node_load_desk *desk, struct worker_load *load);
/* Once a second. leader: of the meta group, 0 if nobody is known; out: to it, NULL if it cannot be
 * reached or is this node. */
void node_load_tick(struct node_load_desk *desk,
                    uint64_t leader,
                    struct buf *out,
                    uint64_t disk_free,
                    uint64_t now_ms);
/* FRAME_LOAD of another node. PROTOCOL. */
MUST_USE enum status node_load_receive(struct node_load_desk *desk, struct slice report);

/* Empty unless this node leads the meta group. */
const struct load_table *node_load_table(const struct node_load_desk *desk);
/* Since when it does; 0: it does not. */
uint64_t node_load_leading_ms(const struct node_load_desk *desk);

#endif
