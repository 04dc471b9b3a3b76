#include "client/bench/bench_options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/connection.h"
#include "common/base/assert.h"

enum { ETCD_VALUE_SIZE_MAX = 8 * 1024, ETCD_BATCH_SIZE_MAX = 32 * 1024 };

/* One option: what it is called, what it means, where its number goes. */
struct row {
    const char *short_name; /* "" if it has none. */
    const char *name;
    const char *value; /* NULL: a switch. */
    const char *text;
};

enum row_id {
    ROW_HOST,
    ROW_PORT,
    ROW_CONNECT,
    ROW_CONNECTIONS,
    ROW_PIPELINE,
    ROW_REQUESTS,
    ROW_SECONDS,
    ROW_WARMUP,
    ROW_RATE,
    ROW_KEYS,
    ROW_VALUE_SIZE,
    ROW_DIST,
    ROW_THETA,
    ROW_READS,
    ROW_PER,
    ROW_FILL,
    ROW_SEED,
    ROW_PROTOCOL,
    ROW_PASSWORD,
    ROW_TIMEOUT,
    ROW_INTERVAL,
    ROW_JSON,
    ROW_HELP,
    ROW_COUNT,
};

static const struct row rows[ROW_COUNT] = {
    [ROW_HOST] = {"-h", "--host", "HOST", "[127.0.0.1]"},
    [ROW_PORT] = {"-p", "--port", "PORT", "[6379]"},
    [ROW_CONNECT] = {"", "--connect", "HOST:PORT,...", "several servers; connections take turns"},
    [ROW_CONNECTIONS] = {"-c", "--connections", "N", "[50]"},
    [ROW_PIPELINE] = {"-P", "--pipeline", "N", "requests sent together [1]"},
    [ROW_REQUESTS] = {"-n", "--requests", "N", "stop after so many [100000, unless -t]"},
    [ROW_SECONDS] = {"-t", "--seconds", "S", "stop after so long"},
    [ROW_WARMUP] = {"", "--warmup", "S", "before the counting begins [0]"},
    [ROW_RATE] = {"", "--rate", "N", "requests per second; latency counts from when each was due"},
    [ROW_KEYS] = {"-r", "--keys", "N", "different keys [100000]"},
    [ROW_VALUE_SIZE] = {"-d", "--value-size", "BYTES", "[100]"},
    [ROW_DIST] = {"", "--dist", "uniform|zipf|seq", "which key comes next [uniform]"},
    [ROW_THETA] = {"", "--theta", "X", "skew of zipf, 0 < X < 1 [0.99]"},
    [ROW_READS] = {"", "--reads", "PERCENT", "GETs of mix [90]"},
    [ROW_PER] = {"", "--per", "N", "keys of one MSET or MGET [10]"},
    [ROW_FILL] = {"", "--fill", NULL, "write every key once before"},
    [ROW_SEED] = {"", "--seed", "N", "[1]"},
    [ROW_PROTOCOL] = {"", "--protocol", "resp|etcd",
                      "etcd: Put and Range of etcd v3 by gRPC [resp]"},
    [ROW_PASSWORD] = {"-a", "--password", "TEXT", "sent with AUTH"},
    [ROW_TIMEOUT] = {"", "--timeout", "S", "give up when nothing is heard for so long [30]"},
    [ROW_INTERVAL] = {"", "--interval", "S", "also print a line of JSON so often"},
    [ROW_JSON] = {"", "--json", NULL, "print the result as one line of JSON"},
    [ROW_HELP] = {"", "--help", NULL, "this text"},
};

void bench_options_write_help(struct buf *out)
{
    buf_append_text(
        out,
        "Usage: sherd-bench [OPTION...] set|get|mix|incr|mset|mget|ping\n"
        "                               hset|lpush|sadd|zadd|xadd|limiter\n\n"
        "Loads a Redis-protocol server (or etcd) from one thread and prints operations\n"
        "per second and latencies. Examples:\n"
        "  sherd-bench -t 10 set\n"
        "  sherd-bench -p 7000 -P 16 --keys 1000000 --dist zipf --fill -t 30 mix\n\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char head[64];
        snprintf(head, sizeof head, "%2s%s %s %s", rows[i].short_name,
                 rows[i].short_name[0] == '\0' ? " " : ",", rows[i].name,
                 rows[i].value == NULL ? "" : rows[i].value);
        buf_append_format(out, "  %-33s %s\n", head, rows[i].text);
    }
}

/* A number in [min, max], as text says it. */
static enum status number(
    const struct row *row, const char *text, double min, double max, double *value, char *error)
{
    char *end = NULL;
    errno = 0;
    double got = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(got >= min && got <= max)) {
        snprintf(error, LOAD_TEXT_SIZE, "%s is '%.40s'; it must be a number from %g to %g",
                 row->name, text, min, max);
        return STATUS_BAD_ARGUMENT;
    }
    *value = got;
    return STATUS_OK;
}

