#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "tests/sim/sim.h"

/* sim --seed N [--verbose]      one run, exactly the same every time
 * sim --seeds FROM TO [--jobs N] every seed in [FROM, TO) in a process of its own
 * --stale                       replicas answer reads before they have applied enough
 * sim --overnight [--jobs N]    seeds from the clock on, until one fails
 * with --moves                  replicas move and nodes drain meanwhile, in most of them
 */

enum { SEEDS_FAILED_MAX = 5 };

static bool splits;
static bool merges;
static bool moves;
static bool balance;
static bool stale;

/* The shape of the run comes from the seed as well. */
static struct sim_options options_of(uint64_t seed)
{
    struct rand rand;
    rand_init(&rand, seed ^ UINT64_C(0x73696d));
    struct sim_options options = {
        .seed = seed,
        .nodes = 3 + (rand_below(&rand, 4) == 0),
        .routers = rand_below(&rand, 8) == 0 ? 1 : 2 + (unsigned)rand_below(&rand, 2),
        .clients = 4 + (unsigned)rand_below(&rand, 8),
        .shards = UINT32_C(1) << (1 + rand_below(&rand, 3)),
        .keys = 4 + (unsigned)rand_below(&rand, 20),
        .fault_ms = 4000 + rand_below(&rand, 8000),
        .peace_ms = 30000,
        .faults = true};
    /* What a deposed leader answers is seldom wrong, so it takes many of them. */
    options.deposes = seed % 3 == 0;
    options.fault_ms += options.deposes ? 4000 : 0;
    options.splits = (splits || merges) && seed % 3 != 1;
    options.merges = merges ? 500 : 0;
    options.moves = moves && seed % 4 != 1;
    if (options.moves) {
        options.nodes = seed % 2 == 0 ? 6 : 4 + (unsigned)rand_below(&rand, 2);
    }
    options.balance = balance && seed % 3 != 0;
    options.stale = stale;
    options.poppers = 6 + (unsigned)rand_below(&rand, 18);
    return options;
}

static void run_one(uint64_t seed, bool verbose)
{
    struct sim_options options = options_of(seed);
    options.verbose = verbose;
    log_set_level(verbose ? LOG_DEBUG : LOG_ERROR);
    sim_run(&options);
    fflush(stdout);
}

static pid_t spawn(uint64_t seed, bool quiet)
{
    fflush(stdout);
    pid_t pid = fork();
    assert(pid >= 0);
    if (pid == 0) {
        if (quiet && freopen("/dev/null", "w", stdout) == NULL) {
            _exit(1);
        }
        run_one(seed, false);
        _exit(0);
    }
    return pid;
}

struct running {
    pid_t pid;
    uint64_t seed;
};

static bool reap(struct running *running, unsigned jobs, unsigned *failed)
{
    int state = 0;
    pid_t pid = wait(&state);
    assert(pid > 0);
    for (unsigned i = 0; i < jobs; i++) {
        if (running[i].pid != pid) {
            continue;
        }
        running[i].pid = 0;
        if (!WIFEXITED(state) || WEXITSTATUS(state) != 0) {
            fprintf(stderr, "sim: seed %llu failed (%s %d)\n", (unsigned long long)running[i].seed,
                    WIFSIGNALED(state) ? "signal" : "exit",
                    WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state));
            (*failed)++;
        }
        return true;
    }
    return false;
}

static int run_many(uint64_t from, uint64_t to, unsigned jobs, bool quiet)
{
    struct running *running = calloc(jobs, sizeof(*running));
    assert(running != NULL);
    unsigned failed = 0;
    unsigned live = 0;
    uint64_t done = 0;
    for (uint64_t seed = from; (seed < to && failed < SEEDS_FAILED_MAX) || live > 0;) {
        if (seed < to && failed < SEEDS_FAILED_MAX && live < jobs) {
            unsigned slot = 0;
            while (running[slot].pid != 0) {
                slot++;
            }
            running[slot] = (struct running){.pid = spawn(seed, quiet), .seed = seed};
            seed++;
            live++;
            continue;
        }
        live -= reap(running, jobs, &failed);
        done++;
    }
    free(running);
    printf("%llu seeds from %llu on: %u failed\n", (unsigned long long)done,
           (unsigned long long)from, failed);
    return failed == 0 ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: sim --seed N [--verbose] | --seeds FROM TO [--jobs N] | --overnight "
            "[--jobs N]\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t from = 0;
    uint64_t to = 0;
    unsigned jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    bool verbose = false;
    bool one = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            from = strtoull(argv[++i], NULL, 10);
            one = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
            from = strtoull(argv[++i], NULL, 10);
            to = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--overnight") == 0) {
            rand_os(&from, sizeof(from));
            from >>= 16;
            to = UINT64_MAX;
        } else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
            jobs = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--moves") == 0) {
            moves = true;
        } else if (strcmp(argv[i], "--splits") == 0) {
            splits = true;
        } else if (strcmp(argv[i], "--merges") == 0) {
            merges = true;
        } else if (strcmp(argv[i], "--balance") == 0) {
            balance = true;
        } else if (strcmp(argv[i], "--stale") == 0) {
            stale = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else {
            return usage();
        }
    }
    if (one) {
        run_one(from, verbose);
        return 0;
    }
    return to > from && jobs > 0 ? run_many(from, to, jobs, true) : usage();
}
