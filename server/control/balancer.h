#ifndef SERVER_CONTROL_BALANCER_H
#define SERVER_CONTROL_BALANCER_H

#include "server/control/balance_view.h"
#include "server/control/meta_rows.h"

/* Decides what is to be changed so that the nodes have the same to do: one job at a time, each with
 * its reason, what it is expected to do, and half a minute later what it did. Ticked once a second
 * by the node that leads the meta group. docs/hot_spots.md tells the rules.
 *
 * Everything is relative: to what the nodes have to do on average, and to what they can. What is
 * decided is never carried out here: the caller makes the job, and shows the jobs in every input.
 * Pure: handed time. Thread: one owner. */

struct balancer;

/* Zero fields: the defaults. */
struct balancer_options {
    double use_min;           /* A node that uses less of itself is left alone. 0.05 */
    uint64_t shard_bytes_max; /* A larger shard is split. 8 GB */
    /* Divides every time of the rules; for simulations that last minutes. 1 */
    unsigned haste;
};

enum {
    BALANCER_NOTES_MAX = 8,
    BALANCER_SECOND_MS = 1000,
};

/* For the journal. */
struct balancer_note {
    char what[JOB_TEXT_SIZE_MAX];
    char why[JOB_TEXT_SIZE_MAX];
    char effect[JOB_TEXT_SIZE_MAX];
};

struct balancer_output {
    bool decided;
    struct job_spec spec; /* Then: a job to be made. */
    size_t note_count;
    struct balancer_note notes[BALANCER_NOTES_MAX];
};

struct balancer *balancer_new(const struct balancer_options *options, uint64_t now_ms);
void balancer_free(struct balancer *balancer);

/* In mode ADVISE what would be decided becomes a note; in mode OFF nothing is decided. */
void balancer_tick(struct balancer *balancer,
                   const struct balance_input *input,
                   enum balancer_mode mode,
                   struct balancer_output *output);

struct balancer_stats {
    uint64_t splits, transfers, moves, merges; /* Decided. */
    uint64_t useless; /* Of them, those whose effect was not what was expected. */
    uint64_t hot;     /* Shards, now: a fifth of their node's load or half a processor. */
    double skew;      /* The busiest node to the mean, now; 0: not known. */
};
const struct balancer_stats *balancer_stats(const struct balancer *balancer);
/* Why nothing is decided now: a short text, "" if it is not held back. */
const char *balancer_waits(const struct balancer *balancer);

#endif
