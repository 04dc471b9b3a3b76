#ifndef ROUTER_FLOW_H
#define ROUTER_FLOW_H

#include "router/core_state.h"

/* Moves parts from lanes to nodes: picks targets, sends, waits, sends again. The lane's target is
 * the leader as far as known; nothing flows to one that has not answered yet, but for one part that
 * probes it. That is also the bound on retries: per shard one command at a time, with backoff,
 * however many wait behind it. Thread: the core's. */

/* Gives the part a number for its frames; until flow_detach(). */
void flow_attach(struct core *core, struct lane_part *part);
void flow_detach(struct core *core, struct lane_part *part);

/* Bytes of the frame that the part makes. */
size_t flow_frame_size(const struct core_request *request, const struct lane_part *part);

/* Of the frame that the part's last try is. */
uint64_t flow_frame_id(const struct core *core, const struct lane_part *part);
/* The arguments of it: those of the request, or of this share. Valid until the next call. */
struct args flow_share_args(struct core *core, const struct lane_part *part);

/* Queues an attached part and sends what may be sent. */
void flow_insert(struct core *core, struct lane *lane, struct lane_part *part);
/* Takes it out of its lane, if it is in one. */
void flow_remove(struct core *core, struct lane_part *part);

/* An answer of a node. Malformed: PROTOCOL. */
MUST_USE enum status flow_reply(struct core *core,
                                struct backend *backend,
                                const struct frame_reply *reply);
/* A piece of one, likewise. */
MUST_USE enum status flow_reply_part(struct core *core,
                                     struct backend *backend,
                                     const struct frame_part *piece);
/* The node lets it wait. */
void flow_parked(struct core *core, struct backend *backend, const struct frame_ref *ref);
/* The link is up: lanes that waited for it go on. */
void flow_found(struct core *core, struct backend *backend);
/* The link is down. */
void flow_lost(struct core *core, struct backend *backend);
/* The leader says that it leads, or does no longer. */
void flow_learn(struct core *core, const struct leader_hint *hint);
/* Someone else says who leads. */
void flow_hear(struct core *core, const struct leader_hint *hint);
void flow_tick(struct core *core);
/* Computes anew when the next tick is needed. */
void flow_plan_timer(struct core *core);

#endif
