#ifndef TESTS_RAFT_CLUSTER_H
#define TESTS_RAFT_CLUSTER_H

#include "common/base/rand.h"
#include "replication/group.h"
#include "tests/raft/wal_fake.h"

/* Nodes with the real host and group code in virtual time: a network that loses, delays and cuts,
 * disks that are slow and forget at a crash, stores that flush now and then, clocks that drift. The
 * machine of a group is a hash chain over its entries, so that two replicas that differ anywhere
 * differ from there on. Whatever must never happen prints what and where, and exits with 3. */

enum {
    CLUSTER_NODES_MAX = 5,
    CLUSTER_GROUPS_MAX = 4,
    CLUSTER_INDEX_MAX = 200000,
    CLUSTER_TERMS_MAX = 20000,
    CLUSTER_SAMPLE_MS = 100,
};

struct cluster_options {
    uint64_t seed;
    unsigned nodes;
    unsigned members; /* Of every group at birth, on the first nodes. */
    unsigned groups;
    unsigned guards_off;
    uint32_t election_ms, heartbeat_ms, quiesce_ms;
    bool lease_reads;
    bool drift;            /* Clocks differ by up to 0.4 %. */
    unsigned slow_disk_pm; /* Syncs per thousand that take up to slow_disk_ms. */
    unsigned slow_disk_ms;
    uint64_t entry_bytes_max;
};

struct cluster_counts {
    uint64_t acked, failed, leaders, crashes, installs, changes, transfers, reads, lease_reads,
        cuts, quiesced, replica_reads, fresh;
};

enum { CLUSTER_SAMPLES = 64 };

/* What was acknowledged when a node's clock showed this time. */
struct acked_sample {
    uint64_t ns, index;
};

struct replica {
    struct acked_sample samples[CLUSTER_SAMPLES]; /* The last ones, a ring. */
    size_t sample_count;
    bool exists; /* The node has been told to hold it. */
    uint64_t id; /* Replica id. */
    struct group *group;
    /* The store: what is applied, and what of it is flushed. */
    struct group_state state, flushed;
    uint64_t hash, flushed_hash;
    bool leads;
    uint64_t leads_term;
    /* Snapshots under way. */
    uint64_t feed_token, feed_at;
    bool installing;
    uint64_t install_at, install_hash;
    struct group_state install_state;
};

struct node {
    struct cluster *cluster;
    unsigned number; /* From 1: also the machine of its clock. */
    bool up, busy;
    uint64_t down_at, life;
    struct wal *wal;
    struct wal_port *port;
    struct host *host;
    uint64_t sync_due;
    uint64_t tick_due;
    bool linked[CLUSTER_NODES_MAX + 1];
    struct replica replicas[CLUSTER_GROUPS_MAX];
};

struct packet {
    uint64_t due;
    unsigned from, to;
    uint64_t epoch;
    uint8_t *bytes;
    size_t len;
    struct packet *next;
};

struct chain {
    uint64_t *hash;      /* Per index, 0: never applied. */
    uint64_t acked;      /* Newest index whose writer was told OK. */
    uint64_t applied;    /* Newest index applied anywhere. */
    uint64_t *leader_of; /* Per term: node + 1. */
    uint64_t next_replica;
    struct group_conf conf;         /* The newest committed one. */
    bool joined[CLUSTER_TERMS_MAX]; /* Replica ids that were ever in a committed one. */
};

struct cluster {
    struct cluster_options options;
    struct rand rand;
    bool peace;
    struct node nodes[CLUSTER_NODES_MAX + 1];
    struct chain chains[CLUSTER_GROUPS_MAX];
    bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    uint64_t link_due[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    uint64_t epoch[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    struct packet *packets, **packets_end;
    struct cluster_counts counts;
};

struct cluster *cluster_new(const struct cluster_options *options);
void cluster_free(struct cluster *cluster);
void cluster_step(struct cluster *cluster); /* One millisecond. */
void cluster_run(struct cluster *cluster, uint64_t ms);

void cluster_crash(struct cluster *cluster, unsigned node);
void cluster_start(struct cluster *cluster, unsigned node);
/* Breaks the connection between two nodes, or lets it come back. */
void cluster_link(struct cluster *cluster, unsigned a, unsigned b, bool connected);

/* The replica that leads the group, in the newest term; NULL if none does. */
struct replica *cluster_leader(struct cluster *cluster, unsigned group);
/* After peace: every member of every group has everything that was acknowledged. */
void cluster_check(struct cluster *cluster);

/* For those who act on a cluster. */
__attribute__((noreturn)) void cluster_fail(const struct cluster *cluster,
                                            const char *what,
                                            uint64_t a,
                                            uint64_t b);
bool cluster_chance(struct cluster *cluster, unsigned per_mille);
uint64_t cluster_below(struct cluster *cluster, uint64_t bound);
struct node *cluster_node_of(struct replica *replica);
void cluster_open_group(struct node *node, unsigned group, bool birth);

#endif
