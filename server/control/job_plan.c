#include "server/control/job_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "server/control/job_check.h"

/* A plan being made: a map of its own, as it would be after the steps so far. */
struct planner {
    const struct job_plan_view *view;
    struct shard_map map;
    uint64_t *replicas; /* Per node, as map.nodes. */
    uint64_t *leads;
    bool *touched; /* Per shard, the meta group last. */
    struct job_spec *specs;
    size_t count, count_max;
};

static bool takes(const struct job_plan_view *view, const struct node_desc *node)
{
    return node->state == NODE_UP && (view->is_up == NULL || view->is_up(view->ctx, node->id));
}

static size_t index_of(const struct shard_map *map, uint64_t node)
{
    const struct node_desc *found = shard_map_node(map, node);
    assert(found != NULL); /* Replicas are on nodes that the map has. */
    return (size_t)(found - map->nodes);
}

static void count_shard(const struct shard_map *map,
                        const struct shard_desc *shard,
                        uint64_t *replicas,
                        uint64_t *leads)
{
    for (unsigned i = 0; i < shard->replica_count; i++) {
        replicas[index_of(map, shard->replicas[i].node)]++;
    }
    if (shard->replica_count > 0 && shard->id != SHARD_META) {
        leads[index_of(map, shard->replicas[0].node)]++;
    }
}

/* As it will be when the moves under way have ended. */
static void count_all(const struct job_plan_view *view, uint64_t *replicas, uint64_t *leads)
{
    const struct shard_map *map = view->map;
    for (size_t i = 0; i < map->shard_count; i++) {
        count_shard(map, &map->shards[i], replicas, leads);
    }
    count_shard(map, &map->meta, replicas, leads);
    for (size_t i = 0; view->jobs != NULL && i < view->jobs->count; i++) {
        const struct cluster_job *job = &view->jobs->jobs[i];
        if (!cluster_job_active(job) || job->spec.kind != JOB_MOVE || job->step > 1) {
            continue;
        }
        const struct node_desc *from = shard_map_node(map, job->spec.from);
        const struct node_desc *to = shard_map_node(map, job->spec.to);
        if (from != NULL && replicas[from - map->nodes] > 0) {
            replicas[from - map->nodes]--;
        }
        if (to != NULL && job->step == 0) {
            replicas[to - map->nodes]++;
        }
    }
}

static uint64_t order_of(uint64_t shard, uint64_t node)
{
    uint64_t parts[] = {shard, node};
    return hash_bytes(slice_of(parts, sizeof(parts)));
}

uint64_t job_plan_target(const struct job_plan_view *view,
                         const struct shard_desc *shard,
                         uint64_t from,
                         char *text)
{
    const struct shard_map *map = view->map;
    uint64_t *counts = calloc(2 * map->node_count + 1, sizeof(*counts));
    assert(counts != NULL);
    count_all(view, counts, counts + map->node_count);
    const struct node_desc *best = NULL;
    char fault[JOB_FAULT_SIZE] = "";
    (void)snprintf(text, JOB_PLAN_TEXT_SIZE, "no other node is up for shard %" PRIu64, shard->id);
    for (size_t i = 0; i < map->node_count; i++) {
        const struct node_desc *node = &map->nodes[i];
        struct job_spec spec = {.kind = JOB_MOVE, .shard = shard->id, .from = from, .to = node->id};
        if (!takes(view, node) || shard_map_replica_on(shard, node->id) != NULL) {
            continue;
        }
        if (job_check(map, &spec, fault) != NULL) {
            (void)snprintf(text, JOB_PLAN_TEXT_SIZE, "%s", fault);
            continue;
        }
        size_t held = best == NULL ? 0 : (size_t)(best - map->nodes);
        bool fewer = best == NULL || counts[i] < counts[held];
        bool first = best != NULL && counts[i] == counts[held] &&
                     order_of(shard->id, node->id) > order_of(shard->id, best->id);
        best = fewer || first ? node : best;
    }
    free(counts);
    return best == NULL ? 0 : best->id;
}

