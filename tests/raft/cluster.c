#include "tests/raft/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "replication/raft/guard.h"
#include "tests/raft/clock_fake.h"

enum { DISK_MS_MAX = 6, NET_MS_MAX = 8, NET_SLOW_MS_MAX = 400, MANIFEST_SIZE = 16 };

struct write {
    struct proposal proposal;
    struct cluster *cluster;
    unsigned group;
    uint64_t index;
};

struct reading {
    struct group_read read;
    struct node *node;
    unsigned group;
    uint64_t need;
};

struct changing {
    struct proposal proposal;
    struct cluster *cluster;
    bool transfer;
};

static void fail(const struct cluster *cluster, const char *what, uint64_t a, uint64_t b)
{
    printf("VIOLATION seed %" PRIu64 ": %s (%" PRIu64 ", %" PRIu64 ") at %" PRIu64 " ms\n",
           cluster->options.seed, what, a, b, clock_fake_now_ms());
    fflush(stdout);
    _Exit(3);
}

static bool chance(struct cluster *cluster, unsigned per_mille)
{
    return rand_below(&cluster->rand, 1000) < per_mille;
}

static uint64_t below(struct cluster *cluster, uint64_t bound)
{
    return rand_below(&cluster->rand, bound);
}

/* The machine. ctx is the replica; which node and group it is follows from where it lies. */
static struct node *node_of(struct replica *replica);

static struct cluster *current; /* One cluster per process: callbacks find their way by it. */

static struct node *node_of(struct replica *replica)
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
    return (unsigned)(replica - node_of(replica)->replicas);
}

