#include "common/metrics/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/version.h"

enum { BUCKETS_MAX = 17, OTHER = METRICS_LABELS_MAX };

struct row {
    const char *name;
    enum metric_kind kind;
    enum metric_unit unit;
    const char *label;
    unsigned flags;
    const char *text;
};

static const struct row rows[METRIC_COUNT] = {
#define METRIC(id, kind_, unit_, label_, flags_, text_) \
    {.name = #id,                                       \
     .kind = (kind_),                                   \
     .unit = (unit_),                                   \
     .label = (label_),                                 \
     .flags = (flags_),                                 \
     .text = (text_)},
#include "common/metrics/metrics.def"
#undef METRIC
};

struct bound {
    uint64_t value;
    const char *text;
};

/* A histogram counts what is at most the bound. */
static const struct bound second_bounds[BUCKETS_MAX] = {
    {50000, "5e-05"},    {100000, "0.0001"}, {200000, "0.0002"}, {500000, "0.0005"},
    {1000000, "0.001"},  {2000000, "0.002"}, {5000000, "0.005"}, {10000000, "0.01"},
    {20000000, "0.02"},  {50000000, "0.05"}, {100000000, "0.1"}, {200000000, "0.2"},
    {500000000, "0.5"},  {1000000000, "1"},  {2000000000, "2"},  {5000000000, "5"},
    {10000000000, "10"},
};
static const struct bound byte_bounds[BUCKETS_MAX] = {
    {16, "16"},
    {64, "64"},
    {256, "256"},
    {1024, "1024"},
    {4096, "4096"},
    {16384, "16384"},
    {65536, "65536"},
    {262144, "262144"},
    {1048576, "1.048576e+06"},
    {4194304, "4.194304e+06"},
    {16777216, "1.6777216e+07"},
    {67108864, "6.7108864e+07"},
    {268435456, "2.68435456e+08"},
    {1073741824, "1.073741824e+09"},
    {4294967296, "4.294967296e+09"},
    {17179869184, "1.7179869184e+10"},
    {68719476736, "6.8719476736e+10"},
};

/* One line of a page, or one histogram. Written by the part's loop with plain stores; read by
 * anybody. */
struct series {
    char label[METRICS_LABEL_SIZE];
    _Atomic uint64_t value; /* Of a histogram: the sum of what was observed. */
    _Atomic uint64_t buckets[];
};

struct family {
    _Atomic size_t count;
    struct series **series; /* METRICS_LABELS_MAX + 1 places, or 1 without a label. */
};

struct metrics_part {
    struct family families[METRIC_COUNT];
};

struct metrics {
    unsigned program;
    unsigned part_count;
    struct metrics_part **parts;
};

static struct series *make_series(enum metric_id id, const char *label)
{
    size_t buckets = rows[id].kind == METRIC_HISTOGRAM ? BUCKETS_MAX + 1 : 0;
    struct series *series = calloc(1, sizeof(*series) + buckets * sizeof(series->buckets[0]));
    assert(series != NULL);
    (void)snprintf(series->label, sizeof(series->label), "%s", label);
    return series;
}

static struct metrics_part *make_part(void)
{
    struct metrics_part *part = calloc(1, sizeof(*part));
    assert(part != NULL);
    for (size_t id = 0; id < METRIC_COUNT; id++) {
        struct family *family = &part->families[id];
        size_t places = rows[id].label != NULL ? METRICS_LABELS_MAX + 1 : 1;
        family->series = calloc(places, sizeof(struct series *));
        assert(family->series != NULL);
        if (rows[id].label == NULL) {
            family->series[0] = make_series((enum metric_id)id, "");
            atomic_store(&family->count, 1);
        }
    }
    return part;
}

struct metrics *metrics_new(unsigned program, unsigned parts)
{
    assert(parts > 0 && (program == METRIC_NODE || program == METRIC_ROUTER));
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    assert(metrics != NULL);
    *metrics = (struct metrics){.program = program, .part_count = parts};
    metrics->parts = calloc(parts, sizeof(struct metrics_part *));
    assert(metrics->parts != NULL);
    for (unsigned i = 0; i < parts; i++) {
        metrics->parts[i] = make_part();
    }
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    for (unsigned i = 0; i < metrics->part_count; i++) {
        for (size_t id = 0; id < METRIC_COUNT; id++) {
            struct family *family = &metrics->parts[i]->families[id];
            size_t count = atomic_load(&family->count);
            for (size_t at = 0; at < count; at++) {
                free(family->series[at]);
            }
            free(family->series);
        }
        free(metrics->parts[i]);
    }
    free(metrics->parts);
    free(metrics);
}

