#ifndef COMMON_CLUSTER_SESSION_NUMBER_H
#define COMMON_CLUSTER_SESSION_NUMBER_H

#include <stdint.h>

/* The number under which a shard keeps what another one, that was merged into it, had recorded of a
 * session. Each shard knows of a session which of its writes were acknowledged, as one number; two
 * of these cannot be made one without taking an open write for an acknowledged one, or the other
 * way round. So they stay apart: the rows of the absorbed shard go on under a number of their own,
 * which the router computes as well. A shard may get back tokens that it had, and is then asked
 * under such a number for what it has recorded itself. What was inherited once keeps its number,
 * however often it is handed on. Pure. Any thread. */

#define SESSION_NUMBER_INHERITED (UINT64_C(1) << 63)

/* shard: the one that has recorded, and handed on. */
uint64_t session_number_inherited(uint64_t session, uint64_t shard);
/* What it was at that shard, if it was inherited from that; else a number that nobody has. */
uint64_t session_number_before(uint64_t inherited, uint64_t shard);
/* A number for a new session, of any number: not an inherited one, and not 0. */
uint64_t session_number_own(uint64_t number);

#endif
