/* sherd-bench: a load generator for servers that speak the Redis protocol, and for etcd. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/bench/bench_options.h"
#include "common/base/assert.h"

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CANNOT_CONNECT = 3,
    EXIT_TIMED_OUT = 6
};
enum { HELP_SIZE_MAX = 16 * 1024, FILL_PIPELINE = 64, FILL_PIPELINE_ETCD = 16 };

static double ops_per_second(const struct load_counts *counts)
{
    return counts->elapsed_ns == 0 ? 0 : (double)counts->replies * 1e9 / (double)counts->elapsed_ns;
}

static double microseconds(const struct load_counts *counts, double share)
{
    return (double)histogram_at(&counts->latency_ns, share) / 1000;
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    putchar('"');
}

/* The part of a line that intervals and results have in common. */
static void print_counts(const struct load_counts *counts)
{
    printf("\"ops_per_s\":%.0f,\"ops\":%" PRIu64 ",\"seconds\":%.3f,\"errors\":%" PRIu64 ",",
           ops_per_second(counts), counts->replies, (double)counts->elapsed_ns / 1e9,
           counts->errors);
    printf("\"mean_us\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
           histogram_mean(&counts->latency_ns) / 1000, microseconds(counts, 0.5),
           microseconds(counts, 0.99), microseconds(counts, 0.999),
           (double)counts->latency_ns.max / 1000);
}

static void print_interval(const struct load_counts *counts)
{
    printf("{\"interval\":true,");
    print_counts(counts);
    printf("}\n");
    fflush(stdout);
}

static void print_json(const struct bench_options *options, const struct load_counts *counts)
{
    printf("{\"workload\":\"%s\",\"connections\":%zu,\"pipeline\":%zu,\"value_size\":%zu,",
           wire_workload_name(options->wire.workload), options->load.connections,
           options->load.pipeline, options->wire.value_size);
    print_counts(counts);
    printf(",\"missing\":%" PRIu64 ",\"disconnects\":%" PRIu64 ",\"cores\":%.2f,\"first_error\":",
           counts->missing, counts->disconnects, counts->cores);
    print_json_text(counts->first_error);
    printf("}\n");
}

static void print_text(const struct bench_options *options, const struct load_counts *counts)
{
    printf("%s: %zu connections, pipeline %zu, values of %zu bytes, %" PRIu64 " keys\n",
           wire_workload_name(options->wire.workload), options->load.connections,
           options->load.pipeline, options->wire.value_size, options->wire.keys);
    printf("  %.0f operations/s (%" PRIu64 " in %.2f s)\n", ops_per_second(counts), counts->replies,
           (double)counts->elapsed_ns / 1e9);
    printf("  latency in us: p50 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", microseconds(counts, 0.5),
           microseconds(counts, 0.99), microseconds(counts, 0.999),
           (double)counts->latency_ns.max / 1000);
    printf("  errors %" PRIu64 ", null replies %" PRIu64 ", connections lost %" PRIu64
           "; the loader used %.2f cores\n",
           counts->errors, counts->missing, counts->disconnects, counts->cores);
    if (counts->first_error[0] != '\0') {
        printf("  first error: %s\n", counts->first_error);
    }
}

static int exit_of(enum status status, const struct load_counts *counts)
{
    if (status == STATUS_OK) {
        return counts->errors == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    fprintf(stderr, "sherd-bench: %s\n",
            counts->first_error[0] != '\0' ? counts->first_error : status_text(status));
    if (status == STATUS_DISCONNECTED) {
        return EXIT_CANNOT_CONNECT;
    }
    return status == STATUS_TIMEOUT ? EXIT_TIMED_OUT : EXIT_FAILED;
}

/* Every key once, in order. */
static enum status fill(const struct bench_options *options, struct load_counts *counts)
{
    struct wire_options wire_options = options->wire;
    wire_options.workload = WIRE_SET;
    wire_options.dist = KEY_PICK_SEQUENTIAL;
    struct load_options load_options = options->load;
    bool etcd = wire_options.protocol == WIRE_ETCD;
    load_options.pipeline = etcd ? FILL_PIPELINE_ETCD : FILL_PIPELINE;
    load_options.requests = wire_options.keys;
    load_options.duration_ms = 0;
    load_options.warmup_ms = 0;
    load_options.rate = 0;
    load_options.interval_ms = 0;
    struct wire *wire = wire_new(&wire_options);
    enum status status = load_run(&load_options, wire, counts);
    wire_free(wire);
    return status;
}

static int run(const struct bench_options *options, struct load_counts *counts)
{
    if (options->fill) {
        int code = exit_of(fill(options, counts), counts);
        if (code != EXIT_DONE) {
            fprintf(stderr, "sherd-bench: could not fill: %s\n", counts->first_error);
            return code;
        }
    }
    struct wire *wire = wire_new(&options->wire);
    enum status status = load_run(&options->load, wire, counts);
    wire_free(wire);
    if (status == STATUS_OK || counts->replies > 0) {
        (options->json ? print_json : print_text)(options, counts);
    }
    return exit_of(status, counts);
}

int main(int argc, char **argv)
{
    struct bench_options *options = calloc(1, sizeof *options);
    struct load_counts *counts = calloc(1, sizeof *counts);
    assert(options != NULL && counts != NULL);
    char error[LOAD_TEXT_SIZE];
    const char *const *words = (const char *const *)argv + 1;
    int code = EXIT_USAGE;
    if (bench_options_parse(words, argc < 1 ? 0 : (size_t)argc - 1, options, error) != STATUS_OK) {
        fprintf(stderr, "sherd-bench: %s\n", error);
    } else if (options->help) {
        struct buf out;
        buf_init(&out, HELP_SIZE_MAX);
        bench_options_write_help(&out);
        fwrite(out.data, 1, out.len, stdout);
        buf_deinit(&out);
        code = EXIT_DONE;
    } else {
        options->load.on_interval = print_interval;
        code = run(options, counts);
    }
    free(options);
    free(counts);
    return code;
}
