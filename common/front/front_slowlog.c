#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/front/front_core.h"

/* SLOWLOG: commands whose reply took longer than slowlog-log-slower-than to come. Unlike in Redis
 * the time is what the client waited here: network, replication and retries included. Each loop
 * keeps its own ring; SLOWLOG visits all. Shapes: Redis 7.0 slowlog.c. */

enum {
    ARGS_MAX = 32,
    ARG_SIZE_MAX = 128,
    ENTRIES_SHOWN = 10,
};

struct slow_entry {
    uint64_t id;
    uint64_t unix_s;
    uint64_t spent_us;
    struct buf args; /* One array of bulk strings. */
    char peer[CONN_ADDRESS_SIZE];
    char *name;
};

static void drop(struct slow_entry *entry)
{
    buf_deinit(&entry->args);
    free(entry->name);
    free(entry);
}

static void shrink(struct front_part *part, size_t count)
{
    while (part->slow_count > count) {
        part->slow_count--;
        drop(part->slow[part->slow_count]);
    }
}

void front_slowlog_free(struct front_part *part)
{
    shrink(part, 0);
    free(part->slow);
    part->slow = NULL;
}

static void write_args(struct args args, struct buf *out)
{
    size_t shown = args.argc < ARGS_MAX ? args.argc : ARGS_MAX;
    resp_write_array(out, shown);
    for (size_t i = 0; i < shown; i++) {
        struct slice arg = args.argv[i];
        struct buf text;
        buf_init(&text, 2 * ARG_SIZE_MAX);
        if (args.argc > ARGS_MAX && i == ARGS_MAX - 1) {
            buf_append_format(&text, "... (%zu more arguments)", args.argc - ARGS_MAX + 1);
        } else {
            buf_append(&text, arg.data, arg.len < ARG_SIZE_MAX ? arg.len : ARG_SIZE_MAX);
            if (arg.len > ARG_SIZE_MAX) {
                buf_append_format(&text, "... (%zu more bytes)", arg.len - ARG_SIZE_MAX);
            }
        }
        resp_write_bulk(out, buf_slice(&text));
        buf_deinit(&text);
    }
}

void front_slowlog_note(const struct request *request, uint64_t spent_ns)
{
    struct front_part *part = request->part;
    int64_t bound_us = front_setting(part, CONFIG_slowlog_log_slower_than);
    size_t count_max = (size_t)front_setting(part, CONFIG_slowlog_max_len);
    if (bound_us < 0 || spent_ns / 1000 < (uint64_t)bound_us || count_max == 0) {
        return;
    }
    shrink(part, count_max - 1);
    part->slow = realloc(part->slow, count_max * sizeof(*part->slow));
    struct slow_entry *entry = calloc(1, sizeof(*entry));
    assert(part->slow != NULL && entry != NULL);
    entry->id = atomic_fetch_add_explicit(&part->front->slow_next, 1, memory_order_relaxed);
    entry->unix_s = clock_wall_ms() / 1000;
    entry->spent_us = spent_ns / 1000;
    buf_init(&entry->args, SIZE_MAX / 2);
    write_args(request->args, &entry->args);
    const struct session *session = request->session;
    if (session != NULL && session->conn != NULL) {
        conn_peer(session->conn, entry->peer);
    }
    if (session != NULL && session->name != NULL) {
        entry->name = strdup(session->name);
        assert(entry->name != NULL);
    }
    memmove(part->slow + 1, part->slow, part->slow_count * sizeof(*part->slow));
    part->slow[0] = entry; /* The newest is the first. */
    part->slow_count++;
}

/* The tour over all loops. */

struct slow_tour {
    struct front_tour tour;
    enum { SLOW_GET, SLOW_LEN, SLOW_RESET } what;
    uint64_t limit;
    uint64_t count;
    struct shown {
        uint64_t id;
        struct buf text;
    } * shown;
    size_t shown_count;
};

static void write_entry(const struct slow_entry *entry, struct buf *out)
{
    resp_write_array(out, 6);
    resp_write_int(out, (int64_t)entry->id);
    resp_write_int(out, (int64_t)entry->unix_s);
    resp_write_int(out, (int64_t)entry->spent_us);
    buf_append_slice(out, buf_slice(&entry->args));
    resp_write_text(out, entry->peer);
    resp_write_text(out, entry->name != NULL ? entry->name : "");
}

static void visit(struct front_tour *tour, struct front_part *part)
{
    struct slow_tour *self = list_entry(tour, struct slow_tour, tour);
    self->count += part->slow_count;
    if (self->what == SLOW_RESET) {
        shrink(part, 0);
    }
    for (size_t i = 0; self->what == SLOW_GET && i < part->slow_count && i < self->limit; i++) {
        self->shown = realloc(self->shown, (self->shown_count + 1) * sizeof(*self->shown));
        assert(self->shown != NULL);
        struct shown *shown = &self->shown[self->shown_count++];
        shown->id = part->slow[i]->id;
        buf_init(&shown->text, SIZE_MAX / 2);
        write_entry(part->slow[i], &shown->text);
    }
}

static int newest_first(const void *a, const void *b)
{
    const struct shown *left = a;
    const struct shown *right = b;
    return (left->id < right->id) - (left->id > right->id);
}

static void come_home(struct front_tour *tour)
{
    struct slow_tour *self = list_entry(tour, struct slow_tour, tour);
    struct request *request = tour->request;
    struct buf *reply = front_reply(request);
    if (self->what == SLOW_RESET) {
        resp_write_ok(reply);
    } else if (self->what == SLOW_LEN) {
        resp_write_int(reply, (int64_t)self->count);
    } else {
        size_t count = self->shown_count < self->limit ? self->shown_count : self->limit;
        if (self->shown_count > 0) {
            qsort(self->shown, self->shown_count, sizeof(*self->shown), newest_first);
        }
        resp_write_array(reply, count);
        for (size_t i = 0; i < self->shown_count; i++) {
            if (i < count) {
                buf_append_slice(reply, buf_slice(&self->shown[i].text));
            }
            buf_deinit(&self->shown[i].text);
        }
    }
    free(self->shown);
    free(self);
    front_done(request);
}

static void start(struct request *request, int what, uint64_t limit)
{
    struct slow_tour *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->what = what;
    self->limit = limit;
    self->tour.visit = visit;
    self->tour.home = come_home;
    front_tour_start(&self->tour, request, UINT32_MAX);
}

static void get(struct request *request)
{
    int64_t limit = ENTRIES_SHOWN;
    if (request->args.argc > 3) {
        request_fail(request, "ERR wrong number of arguments for 'slowlog|get' command");
        return;
    }
    if (request->args.argc == 3 &&
        (!number_parse_i64(request->args.argv[2], &limit) || limit < -1)) {
        request_fail(request, "ERR count should be greater than or equal to -1");
        return;
    }
    start(request, SLOW_GET, limit < 0 ? UINT64_MAX : (uint64_t)limit);
}

static void get_length(struct request *request)
{
    start(request, SLOW_LEN, 0);
}

static void reset(struct request *request)
{
    start(request, SLOW_RESET, 0);
}

void front_slowlog(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"get", -2, get},
        {"len", 2, get_length},
        {"reset", 2, reset},
    };
    static const char *const help[] = {
        "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