static void on_apply(void *ctx,
                     const struct group_state *state,
                     struct slice entry,
                     struct proposal *mine)
{
    struct replica *replica = ctx;
    struct chain *chain = &current->chains[group_of(replica)];
    if (state->index != replica->state.index + 1) {
        fail(current, "applied out of order", replica->state.index, state->index);
    }
    uint64_t seed = replica->hash ^ (state->index * 0x9e3779b97f4a7c15) ^ state->term;
    replica->hash = hash_bytes_seeded(entry, seed) | 1;
    replica->state = *state;
    assert(state->index < CLUSTER_INDEX_MAX);
    if (chain->hash[state->index] == 0) {
        chain->hash[state->index] = replica->hash;
    } else if (chain->hash[state->index] != replica->hash) {
        fail(current, "state machines differ at index, group", state->index, group_of(replica));
    }
    if (state->index > chain->applied) {
        chain->applied = state->index;
        chain->conf = state->conf;
        for (unsigned i = 0; i < state->conf.count; i++) {
            chain->joined[state->conf.members[i].replica % CLUSTER_TERMS_MAX] = true;
        }
    }
    if (mine != NULL) {
        ((struct write *)(void *)mine)->index = state->index;
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
        fail(current, "two leaders in term, group", term, group_of(replica));
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
    replica->feed_at = clock_fake_now_ms() + below(current, 60) + (chance(current, 50) ? 1500 : 0);
}

static void on_snapshot_install(void *ctx, const struct group_state *state, struct slice manifest)
{
    struct replica *replica = ctx;
    assert(manifest.len == MANIFEST_SIZE);
    replica->installing = true;
    replica->install_state = *state;
    memcpy(&replica->install_hash, manifest.data + 8, 8);
    replica->install_at =
        clock_fake_now_ms() + below(current, 30) + (chance(current, 200) ? below(current, 2000) : 0);
}

static bool on_snapshot_ready(void *ctx, const struct group_state *state, struct slice manifest)
{
    (void)ctx;
    (void)state;
    return manifest.len == MANIFEST_SIZE && !chance(current, 150);
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
    uint64_t due = clock_fake_now_ms() + 1 + below(cluster, NET_MS_MAX);
    if (!cluster->peace && chance(cluster, 10)) {
        due += below(cluster, NET_SLOW_MS_MAX);
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
    enum status status =
        host_receive(to->host, packet->from, slice_of(packet->bytes, packet->len));
    if (status != STATUS_OK) {
        fail(cluster, "batch refused, from, to", packet->from, packet->to);
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
static void open_group(struct node *node, unsigned g, bool birth)
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
        fail(node->cluster, "group does not open: status, node", status, node->number);
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
    node->tick_due = clock_fake_now_ms() + below(cluster, HOST_TICK_MS);
    for (unsigned g = 0; g < options->groups; g++) {
        if (node->replicas[g].exists) {
            open_group(node, g, node->life == 1);
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
    if (chance(cluster, 300)) {
        wal_fake_sync(node->wal, below(cluster, wal_fake_waiting(node->wal) + 1));
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
    enum status status = !cluster->peace && chance(cluster, 100) ? STATUS_IO : STATUS_OK;
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
        fail(current, "snapshot of another history at index", replica->state.index, 0);
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
        if (!replica->installing && chance(cluster, 4)) {
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
        node->sync_due = now + 1 + below(cluster, DISK_MS_MAX);
        if (!cluster->peace && chance(cluster, cluster->options.slow_disk_pm)) {
            node->sync_due += below(cluster, cluster->options.slow_disk_ms);
        }
    }
    if (now >= node->sync_due) {
        node->sync_due = 0;
        wal_fake_sync(node->wal, 1 + below(cluster, wal_fake_waiting(node->wal)));
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
    if (node->busy || chance(cluster, 100)) {
        node->busy = false;
        host_turn(node->host);
    }
}

void cluster_step(struct cluster *cluster)
{
    clock_fake_advance_ms(1);
    run_network(cluster);
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
        clock_fake_set(i, below(cluster, 1000000000),
                       options->drift ? (int)below(cluster, 4000) : 0);
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

/* Writes and reads. */
static void on_written(struct proposal *proposal, enum status status)
{
    struct write *write = (struct write *)(void *)proposal;
    struct chain *chain = &write->cluster->chains[write->group];
    if (status == STATUS_OK) {
        assert(write->index > 0);
        write->cluster->counts.acked++;
        chain->acked = write->index > chain->acked ? write->index : chain->acked;
    } else {
        write->cluster->counts.failed++;
    }
    free(write);
}

enum status cluster_propose(struct cluster *cluster, struct node *node, unsigned group)
{
    struct replica *replica = &node->replicas[group];
    uint64_t data[24];
    if (replica->group == NULL) {
        return STATUS_NO_SHARD;
    }
    struct write *write = calloc(1, sizeof *write);
    assert(write != NULL);
    write->proposal.on_done = on_written;
    write->cluster = cluster;
    write->group = group;
    size_t len = 8 + below(cluster, sizeof data - 8);
    for (size_t i = 0; i < sizeof data / 8; i++) {
        data[i] = rand_u64(&cluster->rand);
    }
    clock_fake_use(node->number);
    enum status status = group_propose(replica->group, slice_of(data, len), &write->proposal);
    if (status != STATUS_OK) {
        free(write);
    }
    node->busy = true;
    return status;
}

static void check_read(const struct node *node, unsigned group, uint64_t need)
{
    const struct replica *replica = &node->replicas[group];
    node->cluster->counts.reads++;
    if (replica->state.index < need) {
        fail(node->cluster, "stale read: applied, acknowledged before", replica->state.index, need);
    }
}

static void on_readable(struct group_read *read, enum status status)
{
    struct reading *reading = (struct reading *)(void *)read;
    if (status == STATUS_OK && reading->node->up) {
        check_read(reading->node, reading->group, reading->need);
    }
    free(reading);
}

enum status cluster_read(struct cluster *cluster, struct node *node, unsigned group)
{
    struct replica *replica = &node->replicas[group];
    if (replica->group == NULL) {
        return STATUS_NO_SHARD;
    }
    struct reading *reading = calloc(1, sizeof *reading);
    assert(reading != NULL);
    reading->read.on_readable = on_readable;
    reading->node = node;
    reading->group = group;
    reading->need = cluster->chains[group].acked;
    clock_fake_use(node->number);
    enum status status = group_read(replica->group, &reading->read);
    if (status == STATUS_OK) {
        cluster->counts.lease_reads++;
        check_read(node, group, reading->need);
    }
    if (status != STATUS_AGAIN) {
        free(reading);
    }
    node->busy = true;
    return status;
}

static void on_changed(struct proposal *proposal, enum status status)
{
    struct changing *changing = (struct changing *)(void *)proposal;
    if (status == STATUS_OK) {
        changing->cluster->counts.changes += !changing->transfer;
        changing->cluster->counts.transfers += changing->transfer;
    }
    free(changing);
}

static struct changing *make_change(struct cluster *cluster, bool transfer)
{
    struct changing *changing = calloc(1, sizeof *changing);
    assert(changing != NULL);
    changing->proposal.on_done = on_changed;
    changing->cluster = cluster;
    changing->transfer = transfer;
    return changing;
}

/* The committed configuration, or the one in force at the leader, has a replica on the node. */
static bool is_member_node(const struct group_conf *conf, unsigned number)
{
    for (unsigned i = 0; i < conf->count; i++) {
        if (conf->members[i].node == number) {
            return true;
        }
    }
    return false;
}

/* A node that holds no replica gets an empty one, under a new id, and it is added. One whose
 * addition was tried before keeps its id, as that may still be committed. */
static enum status add_replica(struct cluster *cluster,
                               struct node *node,
                               unsigned g,
                               struct proposal *done)
{
    struct group *group = node->replicas[g].group;
    unsigned number = 1 + (unsigned)below(cluster, cluster->options.nodes);
    struct node *target = &cluster->nodes[number];
    struct replica *replica = &target->replicas[g];
    struct chain *chain = &cluster->chains[g];
    struct group_info info;
    group_info(group, &info);
    if (!target->up || is_member_node(&info.conf, number) || is_member_node(&chain->conf, number)) {
        return STATUS_CONFLICT;
    }
    if (!replica->exists || chain->joined[replica->id]) {
        clock_fake_use(number);
        if (replica->group != NULL) {
            group_close(replica->group); /* Its removal is committed: tombstoned. */
        }
        wal_port_drop(target->port, g + 1);
        wal_port_submit(target->port); /* Durable before the new replica begins. */
        wal_fake_sync(target->wal, wal_fake_waiting(target->wal));
        *replica = (struct replica){.exists = true, .id = chain->next_replica++};
        open_group(target, g, false);
        target->busy = true;
    }
    uint64_t id = replica->id;
    clock_fake_use(node->number);
    return group_add(group, id, number, done);
}

void cluster_change_members(struct cluster *cluster, struct node *node, unsigned g)
{
    struct replica *replica = &node->replicas[g];
    struct group_info info;
    enum status status;
    if (replica->group == NULL) {
        return;
    }
    struct changing *changing = make_change(cluster, false);
    clock_fake_use(node->number);
    group_info(replica->group, &info);
    unsigned at = (unsigned)below(cluster, info.conf.count + 1);
    const struct group_member *member = &info.conf.members[at];
    if (at == info.conf.count) {
        status = add_replica(cluster, node, g, &changing->proposal);
    } else if (chance(cluster, member->role == MEMBER_SPARE ? 300 : 150)) {
        status = group_remove(replica->group, member->replica, &changing->proposal);
    } else {
        enum member_role role = member->role == MEMBER_SPARE     ? MEMBER_STANDBY
                                : chance(cluster, 700)            ? MEMBER_VOTER
                                : member->role == MEMBER_STANDBY ? MEMBER_SPARE
                                                                 : MEMBER_STANDBY;
        status = group_assign(replica->group, member->replica, role, &changing->proposal);
    }
    if (status != STATUS_OK) {
        free(changing);
    }
    node->busy = true;
}

void cluster_transfer(struct cluster *cluster, struct node *node, unsigned g)
{
    struct replica *replica = &node->replicas[g];
    struct group_info info;
    if (replica->group == NULL) {
        return;
    }
    clock_fake_use(node->number);
    group_info(replica->group, &info);
    if (info.conf.count == 0) {
        return;
    }
    struct changing *changing = make_change(cluster, true);
    uint64_t to = info.conf.members[below(cluster, info.conf.count)].replica;
    if (group_transfer(replica->group, to, &changing->proposal) != STATUS_OK) {
        free(changing);
    }
    node->busy = true;
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
            fail(cluster, "no leader after peace, group", g, 0);
        }
        if (leader->state.index < chain->acked || leader->state.index < chain->applied) {
            fail(cluster, "committed entries are missing: has, had", leader->state.index,
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
                fail(cluster, "a member lags after peace: replica, applied", member->replica,
                     replica->state.index);
            }
        }
    }
}
