#include "tests/raft/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "replication/raft/guard.h"
#include "tests/raft/clock_fake.h"
#include "tests/raft/workload.h"

enum { DISK_MS_MAX = 6, NET_MS_MAX = 8, NET_SLOW_MS_MAX = 400, MANIFEST_SIZE = 16 };

void cluster_fail(const struct cluster *cluster, const char *what, uint64_t a, uint64_t b)
{
    printf("VIOLATION seed %" PRIu64 ": %s (%" PRIu64 ", %" PRIu64 ") at %" PRIu64 " ms\n",
           cluster->options.seed, what, a, b, clock_fake_now_ms());
    fflush(stdout);
    _Exit(3);
}

bool cluster_chance(struct cluster *cluster, unsigned per_mille)
{
    return rand_below(&cluster->rand, 1000) < per_mille;
}

uint64_t cluster_below(struct cluster *cluster, uint64_t bound)
{
    return rand_below(&cluster->rand, bound);
}

/* The machine. ctx is the replica; which node and group it is follows from where it lies. */
static struct cluster *current; /* One cluster per process: callbacks find their way by it. */

struct node *cluster_node_of(struct replica *replica)
{
    for (unsigned i = 1; i <= current->options.nodes; i++) {
        struct node *node = &current->nodes[i];
        if (replica >= node->replicas && replica < node->replicas + CLUSTER_GROUPS_MAX) {
            return node;
        }
    }
    assert(false);
    return NULL;
}

static unsigned group_of(struct replica *replica)
{
    return (unsigned)(replica - cluster_node_of(replica)->replicas);
}

static void on_apply(void *ctx,
                     const struct group_state *state,
                     struct slice entry,
                     struct proposal *mine)
{
    struct replica *replica = ctx;
    struct chain *chain = &current->chains[group_of(replica)];
    if (state->index != replica->state.index + 1) {
        cluster_fail(current, "applied out of order", replica->state.index, state->index);
    }
    uint64_t seed = replica->hash ^ (state->index * 0x9e3779b97f4a7c15) ^ state->term;
    replica->hash = hash_bytes_seeded(entry, seed) | 1;
    replica->state = *state;
    assert(state->index < CLUSTER_INDEX_MAX);
    if (chain->hash[state->index] == 0) {
        chain->hash[state->index] = replica->hash;
    } else if (chain->hash[state->index] != replica->hash) {
        cluster_fail(current, "state machines differ at index, group", state->index,
                     group_of(replica));
    }
    if (state->index > chain->applied) {
        chain->applied = state->index;
        chain->conf = state->conf;
        for (unsigned i = 0; i < state->conf.count; i++) {
            chain->joined[state->conf.members[i].replica % CLUSTER_TERMS_MAX] = true;
        }
    }
    if (mine != NULL) {
        workload_applied(mine, state->index);
    }
}

static void on_role(void *ctx, enum group_role role, uint64_t term, uint64_t leader_node)
{
    struct replica *replica = ctx;
    struct chain *chain = &current->chains[group_of(replica)];
    (void)leader_node;
    replica->leads = role == GROUP_LEADER;
    replica->leads_term = term;
    if (role != GROUP_LEADER || term >= CLUSTER_TERMS_MAX) {
        return;
    }
    current->counts.leaders++;
    if (chain->leader_of[term] != 0 && chain->leader_of[term] != replica->id) {
        cluster_fail(current, "two leaders in term, group", term, group_of(replica));
    }
    chain->leader_of[term] = replica->id;
}

static void on_snapshot_wanted(void *ctx, const struct group_member *to, uint64_t token)
{
    struct replica *replica = ctx;
    (void)to;
    if (replica->feed_token != 0) {
        group_snapshot_made(replica->group, token, STATUS_BUSY, NULL, slice_of(NULL, 0));
        return;
    }
    replica->feed_token = token;
    replica->feed_at =
        clock_fake_now_ms() + cluster_below(current, 60) + (cluster_chance(current, 50) ? 1500 : 0);
}

