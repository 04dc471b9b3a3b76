#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "server/machine/machine.h"

/* stream_cycles DIR [CYCLES [DEPTH [STUCK]]]: the state machine of one shard on a store of its own,
 * without log and network. Each cycle adds an entry to a stream, delivers one to a consumer of a
 * group, acknowledges one that was delivered 16 to 48 cycles before, not in order, and trims the
 * stream to DEPTH; now and then somebody asks what is pending, and claims what is idle. STUCK
 * entries are never acknowledged. Commits as a loop does. Prints, per tenth of the run, cycles per
 * second, the 99th percentile of a command, the longest one, and the processor's time per cycle,
 * that of the engine's threads included, which tells more on a busy machine; at the end the last
 * tenth against the first. Run it in an empty folder. */

enum {
    TENTHS = 10,
    COMMIT_ROWS = 2048,     /* As server/worker.c. */
    FLUSH_CYCLES = 1 << 17, /* A node flushes now and then, which lets its log be short. */
    VALUE_SIZE = 100,
    BLOCK = 16,        /* Entries that are acknowledged in the reverse order. */
    LOOK_CYCLES = 512, /* Between two looks at what is pending. */
    SAMPLES_MAX = 1 << 23,
    WORDS_MAX = 12,
};

struct bench {
    struct store *store;
    struct txn *txn;
    struct machine_state state;
    struct buf planned;
    struct buf reply;
    uint32_t *samples; /* Nanoseconds of a command. */
    size_t sample_count;
    uint64_t depth;
    uint64_t stuck;
};

static void apply(struct bench *bench, const struct command *command, struct args args)
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
        while ((status = txn_commit(bench->txn)) == STATUS_BUSY) {
        }
        assert(status == STATUS_OK);
    }
}

/* The words of a command, with blanks between them; the last may be a value. */
static void run(struct bench *bench, char *text, const char *value)
{
    uint64_t started = clock_now_ns();
    struct slice argv[WORDS_MAX];
    size_t argc = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = slice_str(word);
    }
    if (value != NULL) {
        argv[argc++] = slice_of(value, VALUE_SIZE);
    }
    const struct args args = {.argv = argv, .argc = argc};
    const struct command *command = command_find(argv[0]);
    if ((command->flags & CMD_WRITE) != 0) {
        apply(bench, command, args);
    } else {
        struct machine_read_input read = {.scope = {.shard = 7, .last = UINT64_MAX},
                                          .command = command,
                                          .args = args,
                                          .now_ms = clock_wall_ms()};
        enum status status = machine_read(bench->txn, &bench->state, &read, &bench->reply);
        assert(status == STATUS_OK);
    }
    assert(bench->reply.data[0] != '-');
    buf_clear(&bench->planned);
    buf_clear(&bench->reply);
    uint64_t took = clock_now_ns() - started;
    if (bench->sample_count < SAMPLES_MAX) {
        bench->samples[bench->sample_count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    }
}

static void look(struct bench *bench)
{
    char claim[] = "XAUTOCLAIM stream group third 3600000 0-0 COUNT 5";
    char summary[] = "XPENDING stream group";
    char pending[] = "XPENDING stream group - + 5";
    run(bench, claim, NULL);
    run(bench, summary, NULL);
    run(bench, pending, NULL);
}

static void cycle(struct bench *bench, uint64_t n, const char *value)
{
    char text[128];
    unsigned long long id = n + 1;
    (void)snprintf(text, sizeof(text), "XADD stream %llu field", id);
    run(bench, text, value);
    (void)snprintf(text, sizeof(text), "XREADGROUP GROUP group %s COUNT 1 STREAMS stream >",
                   n % 2 == 0 ? "first" : "second");
    run(bench, text, NULL);
    if (n >= 2 * BLOCK) {
        uint64_t block = n / BLOCK - 2;
        uint64_t done = (block + 1) * BLOCK - n % BLOCK;
        (void)snprintf(text, sizeof(text), "XACK stream group %llu", (unsigned long long)done);
        if (done > bench->stuck) {
            run(bench, text, NULL);
        }
    }
    (void)snprintf(text, sizeof(text), "XTRIM stream MAXLEN %llu",
                   (unsigned long long)bench->depth);
    run(bench, text, NULL);
    if (n % LOOK_CYCLES == 0) {
        look(bench);
    }
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

/* Cycles per second; *p99_us of a command. */
static double run_tenth(struct bench *bench, uint64_t first, uint64_t count, double *p99_us)
{
    char value[VALUE_SIZE];
    memset(value, 'x', sizeof(value));
    bench->sample_count = 0;
    uint64_t started = clock_now_ns();
    for (uint64_t n = first; n < first + count; n++) {
        cycle(bench, n, value);
        if (n % FLUSH_CYCLES == 0) {
            enum status status = txn_commit(bench->txn);
            assert(status == STATUS_OK);
            status = store_flush(bench->store);
            assert(status == STATUS_OK);
        }
    }
    double seconds = (double)(clock_now_ns() - started) / 1e9;
    qsort(bench->samples, bench->sample_count, sizeof(*bench->samples), by_number);
    *p99_us = bench->samples[bench->sample_count * 99 / 100] / 1e3;
    return (double)count / seconds;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: stream_cycles DIR [CYCLES [DEPTH [STUCK]]]\n");
        return 2;
    }
    uint64_t cycles = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
    struct bench *bench = calloc(1, sizeof(*bench));
    assert(bench != NULL);
    bench->depth = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000;
    bench->stuck = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    bench->samples = calloc(SAMPLES_MAX, sizeof(*bench->samples));
    assert(bench->samples != NULL);
    struct store_options options = {
        .cache_size = 64 << 20, .memtable_size = 64 << 20, .threads = 2};
    enum status status = store_open(argv[1], &options, &bench->store);
    assert(status == STATUS_OK);
    bench->txn = txn_new(bench->store);
    buf_init(&bench->planned, 1 << 20);
    buf_init(&bench->reply, 1 << 20);
    char create[] = "XGROUP CREATE stream group 0 MKSTREAM";
    run(bench, create, NULL);
    double first = 0;
    double first_p99 = 0;
    double last = 0;
    double last_p99 = 0;
    for (uint64_t tenth = 0; tenth < TENTHS; tenth++) {
        double cpu = cpu_us();
        last = run_tenth(bench, tenth * (cycles / TENTHS), cycles / TENTHS, &last_p99);
        first = tenth == 0 ? last : first;
        first_p99 = tenth == 0 ? last_p99 : first_p99;
        uint32_t longest = bench->samples[bench->sample_count - 1];
        printf("tenth=%llu cycles_per_second=%.0f p99_us=%.1f max_ms=%.1f cpu_us=%.1f\n",
               (unsigned long long)tenth + 1, last, last_p99, longest / 1e6,
               (cpu_us() - cpu) / (double)(cycles / TENTHS));
        (void)fflush(stdout);
    }
    printf("last_of_first=%.2f p99_last_of_first=%.2f\n", last / first, last_p99 / first_p99);
    buf_deinit(&bench->planned);
    buf_deinit(&bench->reply);
    status = txn_commit(bench->txn);
    assert(status == STATUS_OK);
    txn_free(bench->txn);
    store_close(bench->store);
    free(bench->samples);
    free(bench);
    return last >= first * 9 / 10 && last_p99 <= first_p99 * 2 ? 0 : 1;
}