static enum status whole(const struct row *row,
                         const char *text,
                         uint64_t min,
                         uint64_t max,
                         uint64_t *value,
                         char *error)
{
    double got = 0;
    enum status status = number(row, text, (double)min, (double)max, &got, error);
    if (status == STATUS_OK && floor(got) != got) {
        snprintf(error, LOAD_TEXT_SIZE, "%s must be a whole number", row->name);
        status = STATUS_BAD_ARGUMENT;
    }
    if (status == STATUS_OK) {
        *value = (uint64_t)got;
    }
    return status;
}

static enum status seconds(const struct row *row, const char *text, uint64_t *ms, char *error)
{
    double got = 0;
    enum status status = number(row, text, 0, 7 * 86400, &got, error);
    if (status == STATUS_OK) {
        *ms = (uint64_t)(got * 1000);
    }
    return status;
}

/* "HOST:PORT,HOST:PORT". */
static enum status endpoints(const char *text, struct bench_options *options, char *error)
{
    struct load_options *load = &options->load;
    load->endpoint_count = 0;
    const char *at = text;
    for (;;) {
        size_t len = strcspn(at, ",");
        char address[LOAD_TEXT_SIZE];
        snprintf(address, sizeof address, "%.*s", (int)len, at);
        size_t n = load->endpoint_count;
        if (n == LOAD_ENDPOINTS_MAX ||
            connection_parse_address(address, options->endpoints[n], &load->endpoints[n].port) !=
                STATUS_OK) {
            snprintf(error, LOAD_TEXT_SIZE, "--connect is '%.60s'; write HOST:PORT[,HOST:PORT...]",
                     text);
            return STATUS_BAD_ARGUMENT;
        }
        load->endpoints[n].host = options->endpoints[n];
        load->endpoint_count++;
        if (at[len] == '\0') {
            return STATUS_OK;
        }
        at += len + 1;
    }
}

static enum status choose(
    const struct row *row, const char *text, const char *const *words, size_t *index, char *error)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *index = i;
            return STATUS_OK;
        }
    }
    snprintf(error, LOAD_TEXT_SIZE, "%s is '%.40s'; it must be one of %s", row->name, text,
             row->value);
    return STATUS_BAD_ARGUMENT;
}

static const char *const dists[] = {"uniform", "zipf", "seq", NULL};
static const char *const protocols[] = {"resp", "etcd", NULL};

/* The options that say what is sent. */
static enum status set_wire(enum row_id id,
                            const char *text,
                            struct bench_options *options,
                            char *error)
{
    struct wire_options *wire = &options->wire;
    const struct row *row = &rows[id];
    uint64_t n = 0;
    size_t index = 0;
    enum status status = STATUS_OK;
    if (id == ROW_KEYS) {
        status = whole(row, text, 1, UINT64_C(999999999999), &wire->keys, error);
    } else if (id == ROW_VALUE_SIZE) {
        status = whole(row, text, 0, WIRE_VALUE_SIZE_MAX, &n, error);
        wire->value_size = n;
    } else if (id == ROW_DIST) {
        status = choose(row, text, dists, &index, error);
        wire->dist = (enum key_pick_kind)index;
    } else if (id == ROW_THETA) {
        status = number(row, text, 0.01, 0.999, &wire->theta, error);
    } else if (id == ROW_READS) {
        status = whole(row, text, 0, 100, &n, error);
        wire->read_percent = (unsigned)n;
    } else if (id == ROW_PER) {
        status = whole(row, text, 1, WIRE_KEYS_PER_REQUEST_MAX, &n, error);
        wire->keys_per_request = n;
    } else if (id == ROW_SEED) {
        status = whole(row, text, 0, UINT32_MAX, &wire->seed, error);
    } else {
        assert(id == ROW_PROTOCOL);
        status = choose(row, text, protocols, &index, error);
        wire->protocol = (enum wire_protocol)index;
    }
    return status;
}

/* The options that say how. */
static enum status set_load(enum row_id id,
                            const char *text,
                            struct bench_options *options,
                            char *error)
{
    struct load_options *load = &options->load;
    const struct row *row = &rows[id];
    uint64_t n = 0;
    enum status status = STATUS_OK;
    if (id == ROW_HOST) {
        if (strlen(text) >= CONNECTION_HOST_SIZE_MAX) {
            snprintf(error, LOAD_TEXT_SIZE, "--host is too long");
            return STATUS_BAD_ARGUMENT;
        }
        load->endpoints[0].host = text;
    } else if (id == ROW_PORT) {
        status = whole(row, text, 1, UINT16_MAX, &n, error);
        load->endpoints[0].port = (uint16_t)n;
    } else if (id == ROW_CONNECT) {
        status = endpoints(text, options, error);
    } else if (id == ROW_CONNECTIONS) {
        status = whole(row, text, 1, LOAD_CONNECTIONS_MAX, &n, error);
        load->connections = n;
    } else if (id == ROW_PIPELINE) {
        status = whole(row, text, 1, LOAD_PIPELINE_MAX, &n, error);
        load->pipeline = n;
    } else if (id == ROW_REQUESTS) {
        status = whole(row, text, 1, UINT64_C(1000000000000), &load->requests, error);
    } else if (id == ROW_SECONDS) {
        status = seconds(row, text, &load->duration_ms, error);
    } else if (id == ROW_WARMUP) {
        status = seconds(row, text, &load->warmup_ms, error);
    } else if (id == ROW_RATE) {
        status = whole(row, text, 1, 100 * 1000 * 1000, &load->rate, error);
    } else if (id == ROW_TIMEOUT) {
        status = seconds(row, text, &load->timeout_ms, error);
    } else if (id == ROW_INTERVAL) {
        status = seconds(row, text, &load->interval_ms, error);
    } else {
        assert(id == ROW_PASSWORD);
        load->password = text;
    }
    return status;
}

