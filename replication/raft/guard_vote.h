#ifndef REPLICATION_RAFT_GUARD_VOTE_H
#define REPLICATION_RAFT_GUARD_VOTE_H

#include "replication/raft/group_private.h"

/* VOTE: a member that is no voter by its own, perhaps old, configuration refuses to vote
 * (election.c:198), and as it never times out it believes in its last leader for ever: the quorum
 * is lost for good after membership changes. Raft processes requests without looking at one's own
 * configuration (dissertation 4.1). Not fixed anywhere. For the time of the call we are shown to
 * the library as the only voter, and the known leader is forgotten once our promise to it (the
 * election timeout T since its last word) has run out. The latter also lets ordinary followers vote
 * after T instead of after their own random timeout. */

struct guard_vote {
    bool swapped;
    struct raft_configuration kept;
};

void guard_vote_begin(struct group *group, struct guard_vote *vote);
void guard_vote_end(struct group *group, struct guard_vote *vote);

#endif
