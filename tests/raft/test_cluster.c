#include <stdio.h>

#include "tests/raft/clock_fake.h"
#include "tests/raft/cluster.h"
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
        CHECK_EQ(cluster_propose(cluster, leader, 0), STATUS_OK);
        cluster_run(cluster, 25);
        CHECK_EQ(cluster_read(cluster, leader, 0), STATUS_OK);
    }
    cluster_run(cluster, 300);
    CHECK_EQ(cluster->counts.acked, 100);
    CHECK_EQ(cluster->nodes[2].replicas[0].state.index, leader->replicas[0].state.index);
    cluster_check(cluster);
    cluster_free(cluster);
}
