#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rand.h"
#include "tests/bench/machine_bench.h"

/* queue DIR [PAIRS [DEPTH [KIND]]]: pushes and pops one queue in turns, which has DEPTH elements
 * all the time. KIND: `list` (LPUSH, RPOP), `window` (ZADD at the time of the push,
 * ZREMRANGEBYSCORE of what is too old), `priority` (ZADD of a random delay, ZPOPMIN). What is
 * printed: machine_bench.h. Run it in an empty folder. */

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
    struct machine_bench bench;
};

static void say(struct queue *queue, const char *text, const char *value)
{
    char words[128];
    (void)snprintf(words, sizeof(words), "%s", text);
    machine_bench_say(&queue->bench, words, value);
}

static void push_list(struct queue *queue, uint64_t n)
{
    char value[MACHINE_BENCH_VALUE_SIZE];
    memset(value, 'x', sizeof(value));
    (void)snprintf(value, sizeof(value), "job:%llu", (unsigned long long)n);
    say(queue, "LPUSH queue", value);
}

static void pop_list(struct queue *queue, uint64_t n)
{
    (void)n;
    say(queue, "RPOP queue", NULL);
}

static void add(struct queue *queue, uint64_t score, uint64_t n)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "ZADD queue %llu job:%llu", (unsigned long long)score,
                   (unsigned long long)n);
    say(queue, text, NULL);
}

static void push_window(struct queue *queue, uint64_t n)
{
    add(queue, n, n);
}

static void pop_window(struct queue *queue, uint64_t n)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "ZREMRANGEBYSCORE queue -inf %llu",
                   (unsigned long long)(n - queue->depth));
    say(queue, text, NULL);
}

static void push_priority(struct queue *queue, uint64_t n)
{
    add(queue, n + rand_below(&queue->rand, 2 * queue->depth), n);
}

static void pop_priority(struct queue *queue, uint64_t n)
{
    (void)n;
    say(queue, "ZPOPMIN queue", NULL);
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

static void cycle(void *arg, uint64_t n)
{
    struct queue *queue = arg;
    queue->kind->push(queue, n);
    queue->kind->pop(queue, n);
}

int main(int argc, char **argv)
{
    struct queue queue = {.kind = find_kind(argc > 4 ? argv[4] : "list")};
    if (argc < 2 || queue.kind == NULL) {
        fprintf(stderr, "usage: queue DIR [PAIRS [DEPTH [list|window|priority]]]\n");
        return 2;
    }
    uint64_t pairs = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
    queue.depth = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000;
    rand_init(&queue.rand, queue.depth);
    machine_bench_open(&queue.bench, argv[1]);
    for (uint64_t n = 0; n < queue.depth; n++) {
        queue.kind->push(&queue, n);
    }
    bool flat = machine_bench_tenths(&queue.bench, queue.depth, pairs, cycle, &queue);
    machine_bench_close(&queue.bench);
    return flat ? 0 : 1;
}