struct metrics_part *metrics_part(struct metrics *metrics, unsigned index)
{
    assert(index < metrics->part_count);
    return metrics->parts[index];
}

/* Counting. */

static void add(_Atomic uint64_t *cell, uint64_t delta)
{
    uint64_t value = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, value + delta, memory_order_relaxed);
}

static struct series *series_at(struct metrics_part *part, enum metric_id id, size_t label)
{
    assert(id < METRIC_COUNT);
    assert(label < atomic_load_explicit(&part->families[id].count, memory_order_relaxed));
    return part->families[id].series[label];
}

size_t metrics_label(struct metrics_part *part, enum metric_id id, const char *value)
{
    assert(rows[id].label != NULL);
    struct family *family = &part->families[id];
    size_t count = atomic_load_explicit(&family->count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(family->series[i]->label, value, METRICS_LABEL_SIZE - 1) == 0) {
            return i;
        }
    }
    if (count > OTHER) {
        return OTHER;
    }
    family->series[count] = make_series(id, count == OTHER ? "other" : value);
    /* Who reads the count sees the series. */
    atomic_store_explicit(&family->count, count + 1, memory_order_release);
    return count;
}

void metrics_add_label(struct metrics_part *part, enum metric_id id, size_t label, uint64_t delta)
{
    assert(rows[id].kind == METRIC_COUNTER);
    add(&series_at(part, id, label)->value, delta);
}

void metrics_set_label(struct metrics_part *part, enum metric_id id, size_t label, int64_t value)
{
    /* A counter may be set to what somebody else has counted. */
    assert(rows[id].kind != METRIC_HISTOGRAM);
    atomic_store_explicit(&series_at(part, id, label)->value, (uint64_t)value,
                          memory_order_relaxed);
}

void metrics_observe_label(struct metrics_part *part,
                           enum metric_id id,
                           size_t label,
                           uint64_t value)
{
    assert(rows[id].kind == METRIC_HISTOGRAM);
    struct series *series = series_at(part, id, label);
    const struct bound *bounds = rows[id].unit == METRIC_SECONDS ? second_bounds : byte_bounds;
    size_t bucket = 0;
    while (bucket < BUCKETS_MAX && value > bounds[bucket].value) {
        bucket++;
    }
    add(&series->buckets[bucket], 1);
    add(&series->value, value);
}

void metrics_add(struct metrics_part *part, enum metric_id id, uint64_t delta)
{
    metrics_add_label(part, id, 0, delta);
}

void metrics_set(struct metrics_part *part, enum metric_id id, int64_t value)
{
    metrics_set_label(part, id, 0, value);
}

/* Reading. */

/* The sum of one label value over all parts. */
struct total {
    const char *label;
    uint64_t value;
    uint64_t buckets[BUCKETS_MAX + 1];
};

struct totals {
    struct total *items;
    size_t count;
    size_t size;
};

static struct total *total_of(struct totals *totals, const char *label)
{
    for (size_t i = 0; i < totals->count; i++) {
        if (strcmp(totals->items[i].label, label) == 0) {
            return &totals->items[i];
        }
    }
    if (totals->count == totals->size) {
        totals->size = totals->size == 0 ? 16 : 2 * totals->size;
        totals->items = realloc(totals->items, totals->size * sizeof(struct total));
        assert(totals->items != NULL);
    }
    totals->items[totals->count] = (struct total){.label = label};
    return &totals->items[totals->count++];
}