static void on_snapshot_install(void *ctx, const struct group_state *state, struct slice manifest)
{
    struct replica *replica = ctx;
    assert(manifest.len == MANIFEST_SIZE);
    replica->installing = true;
    replica->install_state = *state;
    memcpy(&replica->install_hash, manifest.data + 8, 8);
    replica->install_at = clock_fake_now_ms() + cluster_below(current, 30) +
                          (cluster_chance(current, 200) ? cluster_below(current, 2000) : 0);
}

static bool on_snapshot_ready(void *ctx, const struct group_state *state, struct slice manifest)
{
    (void)ctx;
    (void)state;
    return manifest.len == MANIFEST_SIZE && !cluster_chance(current, 150);
}

static const struct group_machine machine = {
    .apply = on_apply,
    .on_role = on_role,
    .on_snapshot_wanted = on_snapshot_wanted,
    .on_snapshot_install = on_snapshot_install,
    .snapshot_ready = on_snapshot_ready,
};

/* The network. */
static void on_send(void *ctx, uint64_t to, unsigned loop, struct slice batch)
{
    struct node *node = ctx;
    struct cluster *cluster = node->cluster;
    unsigned from = node->number;
    assert(loop == 0 && to >= 1 && to <= cluster->options.nodes);
    if (!node->up || !node->linked[to] || cluster->cut[from][to]) {
        return;
    }
    uint64_t due = clock_fake_now_ms() + 1 + cluster_below(cluster, NET_MS_MAX);
    if (!cluster->peace && cluster_chance(cluster, 10)) {
        due += cluster_below(cluster, NET_SLOW_MS_MAX);
    }
    if (due < cluster->link_due[from][to]) {
        due = cluster->link_due[from][to];
    }
    cluster->link_due[from][to] = due;
    struct packet *packet = calloc(1, sizeof *packet);
    assert(packet != NULL);
    packet->due = due;
    packet->from = from;
    packet->to = (unsigned)to;
    packet->epoch = cluster->epoch[from][to];
    packet->len = batch.len;
    packet->bytes = malloc(batch.len);
    assert(packet->bytes != NULL);
    memcpy(packet->bytes, batch.data, batch.len);
    *cluster->packets_end = packet;
    cluster->packets_end = &packet->next;
}

static unsigned on_loops(void *ctx, uint64_t to)
{
    const struct node *node = ctx;
    return node->linked[to] ? 1 : 0;
}

static void deliver(struct cluster *cluster, struct packet *packet)
{
    struct node *to = &cluster->nodes[packet->to];
    bool same = packet->epoch == cluster->epoch[packet->from][packet->to];
    if (!same || !to->up || cluster->cut[packet->from][packet->to]) {
        return;
    }
    clock_fake_use(to->number);
    enum status status = host_receive(to->host, packet->from, slice_of(packet->bytes, packet->len));
    if (status != STATUS_OK) {
        cluster_fail(cluster, "batch refused, from, to", packet->from, packet->to);
    }
    to->busy = true;
}

static void run_network(struct cluster *cluster)
{
    uint64_t now = clock_fake_now_ms();
    struct packet **link = &cluster->packets;
    while (*link != NULL) {
        struct packet *packet = *link;
        if (packet->due > now) {
            link = &packet->next;
            continue;
        }
        *link = packet->next;
        if (*link == NULL) {
            cluster->packets_end = link;
        }
        deliver(cluster, packet);
        free(packet->bytes);
        free(packet);
    }
}

void cluster_link(struct cluster *cluster, unsigned a, unsigned b, bool connected)
{
    struct node *ends[2] = {&cluster->nodes[a], &cluster->nodes[b]};
    if (ends[0]->linked[b] == connected) {
        return;
    }
    cluster->epoch[a][b]++;
    cluster->epoch[b][a]++;
    ends[0]->linked[b] = connected;
    ends[1]->linked[a] = connected;
    for (unsigned i = 0; i < 2; i++) {
        if (ends[i]->up) {
            clock_fake_use(ends[i]->number);
            host_peer_changed(ends[i]->host, i == 0 ? b : a, connected);
            ends[i]->busy = true;
        }
    }
}

