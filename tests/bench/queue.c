#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rand.h"
#include "server/machine/machine.h"

/* queue DIR [PAIRS [DEPTH [KIND]]]: the state machine of one shard on a store of its own, without
 * log and network. Pushes and pops one queue in turns, which has DEPTH elements all the time, and
 * commits as a loop does. KIND: `list` (LPUSH, RPOP), `window` (ZADD at the time of the push,
 * ZREMRANGEBYSCORE of what is too old), `priority` (ZADD of a random delay, ZPOPMIN). Prints, per
 * tenth of the run, pairs per second and the 99th percentile of a command; at the end the last
 * tenth against the first. Run it in an empty folder. */

enum {
    TENTHS = 10,
    COMMIT_ROWS = 2048,    /* As server/worker.c. */
    FLUSH_PAIRS = 1 << 18, /* A node flushes now and then, which lets its log be short. */
    VALUE_SIZE = 100,
    SAMPLES_MAX = 1 << 22,
};

struct queue;

struct kind {
    const char *name;
    void (*push)(struct queue *queue, uint64_t n);
    void (*pop)(struct queue *queue, uint64_t n);
};

struct queue {
    const struct kind *kind;
    uint64_t depth;
    struct rand rand;
    struct store *store;
    struct txn *txn;
    struct machine_state state;
    struct buf planned;
    struct buf reply;
    uint32_t *samples; /* Nanoseconds of a command. */
    size_t sample_count;
};

