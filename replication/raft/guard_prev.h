#ifndef REPLICATION_RAFT_GUARD_PREV_H
#define REPLICATION_RAFT_GUARD_PREV_H

#include "replication/raft/group_private.h"

/* PREV: a refused pre-vote carries the candidate's term (recv_request_vote.c:111-113), so that a
 * member with an old term and the better log never learns the term, and no leader is found. Not
 * fixed in canonical. The refusal carries our term if that is higher; the candidate then follows
 * it (recv_request_vote_result.c:87-93). */

uint64_t guard_prev_term(const struct group *group, const struct raft_request_vote_result *result);

#endif
