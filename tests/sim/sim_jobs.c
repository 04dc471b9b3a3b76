#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "server/control/job_check.h"
#include "server/control/meta_machine.h"
#include "server/control/meta_order.h"
#include "server/worker.h"
#include "tests/sim/sim.h"

/* Someone who moves replicas and leaderships, drains nodes and lets them stay after all, pauses and
 * cancels, while everything else goes on. Whatever is asked for has to end by itself (I6), and
 * replicas keep to their zones at every step (I9). */

enum {
    ARGS_MAX = 2,
    PATIENCE_MS = 3000,
    ACTIVE_MAX = 6,
    SHARDS_MAX = 24,
    ZONED_NODES = 6, /* With so many nodes there are three zones of two, else one of all. */
    END_MS = 60000,  /* Of peace, in which every job must end. */
};

struct sim_jobs {
    struct sim *sim;
    uint64_t calls; /* Numbers them: answers to an older one are void. */
    bool asked;
    uint64_t asked_ns;
    bool stopped;
    bool looked;  /* At the placement that the cluster began with, */
    bool crowded; /* which had no choice: three nodes joined first, two of one zone. */
    bool ended;   /* When it was looked at last, after it was stopped. */
    uint64_t stopped_ns;
};

/* One call. What it points to lives behind it. */
struct ask {
    struct worker_op op;
    struct sim_jobs *self;
    uint64_t number;
    struct slice argv[ARGS_MAX];
    struct buf text;
};

/* What the meta group's leader has. */
struct view {
    unsigned node;
    struct shard_map map;
    struct job_list jobs;
    uint8_t mode;
};

static void deliver(struct worker_op *op, enum status status, struct slice reply)
{
    struct ask *ask = list_entry(op, struct ask, op);
    struct sim_jobs *self = ask->self;
    if (status == STATUS_OK && reply.len > 2 && reply.data[0] == '-') {
        sim_trace(self->sim, "jobs: %.*s", (int)reply.len - 2, (const char *)reply.data);
    }
    if (ask->number == self->calls) {
        self->asked = false;
    }
    buf_deinit(&ask->text);
    free(ask);
}

static void give(struct sim_jobs *self, unsigned node, struct meta_order *order)
{
    struct sim_actor *actor = &self->sim->actors[node];
    struct worker *worker = sim_node_worker(self->sim->nodes[node]);
    struct ask *ask = calloc(1, sizeof(*ask));
    assert(ask != NULL);
    ask->self = self;
    ask->number = ++self->calls;
    buf_init(&ask->text, 1 << 20);
    (void)snprintf(order->who, sizeof(order->who), "sim");
    meta_order_encode(order, &ask->text);
    ask->argv[0] = slice_str("META.ORDER");
    ask->argv[1] = buf_slice(&ask->text);
    ask->op.op.args = (struct args){.argv = ask->argv, .argc = 2};
    ask->op.op.write = true;
    ask->op.origin = worker;
    ask->op.shard = SHARD_META;
    ask->op.deliver = deliver;
    self->asked = true;
    self->asked_ns = self->sim->now_ns;
    sim_enter(actor);
    ask->op.op.expires_ms = clock_now_ms() + 2000;
    worker_submit(worker, &ask->op);
    sim_turn(actor);
}

static void give_spec(struct sim_jobs *self, const struct view *view, const struct job_spec *spec)
{
    struct buf items;
    char text[JOB_TEXT_SIZE_MAX];
    buf_init(&items, 4096);
    job_spec_encode(spec, &items);
    struct meta_order add = {.op = META_JOB_ADD, .count = 1, .items = buf_slice(&items)};
    sim_trace(self->sim, "jobs: %s", job_spec_describe(spec, text, sizeof(text)));
    give(self, view->node, &add);
    buf_deinit(&items);
}

/* A node that runs and believes to lead the meta group; false: there is none. */
static bool look(const struct sim *sim, struct view *view)
{
    *view = (struct view){.node = 0};
    shard_map_init(&view->map);
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        struct worker *worker = sim_node_worker(sim->nodes[i]);
        struct shard *here = worker == NULL ? NULL : worker_shard(worker, SHARD_META);
        if (here != NULL && shard_leads(here) && !sim->actors[i].paused) {
            view->node = i;
            enum status status =
                meta_machine_load_all(worker_txn(worker), &view->map, &view->jobs, &view->mode);
            assert(status == STATUS_OK);
            return view->map.shard_count > 0;
        }
    }
    return false;
}

