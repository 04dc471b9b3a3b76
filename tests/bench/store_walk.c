#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rand.h"
#include "server/store/store.h"

/* store_walk DIR [ROWS]: what a txn costs, on one thread, over a store of ROWS rows in DIR (an
 * empty place; the rows are flushed and lie in the block cache). Keys are 8 random bytes, which 16
 * rows share, and 2 bytes; values have 100 bytes. One line of key=value per question, times in
 * microseconds per operation. */

enum {
    ROUNDS = 200000,
    WALK_ROWS = 10,
    SHARED = 16, /* Rows with the same 8 bytes. */
    KEY_SIZE = 10,
    VALUE_SIZE = 100,
    COMMIT_ROWS = 2048,
    QUEUE_ROWS = 300000,
    RANGES = 20000,
};

struct bench {
    struct store *store;
    struct txn *txn;
    struct rand rand;
    uint64_t *groups; /* Of SHARED rows each. */
    size_t group_count;
    uint64_t started_ns;
    double started_cpu;
    size_t found;
};

/* Of this thread, in seconds: the machine may be busy with something else. */
static double cpu(void)
{
    struct rusage usage;
    int result = getrusage(RUSAGE_THREAD, &usage);
    assert(result == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void start(struct bench *bench)
{
    bench->found = 0;
    bench->started_cpu = cpu();
    bench->started_ns = clock_now_ns();
}

static void report(const struct bench *bench, const char *what, size_t count)
{
    uint64_t spent_ns = clock_now_ns() - bench->started_ns;
    printf("what=%s us=%.3f cpu_us=%.3f rows=%.1f\n", what, (double)spent_ns / 1e3 / (double)count,
           (cpu() - bench->started_cpu) * 1e6 / (double)count,
           (double)bench->found / (double)count);
    (void)fflush(stdout);
}

static void check(enum status status)
{
    assert(status == STATUS_OK);
}

static struct slice make_key(uint8_t *key, uint64_t group, unsigned n)
{
    for (int i = 0; i < 8; i++) {
        key[i] = (uint8_t)(group >> (56 - 8 * i));
    }
    key[8] = (uint8_t)(n >> 8);
    key[9] = (uint8_t)n;
    return slice_of(key, KEY_SIZE);
}

static void put(struct bench *bench, uint64_t group, unsigned n)
{
    uint8_t key[KEY_SIZE];
    uint8_t value[VALUE_SIZE];
    memset(value, (int)n, sizeof(value));
    txn_put(bench->txn, STORE_DATA, make_key(key, group, n), slice_of(value, sizeof(value)));
}

static void commit_if_due(struct bench *bench)
{
    size_t size = 0;
    if (txn_pending(bench->txn, &size) >= COMMIT_ROWS) {
        check(txn_commit(bench->txn));
    }
}

static uint64_t pick(struct bench *bench)
{
    return bench->groups[rand_below(&bench->rand, bench->group_count)];
}

static void fill(struct bench *bench)
{
    start(bench);
    for (size_t i = 0; i < bench->group_count; i++) {
        bench->groups[i] = rand_u64(&bench->rand);
        for (unsigned n = 0; n < SHARED; n++) {
            put(bench, bench->groups[i], n);
        }
        while (store_overloaded(bench->store)) {
            check(store_flush(bench->store));
        }
        commit_if_due(bench);
    }
    check(txn_commit(bench->txn));
    check(store_flush(bench->store));
    report(bench, "fill", bench->group_count * SHARED);
}

static void walk(struct bench *bench, uint64_t group, unsigned from, unsigned count)
{
    uint8_t lower[KEY_SIZE];
    uint8_t upper[KEY_SIZE];
    struct store_iter *iter = iter_open(bench->txn, STORE_DATA, make_key(lower, group, from),
                                        make_key(upper, group, UINT16_MAX));
    for (unsigned n = 0; n < count && iter_valid(iter); n++) {
        bench->found += iter_key(iter).len > 0 && iter_value(iter).len > 0;
        iter_next(iter);
    }
    check(iter_status(iter));
    iter_close(iter);
}

static void walks(struct bench *bench, const char *what)
{
    start(bench);
    for (unsigned i = 0; i < ROUNDS; i++) {
        walk(bench, pick(bench), 0, WALK_ROWS);
    }
    report(bench, what, ROUNDS);
}

/* Of one place that is in the processor's cache. */
static void walks_hot(struct bench *bench)
{
    start(bench);
    for (unsigned i = 0; i < ROUNDS; i++) {
        walk(bench, bench->groups[0], i % 4, 1);
    }
    report(bench, "walk_hot", ROUNDS);
}

/* As a command of a collection: a walk and two writes; a commit when it is due. */
static void walks_and_writes(struct bench *bench, const char *what)
{
    start(bench);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t group = pick(bench);
        walk(bench, group, 0, WALK_ROWS);
        put(bench, group, 3);
        put(bench, group, (unsigned)rand_below(&bench->rand, SHARED));
        commit_if_due(bench);
    }
    report(bench, what, ROUNDS);
    check(txn_commit(bench->txn));
}

static void gets_and_puts(struct bench *bench)
{
    struct buf value;
    buf_init(&value, 1 << 20);
    start(bench);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t key[KEY_SIZE];
        uint64_t group = pick(bench);
        unsigned n = (unsigned)rand_below(&bench->rand, SHARED);
        buf_clear(&value);
        check(txn_get(bench->txn, STORE_DATA, make_key(key, group, n), &value));
        put(bench, group, n);
        commit_if_due(bench);
    }
    report(bench, "get_and_put", ROUNDS);
    check(txn_commit(bench->txn));
    buf_deinit(&value);
}

