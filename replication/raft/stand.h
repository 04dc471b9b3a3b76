#ifndef REPLICATION_RAFT_STAND_H
#define REPLICATION_RAFT_STAND_H

#include "replication/raft/group_private.h"

/* When a member stands for election. The library waits a random time between T and 2T; we give the
 * voters ranks instead, so that right after the promise T has run out one of them stands first and
 * the others a little later each. A candidate that was refused tries again sooner than T: its
 * voters' promises end within a heartbeat of each other. */

/* After every call into the library. */
void stand_watch(struct group *group);
/* The leader's node is gone: stand as soon as the promise allows, spread over spread_ms. */
void stand_soon(struct group *group, uint64_t spread_ms);
/* Birth: stand at once. */
void stand_now(struct group *group);
/* Before a tick: a candidate that begins anew asks again whether it could win, and no longer claims
 * that a leader told it to stand. The library keeps that flag for the candidate's life, in which
 * others may have become leaders and hold leases that it would break. */
void stand_again(struct group *group, uint64_t now_ms);
/* True if a member that knows that others have more lets them go first, once. */
bool stand_yields(struct group *group, uint64_t now_ms);

#endif
