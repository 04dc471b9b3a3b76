#ifndef COMMON_CLUSTER_CLUSTER_JOB_H
#define COMMON_CLUSTER_CLUSTER_JOB_H

#include "common/cluster/shard_map.h"

/* Everything that changes the cluster and takes longer than a message: a state machine whose state
 * is a row of the meta group, driven by whoever leads that group (server/control/steward.h), and
 * what the journal keeps of it. docs/control_plane.md tells what each kind does, step by step.
 *
 * A job with children (DRAIN, REPLACE, REBUILD, REBALANCE) moves nothing itself: its children are
 * jobs like any other, which name it as their parent. Pure. Any thread. */

enum {
    JOB_TEXT_SIZE_MAX = 200, /* Reasons, with their NUL. */
    JOB_WHO_SIZE_MAX = 32,
    JOB_SPECS_MAX = 4096,   /* Children that are made at once. */
    JOBS_ACTIVE_MAX = 8192, /* Not ended. */
    JOBS_ENDED_MAX = 1000,  /* Kept; older ones are forgotten. */
    JOB_EVENTS_MAX = 1000,  /* The same, of the journal. */
    JOB_SIZE_MAX = 1024,    /* Encoded, as is an event. */
};

enum job_kind {
    JOB_SPLIT = 1,
    JOB_MERGE,
    JOB_MOVE,      /* A replica from one node to another. */
    JOB_TRANSFER,  /* Leadership, for good: the first of the replicas changes. */
    JOB_DRAIN,     /* All replicas of a node to others. */
    JOB_REPLACE,   /* All replicas of a node to a certain one; then it is gone. */
    JOB_REBUILD,   /* All replicas of a node that does not come back to others. */
    JOB_REBALANCE, /* A list of moves and transfers. */
    JOB_KINDS,
};

enum job_state {
    JOB_QUEUED = 1,
    JOB_RUNNING,
    JOB_PAUSED,
    JOB_DONE,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_STATES,
};

/* What is asked for. What a kind does not need is 0. */
struct job_spec {
    enum job_kind kind;
    uint64_t shard; /* SPLIT, MERGE (the one that vanishes), MOVE, TRANSFER. */
    uint64_t other; /* MERGE: the neighbour that stays. */
    uint64_t token; /* SPLIT: the first of the new shard; 0: in the middle. */
    uint64_t from;  /* MOVE, DRAIN, REPLACE, REBUILD: node. */
    uint64_t to;    /* MOVE, TRANSFER, REPLACE: node. */
    /* Versions of the shard for which this was decided; 0: any. Others: refused. */
    uint64_t ver;
    uint64_t conf_ver;
    char reason[JOB_TEXT_SIZE_MAX];
};

struct cluster_job {
    uint64_t id;      /* From 1, never reused. */
    uint64_t parent;  /* 0: none. */
    uint64_t undo_of; /* The job whose effect this one takes back; 0: none. */
    struct job_spec spec;
    enum job_state state;
    /* 0: nothing was changed yet. MOVE: 1 the new replica is being built, 2 the old one is being
     * let go. Others: 1. */
    uint8_t step;
    uint64_t old_replica; /* MOVE, from step 1 on. */
    uint64_t new_replica;
    uint64_t child; /* SPLIT: id of the new shard. TRANSFER: the node that was preferred before. */
    uint64_t edge;  /* MERGE: the first token of the one that stands to the right. */
    uint64_t throttle;   /* Bytes a second; 0: as the nodes are set. */
    uint64_t bytes;      /* Moved, when it has ended. */
    uint64_t created_ms; /* Since 1970, as are: */
    uint64_t started_ms;
    uint64_t ended_ms;
    unsigned birth_count; /* SPLIT: replicas of the new shard. */
    struct replica_desc births[SHARD_REPLICAS_MAX];
    char who[JOB_WHO_SIZE_MAX];     /* Asked for it. */
    char result[JOB_TEXT_SIZE_MAX]; /* Why it failed or was cancelled. */
};

/* One line of the journal. */
struct job_event {
    uint64_t number; /* From 1. */
    uint64_t time_ms;
    uint64_t job; /* 0: none. */
    char what[JOB_TEXT_SIZE_MAX];
    char why[JOB_TEXT_SIZE_MAX];
    char effect[JOB_TEXT_SIZE_MAX];
};

bool cluster_job_active(const struct cluster_job *job); /* Not ended. */
bool cluster_job_has_children(enum job_kind kind);
const char *cluster_job_kind_text(enum job_kind kind);
const char *cluster_job_state_text(enum job_state state);
/* "move a replica of shard 5 from node 1 to node 4". Returns text. */
const char *job_spec_describe(const struct job_spec *spec, char *text, size_t size);

/* Encodings; false: malformed. Texts are printable ASCII. */
void job_spec_encode(const struct job_spec *spec, struct buf *out);
bool job_spec_decode(struct reader *in, struct job_spec *spec);
void cluster_job_encode(const struct cluster_job *job, struct buf *out);
bool cluster_job_decode(struct reader *in, struct cluster_job *job);
void job_event_encode(const struct job_event *event, struct buf *out);
bool job_event_decode(struct reader *in, struct job_event *event);

/* Copies a text, cut to its place, everything that is not printable ASCII replaced by '?'. */
void cluster_job_text_copy(char *to, size_t size, const char *from);
/* A text as the encodings above have it. False: too long, or not printable. */
bool cluster_job_text_decode(struct reader *in, char *to, size_t size);

/* The jobs that the meta group knows, by rising id. */
struct job_list {
    struct cluster_job *jobs;
    size_t count;
};
void job_list_deinit(struct job_list *list);
void job_list_add(struct job_list *list, const struct cluster_job *job);
/* NULL if there is none. */
struct cluster_job *job_list_get(const struct job_list *list, uint64_t id);
/* The job that has begun and holds the shard; NULL: none. */
const struct cluster_job *job_list_holder(const struct job_list *list, uint64_t shard);
bool cluster_job_holds(const struct cluster_job *job, uint64_t shard);

#endif