static void run(struct queue *queue, const struct slice *argv, size_t argc)
{
    uint64_t started = clock_now_ns();
    const struct command *command = command_find(argv[0]);
    assert(command != NULL);
    struct machine_plan_input plan = {
        .command = command, .args = {.argv = argv, .argc = argc}, .now_ms = clock_wall_ms()};
    enum status status = machine_plan(&plan, &queue->planned, &queue->reply);
    assert(status == STATUS_OK);
    struct machine_apply_input apply = {.scope = {.shard = 7, .last = UINT64_MAX},
                                        .planned = buf_slice(&queue->planned),
                                        .now_ms = plan.now_ms};
    status = machine_apply(queue->txn, &queue->state, &apply, &queue->reply);
    assert(status == STATUS_OK);
    assert(queue->reply.data[0] != '-');
    buf_clear(&queue->planned);
    buf_clear(&queue->reply);
    size_t size = 0;
    if (txn_pending(queue->txn, &size) >= COMMIT_ROWS) {
        while ((status = txn_commit(queue->txn)) == STATUS_BUSY) {
        }
        assert(status == STATUS_OK);
    }
    uint64_t took = clock_now_ns() - started;
    if (queue->sample_count < SAMPLES_MAX) {
        queue->samples[queue->sample_count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    }
}

static void push_list(struct queue *queue, uint64_t n)
{
    char value[VALUE_SIZE];
    memset(value, 'x', sizeof(value));
    (void)snprintf(value, sizeof(value), "job:%llu", (unsigned long long)n);
    const struct slice argv[] = {slice_str("LPUSH"), slice_str("queue"),
                                 slice_of(value, sizeof(value))};
    run(queue, argv, sizeof(argv) / sizeof(argv[0]));
}

static void pop_list(struct queue *queue, uint64_t n)
{
    (void)n;
    const struct slice argv[] = {slice_str("RPOP"), slice_str("queue")};
    run(queue, argv, sizeof(argv) / sizeof(argv[0]));
}

static void add(struct queue *queue, uint64_t score, uint64_t n)
{
    char score_text[24];
    char member[24];
    (void)snprintf(score_text, sizeof(score_text), "%llu", (unsigned long long)score);
    (void)snprintf(member, sizeof(member), "job:%llu", (unsigned long long)n);
    const struct slice argv[] = {slice_str("ZADD"), slice_str("queue"), slice_str(score_text),
                                 slice_str(member)};
    run(queue, argv, sizeof(argv) / sizeof(argv[0]));
}

static void push_window(struct queue *queue, uint64_t n)
{
    add(queue, n, n);
}

static void pop_window(struct queue *queue, uint64_t n)
{
    char old[24];
    (void)snprintf(old, sizeof(old), "%llu", (unsigned long long)(n - queue->depth));
    const struct slice argv[] = {slice_str("ZREMRANGEBYSCORE"), slice_str("queue"),
                                 slice_str("-inf"), slice_str(old)};
    run(queue, argv, sizeof(argv) / sizeof(argv[0]));
}

static void push_priority(struct queue *queue, uint64_t n)
{
    add(queue, n + rand_below(&queue->rand, 2 * queue->depth), n);
}

static void pop_priority(struct queue *queue, uint64_t n)
{
    (void)n;
    const struct slice argv[] = {slice_str("ZPOPMIN"), slice_str("queue")};
    run(queue, argv, sizeof(argv) / sizeof(argv[0]));
}

static const struct kind kinds[] = {{"list", push_list, pop_list},
                                    {"window", push_window, pop_window},
                                    {"priority", push_priority, pop_priority}};
enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

static double cpu_us(void)
{
    struct rusage usage;
    int failed = getrusage(RUSAGE_THREAD, &usage);
    assert(failed == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Pairs per second; *p99_us of a command. */
static double run_tenth(struct queue *queue, uint64_t first, uint64_t count, double *p99_us)
{
    queue->sample_count = 0;
    uint64_t started = clock_now_ns();
    for (uint64_t n = first; n < first + count; n++) {
        queue->kind->push(queue, n);
        queue->kind->pop(queue, n);
        if (n % FLUSH_PAIRS == 0) {
            enum status status = txn_commit(queue->txn);
            assert(status == STATUS_OK);
            status = store_flush(queue->store);
            assert(status == STATUS_OK);
        }
    }
    double seconds = (double)(clock_now_ns() - started) / 1e9;
    qsort(queue->samples, queue->sample_count, sizeof(*queue->samples), by_number);
    *p99_us = queue->samples[queue->sample_count * 99 / 100] / 1e3;
    return (double)count / seconds;
}

int main(int argc, char **argv)
{
    const struct kind *kind = find_kind(argc > 4 ? argv[4] : "list");
    if (argc < 2 || kind == NULL) {
        fprintf(stderr, "usage: queue DIR [PAIRS [DEPTH [list|window|priority]]]\n");
        return 2;
    }
    uint64_t pairs = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
    uint64_t depth = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000;
    struct queue *queue = calloc(1, sizeof(*queue));
    assert(queue != NULL);
    queue->kind = kind;
    queue->depth = depth;
    rand_init(&queue->rand, depth);
    queue->samples = calloc(SAMPLES_MAX, sizeof(*queue->samples));
    assert(queue->samples != NULL);
    struct store_options options = {
        .cache_size = 64 << 20, .memtable_size = 64 << 20, .threads = 2};
    enum status status = store_open(argv[1], &options, &queue->store);
    assert(status == STATUS_OK);
    queue->txn = txn_new(queue->store);
    buf_init(&queue->planned, 1 << 20);
    buf_init(&queue->reply, 1 << 20);
    for (uint64_t n = 0; n < depth; n++) {
        kind->push(queue, n);
    }
    double first = 0;
    double first_p99 = 0;
    double last = 0;
    double last_p99 = 0;
    for (uint64_t tenth = 0; tenth < TENTHS; tenth++) {
        double cpu = cpu_us();
        last = run_tenth(queue, depth + tenth * pairs / TENTHS, pairs / TENTHS, &last_p99);
        first = tenth == 0 ? last : first;
        first_p99 = tenth == 0 ? last_p99 : first_p99;
        cpu = (cpu_us() - cpu) / (double)(pairs / TENTHS);
        printf("tenth=%llu pairs_per_second=%.0f cpu_us=%.1f p99_us=%.1f\n",
               (unsigned long long)tenth + 1, last, cpu, last_p99);
        fflush(stdout);
    }
    printf("last_of_first=%.2f p99_last_of_first=%.2f\n", last / first, last_p99 / first_p99);
    buf_deinit(&queue->planned);
    buf_deinit(&queue->reply);
    status = txn_commit(queue->txn);
    assert(status == STATUS_OK);
    txn_free(queue->txn);
    store_close(queue->store);
    free(queue->samples);
    free(queue);
    return last >= first * 9 / 10 && last_p99 <= first_p99 * 2 ? 0 : 1;
}
