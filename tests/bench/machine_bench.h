#ifndef TESTS_BENCH_MACHINE_BENCH_H
#define TESTS_BENCH_MACHINE_BENCH_H

#include "server/machine/machine.h"

/* The state machine of one shard on a store of its own, without log and network, for benchmarks
 * that repeat one cycle of commands millions of times. Commits as a loop does, and flushes now and
 * then as a node does. What goes wrong ends the process. Thread: one. */

enum { MACHINE_BENCH_VALUE_SIZE = 100, MACHINE_BENCH_WORDS_MAX = 12 };

struct machine_bench {
    struct store *store;
    struct txn *txn;
    struct machine_state state;
    struct buf planned;
    struct buf reply;
    uint32_t *samples; /* Nanoseconds of a command, of the present tenth. */
    size_t sample_count;
};

void machine_bench_open(struct machine_bench *bench, const char *folder);
void machine_bench_close(struct machine_bench *bench);

/* Runs a command, a write or a read, and notes how long it took. */
void machine_bench_run(struct machine_bench *bench, struct args args);
/* The words of a command, with blanks between them; the last may be a value of
 * MACHINE_BENCH_VALUE_SIZE bytes. Cuts the text up. */
void machine_bench_say(struct machine_bench *bench, char *text, const char *value);

/* Runs cycle(arg, n) for n from first to first + count, in tenths. Prints of each: cycles per
 * second, the 99th percentile of a command and the longest one, and the processor's time per cycle,
 * that of the engine's threads included; at the end the last tenth against the first. True if it
 * has at least 0.9 of the rate and at most twice the percentile. */
bool machine_bench_tenths(struct machine_bench *bench,
                          uint64_t first,
                          uint64_t count,
                          void (*cycle)(void *arg, uint64_t n),
                          void *arg);

#endif
