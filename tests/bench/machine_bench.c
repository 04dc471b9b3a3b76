#include "tests/bench/machine_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/assert.h"
#include "common/base/clock.h"

enum {
    TENTHS = 10,
    COMMIT_ROWS = 2048,       /* As server/worker.c. */
    FLUSH_CYCLES = 1 << 17,   /* A node flushes now and then, which lets its log be short. */
    SAMPLES_MAX = 1 << 23,    /* What is more is not noted. */
    SPACE_SIZE_MAX = 1 << 20, /* Of a planned command, or a reply. */
};

struct tenth {
    double rate; /* Cycles per second. */
    double p99_us;
    double max_ms;
    double cpu_us; /* Of a cycle. */
};

void machine_bench_open(struct machine_bench *bench, const char *folder)
{
    *bench = (struct machine_bench){0};
    bench->samples = calloc(SAMPLES_MAX, sizeof(*bench->samples));
    assert(bench->samples != NULL);
    struct store_options options = {
        .cache_size = 64 << 20, .memtable_size = 64 << 20, .threads = 2};
    enum status status = store_open(folder, &options, &bench->store);
    assert(status == STATUS_OK);
    bench->txn = txn_new(bench->store);
    buf_init(&bench->planned, SPACE_SIZE_MAX);
    buf_init(&bench->reply, SPACE_SIZE_MAX);
}

static void commit(struct machine_bench *bench)
{
    enum status status;
    while ((status = txn_commit(bench->txn)) == STATUS_BUSY) {
    }
    assert(status == STATUS_OK);
}

void machine_bench_close(struct machine_bench *bench)
{
    buf_deinit(&bench->planned);
    buf_deinit(&bench->reply);
    commit(bench);
    txn_free(bench->txn);
    store_close(bench->store);
    free(bench->samples);
}

static void write_one(struct machine_bench *bench, const struct command *command, struct args args)
{
    struct machine_plan_input plan = {.command = command, .args = args, .now_ms = clock_wall_ms()};
    enum status status = machine_plan(&plan, &bench->planned, &bench->reply);
    assert(status == STATUS_OK);
    struct machine_apply_input apply = {.scope = {.shard = 7, .last = UINT64_MAX},
                                        .planned = buf_slice(&bench->planned),
                                        .now_ms = plan.now_ms};
    status = machine_apply(bench->txn, &bench->state, &apply, &bench->reply);
    assert(status == STATUS_OK);
    size_t size = 0;
    if (txn_pending(bench->txn, &size) >= COMMIT_ROWS) {
        commit(bench);
    }
}

static void read_one(struct machine_bench *bench, const struct command *command, struct args args)
{
    struct machine_read_input input = {.scope = {.shard = 7, .last = UINT64_MAX},
                                       .command = command,
                                       .args = args,
                                       .now_ms = clock_wall_ms()};
    enum status status = machine_read(bench->txn, &bench->state, &input, &bench->reply);
    assert(status == STATUS_OK);
}

void machine_bench_run(struct machine_bench *bench, struct args args)
{
    uint64_t started = clock_now_ns();
    const struct command *command = command_find(args.argv[0]);
    assert(command != NULL);
    if ((command->flags & CMD_WRITE) != 0) {
        write_one(bench, command, args);
    } else {
        read_one(bench, command, args);
    }
    assert(bench->reply.len > 0 && bench->reply.data[0] != '-');
    buf_clear(&bench->planned);
    buf_clear(&bench->reply);
    if (bench->sample_count < SAMPLES_MAX) {
        bench->samples[bench->sample_count++] = (uint32_t)(clock_now_ns() - started);
    }
}

void machine_bench_say(struct machine_bench *bench, char *text, const char *value)
{
    struct slice argv[MACHINE_BENCH_WORDS_MAX];
    size_t argc = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert(argc + 1 < MACHINE_BENCH_WORDS_MAX);
        argv[argc++] = slice_str(word);
    }
    if (value != NULL) {
        argv[argc++] = slice_of(value, MACHINE_BENCH_VALUE_SIZE);
    }
    machine_bench_run(bench, (struct args){.argv = argv, .argc = argc});
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

/* Of all threads. */
static double cpu_us(void)
{
    struct rusage usage;
    int code = getrusage(RUSAGE_SELF, &usage);
    assert(code == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct tenth run_tenth(struct machine_bench *bench,
                              uint64_t first,
                              uint64_t count,
                              void (*cycle)(void *arg, uint64_t n),
                              void *arg)
{
    bench->sample_count = 0;
    double cpu = cpu_us();
    uint64_t started = clock_now_ns();
    for (uint64_t n = first; n < first + count; n++) {
        cycle(arg, n);
        if (n % FLUSH_CYCLES == 0) {
            commit(bench);
            enum status status = store_flush(bench->store);
            assert(status == STATUS_OK);
        }
    }
    double seconds = (double)(clock_now_ns() - started) / 1e9;
    cpu = (cpu_us() - cpu) / (double)count;
    assert(bench->sample_count > 0);
    qsort(bench->samples, bench->sample_count, sizeof(*bench->samples), by_number);
    return (struct tenth){.rate = (double)count / seconds,
                          .p99_us = bench->samples[bench->sample_count * 99 / 100] / 1e3,
                          .max_ms = bench->samples[bench->sample_count - 1] / 1e6,
                          .cpu_us = cpu};
}

bool machine_bench_tenths(struct machine_bench *bench,
                          uint64_t first,
                          uint64_t count,
                          void (*cycle)(void *arg, uint64_t n),
                          void *arg)
{
    struct tenth tenths[TENTHS];
    uint64_t size = count / TENTHS;
    for (uint64_t i = 0; i < TENTHS; i++) {
        struct tenth *tenth = &tenths[i];
        *tenth = run_tenth(bench, first + i * size, size, cycle, arg);
        printf("tenth=%llu cycles_per_second=%.0f p99_us=%.1f max_ms=%.1f cpu_us=%.1f\n",
               (unsigned long long)i + 1, tenth->rate, tenth->p99_us, tenth->max_ms, tenth->cpu_us);
        (void)fflush(stdout);
    }
    double rate = tenths[TENTHS - 1].rate / tenths[0].rate;
    double p99 = tenths[TENTHS - 1].p99_us / tenths[0].p99_us;
    double cpu = tenths[TENTHS - 1].cpu_us / tenths[0].cpu_us;
    printf("last_of_first=%.2f p99_last_of_first=%.2f cpu_last_of_first=%.2f\n", rate, p99, cpu);
    return rate >= 0.9 && p99 <= 2;
}