static struct shard_desc *shard_at(struct planner *planner, size_t i)
{
    return i < planner->map.shard_count ? &planner->map.shards[i] : &planner->map.meta;
}

static void swap_replica(struct planner *planner, struct shard_desc *shard, size_t from, size_t to)
{
    const struct shard_map *map = &planner->map;
    for (unsigned i = 0; i < shard->replica_count; i++) {
        if (shard->replicas[i].node == map->nodes[from].id) {
            shard->replicas[i].node = map->nodes[to].id;
            if (i == 0 && shard->id != SHARD_META) {
                planner->leads[from]--;
                planner->leads[to]++;
            }
        }
    }
    planner->replicas[from]--;
    planner->replicas[to]++;
}

static bool is_free(const struct planner *planner, size_t i)
{
    uint64_t id = i < planner->map.shard_count ? planner->map.shards[i].id : (uint64_t)SHARD_META;
    return planner->view->jobs == NULL || job_list_holder(planner->view->jobs, id) == NULL;
}

static const struct shard_desc *shard_before(const struct planner *planner, size_t i)
{
    const struct shard_map *map = planner->view->map;
    return i < map->shard_count ? &map->shards[i] : &map->meta;
}

/* Whether the shard's replica may go from one node to the other: after the steps so far, and as it
 * is now, which is when the plan is looked at as a whole. */
static bool may_move(struct planner *planner, size_t i, size_t from, size_t to)
{
    const struct shard_desc *shard = shard_at(planner, i);
    struct job_spec spec = {.kind = JOB_MOVE, .shard = shard->id};
    char fault[JOB_FAULT_SIZE];
    spec.from = planner->map.nodes[from].id;
    spec.to = planner->map.nodes[to].id;
    return shard_map_replica_on(shard, spec.from) != NULL &&
           shard_map_replica_on(shard, spec.to) == NULL &&
           job_check(planner->view->map, &spec, fault) == NULL &&
           job_check(&planner->map, &spec, fault) == NULL;
}

static struct job_spec *next_spec(struct planner *planner, size_t i, enum job_kind kind)
{
    const struct shard_desc *shard = shard_at(planner, i);
    struct job_spec *spec = &planner->specs[planner->count++];
    /* The steps of one shard come one after the other: its replicas are known for the first alone.
     */
    *spec = (struct job_spec){.kind = kind, .shard = shard->id, .ver = shard->ver};
    spec->conf_ver = planner->touched[i] ? 0 : shard->conf_ver;
    planner->touched[i] = true;
    return spec;
}

/* One replica from a node to one that has at least two fewer; with the leadership, if that is
 * uneven too. */
static bool move_one(struct planner *planner, size_t from, size_t to)
{
    size_t best = SIZE_MAX;
    bool best_fits = false;
    bool leads = planner->leads[from] > planner->leads[to] + 1;
    for (size_t i = 0; i <= planner->map.shard_count; i++) {
        if (!is_free(planner, i) || !may_move(planner, i, from, to)) {
            continue;
        }
        const struct shard_desc *shard = shard_at(planner, i);
        bool fits = (shard->replicas[0].node == planner->map.nodes[from].id) == leads;
        if (best == SIZE_MAX || (fits && !best_fits)) {
            best = i;
            best_fits = fits;
        }
    }
    if (best == SIZE_MAX) {
        return false;
    }
    struct job_spec *spec = next_spec(planner, best, JOB_MOVE);
    spec->from = planner->map.nodes[from].id;
    spec->to = planner->map.nodes[to].id;
    (void)snprintf(spec->reason, sizeof(spec->reason),
                   "node %" PRIu64 " has %" PRIu64 " replicas, node %" PRIu64 " has %" PRIu64,
                   spec->from, planner->replicas[from], spec->to, planner->replicas[to]);
    swap_replica(planner, shard_at(planner, best), from, to);
    return true;
}

