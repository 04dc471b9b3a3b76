#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/front/front_core.h"

/* LATENCY: replies that took at least latency-monitor-threshold milliseconds, by event as Redis 7.0
 * latency.c has them: "command", and "fast-command" for those that are O(1) or O(log n). The time
 * is what the client waited here. Each loop keeps its own samples; LATENCY visits all. */

static const char *const event_names[FRONT_LATENCY_EVENTS] = {"command", "fast-command"};

void front_latency_note(const struct request *request, uint64_t spent_ns)
{
    struct front_part *part = request->part;
    uint64_t bound_ms = (uint64_t)front_setting(part, CONFIG_latency_monitor_threshold);
    uint64_t spent_ms = spent_ns / 1000000;
    if (bound_ms == 0 || spent_ms < bound_ms) {
        return;
    }
    struct front_latency *event = &part->latency[(request->command->flags & CMD_FAST) != 0 ? 1 : 0];
    uint64_t now_s = clock_wall_ms() / 1000;
    event->max_ms = spent_ms > event->max_ms ? spent_ms : event->max_ms;
    /* The worst of each second. */
    size_t last = (event->next + FRONT_LATENCY_SAMPLES - 1) % FRONT_LATENCY_SAMPLES;
    if (event->samples[last].unix_s == now_s) {
        uint64_t before = event->samples[last].ms;
        event->samples[last].ms = spent_ms > before ? spent_ms : before;
        return;
    }
    event->samples[event->next] = (struct front_latency_sample){.unix_s = now_s, .ms = spent_ms};
    event->next = (event->next + 1) % FRONT_LATENCY_SAMPLES;
}

struct latency_tour {
    struct front_tour tour;
    bool reset;
    struct front_latency_sample *samples[FRONT_LATENCY_EVENTS];
    size_t counts[FRONT_LATENCY_EVENTS];
    uint64_t max_ms[FRONT_LATENCY_EVENTS];
    size_t dropped;
    void (*show)(struct latency_tour *self, struct buf *reply);
};

static bool is_named(const struct request *request, const char *name)
{
    if (request->args.argc == 2) {
        return true;
    }
    for (size_t i = 2; i < request->args.argc; i++) {
        if (command_word(request->args.argv[i], name)) {
            return true;
        }
    }
    return false;
}

static void visit(struct front_tour *tour, struct front_part *part)
{
    struct latency_tour *self = list_entry(tour, struct latency_tour, tour);
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        struct front_latency *event = &part->latency[e];
        for (size_t i = 0; i < FRONT_LATENCY_SAMPLES; i++) {
            if (event->samples[i].unix_s == 0) {
                continue;
            }
            size_t count = self->counts[e] + 1;
            self->samples[e] = realloc(self->samples[e], count * sizeof(*self->samples[e]));
            assert(self->samples[e] != NULL);
            self->samples[e][count - 1] = event->samples[i];
            self->counts[e] = count;
        }
        self->max_ms[e] = event->max_ms > self->max_ms[e] ? event->max_ms : self->max_ms[e];
        if (self->reset && is_named(tour->request, event_names[e])) {
            *event = (struct front_latency){0};
        }
    }
}

static int by_time(const void *a, const void *b)
{
    const struct front_latency_sample *left = a;
    const struct front_latency_sample *right = b;
    return (left->unix_s > right->unix_s) - (left->unix_s < right->unix_s);
}

static void come_home(struct front_tour *tour)
{
    struct latency_tour *self = list_entry(tour, struct latency_tour, tour);
    struct request *request = tour->request;
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        if (self->counts[e] > 0) {
            qsort(self->samples[e], self->counts[e], sizeof(*self->samples[e]), by_time);
        }
    }
    self->show(self, front_reply(request));
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        free(self->samples[e]);
    }
    free(self);
    front_done(request);
}

static void start(struct request *request,
                  bool reset,
                  void (*show)(struct latency_tour *self, struct buf *reply))
{
    struct latency_tour *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->reset = reset;
    self->show = show;
    self->tour.visit = visit;
    self->tour.home = come_home;
    front_tour_start(&self->tour, request, UINT32_MAX);
}

static size_t count_events(const struct latency_tour *self)
{
    size_t count = 0;
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        count += self->counts[e] > 0;
    }
    return count;
}

static void show_latest(struct latency_tour *self, struct buf *reply)
{
    resp_write_array(reply, count_events(self));
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        if (self->counts[e] == 0) {
            continue;
        }
        const struct front_latency_sample *last = &self->samples[e][self->counts[e] - 1];
        resp_write_array(reply, 4);
        resp_write_text(reply, event_names[e]);
        resp_write_int(reply, (int64_t)last->unix_s);
        resp_write_int(reply, (int64_t)last->ms);
        resp_write_int(reply, (int64_t)self->max_ms[e]);
    }
}

