#ifndef REPLICATION_RAFT_GUARD_SOLO_H
#define REPLICATION_RAFT_GUARD_SOLO_H

#include "replication/raft/group_private.h"

/* SOLO: the only voter elects itself without a new term (convert.c:167-170, start.c:105), so
 * entries that were sent, lost in a crash and replaced have the same index and term as the lost
 * ones; and after shrinking to one voter a term may have two leaders. Not fixed anywhere. We raise
 * the term and vote for ourselves, durably, before load() returns and before a tick that would
 * elect. */

/* term, vote: as found in the log; raised if conf makes us the only voter. True if so. */
bool guard_solo_load(const struct group *group,
                     const struct group_conf *conf,
                     uint64_t *term,
                     uint64_t *vote);
/* A tick is about to be given; now_ms is what the library will see as the time. */
void guard_solo_before_tick(struct group *group, uint64_t now_ms);

#endif
