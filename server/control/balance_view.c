#include "server/control/balance_view.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum {
    US_PER_SECOND = 1000000,
    EMPTY_SIZE = 1 << 20, /* What an empty replica counts: it will not stay empty. */
    DISK_FREE_MIN = 1 << 30,
};

size_t balance_view_node(const struct balance_view *view, uint64_t node)
{
    const struct node_desc *desc = shard_map_node(view->map, node);
    return desc == NULL ? BALANCE_NOBODY : (size_t)(desc - view->map->nodes);
}

double balance_view_use(const struct balance_node *node)
{
    return node->capacity > 0 ? node->load / node->capacity : 0;
}

double balance_view_mean(const struct balance_view *view)
{
    return view->capacity > 0 ? view->load / view->capacity : 0;
}

size_t balance_view_busiest(const struct balance_view *view)
{
    size_t best = BALANCE_NOBODY;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct balance_node *node = &view->nodes[i];
        if (node->takes && (best == BALANCE_NOBODY ||
                            balance_view_use(node) > balance_view_use(&view->nodes[best]))) {
            best = i;
        }
    }
    return best;
}

bool balance_view_holds(const struct balance_view *view,
                        const struct balance_shard *shard,
                        size_t node)
{
    uint64_t id = view->nodes[node].desc->id;
    bool there = shard_map_replica_on(shard->desc, id) != NULL;
    if (shard->moving) {
        there = (there && id != shard->from) || id == shard->to;
    }
    return there;
}

static void add_nodes(struct balance_view *view, const struct balance_input *input)
{
    view->node_count = input->map->node_count;
    view->nodes = calloc(view->node_count + 1, sizeof(*view->nodes));
    assert(view->nodes != NULL);
    for (size_t i = 0; i < view->node_count; i++) {
        struct balance_node *node = &view->nodes[i];
        node->desc = &input->map->nodes[i];
        const struct load_node *known =
            load_table_node(input->table, node->desc->id, input->now_ms);
        if (known == NULL || node->desc->state != NODE_UP) {
            continue;
        }
        uint64_t disk = known->load.disk_free;
        node->takes = known->load.loops > 0 && (disk == 0 || disk >= DISK_FREE_MIN);
        node->capacity = (double)known->load.loops * US_PER_SECOND;
        view->takers += node->takes;
    }
}

static const struct balance_hope *hope_for(const struct balance_hope *hopes,
                                           size_t count,
                                           const struct shard_desc *desc,
                                           uint64_t now_ms)
{
    for (size_t i = count; i > 0; i--) { /* The newest is the last. */
        const struct balance_hope *hope = &hopes[i - 1];
        if (hope->start == desc->start && hope->until_ms > now_ms) {
            return hope;
        }
    }
    return NULL;
}

static void look(struct balance_view *view,
                 struct balance_shard *shard,
                 const struct balance_input *input,
                 const struct balance_hope *hope)
{
    shard->known = load_table_shard(input->table, shard->desc->id, input->now_ms);
    shard->leader = BALANCE_NOBODY;
    shard->changing = load_table_changing(input->table, shard->desc->id, input->now_ms);
    if (shard->known != NULL) {
        const struct shard_load *load = &shard->known->load;
        shard->leader = balance_view_node(view, shard->known->node);
        shard->load = (double)load->cpu;
        shard->follower = (double)load->follower_cpu;
        shard->bytes = load->bytes;
    }
    if (hope == NULL) {
        return;
    }
    shard->changing = true;
    if (hope->load > shard->load) {
        shard->load = hope->load;
        shard->follower = hope->follower;
    }
    if (hope->node != 0) {
        shard->leader = balance_view_node(view, hope->node);
    }
}

/* As if it were done. */
static void occupy(const struct balance_view *view,
                   struct balance_shard *shard,
                   const struct job_spec *spec)
{
    if (shard == NULL) {
        return;
    }
    shard->busy = true;
    if (spec->kind == JOB_TRANSFER) {
        shard->leader = balance_view_node(view, spec->to);
    }
    if (spec->kind == JOB_MOVE) {
        shard->moving = true;
        shard->from = spec->from;
        shard->to = spec->to;
        bool led = shard->leader == balance_view_node(view, shard->from);
        shard->leader = led ? balance_view_node(view, shard->to) : shard->leader;
    }
}

static void apply_jobs(struct balance_view *view, const struct job_list *jobs)
{
    struct map by_id;
    map_init(&by_id);
    for (size_t i = 0; i < view->shard_count; i++) {
        (void)map_put(&by_id, view->shards[i].desc->id, &view->shards[i]);
    }
    for (size_t i = 0; i < jobs->count; i++) {
        const struct cluster_job *job = &jobs->jobs[i];
        if (!cluster_job_active(job) || cluster_job_has_children(job->spec.kind)) {
            continue;
        }
        view->active++;
        view->moves += job->spec.kind == JOB_MOVE;
        occupy(view, map_get(&by_id, job->spec.shard), &job->spec);
        if (job->spec.kind == JOB_MERGE) {
            occupy(view, map_get(&by_id, job->spec.other), &job->spec);
        }
        if (job->spec.kind == JOB_SPLIT) {
            occupy(view, map_get(&by_id, job->child), &job->spec);
        }
    }
    map_deinit(&by_id);
}

static void add_up(struct balance_view *view, const struct balance_shard *shard)
{
    view->whole = view->whole && (shard->known != NULL || shard->busy || shard->changing);
    for (unsigned i = 0; i < shard->desc->replica_count; i++) {
        uint64_t id = shard->desc->replicas[i].node;
        bool there = shard->moving && shard_map_replica_on(shard->desc, shard->to) != NULL;
        if (shard->moving && id == shard->from) {
            if (there) {
                continue; /* The new one is among the replicas already. */
            }
            id = shard->to;
        }
        size_t at = balance_view_node(view, id);
        if (at == BALANCE_NOBODY) {
            continue;
        }
        struct balance_node *node = &view->nodes[at];
        bool leads = shard->leader == at;
        node->replicas++;
        node->leads += leads;
        node->bytes += shard->weight;
        node->load += leads ? shard->load : shard->follower;
        if (leads && shard->known != NULL) {
            node->peak += (double)load_table_peak(shard->known);
        }
    }
}

void balance_view_init(struct balance_view *view,
                       const struct balance_input *input,
                       const struct balance_hope *hopes,
                       size_t hope_count)
{
    *view = (struct balance_view){.map = input->map, .whole = input->map->shard_count > 0};
    add_nodes(view, input);
    view->shard_count = input->map->shard_count;
    view->shards = calloc(view->shard_count + 1, sizeof(*view->shards));
    assert(view->shards != NULL);
    for (size_t i = 0; i < view->shard_count; i++) {
        struct balance_shard *shard = &view->shards[i];
        shard->desc = &input->map->shards[i];
        look(view, shard, input, hope_for(hopes, hope_count, shard->desc, input->now_ms));
        shard->weight = shard->bytes + EMPTY_SIZE;
    }
    apply_jobs(view, input->jobs);
    for (size_t i = 0; i < view->shard_count; i++) {
        add_up(view, &view->shards[i]);
    }
    for (size_t i = 0; i < view->node_count; i++) {
        view->load += view->nodes[i].takes ? view->nodes[i].load : 0;
        view->capacity += view->nodes[i].takes ? view->nodes[i].capacity : 0;
    }
}

void balance_view_deinit(struct balance_view *view)
{
    free(view->nodes);
    free(view->shards);
    *view = (struct balance_view){0};
}