/* The caller frees items. */
static struct totals sum_up(const struct metrics *metrics, enum metric_id id)
{
    struct totals totals = {0};
    size_t buckets = rows[id].kind == METRIC_HISTOGRAM ? BUCKETS_MAX + 1 : 0;
    for (unsigned i = 0; i < metrics->part_count; i++) {
        struct family *family = &metrics->parts[i]->families[id];
        size_t count = atomic_load_explicit(&family->count, memory_order_acquire);
        for (size_t at = 0; at < count; at++) {
            struct series *series = family->series[at];
            struct total *total = total_of(&totals, series->label);
            total->value += atomic_load_explicit(&series->value, memory_order_relaxed);
            for (size_t b = 0; b < buckets; b++) {
                total->buckets[b] +=
                    atomic_load_explicit(&series->buckets[b], memory_order_relaxed);
            }
        }
    }
    return totals;
}

static uint64_t observed(const struct total *total)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= BUCKETS_MAX; i++) {
        count += total->buckets[i];
    }
    return count;
}

uint64_t metrics_sum(const struct metrics *metrics, enum metric_id id)
{
    struct totals totals = sum_up(metrics, id);
    uint64_t sum = 0;
    for (size_t i = 0; i < totals.count; i++) {
        const struct total *total = &totals.items[i];
        sum += rows[id].kind == METRIC_HISTOGRAM ? observed(total) : total->value;
    }
    free(totals.items);
    return sum;
}

void metrics_each_label(const struct metrics *metrics,
                        enum metric_id id,
                        void (*visit)(void *arg, const char *label, uint64_t count, uint64_t total),
                        void *arg)
{
    struct totals totals = sum_up(metrics, id);
    for (size_t i = 0; i < totals.count; i++) {
        const struct total *total = &totals.items[i];
        bool histogram = rows[id].kind == METRIC_HISTOGRAM;
        visit(arg, total->label, histogram ? observed(total) : total->value, total->value);
    }
    free(totals.items);
}

void metrics_each_bucket(
    const struct metrics *metrics,
    enum metric_id id,
    void (*visit)(void *arg, const char *label, uint64_t bound, uint64_t count),
    void *arg)
{
    assert(rows[id].kind == METRIC_HISTOGRAM);
    const struct bound *bounds = rows[id].unit == METRIC_SECONDS ? second_bounds : byte_bounds;
    struct totals totals = sum_up(metrics, id);
    for (size_t i = 0; i < totals.count; i++) {
        uint64_t count = 0;
        for (size_t b = 0; b <= BUCKETS_MAX; b++) {
            count += totals.items[i].buckets[b];
            visit(arg, totals.items[i].label, b < BUCKETS_MAX ? bounds[b].value : UINT64_MAX,
                  count);
        }
    }
    free(totals.items);
}

/* The page. */

static void write_label(struct buf *out, enum metric_id id, const char *label, const char *le)
{
    if (rows[id].label == NULL && le == NULL) {
        return;
    }
    buf_append_text(out, "{");
    if (rows[id].label != NULL) {
        buf_append_format(out, "%s=\"", rows[id].label);
        for (const char *at = label; *at != '\0'; at++) {
            if (*at == '"' || *at == '\\') {
                buf_append_u8(out, '\\');
            }
            buf_append_u8(out, (uint8_t)(*at == '\n' ? ' ' : *at));
        }
        buf_append_text(out, le != NULL ? "\"," : "\"");
    }
    if (le != NULL) {
        buf_append_format(out, "le=\"%s\"", le);
    }
    buf_append_text(out, "}");
}

static void write_number(struct buf *out, enum metric_id id, uint64_t value)
{
    if (rows[id].unit == METRIC_SECONDS) {
        buf_append_format(out, " %" PRIu64 ".%09" PRIu64 "\n", value / 1000000000,
                          value % 1000000000);
    } else if (rows[id].kind == METRIC_GAUGE) {
        buf_append_format(out, " %" PRId64 "\n", (int64_t)value);
    } else {
        buf_append_format(out, " %" PRIu64 "\n", value);
    }
}

static void write_histogram(struct buf *out,
                            enum metric_id id,
                            const char *prefix,
                            const struct total *total)
{
    const struct bound *bounds = rows[id].unit == METRIC_SECONDS ? second_bounds : byte_bounds;
    uint64_t count = 0;
    for (size_t i = 0; i <= BUCKETS_MAX; i++) {
        count += total->buckets[i];
        buf_append_format(out, "%s%s_bucket", prefix, rows[id].name);
        write_label(out, id, total->label, i < BUCKETS_MAX ? bounds[i].text : "+Inf");
        buf_append_format(out, " %" PRIu64 "\n", count);
    }
    buf_append_format(out, "%s%s_sum", prefix, rows[id].name);
    write_label(out, id, total->label, NULL);
    write_number(out, id, total->value);
    buf_append_format(out, "%s%s_count", prefix, rows[id].name);
    write_label(out, id, total->label, NULL);
    buf_append_format(out, " %" PRIu64 "\n", count);
}

