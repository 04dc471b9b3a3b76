#ifndef COMMON_METRICS_METRICS_H
#define COMMON_METRICS_METRICS_H

#include "common/base/buf.h"

/* What is counted: one row each in metrics.def, shown at /metrics in Prometheus' text format as
 * sherd_node_<name> or sherd_router_<name>. Every loop counts in its own part (plain stores, no
 * lock, no shared cache line); a scrape adds the parts up.
 *
 * Thread: a part is written by its loop only; metrics_write() and metrics_sum() may be called by
 * any thread at any time. */

enum metric_id {
#define METRIC(id, ...) METRIC_##id,
#include "common/metrics/metrics.def"
#undef METRIC
    METRIC_COUNT,
};

enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,     /* The parts are added up: set it on one loop only, or each its share. */
    METRIC_HISTOGRAM, /* SECONDS (observed in nanoseconds) or BYTES. */
};

enum metric_unit { METRIC_NONE, METRIC_SECONDS, METRIC_BYTES };

enum metric_flag { METRIC_NODE = 1 << 0, METRIC_ROUTER = 1 << 1 };

enum { METRICS_LABELS_MAX = 512, METRICS_LABEL_SIZE = 48 };

struct metrics;
struct metrics_part;

/* program: METRIC_NODE or METRIC_ROUTER. One part per loop. */
struct metrics *metrics_new(unsigned program, unsigned parts);
void metrics_free(struct metrics *metrics);
struct metrics_part *metrics_part(struct metrics *metrics, unsigned index);

/* Rows without a label. A counter in SECONDS counts nanoseconds, so does a gauge; they are shown in
 * seconds. */
void metrics_add(struct metrics_part *part, enum metric_id id, uint64_t delta);
void metrics_set(struct metrics_part *part, enum metric_id id, int64_t value);

/* Rows with a label: the place of a label value in this part, found or made; METRICS_LABELS_MAX are
 * kept apart, what comes later shares the value "other". Look it up once and keep it. */
size_t metrics_label(struct metrics_part *part, enum metric_id id, const char *value);
void metrics_add_label(struct metrics_part *part, enum metric_id id, size_t label, uint64_t delta);
void metrics_set_label(struct metrics_part *part, enum metric_id id, size_t label, int64_t value);
void metrics_observe_label(struct metrics_part *part,
                           enum metric_id id,
                           size_t label,
                           uint64_t value);

/* Over all parts. Of a histogram: how many were observed. */
uint64_t metrics_sum(const struct metrics *metrics, enum metric_id id);
/* Visits every label value of a row with its sum over all parts; of a histogram also what was
 * observed in all (nanoseconds or bytes). */
void metrics_each_label(const struct metrics *metrics,
                        enum metric_id id,
                        void (*visit)(void *arg, const char *label, uint64_t count, uint64_t total),
                        void *arg);

/* Visits the buckets of a histogram, label by label and from small to large: how many were observed
 * that are at most the bound (nanoseconds or bytes; UINT64_MAX: the last). */
void metrics_each_bucket(
    const struct metrics *metrics,
    enum metric_id id,
    void (*visit)(void *arg, const char *label, uint64_t bound, uint64_t count),
    void *arg);

/* The whole page, with the process' own metrics (CPU, memory, descriptors). */
void metrics_write(const struct metrics *metrics, struct buf *out);
/* docs/metrics.md. */
void metrics_document(struct buf *out);

/* From /proc/self: memory in bytes, CPU in seconds, file descriptors. Zeros where it cannot be
 * read. */
struct metrics_process {
    uint64_t resident_size, virtual_size;
    double cpu_user, cpu_system;
    uint64_t files_open, files_max;
    double started; /* Seconds since 1970. */
};
struct metrics_process metrics_process(void);

#endif
