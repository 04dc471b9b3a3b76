#ifndef SERVER_CONTROL_BALANCE_CHOICE_H
#define SERVER_CONTROL_BALANCE_CHOICE_H

#include "server/control/balance_view.h"

/* The single changes that can be made, each judged by what the busiest node would have to do after
 * it: pure functions of a view, without memory. Who may not be touched now, the caller says. */

/* How a change would end. */
struct balance_choice {
    bool found;
    struct job_spec spec; /* Without a reason. */
    double before;        /* The busiest node's use, and */
    double after;         /* of the nodes concerned the highest one then. */
    double part;          /* SPLIT: share of the load that can go, on the right if right. */
    bool right;
    size_t node; /* Where it comes from, */
    size_t to;   /* and goes to; of a SPLIT what its part could then do. */
    const struct balance_shard *shard;
};

struct balance_rules {
    void *ctx;
    /* True if the shard may be the object of such a job now. */
    bool (*may)(void *ctx, const struct balance_shard *shard, enum job_kind kind);
};

/* What would relieve the node most: to let another replica lead one of its shards; to split one, so
 * that a part of it can go elsewhere; to move a replica of one. */
void balance_choice_transfer(const struct balance_view *view,
                             const struct balance_rules *rules,
                             size_t node,
                             struct balance_choice *choice);
void balance_choice_split(const struct balance_view *view,
                          const struct balance_rules *rules,
                          size_t node,
                          struct balance_choice *choice);
void balance_choice_move(const struct balance_view *view,
                         const struct balance_rules *rules,
                         size_t node,
                         struct balance_choice *choice);

/* Evens out bytes: from the fullest node to the emptiest, at most what the one has too much and the
 * other too little, so that no byte is moved twice. */
void balance_choice_room(const struct balance_view *view,
                         const struct balance_rules *rules,
                         struct balance_choice *choice);
/* Evens out how many shards the nodes lead, by those that have at most so much to do. */
void balance_choice_leads(const struct balance_view *view,
                          const struct balance_rules *rules,
                          double load_max,
                          struct balance_choice *choice);
/* A shard that holds more bytes. */
void balance_choice_size(const struct balance_view *view,
                         const struct balance_rules *rules,
                         uint64_t bytes_max,
                         struct balance_choice *choice);
/* Two neighbours whose highest loads of the last half hour together are under load_max. */
void balance_choice_merge(const struct balance_view *view,
                          const struct balance_rules *rules,
                          double load_max,
                          uint64_t bytes_max,
                          struct balance_choice *choice);

#endif