/* Nodes. */
void cluster_open_group(struct node *node, unsigned g, bool birth)
{
    struct replica *replica = &node->replicas[g];
    struct group_options options = {
        .id = g + 1,
        .replica = replica->id,
        .ctx = replica,
        .machine = &machine,
        .campaign = birth && node->number == 1,
    };
    struct slice manifest;
    struct group_state state;
    if (group_pending_install(node->host, g + 1, replica->flushed.index, &state, &manifest)) {
        if (manifest.len == MANIFEST_SIZE) {
            memcpy(&replica->flushed_hash, manifest.data + 8, 8);
        }
        replica->flushed = state;
    }
    replica->state = replica->flushed;
    replica->hash = replica->flushed_hash;
    options.state = replica->state;
    replica->leads = false;
    replica->feed_token = 0;
    replica->installing = false;
    enum status status = group_open(node->host, &options, &replica->group);
    if (status != STATUS_OK) {
        cluster_fail(node->cluster, "group does not open: status, node", status, node->number);
    }
}

void cluster_start(struct cluster *cluster, unsigned number)
{
    struct node *node = &cluster->nodes[number];
    const struct cluster_options *options = &cluster->options;
    struct host_options host = {
        .node = number,
        .incarnation = number * 1000 + ++node->life,
        .seed = rand_u64(&cluster->rand),
        .election_ms = options->election_ms,
        .heartbeat_ms = options->heartbeat_ms,
        .quiesce_ms = options->quiesce_ms,
        .lease_reads = options->lease_reads,
        .entry_bytes_max = options->entry_bytes_max,
    };
    struct host_env env = {.ctx = node, .send = on_send, .loops = on_loops};
    assert(!node->up);
    clock_fake_use(number);
    node->up = true;
    node->busy = true;
    node->port = wal_fake_reopen(node->wal);
    node->host = host_new(&host, &env, node->wal, node->port);
    guard_disable(node->host, options->guards_off);
    node->sync_due = 0;
    node->tick_due = clock_fake_now_ms() + cluster_below(cluster, HOST_TICK_MS);
    for (unsigned g = 0; g < options->groups; g++) {
        if (node->replicas[g].exists) {
            cluster_open_group(node, g, node->life == 1);
        }
    }
    for (unsigned other = 1; other <= options->nodes; other++) {
        if (other != number && cluster->nodes[other].up) {
            cluster_link(cluster, number, other, true);
        }
    }
}

void cluster_crash(struct cluster *cluster, unsigned number)
{
    struct node *node = &cluster->nodes[number];
    assert(node->up);
    cluster->counts.crashes++;
    clock_fake_use(number);
    if (cluster_chance(cluster, 300)) {
        wal_fake_sync(node->wal, cluster_below(cluster, wal_fake_waiting(node->wal) + 1));
    }
    wal_fake_crash(node->wal);
    node->up = false;
    node->down_at = clock_fake_now_ms();
    for (unsigned g = 0; g < cluster->options.groups; g++) {
        if (node->replicas[g].group != NULL) {
            group_close(node->replicas[g].group);
            node->replicas[g].group = NULL;
            node->replicas[g].leads = false;
        }
    }
    host_free(node->host);
    node->host = NULL;
    for (unsigned other = 1; other <= cluster->options.nodes; other++) {
        if (other != number) {
            cluster_link(cluster, number, other, false);
        }
    }
}

static void run_feed(struct cluster *cluster, struct replica *replica)
{
    uint8_t manifest[MANIFEST_SIZE];
    uint64_t token = replica->feed_token;
    if (token == 0 || clock_fake_now_ms() < replica->feed_at) {
        return;
    }
    replica->feed_token = 0;
    memcpy(manifest, &replica->state.index, 8);
    memcpy(manifest + 8, &replica->hash, 8);
    enum status status = !cluster->peace && cluster_chance(cluster, 100) ? STATUS_IO : STATUS_OK;
    group_snapshot_made(replica->group, token, status, &replica->state,
                        slice_of(manifest, sizeof manifest));
}

