#ifndef ROUTER_GATHER_H
#define ROUTER_GATHER_H

#include "router/core_state.h"

/* Requests and their parts: makes the parts that a request needs, joins the answers, ends it with
 * its reply or with an error. Parts find a new shard here when the map changes. Thread: the core's.
 *
 * Everything below may end requests, that is call on_done, as its last act on them. */

struct core_gather {
    struct lane_part *shares;
    size_t pending;
    uint32_t *keys; /* Of all shares. Owned. */
    bool every;     /* The shares together are about the whole ring. */
    size_t asked;   /* ANY: shards so far. */
    bool failed;
};

void gather_begin(struct core *core, struct core_request *request);
/* One value in the machine's form. The part is in no lane any more. */
void gather_answer(struct core *core, struct lane_part *part, struct slice reply);
/* The part can have no answer; text is the error with its code. It is in no lane any more. */
void gather_fail(struct core *core, struct lane_part *part, struct slice text);
/* Puts it among those with a deadline. */
void gather_schedule(struct core *core, struct core_request *request);
/* It waits no longer, and has certainly taken nothing. */
void gather_end_wait(struct core *core, struct core_request *request);
/* No time left. */
void gather_expire(struct core *core, struct core_request *request);

/* The shard of this part says that it does not own its keys, so that it was never applied there;
 * it is in no lane any more. It is among the strays now. */
void gather_disown(struct core *core, struct lane_part *part);
/* Sends a stray on if today's map knows another shard for it; false: it still waits. */
bool gather_settle(struct core *core, struct lane_part *part);
/* The stray waits for a newer map: what needs its first token is not to overtake it. */
void gather_hold(struct core *core, const struct lane_part *part);
/* Such a part. It is to become a stray as well. */
bool gather_held(const struct core *core, const struct lane_part *part);
/* Keeps a part until gather_reroute(). */
void gather_stray(struct core *core, struct lane_part *part);
/* Sends strays, and requests that waited for a map, where today's map says. */
void gather_reroute(struct core *core);
/* True if the part may be applied somewhere, so that whoever owns its keys must be asked for it
 * under the number that it was sent with. */
bool gather_bound(const struct lane_part *part);
/* The session that it is sent in. */
uint64_t gather_session(const struct core *core, const struct lane_part *part);

/* Frees what a request has of the core without ending it. */
void gather_forget(struct core *core, struct core_request *request);

#endif