static void drop(struct view *view)
{
    shard_map_deinit(&view->map);
    job_list_deinit(&view->jobs);
}

static uint64_t any_node(struct sim *sim, const struct view *view)
{
    return view->map.nodes[rand_below(&sim->rand, view->map.node_count)].id;
}

static bool any_draining(const struct view *view)
{
    bool any = false;
    for (size_t i = 0; i < view->map.node_count; i++) {
        any = any || view->map.nodes[i].state == NODE_DRAINING;
    }
    return any;
}

static void ask_move(struct sim_jobs *self, const struct view *view)
{
    struct sim *sim = self->sim;
    size_t at = rand_below(&sim->rand, view->map.shard_count + 1);
    const struct shard_desc *shard =
        at < view->map.shard_count ? &view->map.shards[at] : &view->map.meta;
    struct job_spec spec = {.kind = JOB_MOVE, .shard = shard->id};
    spec.from = shard->replicas[rand_below(&sim->rand, shard->replica_count)].node;
    spec.to = any_node(sim, view);
    if (sim_chance(sim, 300)) {
        spec.kind = JOB_TRANSFER;
        spec.to = spec.from;
        spec.from = 0;
    }
    if (sim->options.splits && sim_chance(sim, 150) && view->map.shard_count < SHARDS_MAX &&
        shard->last - shard->start > 2) {
        spec = (struct job_spec){.kind = JOB_SPLIT, .shard = shard->id};
        spec.token = shard->start + 1 + rand_below(&sim->rand, shard->last - shard->start);
    }
    give_spec(self, view, &spec);
}

static void ask_drain(struct sim_jobs *self, const struct view *view)
{
    struct sim *sim = self->sim;
    struct job_spec spec = {.kind = JOB_DRAIN, .from = any_node(sim, view)};
    struct meta_order undrain = {.op = META_NODE, .id = spec.from, .what = META_UNDRAIN};
    if (!any_draining(view)) { /* Two would leave a zone empty. */
        give_spec(self, view, &spec);
        return;
    }
    for (size_t i = 0; i < view->map.node_count; i++) {
        if (view->map.nodes[i].state == NODE_DRAINING) {
            undrain.id = view->map.nodes[i].id;
        }
    }
    give(self, view->node, &undrain);
}

static void ask_change(struct sim_jobs *self, const struct view *view)
{
    struct sim *sim = self->sim;
    if (view->jobs.count == 0) {
        return;
    }
    const struct cluster_job *job = &view->jobs.jobs[rand_below(&sim->rand, view->jobs.count)];
    struct meta_order order = {.op = META_JOB_SET, .id = job->id};
    order.what = (uint8_t)(META_PAUSE + rand_below(&sim->rand, 3));
    if (cluster_job_active(job)) {
        give(self, view->node, &order);
    }
}

/* Everything that was begun is to end. */
static void ask_end(struct sim_jobs *self, const struct view *view)
{
    self->ended = true;
    for (size_t i = 0; i < view->jobs.count; i++) {
        const struct cluster_job *job = &view->jobs.jobs[i];
        if (!cluster_job_active(job)) {
            continue;
        }
        self->ended = false;
        if (job->state == JOB_PAUSED && !self->asked) {
            struct meta_order order = {.op = META_JOB_SET, .id = job->id, .what = META_RESUME};
            give(self, view->node, &order);
        }
    }
    for (size_t i = 0; i < view->map.node_count && !self->asked && self->ended; i++) {
        if (view->map.nodes[i].state == NODE_DRAINING) {
            struct meta_order order = {
                .op = META_NODE, .id = view->map.nodes[i].id, .what = META_UNDRAIN};
            self->ended = false;
            give(self, view->node, &order);
        }
    }
    if (!self->ended && self->sim->now_ns - self->stopped_ns > END_MS * SIM_MS) {
        for (size_t i = 0; i < view->jobs.count; i++) {
            const struct cluster_job *job = &view->jobs.jobs[i];
            if (cluster_job_active(job)) {
                char text[JOB_TEXT_SIZE_MAX];
                sim_fail(self->sim, "job %llu (%s, %s, step %u) does not end",
                         (unsigned long long)job->id,
                         job_spec_describe(&job->spec, text, sizeof(text)),
                         cluster_job_state_text(job->state), job->step);
            }
        }
    }
}

