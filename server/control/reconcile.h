#ifndef SERVER_CONTROL_RECONCILE_H
#define SERVER_CONTROL_RECONCILE_H

#include "common/cluster/shard_map.h"
#include "replication/group.h"

/* From the members that the map wants to the next single membership step of a group that this node
 * leads. Called again and again (every second or so, and after each step) until it says NONE: it
 * looks at what is, not at what was planned, so it survives any change of leader.
 *
 *   add (spare) -> standby -> caught up -> voter, for every wanted replica; when all wanted ones
 *   are voters: leadership to a wanted one, then the unwanted are removed, one at a time; when
 *   nothing is left: leadership to replicas[0], the preferred leader, if it has long been ready.
 *
 * The quorum only ever loses an unwanted voter while a majority of the wanted ones is connected and
 * caught up. Pure. Thread: one owner of each state. */

enum {
    RECONCILE_LAG_MAX = 256,       /* Entries that a caught-up replica may be behind. */
    RECONCILE_STABLE_MS = 5000,    /* How long all must be well before leadership goes home. */
    RECONCILE_RETRY_MS_MIN = 1000, /* After a failed step; doubles. */
    RECONCILE_RETRY_MS_MAX = 10000,
};

enum reconcile_kind {
    RECONCILE_NONE,
    RECONCILE_ADD,      /* group_add(replica, node) */
    RECONCILE_ASSIGN,   /* group_assign(replica, role) */
    RECONCILE_TRANSFER, /* group_transfer(replica) */
    RECONCILE_REMOVE,   /* group_remove(replica) */
};

struct reconcile_step {
    enum reconcile_kind kind;
    uint64_t replica;
    uint64_t node;         /* Of the replica. */
    enum member_role role; /* ASSIGN: STANDBY or VOTER. */
};

/* One per shard and node; zero at first. */
struct reconcile_state {
    uint64_t term;          /* Of the leadership that the rest is about. */
    uint64_t home_since_ms; /* Since when the preferred leader is ready, 0: it is not. */
    uint64_t retry_at_ms;
    uint32_t retry_ms;
};

struct reconcile_input {
    const struct shard_desc *desc;
    const struct group_info *info; /* Role GROUP_LEADER, else the answer is NONE. */
    unsigned connected; /* Bit i: the node of info->conf.members[i] is connected (or this one). */
    uint64_t now_ms;
};

/* True if the map lists the replica. */
bool reconcile_wants(const struct shard_desc *desc, uint64_t replica);

struct reconcile_step reconcile_next(struct reconcile_state *state,
                                     const struct reconcile_input *input);
/* The step ended, or could not begin (BUSY). */
void reconcile_done(struct reconcile_state *state, enum status status, uint64_t now_ms);

#endif
