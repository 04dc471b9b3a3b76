#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "replication/raft/guard.h"
#include "tests/raft/clock_fake.h"
#include "tests/raft/workload.h"

/* Random faults on small clusters of the real code, from one seed each:
 *   fuzz_cluster --seed N            one run, reproduced exactly
 *   fuzz_cluster --seeds FROM TO     many, each in a process of its own
 *   --guards-off MASK                without some guards (guard.h), to see that it notices
 *   --chaos MS                       length of the time of faults
 *   --first-failure                  stops at the first seed that fails; 0 only if one does
 *   --verbose                        the groups' own log */

enum { PEACE_MS = 20000, DOWN_MS_MIN = 200, REST_MS = 2500 };

struct plan {
    uint64_t from, to;
    unsigned guards_off;
    uint64_t chaos_ms;
    bool one, first_failure;
};

/* What a run is like; rates per thousand and millisecond. */
struct mood {
    bool members, reads, rests;
    unsigned transfers, cuts, crashes, writes;
};

static bool chance(struct cluster *cluster, unsigned per_mille)
{
    return rand_below(&cluster->rand, 1000) < per_mille;
}

static unsigned any_node(struct cluster *cluster)
{
    return 1 + (unsigned)rand_below(&cluster->rand, cluster->options.nodes);
}

static struct cluster_options draw_options(uint64_t seed, const struct plan *plan)
{
    struct rand rand;
    rand_init(&rand, seed * 7919 + 13);
    struct cluster_options options = {
        .seed = seed,
        .election_ms = 300,
        .heartbeat_ms = 50,
        .guards_off = plan->guards_off,
    };
    options.members = rand_below(&rand, 6) == 0 ? 1 : 3;
    options.nodes = rand_below(&rand, 3) == 0 ? 3 : 5;
    options.groups = 1 + (unsigned)rand_below(&rand, 3);
    options.lease_reads = rand_below(&rand, 4) != 0;
    options.drift = rand_below(&rand, 2) == 0;
    options.quiesce_ms = rand_below(&rand, 3) == 0 ? 0 : 300 + (uint32_t)rand_below(&rand, 700);
    options.slow_disk_pm = 5;
    options.slow_disk_ms = 1500;
    options.entry_bytes_max = rand_below(&rand, 2) == 0 ? 1 : 1 << 20;
    return options;
}

static void heal(struct cluster *cluster)
{
    memset(cluster->cut, 0, sizeof cluster->cut);
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        for (unsigned j = i + 1; j <= cluster->options.nodes; j++) {
            if (cluster->nodes[i].up && cluster->nodes[j].up) {
                cluster_link(cluster, i, j, true);
            }
        }
    }
}

static void cut_some(struct cluster *cluster, unsigned rate)
{
    unsigned a = any_node(cluster);
    unsigned b = any_node(cluster);
    if (chance(cluster, 2 * rate)) {
        cluster->cut[a][b] = true;
        cluster->cut[b][a] = chance(cluster, 500) || cluster->cut[b][a];
        cluster->counts.cuts++;
    }
    if (chance(cluster, rate)) {
        for (unsigned i = 1; i <= cluster->options.nodes; i++) {
            cluster->cut[a][i] = cluster->cut[i][a] = true;
        }
        cluster->counts.cuts++;
    }
    if (chance(cluster, 2 * rate) && a != b) {
        cluster_link(cluster, a, b, false);
    }
    if (chance(cluster, 4 * rate)) {
        heal(cluster);
    }
}

static void crash_some(struct cluster *cluster, unsigned rate)
{
    if (chance(cluster, rate)) {
        unsigned a = any_node(cluster);
        if (cluster->nodes[a].up) {
            cluster_crash(cluster, a);
        }
    }
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        const struct node *node = &cluster->nodes[i];
        bool rested = clock_fake_now_ms() - node->down_at > DOWN_MS_MIN;
        if (!node->up && rested && chance(cluster, 2 * rate)) {
            cluster_start(cluster, i);
        }
    }
}

static void use_group(struct cluster *cluster, const struct mood *mood, unsigned g, bool load)
{
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->up && !cluster->peace && chance(cluster, 1)) {
            workload_replay(cluster, node, g);
        }
        if (node->up && mood->reads && !node->replicas[g].leads && chance(cluster, 60)) {
            (void)workload_read(cluster, node, g);
            workload_check_age(cluster, node, g);
        }
        if (!node->up || !node->replicas[g].leads) {
            continue;
        }
        if (load && chance(cluster, mood->writes)) {
            (void)workload_propose(cluster, node, g);
        }
        if (mood->reads && chance(cluster, 100)) {
            (void)workload_read(cluster, node, g);
        }
        if (!cluster->peace && mood->members && chance(cluster, 6)) {
            workload_change_members(cluster, node, g);
        }
        if (!cluster->peace && chance(cluster, mood->transfers)) {
            workload_transfer(cluster, node, g);
        }
    }
}

static void use_groups(struct cluster *cluster, const struct mood *mood)
{
    uint64_t phase = clock_fake_now_ms() / REST_MS;
    for (unsigned g = 0; g < cluster->options.groups; g++) {
        /* Load comes and goes, so that groups fall quiet in between. */
        bool load = !mood->rests || (phase + g) % 2 != 0;
        use_group(cluster, mood, g, load && (!cluster->peace || chance(cluster, 100)));
    }
}

