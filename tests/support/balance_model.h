#ifndef TESTS_SUPPORT_BALANCE_MODEL_H
#define TESTS_SUPPORT_BALANCE_MODEL_H

#include "common/base/rand.h"
#include "server/control/balancer.h"
#include "server/shard/shard_meter.h"

/* A cluster without anything in it but load, for the balancer: nodes of one capacity, shards with
 * the meters of production, clients that wait for their replies (so the busiest node sets the pace
 * of all), and jobs that take a while. A step is a second. */

enum { MODEL_NODES_MAX = 16, MODEL_SHARDS_MAX = 1024, MODEL_SOURCES_MAX = 4096 };

/* Clients that ask for tokens of a range, evenly; one token: a key. */
struct model_source {
    uint64_t first, last;
    double ops;    /* Wanted per second. */
    double writes; /* Of these. */
    bool absent;
};

struct model_shard {
    struct shard_meter meter;
    uint64_t bytes;
    size_t leader; /* Index of a node. */
    double wanted; /* Microseconds per second. */
};

struct balance_model {
    struct rand rand;
    struct shard_map map;
    struct shard_desc descs[MODEL_SHARDS_MAX];
    struct model_shard shards[MODEL_SHARDS_MAX]; /* As in the map. */
    struct node_desc nodes[MODEL_NODES_MAX];
    bool dead[MODEL_NODES_MAX];
    struct model_source sources[MODEL_SOURCES_MAX];
    size_t source_count;
    struct load_table table;
    struct job_list jobs;
    struct balancer *balancer;
    struct balancer_output output; /* Of the last step. */
    enum balancer_mode mode;
    uint64_t now_ms;
    uint64_t next_id;
    unsigned loops;
    bool quick_jobs; /* Without the bytes of moves. */

    unsigned splits, transfers, moves, merges, notes;
    uint64_t moved_bytes;
    struct balancer_note last_note;
    double pace; /* What of the wanted load is served, and */
    double best; /* would be if it were spread evenly. */
};

/* nodes nodes in zones zones (0: all in one), three replicas of each shard, `bytes` in each. */
struct balance_model *balance_model_new(unsigned nodes,
                                        unsigned zones,
                                        unsigned shards,
                                        uint64_t bytes);
void balance_model_free(struct balance_model *model);
void balance_model_add_node(struct balance_model *model, const char *zone);
/* Replaces what the clients ask for; ops may be changed in place later. */
struct model_source *balance_model_source(struct balance_model *model,
                                          uint64_t first,
                                          uint64_t last,
                                          double ops);
void balance_model_step(struct balance_model *model);
/* The busiest node to the mean, as the clients load them. */
double balance_model_skew(const struct balance_model *model);
uint64_t balance_model_bytes(const struct balance_model *model, size_t node);

#endif