static void check_crowd(struct sim *sim,
                        const struct shard_map *map,
                        uint64_t shard,
                        const uint64_t *nodes,
                        unsigned count)
{
    unsigned allowed = count <= 3 ? 1 : 2; /* Of three zones with two nodes each. */
    if (job_check_crowd(map, nodes, count) > allowed) {
        sim_fail(sim, "shard %llu has %u of %u replicas in one zone", (unsigned long long)shard,
                 job_check_crowd(map, nodes, count), count);
    }
}

/* Those that are wanted, and those that the leaders' groups have. */
static void check_zones(struct sim *sim, const struct view *view)
{
    const struct shard_map *map = &view->map;
    uint64_t nodes[GROUP_MEMBERS_MAX];
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = i < map->shard_count ? &map->shards[i] : &map->meta;
        for (unsigned j = 0; j < shard->replica_count; j++) {
            nodes[j] = shard->replicas[j].node;
        }
        check_crowd(sim, map, shard->id, nodes, shard->replica_count);
    }
    for (unsigned n = 0; n < sim->options.nodes; n++) {
        struct worker *worker = sim_node_worker(sim->nodes[n]);
        size_t at = 0;
        for (struct shard *here; worker != NULL && (here = worker_next_shard(worker, &at));) {
            const struct group_conf *conf = &shard_state(here)->group.conf;
            unsigned voters = 0;
            for (unsigned j = 0; j < conf->count && shard_leads(here); j++) {
                nodes[voters] = conf->members[j].node;
                voters += conf->members[j].role == MEMBER_VOTER;
            }
            check_crowd(sim, map, shard_id(here), nodes, voters);
        }
    }
}

static bool is_crowded(const struct shard_map *map)
{
    bool crowded = false;
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = i < map->shard_count ? &map->shards[i] : &map->meta;
        uint64_t nodes[SHARD_REPLICAS_MAX];
        for (unsigned j = 0; j < shard->replica_count; j++) {
            nodes[j] = shard->replicas[j].node;
        }
        crowded = crowded || job_check_crowd(map, nodes, shard->replica_count) > 1;
    }
    return crowded;
}

static void act(struct sim_jobs *self, const struct view *view)
{
    struct sim *sim = self->sim;
    size_t active = 0;
    sim->jobs = 0;
    for (size_t i = 0; i < view->jobs.count; i++) {
        active += cluster_job_active(&view->jobs.jobs[i]);
        sim->jobs += view->jobs.jobs[i].state == JOB_DONE;
    }
    if (self->stopped) {
        ask_end(self, view);
        return;
    }
    switch (rand_below(&sim->rand, 10)) {
    case 0: ask_drain(self, view); break;
    case 1: ask_change(self, view); break;
    default:
        if (active < ACTIVE_MAX) {
            ask_move(self, view);
        }
        break;
    }
}

static void tick(void *arg)
{
    struct sim_jobs *self = arg;
    struct sim *sim = self->sim;
    struct view view;
    if (self->asked && sim->now_ns - self->asked_ns > PATIENCE_MS * SIM_MS) {
        self->asked = false; /* Lost with its node. */
        self->calls++;
    }
    bool found = look(sim, &view);
    if (found && !self->looked) {
        self->looked = true;
        self->crowded = is_crowded(&view.map);
    }
    if (found && sim->options.nodes == ZONED_NODES && !self->crowded) {
        check_zones(sim, &view);
    }
    if (found && !self->asked) {
        act(self, &view);
    }
    drop(&view);
    sim_after(sim, NULL, sim_random_ns(sim, 20 * SIM_MS, 400 * SIM_MS), tick, self);
}

void sim_jobs_make(struct sim *sim)
{
    struct sim_jobs *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->sim = sim;
    sim->mover = self;
    tick(self);
}

void sim_jobs_stop(struct sim *sim)
{
    if (sim->mover != NULL) {
        sim->mover->stopped = true;
        sim->mover->stopped_ns = sim->now_ns;
    }
}

bool sim_jobs_ended(const struct sim *sim)
{
    return sim->mover == NULL || sim->mover->ended;
}

const char *sim_jobs_zone(const struct sim *sim, unsigned node)
{
    static const char *const zones[] = {"a", "b", "c"};
    bool zoned = sim->options.moves && sim->options.nodes == ZONED_NODES;
    return zoned ? zones[node % 3] : "";
}
