#ifndef SERVER_CONTROL_BALANCE_VIEW_H
#define SERVER_CONTROL_BALANCE_VIEW_H

#include "common/cluster/cluster_job.h"
#include "server/control/load_table.h"

/* The cluster as the balancer looks at it: what every node and shard has to do, as if all that is
 * under way were done. A node's load is what the shards that it leads say, and the part of those
 * that it follows which every replica does; so the sum is the same whoever leads. Pure. */

enum { BALANCE_NOBODY = SIZE_MAX };

struct balance_node {
    const struct node_desc *desc;
    bool takes;      /* Up, heard of, and no disk that is nearly full. */
    double capacity; /* Microseconds per second. */
    double load;
    double peak;    /* The sum of the peaks of the shards that it leads. */
    uint64_t bytes; /* Of its replicas, with something for each that is empty. */
    unsigned leads;
    unsigned replicas;
};

struct balance_shard {
    const struct shard_desc *desc;
    const struct load_shard *known; /* NULL: nobody said anything. */
    size_t leader;                  /* Index of a node; BALANCE_NOBODY. */
    double load;
    double follower; /* Of load, what every replica has to do. */
    uint64_t bytes;
    uint64_t weight; /* What it adds to the bytes of a node. */
    bool busy;       /* A job has it. */
    bool changing;   /* Something was done to it a moment ago. */
    bool moving;     /* It has a job that moves it. */
    uint64_t from;   /* Then: between these nodes. */
    uint64_t to;
};

/* What will be, where it is not measured yet: right after a leader has changed, or a shard was
 * split. */
struct balance_hope {
    uint64_t start; /* First token of the shard. */
    uint64_t node;  /* Will lead it; 0: whoever does. */
    double load;
    double follower;
    uint64_t until_ms;
};

enum { BALANCE_HOPES_MAX = 32 };

struct balance_view {
    const struct shard_map *map;
    size_t node_count; /* As in the map. */
    struct balance_node *nodes;
    size_t shard_count;
    struct balance_shard *shards;
    double load; /* Of all nodes that take part, and */
    double capacity;
    size_t takers;
    unsigned active; /* Jobs. */
    unsigned moves;
    bool whole; /* Every shard has a leader that was heard of, or is just changing. */
};

struct balance_input {
    const struct shard_map *map;
    const struct load_table *table;
    const struct job_list *jobs;
    uint64_t now_ms;
};

void balance_view_init(struct balance_view *view,
                       const struct balance_input *input,
                       const struct balance_hope *hopes,
                       size_t hope_count);
void balance_view_deinit(struct balance_view *view);

/* Index of the node; BALANCE_NOBODY if there is none. */
size_t balance_view_node(const struct balance_view *view, uint64_t node);
/* How much of its capacity a node uses, and all together. */
double balance_view_use(const struct balance_node *node);
double balance_view_mean(const struct balance_view *view);
/* Of the nodes that take part the one that uses most; BALANCE_NOBODY: none takes part. */
size_t balance_view_busiest(const struct balance_view *view);
/* True if a replica is there, or will be. */
bool balance_view_holds(const struct balance_view *view,
                        const struct balance_shard *shard,
                        size_t node);

#endif