static void show_history(struct latency_tour *self, struct buf *reply)
{
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        if (!is_named(self->tour.request, event_names[e])) {
            continue;
        }
        resp_write_array(reply, self->counts[e]);
        for (size_t i = 0; i < self->counts[e]; i++) {
            resp_write_array(reply, 2);
            resp_write_int(reply, (int64_t)self->samples[e][i].unix_s);
            resp_write_int(reply, (int64_t)self->samples[e][i].ms);
        }
        return;
    }
    resp_write_array(reply, 0);
}

static void show_reset(struct latency_tour *self, struct buf *reply)
{
    size_t count = 0;
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        count += self->counts[e] > 0 && is_named(self->tour.request, event_names[e]);
    }
    resp_write_int(reply, (int64_t)count);
}

static void show_doctor(struct latency_tour *self, struct buf *reply)
{
    struct buf text;
    buf_init(&text, SIZE_MAX / 2);
    int64_t bound = front_setting(self->tour.request->part, CONFIG_latency_monitor_threshold);
    if (bound == 0) {
        buf_append_text(&text,
                        "Latency monitoring is off: CONFIG SET latency-monitor-threshold "
                        "<milliseconds> turns it on.\n");
    } else if (count_events(self) == 0) {
        buf_append_format(&text, "No reply took %lld ms or longer.\n", (long long)bound);
    }
    for (size_t e = 0; e < FRONT_LATENCY_EVENTS; e++) {
        if (self->counts[e] > 0) {
            buf_append_format(&text,
                              "%s: in %zu seconds a reply took %lld ms or longer, at worst %llu "
                              "ms. SLOWLOG GET names commands, /metrics has histograms.\n",
                              event_names[e], self->counts[e], (long long)bound,
                              (unsigned long long)self->max_ms[e]);
        }
    }
    resp_write_verbatim(reply, buf_slice(&text));
    buf_deinit(&text);
}

static void latest(struct request *request)
{
    start(request, false, show_latest);
}

static void history(struct request *request)
{
    start(request, false, show_history);
}

static void reset(struct request *request)
{
    start(request, true, show_reset);
}

static void doctor(struct request *request)
{
    start(request, false, show_doctor);
}

static void refuse_drawing(struct request *request)
{
    request_fail(request, "ERR graphs are made of /metrics: command_duration_seconds");
}

/* HISTOGRAM: commands that ran, with cumulative counts by microseconds. */
struct histogram {
    const struct request *request;
    struct buf commands; /* Finished: name, then a map of calls and histogram_usec. */
    size_t count;
    struct buf buckets; /* Of the command at hand, */
    size_t bucket_count;
    uint64_t before; /* and its count below the bucket at hand. */
};

static void end_command(struct histogram *self, const char *name, uint64_t calls)
{
    if (calls > 0 && is_named(self->request, name)) {
        resp_write_text(&self->commands, name);
        resp_write_map(&self->commands, 2);
        resp_write_text(&self->commands, "calls");
        resp_write_int(&self->commands, (int64_t)calls);
        resp_write_text(&self->commands, "histogram_usec");
        resp_write_map(&self->commands, self->bucket_count);
        buf_append_slice(&self->commands, buf_slice(&self->buckets));
        self->count++;
    }
    buf_clear(&self->buckets);
    self->bucket_count = 0;
    self->before = 0;
}

static void take_bucket(void *arg, const char *name, uint64_t bound_ns, uint64_t count)
{
    struct histogram *self = arg;
    if (count > self->before && bound_ns != UINT64_MAX) {
        resp_write_int(&self->buckets, (int64_t)(bound_ns / 1000));
        resp_write_int(&self->buckets, (int64_t)count);
        self->bucket_count++;
        self->before = count;
    }
    if (bound_ns == UINT64_MAX) {
        end_command(self, name, count);
    }
}

static void histogram(struct request *request)
{
    struct histogram self = {.request = request};
    buf_init(&self.commands, SIZE_MAX / 2);
    buf_init(&self.buckets, SIZE_MAX / 2);
    metrics_each_bucket(request->part->front->options.metrics, METRIC_command_duration_seconds,
                        take_bucket, &self);
    struct buf *reply = front_reply(request);
    resp_write_map(reply, self.count);
    buf_append_slice(reply, buf_slice(&self.commands));
    buf_deinit(&self.commands);
    buf_deinit(&self.buckets);
    front_done(request);
}

void front_latency(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"doctor", 2, doctor},   {"graph", 3, refuse_drawing}, {"histogram", -2, histogram},
        {"history", 3, history}, {"latest", 2, latest},        {"reset", -2, reset},
    };
    static const char *const help[] = {
        "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of commands latency in histogram format.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