/* Rows of hot keys in memory alone: the overlay's own cost. */
static void hot_puts(struct bench *bench)
{
    start(bench);
    for (unsigned i = 0; i < 10 * ROUNDS; i++) {
        put(bench, bench->groups[i % 100], i % SHARED);
    }
    report(bench, "put_hot", (size_t)10 * ROUNDS);
    check(txn_commit(bench->txn));
}

/* A queue whose front is deleted row by row; who knows where it begins does not walk the dead. */
static void queue(struct bench *bench)
{
    uint64_t group = UINT64_C(0x8000000000000000);
    uint8_t key[KEY_SIZE];
    for (unsigned i = 0; i < QUEUE_ROWS; i++) {
        put(bench, group + i / UINT16_MAX, i % UINT16_MAX);
        commit_if_due(bench);
    }
    for (unsigned i = 0; i + 20 < QUEUE_ROWS; i++) {
        txn_delete(bench->txn, STORE_DATA, make_key(key, group + i / UINT16_MAX, i % UINT16_MAX));
        commit_if_due(bench);
    }
    check(txn_commit(bench->txn));
    unsigned head = QUEUE_ROWS - 20;
    start(bench);
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        walk(bench, group + head / UINT16_MAX, head % UINT16_MAX, WALK_ROWS);
    }
    report(bench, "queue_head", ROUNDS / 10);
    /* The walk before the dead rows ends at its bound. */
    start(bench);
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        put(bench, group - 1, 0);
        walk(bench, group - 1, 0, WALK_ROWS);
        commit_if_due(bench);
    }
    report(bench, "before_queue", ROUNDS / 10);
}

static void ranges(struct bench *bench)
{
    start(bench);
    for (unsigned i = 0; i < RANGES; i++) {
        uint8_t from[KEY_SIZE];
        uint8_t to[KEY_SIZE];
        uint64_t group = bench->groups[i % bench->group_count];
        txn_delete_range(bench->txn, STORE_DATA, make_key(from, group, 0),
                         make_key(to, group, SHARED));
        walk(bench, pick(bench), 0, WALK_ROWS);
        put(bench, group, 0);
        if (i % 100 == 99) {
            check(txn_commit(bench->txn));
        }
    }
    report(bench, "range_and_walk", RANGES);
    walks(bench, "walk_over_ranges");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_walk DIR [ROWS]\n");
        return 2;
    }
    size_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    struct store_options options = {
        .cache_size = 512 << 20, .memtable_size = 64 << 20, .threads = 2};
    struct bench bench = {.group_count = rows < SHARED ? 1 : rows / SHARED};
    bench.groups = calloc(bench.group_count, sizeof(*bench.groups));
    assert(bench.groups != NULL);
    rand_init(&bench.rand, 1);
    check(store_open(argv[1], &options, &bench.store));
    bench.txn = txn_new(bench.store);
    fill(&bench);
    walks(&bench, "walk_first");
    walks(&bench, "walk");
    walks_hot(&bench);
    walks_and_writes(&bench, "walk_and_write");
    gets_and_puts(&bench);
    hot_puts(&bench);
    for (unsigned i = 0; i < COMMIT_ROWS - 100; i++) {
        put(&bench, pick(&bench), 1);
    }
    walks(&bench, "walk_over_dirty");
    check(txn_commit(bench.txn));
    queue(&bench);
    ranges(&bench);
    txn_free(bench.txn);
    store_close(bench.store);
    free(bench.groups);
    return 0;
}
