#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/machine_bench.h"

/* stream_cycles DIR [CYCLES [DEPTH [STUCK]]]: each cycle adds an entry to a stream, delivers one to
 * a consumer of a group, acknowledges one that was delivered 16 to 48 cycles before, not in order,
 * and trims the stream to DEPTH; now and then somebody asks what is pending, and claims what is
 * idle. STUCK entries are never acknowledged. What is printed: machine_bench.h. Run it in an empty
 * folder. */

enum {
    BLOCK = 16,        /* Entries that are acknowledged in the reverse order. */
    LOOK_CYCLES = 512, /* Between two looks at what is pending. */
};

struct cycles {
    struct machine_bench bench;
    uint64_t depth;
    uint64_t stuck;
};

static void run(struct cycles *cycles, char *text, const char *value)
{
    machine_bench_say(&cycles->bench, text, value);
}

static void look(struct cycles *cycles)
{
    char claim[] = "XAUTOCLAIM stream group third 3600000 0-0 COUNT 5";
    char summary[] = "XPENDING stream group";
    char pending[] = "XPENDING stream group - + 5";
    run(cycles, claim, NULL);
    run(cycles, summary, NULL);
    run(cycles, pending, NULL);
}

static void cycle(void *arg, uint64_t n)
{
    struct cycles *cycles = arg;
    char value[MACHINE_BENCH_VALUE_SIZE];
    memset(value, 'x', sizeof(value));
    char text[128];
    unsigned long long id = n + 1;
    (void)snprintf(text, sizeof(text), "XADD stream %llu field", id);
    run(cycles, text, value);
    (void)snprintf(text, sizeof(text), "XREADGROUP GROUP group %s COUNT 1 STREAMS stream >",
                   n % 2 == 0 ? "first" : "second");
    run(cycles, text, NULL);
    if (n >= 2 * BLOCK) {
        uint64_t block = n / BLOCK - 2;
        uint64_t done = (block + 1) * BLOCK - n % BLOCK;
        (void)snprintf(text, sizeof(text), "XACK stream group %llu", (unsigned long long)done);
        if (done > cycles->stuck) {
            run(cycles, text, NULL);
        }
    }
    (void)snprintf(text, sizeof(text), "XTRIM stream MAXLEN %llu",
                   (unsigned long long)cycles->depth);
    run(cycles, text, NULL);
    if (n % LOOK_CYCLES == 0) {
        look(cycles);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: stream_cycles DIR [CYCLES [DEPTH [STUCK]]]\n");
        return 2;
    }
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
    struct cycles cycles = {.depth = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000,
                            .stuck = argc > 4 ? strtoull(argv[4], NULL, 10) : 0};
    machine_bench_open(&cycles.bench, argv[1]);
    char create[] = "XGROUP CREATE stream group 0 MKSTREAM";
    run(&cycles, create, NULL);
    bool flat = machine_bench_tenths(&cycles.bench, 0, count, cycle, &cycles);
    machine_bench_close(&cycles.bench);
    return flat ? 0 : 1;
}
