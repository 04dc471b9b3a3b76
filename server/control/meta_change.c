#include "server/control/meta_change.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "server/control/placement.h"

enum {
    META_REPLICAS_SMALL = 3, /* Copies of the meta group, */
    META_REPLICAS_LARGE = 5, /* and in a cluster that keeps five copies of everything. */
};

static size_t up_count(const struct shard_map *map)
{
    size_t count = 0;
    for (size_t i = 0; i < map->node_count; i++) {
        count += map->nodes[i].state == NODE_UP;
    }
    return count;
}

size_t meta_change_node_index(const struct shard_map *map, uint64_t node)
{
    const struct node_desc *found = shard_map_node(map, node);
    return found == NULL ? map->node_count : (size_t)(found - map->nodes);
}

void meta_change_put_node(struct meta_change *change, size_t index)
{
    assert(index < change->rows.map.node_count);
    meta_rows_put_node(change->txn, &change->rows.map.nodes[index], change->rows.disks[index]);
    change->changed = true;
}

void meta_change_put_shard(struct meta_change *change, const struct shard_desc *shard)
{
    assert(shard->replica_count <= SHARD_REPLICAS_MAX);
    meta_rows_put_shard(change->txn, shard);
    change->changed = true;
}

struct shard_desc *meta_change_shard(struct meta_change *change, uint64_t shard)
{
    struct shard_map *map = &change->rows.map;
    if (shard == SHARD_META) {
        return map->meta.id == SHARD_META ? &map->meta : NULL;
    }
    for (size_t i = 0; i < map->shard_count; i++) {
        if (map->shards[i].id == shard) {
            return &map->shards[i];
        }
    }
    return NULL;
}

void meta_change_put_job(struct meta_change *change, const struct cluster_job *job)
{
    meta_rows_put_job(change->txn, job);
    change->counted = true; /* The numbers of jobs rise with it. */
}

void meta_change_note(
    struct meta_change *change, uint64_t job, const char *what, const char *why, const char *effect)
{
    struct meta_cluster *cluster = &change->rows.cluster;
    struct job_event event = {
        .number = cluster->next_event++, .time_ms = change->now_ms, .job = job};
    cluster_job_text_copy(event.what, sizeof(event.what), what == NULL ? "" : what);
    cluster_job_text_copy(event.why, sizeof(event.why), why == NULL ? "" : why);
    cluster_job_text_copy(event.effect, sizeof(event.effect), effect == NULL ? "" : effect);
    meta_rows_put_event(change->txn, &event);
    if (event.number > JOB_EVENTS_MAX) {
        meta_rows_drop_event(change->txn, event.number - JOB_EVENTS_MAX);
    }
    change->counted = true;
}

/* The nodes that may be given replicas, by rising id. The caller frees. */
static struct placement_node *candidates(const struct shard_map *map, size_t *count)
{
    struct placement_node *nodes = calloc(map->node_count + 1, sizeof(*nodes));
    uint64_t *loads = calloc(map->node_count + 1, sizeof(*loads));
    assert(nodes != NULL && loads != NULL);
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = i < map->shard_count ? &map->shards[i] : &map->meta;
        for (unsigned j = 0; j < shard->replica_count; j++) {
            loads[meta_change_node_index(map, shard->replicas[j].node)]++;
        }
    }
    *count = 0;
    for (size_t i = 0; i < map->node_count; i++) {
        const struct node_desc *node = &map->nodes[i];
        if (node->state == NODE_UP) {
            nodes[(*count)++] =
                (struct placement_node){.id = node->id, .zone = node->zone, .load = loads[i]};
        }
    }
    free(loads);
    return nodes;
}

/* The meta group grows with the cluster: one replica, then three, then, where shards have five,
 * five. Even numbers are left out: they fail sooner than the odd number below. */
static void grow_meta(struct meta_change *change)
{
    struct shard_map *map = &change->rows.map;
    struct shard_desc *meta = &map->meta;
    size_t most = map->replicas > META_REPLICAS_SMALL ? META_REPLICAS_LARGE : META_REPLICAS_SMALL;
    size_t up = up_count(map);
    size_t wanted = up < most ? up : most;
    wanted -= wanted % 2 == 0 && wanted > 0;
    if (meta->replica_count >= wanted) {
        return;
    }
    size_t count = 0;
    struct placement_node *nodes = candidates(map, &count);
    while (meta->replica_count < wanted) {
        uint64_t used[SHARD_REPLICAS_MAX];
        for (unsigned i = 0; i < meta->replica_count; i++) {
            used[i] = meta->replicas[i].node;
        }
        uint64_t node = placement_choose(nodes, count, used, meta->replica_count, meta->id);
        if (node == 0) {
            break;
        }
        struct replica_desc *replica = &meta->replicas[meta->replica_count++];
        replica->id = change->rows.cluster.next_replica++;
        replica->node = node;
    }
    free(nodes);
    meta->conf_ver++;
    meta_change_put_shard(change, meta);
}

