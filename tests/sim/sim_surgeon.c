#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "server/control/meta_machine.h"
#include "server/control/meta_order.h"
#include "server/worker.h"
#include "tests/sim/sim.h"

/* Divides and merges shards while everything else goes on: random shards, random tokens, as jobs of
 * the meta group, which its leader's steward drives. */

enum { ARGS_MAX = 2, SHARDS_MAX = 24, PATIENCE_MS = 3000 };

struct sim_surgeon {
    struct sim *sim;
    uint64_t calls; /* Numbers them: answers to an older one are void. */
    bool asked;
    uint64_t asked_ns;
    bool stopped;
};

/* One call. What it points to lives behind it. */
struct ask {
    struct worker_op op;
    struct sim_surgeon *surgeon;
    uint64_t number;
    struct slice argv[ARGS_MAX];
    struct buf text;
};

static void deliver(struct worker_op *op, enum status status, struct slice reply)
{
    struct ask *ask = list_entry(op, struct ask, op);
    struct sim_surgeon *self = ask->surgeon;
    if (status == STATUS_OK && reply.len > 0 && reply.data[0] == '-') {
        sim_trace(self->sim, "surgeon: %.*s", (int)reply.len - 2, (const char *)reply.data);
    }
    if (ask->number == self->calls) {
        self->asked = false;
    }
    buf_deinit(&ask->text);
    free(ask);
}

static void order(struct sim_surgeon *self, unsigned node, struct meta_order *order)
{
    struct sim_actor *actor = &self->sim->actors[node];
    struct worker *worker = sim_node_worker(self->sim->nodes[node]);
    struct ask *ask = calloc(1, sizeof(*ask));
    assert(ask != NULL);
    ask->surgeon = self;
    ask->number = ++self->calls;
    buf_init(&ask->text, 1 << 20);
    (void)snprintf(order->who, sizeof(order->who), "surgeon");
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

/* A node that runs and believes to lead the meta group; false: there is none. */
static bool find_leader(const struct sim *sim, unsigned *node)
{
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        struct worker *worker = sim_node_worker(sim->nodes[i]);
        struct shard *here = worker == NULL ? NULL : worker_shard(worker, SHARD_META);
        if (here != NULL && shard_leads(here) && !sim->actors[i].paused) {
            *node = i;
            return true;
        }
    }
    return false;
}

static bool pick(struct sim *sim, const struct shard_map *map, struct job_spec *spec)
{
    if (map->shard_count > 1 && sim_chance(sim, sim->options.merges)) {
        size_t at = rand_below(&sim->rand, map->shard_count - 1);
        size_t right = rand_below(&sim->rand, 2);
        *spec = (struct job_spec){.kind = JOB_MERGE,
                                  .shard = map->shards[at + right].id,
                                  .other = map->shards[at + 1 - right].id};
        return true;
    }
    const struct shard_desc *shard = &map->shards[rand_below(&sim->rand, map->shard_count)];
    if (shard->last - shard->start < 2 || map->shard_count >= SHARDS_MAX) {
        return false;
    }
    *spec = (struct job_spec){
        .kind = JOB_SPLIT,
        .shard = shard->id,
        .token = shard->start + 1 + rand_below(&sim->rand, shard->last - shard->start)};
    return true;
}

static void begin(struct sim_surgeon *self, unsigned meta, const struct shard_map *map)
{
    struct sim *sim = self->sim;
    struct job_spec spec;
    if (map->shard_count == 0 || self->stopped || !sim_chance(sim, 300) || !pick(sim, map, &spec)) {
        return;
    }
    struct buf items;
    buf_init(&items, 4096);
    job_spec_encode(&spec, &items);
    struct meta_order add = {.op = META_JOB_ADD, .count = 1, .items = buf_slice(&items)};
    order(self, meta, &add);
    buf_deinit(&items);
}

/* One job at a time, so that there are always some shards to do it to. */
static void operate(struct sim_surgeon *self, unsigned meta)
{
    struct worker *worker = sim_node_worker(self->sim->nodes[meta]);
    struct shard_map map;
    struct job_list jobs = {0};
    uint8_t mode = 0;
    bool active = false;
    uint64_t splits = 0;
    uint64_t merges = 0;
    shard_map_init(&map);
    enum status status = meta_machine_load_all(worker_txn(worker), &map, &jobs, &mode);
    assert(status == STATUS_OK);
    for (size_t i = 0; i < jobs.count; i++) {
        active = active || cluster_job_active(&jobs.jobs[i]);
        bool ended = jobs.jobs[i].state == JOB_DONE;
        splits += ended && jobs.jobs[i].spec.kind == JOB_SPLIT;
        merges += ended && jobs.jobs[i].spec.kind == JOB_MERGE;
    }
    self->sim->splits = splits;
    self->sim->merges = merges;
    if (!active) {
        begin(self, meta, &map);
    }
    job_list_deinit(&jobs);
    shard_map_deinit(&map);
}

static void tick(void *arg)
{
    struct sim_surgeon *self = arg;
    struct sim *sim = self->sim;
    unsigned meta = 0;
    if (self->asked && sim->now_ns - self->asked_ns > PATIENCE_MS * SIM_MS) {
        self->asked = false; /* Lost with its node. */
        self->calls++;
    }
    if (!self->asked && find_leader(sim, &meta)) {
        operate(self, meta);
    }
    sim_after(sim, NULL, sim_random_ns(sim, 5 * SIM_MS, 300 * SIM_MS), tick, self);
}

void sim_surgeon_make(struct sim *sim)
{
    struct sim_surgeon *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->sim = sim;
    sim->surgeon = self;
    tick(self);
}

void sim_surgeon_stop(struct sim *sim)
{
    if (sim->surgeon != NULL) {
        sim->surgeon->stopped = true;
    }
}