static const char *kind_name(enum metric_kind kind)
{
    return kind == METRIC_COUNTER ? "counter" : kind == METRIC_GAUGE ? "gauge" : "histogram";
}

static void write_family(const struct metrics *metrics,
                         enum metric_id id,
                         const char *prefix,
                         struct buf *out)
{
    struct totals totals = sum_up(metrics, id);
    if (totals.count > 0) {
        buf_append_format(out, "# HELP %s%s %s\n", prefix, rows[id].name, rows[id].text);
        buf_append_format(out, "# TYPE %s%s %s\n", prefix, rows[id].name, kind_name(rows[id].kind));
    }
    for (size_t i = 0; i < totals.count; i++) {
        if (rows[id].kind == METRIC_HISTOGRAM) {
            write_histogram(out, id, prefix, &totals.items[i]);
            continue;
        }
        buf_append_format(out, "%s%s", prefix, rows[id].name);
        write_label(out, id, totals.items[i].label, NULL);
        write_number(out, id, totals.items[i].value);
    }
    free(totals.items);
}

static void write_process(struct buf *out)
{
    struct metrics_process process = metrics_process();
    const struct {
        const char *name;
        const char *kind;
        const char *text;
        double value;
    } lines[] = {
        {"process_cpu_seconds_total", "counter", "CPU time of the process, user and system.",
         process.cpu_user + process.cpu_system},
        {"process_resident_memory_bytes", "gauge", "Memory of the process in RAM.",
         (double)process.resident_size},
        {"process_virtual_memory_bytes", "gauge", "Address space of the process.",
         (double)process.virtual_size},
        {"process_open_fds", "gauge", "Open file descriptors.", (double)process.files_open},
        {"process_max_fds", "gauge", "File descriptors that may be open.",
         (double)process.files_max},
        {"process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.",
         process.started},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        buf_append_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %.3f\n", lines[i].name,
                          lines[i].text, lines[i].name, lines[i].kind, lines[i].name,
                          lines[i].value);
    }
}

void metrics_write(const struct metrics *metrics, struct buf *out)
{
    const char *prefix = metrics->program == METRIC_NODE ? "sherd_node_" : "sherd_router_";
    buf_append_format(out,
                      "# HELP %sbuild_info Always 1; the label has the version.\n"
                      "# TYPE %sbuild_info gauge\n%sbuild_info{version=\"%s\"} 1\n",
                      prefix, prefix, prefix, SHERD_VERSION);
    for (size_t id = 0; id < METRIC_COUNT; id++) {
        if ((rows[id].flags & metrics->program) != 0) {
            write_family(metrics, (enum metric_id)id, prefix, out);
        }
    }
    write_process(out);
}

void metrics_document(struct buf *out)
{
    buf_append_text(
        out,
        "# Metrics\n\nWritten from `common/metrics/metrics.def` by `test_metrics --write`; a test "
        "fails if they differ.\n\n"
        "Every process serves them at `/metrics` of its `--http` address, in Prometheus' text "
        "format. "
        "Names begin with `sherd_node_` or `sherd_router_`; `build_info` and the usual "
        "`process_...` "
        "ones come with them. Histograms have `_bucket`, `_sum` and `_count`.\n\n"
        "| name | of | kind | label | what it says |\n|---|---|---|---|---|\n");
    for (size_t id = 0; id < METRIC_COUNT; id++) {
        unsigned both = METRIC_NODE | METRIC_ROUTER;
        const char *program = rows[id].flags == both          ? "both"
                              : rows[id].flags == METRIC_NODE ? "node"
                                                              : "router";
        const char *label = rows[id].label != NULL ? rows[id].label : "";
        buf_append_format(out, "| `%s` | %s | %s | %s | %s |\n", rows[id].name, program,
                          kind_name(rows[id].kind), label, rows[id].text);
    }
}
