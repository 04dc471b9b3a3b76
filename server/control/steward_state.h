#ifndef SERVER_CONTROL_STEWARD_STATE_H
#define SERVER_CONTROL_STEWARD_STATE_H

#include "common/base/map.h"
#include "server/control/group_ask.h"
#include "server/control/job_plan.h"
#include "server/control/steward.h"

/* What is inside a steward, shared by steward.c (its door), steward_leaf.c (jobs about one shard)
 * and steward_parent.c (those that hold others together). For nobody else. Thread: loop 0. */

/* What is known of a job while it is driven. */
struct care {
    uint64_t job;
    bool waits;          /* For an answer. */
    uint64_t asked;      /* Number of the question; older answers are void. */
    uint64_t next_ms;    /* Not before. */
    uint64_t begun_ms;   /* First seen by this steward. */
    uint64_t gone_ms;    /* Since when a node that it needs does not answer; 0: all do. */
    uint64_t sent, size; /* Of the snapshot. */
    uint64_t rated_ms;   /* When `sent` was seen last, */
    uint64_t rate;       /* and how fast it grew. */
    uint64_t paced;      /* The speed that the sender was told. */
    bool votes;          /* The new replica does. */
    uint64_t left;       /* Of a parent: shards or children still to be done. */
    uint64_t ended;      /* Of a parent: children that have ended well, */
    uint64_t failed;     /* and those that have not; */
    uint64_t made;       /* the newest job when it made the last one, 0: its row is here, */
    uint64_t made_ms;    /* and when that was. */
    char text[JOB_TEXT_SIZE_MAX];
};

enum steward_question {
    STEWARD_ORDER = 1, /* The meta group's answer to an order. */
    STEWARD_REPORT,    /* GROUP.INFO */
    STEWARD_LEAD,      /* GROUP.LEAD, GROUP.PACE */
    STEWARD_DIVIDE,    /* shard_split, shard_merge */
};

struct steward {
    struct steward_env env;
    struct shard_map map;
    struct job_list jobs;
    struct map cares; /* Job -> struct care. */
    struct map downs; /* Node -> uint64_t: since when it does not answer. */
    uint64_t now_ms;
    uint64_t term;
    uint64_t asks;    /* Questions so far. */
    uint64_t look_ms; /* When nodes are looked at again. */
    uint64_t rebuild_after_ms;
    struct steward_counts counts;
};

struct care *steward_care(struct steward *steward, uint64_t job);
/* Not again for so long, because of this. */
void steward_wait(struct steward *steward, struct care *care, uint64_t ms, const char *text);
/* Orders: answers come to the leaf's or parent's next look. */
void steward_order(struct steward *steward, struct care *care, const struct meta_order *order);
void steward_step(struct steward *steward, const struct cluster_job *job);
void steward_end(struct steward *steward,
                 const struct cluster_job *job,
                 enum job_state state,
                 const char *why);
/* Of the leader of a shard. */
void steward_ask(struct steward *steward,
                 struct care *care,
                 uint64_t shard,
                 struct args args,
                 enum steward_question question);
struct job_plan_view steward_view(const struct steward *steward);
/* NULL, or why a replica cannot go from one node to the other now. */
const char *steward_budget(const struct steward *steward, uint64_t from, uint64_t to);

/* steward_leaf.c */
void steward_leaf_drive(struct steward *steward, const struct cluster_job *job, struct care *care);
void steward_leaf_answer(struct steward *steward,
                         const struct cluster_job *job,
                         struct care *care,
                         enum steward_question question,
                         struct slice reply);
/* steward_parent.c */
void steward_parent_drive(struct steward *steward,
                          const struct cluster_job *job,
                          struct care *care);
/* Nodes that are down for long. */
void steward_parent_look(struct steward *steward);

#endif
