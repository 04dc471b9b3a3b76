#ifndef TESTS_SHARD_GROUP_FAKE_H
#define TESTS_SHARD_GROUP_FAKE_H

#include "replication/group.h"

/* Groups without replication, behind replication/group.h: the test says who leads, what is
 * committed and what is lost. An entry that is committed is applied at once, and its proposal is
 * done then, as in the real one: entries first, then roles, then what is done. */

void group_fake_lead(struct group *group, uint64_t term);
/* Another one leads. Proposals are over with LEADERSHIP_LOST: they may be committed later by
 * group_fake_feed(). */
void group_fake_depose(struct group *group, uint64_t term, uint64_t leader_node);
/* Proposals that are not committed. */
size_t group_fake_waiting(const struct group *group);
/* The oldest of them; valid until it is committed. */
struct slice group_fake_oldest(const struct group *group);
void group_fake_commit(struct group *group);
/* Somebody else's entry. */
void group_fake_feed(struct group *group, struct slice entry);
/* Reads wait until they are confirmed. */
void group_fake_hold_reads(struct group *group, bool hold);
void group_fake_confirm(struct group *group, enum status status);
/* What a replica that does not lead knows of its age, */
void group_fake_fresh(struct group *group, uint64_t since_ns, uint64_t stamp);
/* how often it was told to ask anew, */
unsigned group_fake_warmed(const struct group *group);
/* and that it knows no leader. Its reads wait for group_fake_confirm() else. */
void group_fake_isolate(struct group *group, bool lonely);
/* No room for proposals. */
void group_fake_fill(struct group *group, bool full);

#endif