static void run_install(struct replica *replica)
{
    if (!replica->installing || clock_fake_now_ms() < replica->install_at) {
        return;
    }
    replica->installing = false;
    replica->state = replica->flushed = replica->install_state;
    replica->hash = replica->flushed_hash = replica->install_hash;
    current->counts.installs++;
    struct chain *chain = &current->chains[group_of(replica)];
    if (chain->hash[replica->state.index] != replica->hash) {
        cluster_fail(current, "snapshot of another history at index", replica->state.index, 0);
    }
    group_snapshot_installed(replica->group);
}

static void run_store(struct cluster *cluster, struct node *node)
{
    for (unsigned g = 0; g < cluster->options.groups; g++) {
        struct replica *replica = &node->replicas[g];
        if (replica->group == NULL) {
            continue;
        }
        run_feed(cluster, replica);
        run_install(replica);
        if (!replica->installing && cluster_chance(cluster, 4)) {
            replica->flushed = replica->state;
            replica->flushed_hash = replica->hash;
            group_flushed(replica->group, replica->state.index);
        }
    }
}

static void run_disk(struct cluster *cluster, struct node *node)
{
    uint64_t now = clock_fake_now_ms();
    if (wal_fake_waiting(node->wal) == 0) {
        return;
    }
    if (node->sync_due == 0) {
        node->sync_due = now + 1 + cluster_below(cluster, DISK_MS_MAX);
        if (!cluster->peace && cluster_chance(cluster, cluster->options.slow_disk_pm)) {
            node->sync_due += cluster_below(cluster, cluster->options.slow_disk_ms);
        }
    }
    if (now >= node->sync_due) {
        node->sync_due = 0;
        wal_fake_sync(node->wal, 1 + cluster_below(cluster, wal_fake_waiting(node->wal)));
        node->busy = true;
    }
}

static void run_node(struct cluster *cluster, struct node *node)
{
    uint64_t now = clock_fake_now_ms();
    clock_fake_use(node->number);
    run_disk(cluster, node);
    run_store(cluster, node);
    if (now >= node->tick_due) {
        node->tick_due = now + HOST_TICK_MS;
        host_tick(node->host);
        node->busy = true;
    }
    if (node->busy || cluster_chance(cluster, 100)) {
        node->busy = false;
        host_turn(node->host);
    }
}

/* How much of the time groups are quiet, in samples. */
static void sample(struct cluster *cluster)
{
    struct host_stats stats;
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        if (cluster->nodes[i].up) {
            host_stats(cluster->nodes[i].host, &stats);
            cluster->counts.quiesced += stats.quiesced;
        }
    }
}

void cluster_step(struct cluster *cluster)
{
    clock_fake_advance_ms(1);
    run_network(cluster);
    if (clock_fake_now_ms() % CLUSTER_SAMPLE_MS == 0) {
        sample(cluster);
    }
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        if (cluster->nodes[i].up) {
            run_node(cluster, &cluster->nodes[i]);
        }
    }
}

void cluster_run(struct cluster *cluster, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        cluster_step(cluster);
    }
}

static void birth(struct cluster *cluster, unsigned g)
{
    const struct cluster_options *options = &cluster->options;
    struct chain *chain = &cluster->chains[g];
    struct group_state state = {
        .index = GROUP_BIRTH_INDEX,
        .term = GROUP_BIRTH_TERM,
        .conf_index = GROUP_BIRTH_INDEX,
    };
    state.conf.count = options->members;
    for (unsigned i = 0; i < options->members; i++) {
        state.conf.members[i] = (struct group_member){i + 1, i + 1, MEMBER_VOTER};
    }
    chain->hash = calloc(CLUSTER_INDEX_MAX, sizeof *chain->hash);
    chain->leader_of = calloc(CLUSTER_TERMS_MAX, sizeof *chain->leader_of);
    assert(chain->hash != NULL && chain->leader_of != NULL);
    chain->hash[GROUP_BIRTH_INDEX] = 1;
    chain->next_replica = options->members + 1;
    chain->applied = GROUP_BIRTH_INDEX;
    chain->conf = state.conf;
    for (unsigned i = 0; i <= options->members; i++) {
        chain->joined[i] = true;
    }
    for (unsigned i = 1; i <= options->members; i++) {
        struct replica *replica = &cluster->nodes[i].replicas[g];
        *replica = (struct replica){.exists = true, .id = i, .state = state, .flushed = state};
        replica->hash = replica->flushed_hash = 1;
    }
}

