#ifndef CLIENT_ADMIN_RECOVER_VIEW_H
#define CLIENT_ADMIN_RECOVER_VIEW_H

#include "client/admin/backup_cluster.h"

/* What is left of a cluster of which nodes are lost: the replicas of the nodes that answer, as
 * those say themselves, against the map. Thread: one. */

enum { RECOVER_MEMBERS_MAX = 16, RECOVER_LOST_MAX = 256, RECOVER_SHARD_META = 1 };

struct recover_member {
    uint64_t replica;
    uint64_t node;
    bool votes;
};

/* A replica that answers. */
struct recover_replica {
    size_t node; /* Index in the cluster. */
    uint64_t shard;
    uint64_t replica;
    uint64_t start, last; /* Tokens. */
    uint64_t term, last_term, last_index, commit, applied;
    uint64_t time_ms; /* Of the newest entry applied. */
    bool leads;
    struct recover_member members[RECOVER_MEMBERS_MAX];
    size_t member_count;
};

enum recover_state {
    RECOVER_LED,
    RECOVER_WAITS,    /* Enough of it answers: it will elect a leader. */
    RECOVER_NAMELESS, /* Its majority does not answer, and not all of those are said to be lost. */
    RECOVER_LOST,     /* It can go on with what is left. */
    RECOVER_DEAD,     /* Nothing is left. */
};

struct recover_shard {
    uint64_t id;
    enum recover_state state;
    const struct recover_replica *best; /* LOST: what it goes on with. */
    uint64_t missing;                   /* NAMELESS: a node that does not answer. */
};

struct recover_view {
    struct backup_cluster cluster;
    struct recover_replica *replicas;
    size_t replica_count;
    struct recover_shard *shards;
    size_t shard_count;
    uint64_t replica_max; /* The greatest id seen. */
    uint64_t lost[RECOVER_LOST_MAX];
    size_t lost_count;
};

/* Connects to the nodes that are up. Not VERB_DONE: a line was printed. */
enum verb_exit recover_view_open(const struct verb_call *call, struct recover_view *view);
void recover_view_close(struct recover_view *view);
/* Asks all nodes anew and judges. */
enum verb_exit recover_view_look(struct recover_view *view);
bool recover_view_is_lost(const struct recover_view *view, uint64_t node);
/* NULL if there is none. */
const struct recover_shard *recover_view_shard(const struct recover_view *view, uint64_t id);
/* The replica that leads it; NULL: none says so. */
const struct recover_replica *recover_view_leader(const struct recover_view *view, uint64_t id);

#endif