/* A shard that the one node prefers to lead and the other has. */
static bool transfer_one(struct planner *planner, size_t from, size_t to)
{
    for (size_t i = 0; i < planner->map.shard_count; i++) {
        struct shard_desc *shard = &planner->map.shards[i];
        uint64_t node = planner->map.nodes[to].id;
        if (!is_free(planner, i) || shard->replicas[0].node != planner->map.nodes[from].id ||
            shard_map_replica_on(shard, node) == NULL ||
            shard_map_replica_on(shard_before(planner, i), node) == NULL) {
            continue;
        }
        struct job_spec *spec = next_spec(planner, i, JOB_TRANSFER);
        spec->to = node;
        (void)snprintf(spec->reason, sizeof(spec->reason),
                       "node %" PRIu64 " leads %" PRIu64 " shards, node %" PRIu64 " leads %" PRIu64,
                       planner->map.nodes[from].id, planner->leads[from], node, planner->leads[to]);
        shard->replicas[0].node = node; /* The others' order does not matter here. */
        planner->leads[from]--;
        planner->leads[to]++;
        return true;
    }
    return false;
}

/* Takes one step from the node with most to the one with fewest, or the next best pair. */
static bool improve(struct planner *planner,
                    const uint64_t *counts,
                    bool (*step)(struct planner *, size_t from, size_t to))
{
    const struct shard_map *map = &planner->map;
    size_t nodes = map->node_count;
    uint64_t limit = UINT64_MAX;
    while (true) { /* Differences from the greatest down to 2. */
        uint64_t widest = 1;
        for (size_t i = 0; i < nodes * nodes; i++) {
            size_t from = i / nodes;
            size_t to = i % nodes;
            bool fit = takes(planner->view, &map->nodes[from]) &&
                       takes(planner->view, &map->nodes[to]) && counts[from] > counts[to];
            uint64_t gap = fit ? counts[from] - counts[to] : 0;
            widest = gap > widest && gap < limit ? gap : widest;
        }
        if (widest < 2) {
            return false;
        }
        limit = widest;
        for (size_t i = 0; i < nodes * nodes; i++) {
            size_t from = i / nodes;
            size_t to = i % nodes;
            bool fit = takes(planner->view, &map->nodes[from]) &&
                       takes(planner->view, &map->nodes[to]) && counts[from] > counts[to] &&
                       counts[from] - counts[to] == widest;
            if (fit && step(planner, from, to)) {
                return true;
            }
        }
    }
}

size_t job_plan_rebalance(const struct job_plan_view *view,
                          struct job_spec *specs,
                          size_t count_max)
{
    struct planner planner = {.view = view, .specs = specs, .count_max = count_max};
    if (view->map->shard_count == 0) {
        return 0;
    }
    shard_map_init(&planner.map);
    shard_map_copy(&planner.map, view->map);
    planner.replicas = calloc(view->map->node_count + 1, sizeof(uint64_t));
    planner.leads = calloc(view->map->node_count + 1, sizeof(uint64_t));
    planner.touched = calloc(view->map->shard_count + 1, sizeof(bool));
    assert(planner.replicas != NULL && planner.leads != NULL && planner.touched != NULL);
    count_all(view, planner.replicas, planner.leads);
    while (planner.count < count_max && improve(&planner, planner.replicas, move_one)) {
    }
    while (planner.count < count_max && improve(&planner, planner.leads, transfer_one)) {
    }
    free(planner.replicas);
    free(planner.leads);
    free(planner.touched);
    shard_map_deinit(&planner.map);
    return planner.count;
}

uint64_t job_plan_hash(const struct job_spec *specs, size_t count)
{
    struct buf bytes;
    buf_init(&bytes, (count + 1) * JOB_SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        job_spec_encode(&specs[i], &bytes);
    }
    uint64_t hash = hash_bytes(buf_slice(&bytes));
    buf_deinit(&bytes);
    return hash;
}
