#ifndef SERVER_CONTROL_ADMIN_DESK_H
#define SERVER_CONTROL_ADMIN_DESK_H

#include "server/control/steward.h"

/* What administrators ask of the cluster, on the node that leads the meta group: `SHERD ...` as it
 * came from a client of any node or router. Some is answered at once from what the steward knows;
 * the rest becomes an order to the meta group, whose answer is made the client's.
 *
 *   JOB LIST [ALL]                  [job]; without ALL those that have not ended and the last 20 of
 *                                   those that have
 *   JOB GET id                      job
 *   JOB PAUSE|RESUME|CANCEL id      OK
 *   JOB THROTTLE id bytes           OK; bytes a second, 0: as the nodes are set
 *   JOB UNDO id [DRYRUN]            {job} or a plan
 *   NODE DRAIN id [DRYRUN]          {job} or a plan
 *   NODE UNDRAIN|REMOVE id          OK
 *   NODE REPLACE old new [DRYRUN]   {job} or a plan
 *   NODE LOST id                    OK; refused while it is up
 *   SHARD RECOVER shard node replica [fresh]   integer; see meta_recover.h
 *   SHARD MOVE shard from to [DRYRUN]
 *   SHARD TRANSFER shard to [DRYRUN]
 *   SHARD SPLIT shard [token] [DRYRUN]   token: 16 hexadecimal digits; else in the middle
 *   SHARD MERGE shard into [DRYRUN]
 *   REBALANCE PLAN                  a plan
 *   REBALANCE APPLY hash            {job}; refused if the plan is no longer that one
 *   BALANCER ON|ADVISE|OFF          OK
 *   EVENTS [count]                  [{number, time_ms, job, what, why, effect}]
 *
 * job: {id, parent, kind, what, state, step, percent, bytes, size, rate, eta_ms, doing, reason,
 * result, who, undo_of, throttle, created_ms, started_ms, ended_ms, now_ms}; eta_ms -1: not known.
 * A plan: {hash, steps: [what], moves, bytes}; bytes: about, those that are known. Errors begin
 * with CONFLICT, UNSAFE, GONE, LIMIT or ERR. */

enum desk_answer {
    DESK_UNKNOWN,  /* Not one of these: nothing was written. */
    DESK_ANSWERED, /* The reply is written. */
    DESK_ORDER,    /* order goes to the meta group; its answer through admin_desk_finish(). */
    DESK_EVENTS,   /* META.EVENTS with order->value goes to the meta group. */
};

/* items: memory for those of the order, empty. */
enum desk_answer admin_desk_take(const struct steward *steward,
                                 struct args args,
                                 uint64_t wall_ms,
                                 struct meta_order *order,
                                 struct buf *items,
                                 struct buf *reply);
/* The client's reply to what the meta group answered to the order. */
void admin_desk_finish(const struct meta_order *order, struct slice answer, struct buf *reply);

#endif