struct cluster *cluster_new(const struct cluster_options *options)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert(cluster != NULL);
    assert(options->nodes <= CLUSTER_NODES_MAX && options->groups <= CLUSTER_GROUPS_MAX);
    cluster->options = *options;
    cluster->packets_end = &cluster->packets;
    rand_init(&cluster->rand, options->seed);
    clock_fake_reset();
    current = cluster;
    for (unsigned g = 0; g < options->groups; g++) {
        birth(cluster, g);
    }
    for (unsigned i = 1; i <= options->nodes; i++) {
        struct node *node = &cluster->nodes[i];
        node->cluster = cluster;
        node->number = i;
        node->wal = wal_fake_new();
        clock_fake_set(i, cluster_below(cluster, 1000000000),
                       options->drift ? (int)cluster_below(cluster, 4000) : 0);
    }
    for (unsigned i = 1; i <= options->nodes; i++) {
        cluster_start(cluster, i);
    }
    return cluster;
}

void cluster_free(struct cluster *cluster)
{
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        if (cluster->nodes[i].up) {
            cluster_crash(cluster, i);
        }
        wal_fake_free(cluster->nodes[i].wal);
    }
    while (cluster->packets != NULL) {
        struct packet *packet = cluster->packets;
        cluster->packets = packet->next;
        free(packet->bytes);
        free(packet);
    }
    for (unsigned g = 0; g < cluster->options.groups; g++) {
        free(cluster->chains[g].hash);
        free(cluster->chains[g].leader_of);
    }
    current = NULL;
    free(cluster);
}

struct replica *cluster_leader(struct cluster *cluster, unsigned group)
{
    struct replica *leader = NULL;
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        struct replica *replica = &cluster->nodes[i].replicas[group];
        bool leads = replica->group != NULL && replica->leads;
        if (leads && (leader == NULL || replica->leads_term > leader->leads_term)) {
            leader = replica;
        }
    }
    return leader;
}

static void print_group(struct cluster *cluster, unsigned g)
{
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        struct replica *replica = &cluster->nodes[i].replicas[g];
        struct group_info info;
        if (replica->group == NULL) {
            continue;
        }
        clock_fake_use(i);
        group_info(replica->group, &info);
        printf("  node %u replica %" PRIu64 " role %d term %" PRIu64 " leader %" PRIu64
               " commit %" PRIu64 " applied %" PRIu64 " last %" PRIu64 "%s%s:",
               i, info.replica, (int)info.role, info.term, info.leader_node, info.commit_index,
               info.applied_index, info.last_index, info.quiesced ? " quiet" : "",
               replica->installing ? " installing" : "");
        for (unsigned k = 0; k < info.conf.count; k++) {
            printf(" %" PRIu64 "@%" PRIu64 "/%d", info.conf.members[k].replica,
                   info.conf.members[k].node, (int)info.conf.members[k].role);
        }
        printf("\n");
    }
}

void cluster_check(struct cluster *cluster)
{
    for (unsigned g = 0; g < cluster->options.groups; g++) {
        struct replica *leader = cluster_leader(cluster, g);
        const struct chain *chain = &cluster->chains[g];
        struct group_info info;
        if (leader == NULL) {
            print_group(cluster, g);
            cluster_fail(cluster, "no leader after peace, group", g, 0);
        }
        if (leader->state.index < chain->acked || leader->state.index < chain->applied) {
            cluster_fail(cluster, "committed entries are missing: has, had", leader->state.index,
                         chain->applied);
        }
        group_info(leader->group, &info);
        for (unsigned i = 0; i < info.conf.count; i++) {
            const struct group_member *member = &info.conf.members[i];
            struct replica *replica = &cluster->nodes[member->node].replicas[g];
            if (member->role == MEMBER_SPARE) {
                continue;
            }
            if (replica->group == NULL || replica->id != member->replica ||
                replica->state.index + 50 < leader->state.index) {
                print_group(cluster, g);
                cluster_fail(cluster, "a member lags after peace: replica, applied",
                             member->replica, replica->state.index);
            }
        }
    }
}