/* The range of the index-th of count equal cuts; count is a power of two. */
static void cut(struct shard_desc *shard, size_t index, size_t count)
{
    uint64_t width = UINT64_MAX / count + 1; /* 0 if count is 1: 2^64. */
    shard->start = (uint64_t)index * width;
    shard->last = index + 1 == count ? UINT64_MAX : shard->start + width - 1;
}

static void make_shard(struct meta_change *change, size_t index, const uint64_t *nodes)
{
    struct meta_cluster *cluster = &change->rows.cluster;
    struct shard_desc *shard = &change->rows.map.shards[index];
    *shard = (struct shard_desc){.id = cluster->next_shard++, .ver = 1, .conf_ver = 1};
    cut(shard, index, change->rows.map.shard_count);
    shard->replica_count = cluster->replicas;
    for (unsigned i = 0; i < shard->replica_count; i++) {
        shard->replicas[i].id = cluster->next_replica++;
        shard->replicas[i].node = nodes[i];
    }
    shard->birth_max = shard->replicas[shard->replica_count - 1].id;
    meta_change_put_shard(change, shard);
}

/* All shards at once, as soon as there are enough nodes. */
static void place_shards(struct meta_change *change)
{
    struct meta_rows *rows = &change->rows;
    struct shard_map *map = &rows->map;
    if (map->shard_count > 0 || up_count(map) < map->replicas) {
        return;
    }
    size_t count = 0;
    struct placement_node *nodes = candidates(map, &count);
    struct placement_input input = {.nodes = nodes, .node_count = count};
    input.shards = rows->cluster.shards;
    input.replicas = rows->cluster.replicas;
    input.seed = hash_bytes(slice_of(rows->cluster.cluster, sizeof(rows->cluster.cluster)));
    uint64_t *placed = calloc(input.shards * input.replicas, sizeof(*placed));
    map->shards = calloc(input.shards, sizeof(*map->shards));
    assert(placed != NULL && map->shards != NULL);
    enum status status = placement_make(&input, placed);
    assert(status == STATUS_OK);
    map->shard_count = input.shards;
    for (size_t i = 0; i < input.shards; i++) {
        make_shard(change, i, &placed[i * input.replicas]);
    }
    free(placed);
    free(nodes);
}

static bool is_busy(const struct meta_change *change, uint64_t shard)
{
    const struct job_list *jobs = &change->rows.jobs;
    for (size_t i = 0; i < jobs->count; i++) {
        const struct job_spec *spec = &jobs->jobs[i].spec;
        if (cluster_job_active(&jobs->jobs[i]) && (spec->shard == shard || spec->other == shard)) {
            return true;
        }
    }
    return false;
}

/* A shard that lost copies with their nodes, when there were no others to take them, gets them as
 * soon as there are. */
static void grow_shard(struct meta_change *change, struct shard_desc *shard)
{
    size_t count = 0;
    unsigned before = shard->replica_count;
    struct placement_node *nodes = candidates(&change->rows.map, &count);
    while (shard->replica_count < change->rows.cluster.replicas) {
        uint64_t used[SHARD_REPLICAS_MAX];
        for (unsigned i = 0; i < shard->replica_count; i++) {
            used[i] = shard->replicas[i].node;
        }
        uint64_t node = placement_choose(nodes, count, used, shard->replica_count, shard->id);
        if (node == 0) {
            break;
        }
        struct replica_desc *replica = &shard->replicas[shard->replica_count++];
        replica->id = change->rows.cluster.next_replica++;
        replica->node = node;
    }
    free(nodes);
    if (shard->replica_count > before) {
        shard->conf_ver++;
        meta_change_put_shard(change, shard);
    }
}

static void grow_shards(struct meta_change *change)
{
    struct shard_map *map = &change->rows.map;
    for (size_t i = 0; i < map->shard_count; i++) {
        struct shard_desc *shard = &map->shards[i];
        if (shard->replica_count < change->rows.cluster.replicas && !is_busy(change, shard->id)) {
            grow_shard(change, shard);
        }
    }
}

void meta_change_settle(struct meta_change *change)
{
    struct meta_rows *rows = &change->rows;
    if (change->changed) {
        grow_meta(change);
        place_shards(change);
        grow_shards(change);
        rows->cluster.version++;
        rows->map.version = rows->cluster.version;
    }
    if (change->changed || change->counted) {
        meta_rows_put_cluster(change->txn, &rows->cluster);
    }
    assert(shard_map_check(&rows->map) == STATUS_OK);
}