static void make_peace(struct cluster *cluster)
{
    cluster->peace = true;
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        if (!cluster->nodes[i].up) {
            cluster_start(cluster, i);
        }
    }
    heal(cluster);
}

static struct mood draw_mood(struct cluster *cluster)
{
    static const unsigned rates[] = {0, 1, 1, 2, 2, 4, 8};
    struct mood mood = {.reads = true};
    mood.members = cluster->options.nodes == 5 && chance(cluster, 700);
    mood.rests = chance(cluster, 500);
    mood.transfers = (unsigned)rand_below(&cluster->rand, 3);
    mood.cuts = rates[rand_below(&cluster->rand, 7)];
    mood.crashes = rates[rand_below(&cluster->rand, 7)];
    mood.writes = 100 + (unsigned)rand_below(&cluster->rand, 500);
    return mood;
}

static void run_seed(uint64_t seed, const struct plan *plan, struct cluster_counts *counts)
{
    struct cluster_options options = draw_options(seed, plan);
    struct cluster *cluster = cluster_new(&options);
    struct mood mood = draw_mood(cluster);
    for (uint64_t ms = 0; ms < plan->chaos_ms + PEACE_MS; ms++) {
        if (ms == plan->chaos_ms) {
            make_peace(cluster);
        }
        cluster_step(cluster);
        use_groups(cluster, &mood);
        if (!cluster->peace && mood.cuts > 0) {
            cut_some(cluster, mood.cuts);
        }
        if (!cluster->peace && mood.crashes > 0) {
            crash_some(cluster, mood.crashes);
        }
    }
    cluster_check(cluster);
    *counts = cluster->counts;
    cluster_free(cluster);
}

static void add_counts(struct cluster_counts *sum, const struct cluster_counts *one)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)one;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

/* In a child, so that a crash is one failure among many. True if it went well. */
static bool run_child(uint64_t seed, const struct plan *plan, struct cluster_counts *counts)
{
    int ends[2];
    int status = 0;
    int rv = pipe(ends);
    assert(rv == 0);
    fflush(stdout);
    pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        struct cluster_counts own = {0};
        close(ends[0]);
        alarm(120);
        run_seed(seed, plan, &own);
        bool whole = write(ends[1], &own, sizeof own) == (ssize_t)sizeof own;
        _Exit(whole ? 0 : 4);
    }
    close(ends[1]);
    struct cluster_counts got = {0};
    bool whole = read(ends[0], &got, sizeof got) == (ssize_t)sizeof got;
    close(ends[0]);
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        printf("seed %" PRIu64 ": killed by signal %d\n", seed, WTERMSIG(status));
    }
    bool good = whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (good) {
        add_counts(counts, &got);
    } else {
        printf("FAILED: fuzz_cluster --seed %" PRIu64 " --chaos %" PRIu64 " --guards-off %u\n",
               seed, plan->chaos_ms, plan->guards_off);
    }
    return good;
}

static void print_counts(const struct cluster_counts *counts)
{
    printf("acknowledged %" PRIu64 ", outcome unknown %" PRIu64 ", leaders %" PRIu64
           ", crashes %" PRIu64 ", cuts %" PRIu64 ", installs %" PRIu64 ", changes %" PRIu64
           ", handovers %" PRIu64 ", reads %" PRIu64 " (%" PRIu64 " by lease, %" PRIu64
           " at replicas), ages %" PRIu64 ", quiet samples %" PRIu64 "\n",
           counts->acked, counts->failed, counts->leaders, counts->crashes, counts->cuts,
           counts->installs, counts->changes, counts->transfers, counts->reads, counts->lease_reads,
           counts->replica_reads, counts->fresh, counts->quiesced);
}

static bool parse(int argc, char **argv, struct plan *plan)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            plan->from = strtoull(argv[++i], NULL, 0);
            plan->to = plan->from + 1;
            plan->one = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
            plan->from = strtoull(argv[++i], NULL, 0);
            plan->to = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--guards-off") == 0 && i + 1 < argc) {
            plan->guards_off = (unsigned)strtoul(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--chaos") == 0 && i + 1 < argc) {
            plan->chaos_ms = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--first-failure") == 0) {
            plan->first_failure = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            log_set_level(LOG_DEBUG);
        } else {
            return false;
        }
    }
    return plan->from < plan->to;
}

int main(int argc, char **argv)
{
    struct plan plan = {.from = 1, .to = 21, .chaos_ms = 20000};
    struct cluster_counts counts = {0};
    uint64_t failures = 0;
    log_set_level(LOG_ERROR);
    if (!parse(argc, argv, &plan)) {
        fprintf(stderr,
                "usage: %s [--seed N | --seeds FROM TO] [--guards-off MASK] [--chaos MS] "
                "[--first-failure] [--verbose]\n",
                argv[0]);
        return 2;
    }
    if (plan.one) {
        run_seed(plan.from, &plan, &counts);
        print_counts(&counts);
        return 0;
    }
    for (uint64_t seed = plan.from; seed < plan.to; seed++) {
        if (plan.first_failure && failures > 0) {
            break;
        }
        failures += !run_child(seed, &plan, &counts);
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; ", plan.to - plan.from, failures);
    print_counts(&counts);
    return (failures > 0) == plan.first_failure ? 0 : 1;
}
