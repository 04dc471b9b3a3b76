#include <stdio.h>

#include "tests/raft/clock_fake.h"
#include "tests/raft/workload.h"
#include "tests/support/test.h"

static struct cluster_options calm(unsigned nodes)
{
    return (struct cluster_options){
        .seed = 7,
        .nodes = nodes,
        .members = nodes,
        .groups = 1,
        .election_ms = 600,
        .heartbeat_ms = 100,
        .quiesce_ms = 2000,
        .lease_reads = true,
        .entry_bytes_max = 1 << 20,
    };
}

static struct node *leader_node(struct cluster *cluster)
{
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        if (&cluster->nodes[i].replicas[0] == cluster_leader(cluster, 0)) {
            return &cluster->nodes[i];
        }
    }
    return NULL;
}

TEST(group_open, birth_elects_at_once)
{
    struct cluster_options options = calm(3);
    struct cluster *cluster = cluster_new(&options);
    cluster_run(cluster, 150);
    CHECK(leader_node(cluster) == &cluster->nodes[1]);
    cluster_free(cluster);
}

TEST(group_propose, is_applied_everywhere_and_read_back)
{
    struct cluster_options options = calm(3);
    struct cluster *cluster = cluster_new(&options);
    cluster_run(cluster, 500);
    struct node *leader = leader_node(cluster);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(workload_propose(cluster, leader, 0), STATUS_OK);
        cluster_run(cluster, 25);
        CHECK_EQ(workload_read(cluster, leader, 0), STATUS_OK);
    }
    cluster_run(cluster, 300);
    CHECK_EQ(cluster->counts.acked, 100);
    CHECK_EQ(cluster->nodes[2].replicas[0].state.index, leader->replicas[0].state.index);
    cluster_check(cluster);
    cluster_free(cluster);
}

/* How long nobody leads after the leader's process dies, or (cut) after it falls silent. */
static uint64_t failover_ms(uint64_t seed, bool cut)
{
    struct cluster_options options = calm(3);
    options.seed = seed;
    struct cluster *cluster = cluster_new(&options);
    cluster_run(cluster, 1000 + seed * 37 % 200);
    struct node *leader = leader_node(cluster);
    CHECK(leader != NULL);
    uint64_t term = leader->replicas[0].leads_term;
    uint64_t start_ms = clock_fake_now_ms();
    if (cut) {
        for (unsigned i = 1; i <= 3; i++) {
            cluster->cut[i][leader->number] = cluster->cut[leader->number][i] = true;
        }
    } else {
        cluster_crash(cluster, leader->number);
    }
    struct replica *next = NULL;
    while (next == NULL || next->leads_term <= term) {
        cluster_step(cluster);
        next = cluster_leader(cluster, 0);
        CHECK(clock_fake_now_ms() - start_ms < 10000);
    }
    uint64_t gap_ms = clock_fake_now_ms() - start_ms;
    cluster_free(cluster);
    return gap_ms;
}

TEST(stand_soon, a_new_leader_is_there_soon_after_the_promise)
{
    uint64_t sum_ms = 0;
    uint64_t worst_ms = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t gap_ms = failover_ms(seed, seed % 2 == 0);
        sum_ms += gap_ms;
        worst_ms = gap_ms > worst_ms ? gap_ms : worst_ms;
    }
    printf("  failover: mean %u ms, worst %u ms\n", (unsigned)(sum_ms / 200), (unsigned)worst_ms);
    CHECK(sum_ms / 200 < 1000);
    CHECK(worst_ms < 2000);
}

TEST(quiesce_try, idle_groups_fall_quiet_and_wake_for_a_write)
{
    struct cluster_options options = calm(3);
    struct cluster *cluster = cluster_new(&options);
    struct host_stats stats;
    struct host_stats later;
    cluster_run(cluster, 4000);
    struct node *leader = leader_node(cluster);
    for (unsigned i = 1; i <= 3; i++) {
        host_stats(cluster->nodes[i].host, &stats);
        CHECK_EQ(stats.quiesced, 1);
    }
    host_stats(leader->host, &stats);
    cluster_run(cluster, 5000);
    host_stats(leader->host, &later);
    CHECK_EQ(later.messages_sent, stats.messages_sent); /* Pings only. */
    CHECK_EQ(workload_propose(cluster, leader, 0), STATUS_OK);
    cluster_run(cluster, 60);
    CHECK_EQ(cluster->counts.acked, 1);
    cluster_free(cluster);
}

TEST(quiesce_try, a_quiet_leader_reads_after_one_round)
{
    struct cluster_options options = calm(3);
    struct cluster *cluster = cluster_new(&options);
    struct host_stats stats;
    cluster_run(cluster, 4000);
    struct node *leader = leader_node(cluster);
    CHECK_EQ(workload_read(cluster, leader, 0), STATUS_AGAIN);
    cluster_run(cluster, 40);
    CHECK_EQ(cluster->counts.reads, 1);
    CHECK_EQ(workload_read(cluster, leader, 0), STATUS_OK); /* The round renewed the lease. */
    host_stats(leader->host, &stats);
    CHECK_EQ(stats.quiesced, 1);
    CHECK_EQ(stats.index_rounds, 1);
    cluster_free(cluster);
}

TEST(quiesce_wake_orphan, a_lost_node_wakes_what_it_led)
{
    for (unsigned cut = 0; cut < 2; cut++) {
        struct cluster_options options = calm(3);
        struct cluster *cluster = cluster_new(&options);
        cluster_run(cluster, 4000);
        struct node *leader = leader_node(cluster);
        uint64_t term = leader->replicas[0].leads_term;
        if (cut == 1) {
            for (unsigned i = 1; i <= 3; i++) {
                cluster->cut[i][leader->number] = cluster->cut[leader->number][i] = true;
            }
        } else {
            cluster_crash(cluster, leader->number);
        }
        cluster_run(cluster, cut == 1 ? 1800 : 700);
        CHECK(cluster_leader(cluster, 0)->leads_term > term);
        cluster_free(cluster);
    }
}
