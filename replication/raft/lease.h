#ifndef REPLICATION_RAFT_LEASE_H
#define REPLICATION_RAFT_LEASE_H

#include "replication/raft/group_private.h"

/* The leader's lease (docs/replication.md, "Reads"). A follower that hears its leader votes for
 * nobody else for the election timeout T, except when the leader itself told a member to stand. The
 * leader stamps what it sends, followers echo the stamp of the newest message after which they
 * reset their timer; the lease ends T (less a margin for clocks) after the newest stamp that a
 * quorum has echoed. Clocks are CLOCK_BOOTTIME of each machine, only differences are used. */

/* The member's record in this term, made at first use; NULL if replica is no member. */
struct contact *lease_contact(struct group *group, uint64_t replica);
/* A leadership begins: nobody has echoed anything. */
void lease_new_term(struct group *group);
/* The instance was made anew: promises given before are kept by voting for nobody for T. */
void lease_restart(struct group *group);

/* Follower: a message stamped ns is about to be delivered. */
void lease_hear(struct group *group, uint64_t from, uint64_t term, uint64_t ns);
/* It was delivered, maybe only in part: if we follow its sender now, it may be echoed. */
void lease_heard(struct group *group);
/* The stamp to send back, 0 if there is none for this leader and term. */
uint64_t lease_echo(const struct group *group, uint64_t to, uint64_t term);

/* Leader: replica echoed ns in our term. */
void lease_echoed(struct group *group, uint64_t replica, uint64_t ns);
/* Leader: replica is told to stand for election, which breaks promises. No lease until it shows
 * that it still follows us. */
void lease_suspend(struct group *group, uint64_t replica);
/* True if local reads are linearizable right now. */
bool lease_valid(const struct group *group);
/* The largest value that a quorum, we included, has reached; value_of gives that of a contact. */
uint64_t lease_quorum(const struct group *group, uint64_t (*value_of)(const struct contact *));

#endif
