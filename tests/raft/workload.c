#include "tests/raft/workload.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "replication/raft/group_private.h"
#include "replication/raft/inbox.h"
#include "replication/raft/lane.h"
#include "tests/raft/clock_fake.h"

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

void workload_applied(struct proposal *proposal, uint64_t index)
{
    struct write *write = (struct write *)(void *)proposal;
    assert(write->index == 0);
    write->index = index;
}

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

enum status workload_propose(struct cluster *cluster, struct node *node, unsigned group)
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
    size_t len = 8 + cluster_below(cluster, sizeof data - 8);
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
        cluster_fail(node->cluster, "stale read: applied, acknowledged before",
                     replica->state.index, need);
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

enum status workload_read(struct cluster *cluster, struct node *node, unsigned group)
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
    bool leads = replica->leads;
    enum status status = leads ? group_read(replica->group, &reading->read)
                               : group_read_replica(replica->group, &reading->read);
    cluster->counts.replica_reads += !leads && status == STATUS_AGAIN;
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

void workload_check_age(struct cluster *cluster, struct node *node, unsigned group)
{
    struct replica *replica = &node->replicas[group];
    if (replica->group == NULL) {
        return;
    }
    clock_fake_use(node->number);
    struct group_freshness freshness;
    group_freshness(replica->group, cluster_below(cluster, 4) == 0, &freshness);
    node->busy = true;
    uint64_t need = 0;
    for (size_t i = 0; i < CLUSTER_SAMPLES && freshness.since_ns != 0; i++) {
        const struct acked_sample *sample = &replica->samples[i];
        bool before = sample->ns != 0 && sample->ns <= freshness.since_ns;
        need = before && sample->index > need ? sample->index : need;
    }
    if (replica->state.index < need) {
        cluster_fail(cluster, "older than it says: applied, acknowledged before",
                     replica->state.index, need);
    }
    cluster->counts.fresh += freshness.since_ns != 0;
    replica->samples[replica->sample_count++ % CLUSTER_SAMPLES] =
        (struct acked_sample){.ns = clock_now_ns(), .index = cluster->chains[group].acked};
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
    unsigned number = 1 + (unsigned)cluster_below(cluster, cluster->options.nodes);
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
        cluster_open_group(target, g, false);
        target->busy = true;
    }
    uint64_t id = replica->id;
    clock_fake_use(node->number);
    return group_add(group, id, number, done);
}

void workload_change_members(struct cluster *cluster, struct node *node, unsigned g)
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
    unsigned at = (unsigned)cluster_below(cluster, info.conf.count + 1);
    const struct group_member *member = &info.conf.members[at];
    if (at == info.conf.count) {
        status = add_replica(cluster, node, g, &changing->proposal);
    } else if (cluster_chance(cluster, member->role == MEMBER_SPARE ? 300 : 150)) {
        status = group_remove(replica->group, member->replica, &changing->proposal);
    } else {
        enum member_role role = member->role == MEMBER_SPARE     ? MEMBER_STANDBY
                                : cluster_chance(cluster, 700)   ? MEMBER_VOTER
                                : member->role == MEMBER_STANDBY ? MEMBER_SPARE
                                                                 : MEMBER_STANDBY;
        status = group_assign(replica->group, member->replica, role, &changing->proposal);
    }
    if (status != STATUS_OK) {
        free(changing);
    }
    node->busy = true;
}

void workload_transfer(struct cluster *cluster, struct node *node, unsigned g)
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
    uint64_t to = info.conf.members[cluster_below(cluster, info.conf.count)].replica;
    if (group_transfer(replica->group, to, &changing->proposal) != STATUS_OK) {
        free(changing);
    }
    node->busy = true;
}

void workload_replay(struct cluster *cluster, struct node *node, unsigned g)
{
    struct replica *leader = cluster_leader(cluster, g);
    struct group *group = node->replicas[g].group;
    struct buf entries;
    if (leader == NULL || group == NULL || cluster_node_of(leader) == node) {
        return;
    }
    struct message message = {
        .kind = MESSAGE_APPEND,
        .group = g + 1,
        .from = leader->id,
        .to = group->replica,
        .term = leader->leads_term,
    };
    struct message_entry entry = {.term = 1, .type = RAFT_COMMAND, .data = slice_str("replayed")};
    buf_init(&entries, 4096);
    message.append.count = 1 + (uint32_t)cluster_below(cluster, GROUP_BIRTH_INDEX);
    for (uint32_t i = 0; i < message.append.count; i++) {
        message_put_entry(&entry, &entries);
    }
    message.append.entries = buf_slice(&entries);
    clock_fake_use(node->number);
    struct peer *peer = lane_peer(node->host, cluster_node_of(leader)->number);
    inbox_deliver(group, &message, lane_get(peer, 0));
    buf_deinit(&entries);
    node->busy = true;
}
