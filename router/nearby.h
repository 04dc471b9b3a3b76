#ifndef ROUTER_NEARBY_H
#define ROUTER_NEARBY_H

#include "router/core_state.h"

/* Reads that may be answered by a replica which does not lead. The nearest is chosen: one of the
 * router's own zone if there is one, and of two by chance the one with the smaller product of
 * latency and reads under way. Whatever does not come to an answer there soon goes to the leader,
 * by its lane. docs/routing.md. Thread: the core's. */

/* True: the part, attached and in no lane, was sent to a replica. */
bool nearby_begin(struct core *core, struct lane *lane, struct lane_part *part);
/* The part is attached, and this is the try that went to a replica. The body is borrowed. */
void nearby_reply(struct core *core, struct lane_part *part, const struct frame_reply *reply);
/* The part is done, or dropped: it is nowhere any more. */
void nearby_leave(struct lane_part *part);
/* The link is down. */
void nearby_lost(struct core *core, const struct backend *backend);
/* So long it took the node to answer a read. */
void nearby_note(struct backend *backend, uint64_t passed_ms);
void nearby_tick(struct core *core);
void nearby_plan_timer(struct core *core);

#endif
