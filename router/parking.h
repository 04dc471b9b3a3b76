#ifndef ROUTER_PARKING_H
#define ROUTER_PARKING_H

#include "router/core_state.h"

/* Requests that wait at a node until there is something for them to take (BLPOP and the like).
 * Until the node says that one waits there (PARKED) its part is in the lane like any other; then it
 * is out of everybody's way, at the lane's list of parked ones, and is not asked again. When the
 * link is lost, the leader changes or the node gives it back, it goes through the lane again, with
 * what is left of its time and under the number it had: so what it took before is what it gets.
 *
 * Each such request has a session of its own while it lasts, since its number stays open for as
 * long as it waits: the numbers of other writes must not wait for that. Sessions are used again, so
 * there are as many as requests ever waited at once. Thread: the core's. */

/* Of every request, in core_execute(): how long it may wait, and its session. */
void parking_begin(struct core *core, struct core_request *request);
void parking_end(struct core *core, struct core_request *request);

static inline bool parking_waits(const struct core_request *request)
{
    return request->wait_until_ms != 0;
}
uint64_t parking_session(const struct core *core, const struct core_request *request);
/* Milliseconds that it may wait yet, at least 1; 0: for ever. */
uint64_t parking_left_ms(const struct core *core, const struct core_request *request);

/* What the node says that its arguments meant when it came: told to whoever is asked next. */
void parking_freeze(struct lane_part *part, struct slice frozen);
/* Its part has just left the lane: it waits at the node. */
void parking_take(struct core *core,
                  struct lane *lane,
                  struct lane_part *part,
                  struct backend *backend);
/* Takes it away from there. */
void parking_leave(struct core *core, struct lane_part *part);
/* To the lane again. */
void parking_return(struct core *core, struct lane_part *part);
/* All that wait at the node, and all of a lane that wait elsewhere than at its new leader. */
void parking_lost(struct core *core, const struct backend *backend);
void parking_follow(struct core *core, struct lane *lane);
/* Those whose keys the lane's shard does not own any more go elsewhere; shard NULL: it is gone. */
void parking_disown(struct core *core, struct lane *lane, const struct shard_desc *shard);
/* Gives up those that should long have been answered; cancels that could not be sent. */
void parking_tick(struct core *core);
void parking_free(struct core *core);

#endif