static enum status set(enum row_id id, const char *text, struct bench_options *options, char *error)
{
    switch (id) {
    case ROW_FILL: options->fill = true; return STATUS_OK;
    case ROW_JSON: options->json = true; return STATUS_OK;
    case ROW_HELP: options->help = true; return STATUS_OK;
    case ROW_KEYS:
    case ROW_VALUE_SIZE:
    case ROW_DIST:
    case ROW_THETA:
    case ROW_READS:
    case ROW_PER:
    case ROW_SEED:
    case ROW_PROTOCOL: return set_wire(id, text, options, error);
    case ROW_HOST:
    case ROW_PORT:
    case ROW_CONNECT:
    case ROW_CONNECTIONS:
    case ROW_PIPELINE:
    case ROW_REQUESTS:
    case ROW_SECONDS:
    case ROW_WARMUP:
    case ROW_RATE:
    case ROW_PASSWORD:
    case ROW_TIMEOUT:
    case ROW_INTERVAL:
    case ROW_COUNT: break;
    }
    return set_load(id, text, options, error);
}

static size_t find(const char *word)
{
    size_t i = 0;
    while (i < ROW_COUNT && strcmp(rows[i].name, word) != 0 &&
           strcmp(rows[i].short_name, word) != 0) {
        i++;
    }
    return i;
}

/* What only makes sense together. */
static enum status check(struct bench_options *options, char *error)
{
    const struct wire_options *wire = &options->wire;
    struct load_options *load = &options->load;
    if (load->requests == 0 && load->duration_ms == 0) {
        load->requests = 100000;
    }
    load->timeout_ms = load->timeout_ms == 0 ? 1 : load->timeout_ms;
    if (wire->protocol == WIRE_ETCD) {
        bool known =
            wire->workload == WIRE_SET || wire->workload == WIRE_GET || wire->workload == WIRE_MIX;
        if (!known || load->password != NULL) {
            snprintf(error, LOAD_TEXT_SIZE, "--protocol etcd can do set, get and mix, unencrypted");
            return STATUS_BAD_ARGUMENT;
        }
        /* A frame, and what may be under way, have bounds in HTTP/2 that we keep far below. */
        if (wire->value_size > ETCD_VALUE_SIZE_MAX ||
            load->pipeline * (wire->value_size + 256) > ETCD_BATCH_SIZE_MAX) {
            snprintf(error, LOAD_TEXT_SIZE, "--protocol etcd: values or pipeline are too large");
            return STATUS_BAD_ARGUMENT;
        }
    }
    return STATUS_OK;
}

static void set_defaults(struct bench_options *options)
{
    *options = (struct bench_options){
        .wire = {.workload = WIRE_WORKLOAD_COUNT,
                 .keys = 100000,
                 .theta = 0.99,
                 .value_size = 100,
                 .keys_per_request = 10,
                 .read_percent = 90,
                 .seed = 1},
        .load = {.endpoints = {{.host = "127.0.0.1", .port = 6379}},
                 .endpoint_count = 1,
                 .connections = 50,
                 .pipeline = 1,
                 .timeout_ms = 30000},
    };
}

enum status bench_options_parse(const char *const *argv,
                                size_t argc,
                                struct bench_options *options,
                                char *error)
{
    set_defaults(options);
    for (size_t i = 0; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (options->wire.workload != WIRE_WORKLOAD_COUNT ||
                !wire_find_workload(argv[i], &options->wire.workload)) {
                snprintf(error, LOAD_TEXT_SIZE,
                         "'%.40s' is not a workload, or the second one; see sherd-bench --help",
                         argv[i]);
                return STATUS_BAD_ARGUMENT;
            }
            continue;
        }
        size_t id = find(argv[i]);
        if (id == ROW_COUNT) {
            snprintf(error, LOAD_TEXT_SIZE, "unknown option %.40s; see sherd-bench --help",
                     argv[i]);
            return STATUS_BAD_ARGUMENT;
        }
        bool takes_value = rows[id].value != NULL;
        if (takes_value && i + 1 == argc) {
            snprintf(error, LOAD_TEXT_SIZE, "%s needs a value", argv[i]);
            return STATUS_BAD_ARGUMENT;
        }
        i += takes_value;
        enum status status = set((enum row_id)id, argv[i], options, error);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (options->wire.workload == WIRE_WORKLOAD_COUNT && !options->help) {
        snprintf(error, LOAD_TEXT_SIZE, "which workload? See sherd-bench --help");
        return STATUS_BAD_ARGUMENT;
    }
    return options->help ? STATUS_OK : check(options, error);
}
