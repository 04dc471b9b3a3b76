#ifndef SERVER_NODE_PRIVATE_H
#define SERVER_NODE_PRIVATE_H

#include <stdatomic.h>

#include "common/cluster/errand.h"
#include "server/control/balancer.h"
#include "server/control/steward.h"
#include "server/node.h"
#include "server/node_load.h"

/* What node.c, node_admin.c and node_balance.c share. */

/* A flush of the store under way: every loop marks, the store flushes, every loop is told. */
struct flushing {
    struct job job;
    struct node *node;
    unsigned marks_left;
    bool running;
    enum status status;
    uint64_t bytes_at_start;
};

struct space_job {
    struct job job;
    struct node *node;
    bool running;
    uint64_t bytes;
    enum status status;
};

struct node {
    struct node_env env;
    struct node_options options;
    char *dir;
    struct agent *agent;
    struct worker **workers; /* NULL until node_start(). */
    size_t jobs;
    struct flushing flushing;
    struct space_job space;
    uint64_t flushed_bytes; /* Log bytes when the last flush began. */
    uint64_t flushed_ms;
    uint64_t second_ms;
    atomic_int refusing;
    struct node_load_desk *loads; /* NULL until node_start(). */
    struct node_stats stats;
    struct errands errands;
    struct steward *steward;
    bool balancer_held;
    struct balancer *balancer; /* NULL unless this node leads the meta group. */
    uint8_t balancer_mode;     /* enum balancer_mode, as of the rows that the steward has. */
};

/* To this node's own shard; what it answers goes to the agent or to the errands. */
void node_request_own(struct node *node, const struct frame_request *request);

/* node_admin.c */
void node_steward_init(struct node *node);
void node_steward_deinit(struct node *node);
void node_steward_tick(struct node *node, uint64_t now_ms);

/* node_balance.c. Once a second, after the loads. */
void node_balance_tick(struct node *node, uint64_t now_ms);
void node_balance_deinit(struct node *node);
/* SHERD LOAD, HOT, HEAT. False: it is none of these. */
bool node_balance_answer(struct node *node, const struct args *args, struct buf *reply);

#endif
