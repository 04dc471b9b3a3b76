#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/proto/resp.h"
#include "server/control/meta_machine.h"
#include "server/control/meta_order.h"
#include "server/worker.h"
#include "tests/sim/sim.h"

/* Divides shards while everything else goes on: random shards at random tokens, as jobs of the meta
 * group, which it drives like a steward: ids for the child, the split, the report to the map. It
 * asks through the workers of the nodes, whose answers may be lost with them. */

enum { ARGS_MAX = 24, TEXT_SIZE = 24, TRIES_MAX = 40, SHARDS_MAX = 24, REPORT_MAX = 64 };

struct sim_surgeon {
    struct sim *sim;
    uint64_t calls; /* Numbers them: answers to an older one are void. */
    bool asked;
    uint64_t asked_ns;
    uint64_t job; /* That the last answer was about. */
    unsigned tries;
    bool done;   /* The split of the job was answered with OK, or was there already, */
    bool failed; /* or will never be done. */
    bool stopped;
};

/* One call. What it points to lives behind it. */
struct ask {
    struct worker_op op;
    struct sim_surgeon *surgeon;
    uint64_t number;
    uint64_t job; /* It is the split of this job; 0: it is something else. */
    struct slice argv[ARGS_MAX];
    struct buf text;
};

static bool begins(struct slice reply, const char *text)
{
    size_t len = strlen(text);
    return reply.len >= len && memcmp(reply.data, text, len) == 0;
}

static void on_split(struct sim_surgeon *self, enum status status, struct slice reply)
{
    bool answered = status == STATUS_OK;
    if (answered && begins(reply, "+OK")) {
        self->sim->splits++;
        self->done = true;
    } else if (answered && begins(reply, "-STALE")) {
        self->done = true; /* Done by an earlier try, or overtaken: the map says which. */
    } else if ((answered && begins(reply, "-REFUSED")) || self->tries > TRIES_MAX) {
        self->failed = true;
    }
    if (answered && !begins(reply, "+OK")) {
        sim_trace(self->sim, "split refused: %.*s", (int)reply.len - 2, (const char *)reply.data);
    }
}

static void deliver(struct worker_op *op, enum status status, struct slice reply)
{
    struct ask *ask = list_entry(op, struct ask, op);
    struct sim_surgeon *self = ask->surgeon;
    if (ask->number == self->calls) {
        self->asked = false;
        if (ask->job != 0 && ask->job == self->job) {
            on_split(self, status, reply);
        } else if (status == STATUS_OK && begins(reply, "-")) {
            sim_trace(self->sim, "surgeon: %.*s", (int)reply.len - 2, (const char *)reply.data);
        }
    }
    buf_deinit(&ask->text);
    free(ask);
}

static struct ask *ask_new(struct sim_surgeon *self, const char *name)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    assert(ask != NULL);
    ask->surgeon = self;
    ask->number = ++self->calls;
    buf_init(&ask->text, 1 << 20);
    (void)buf_reserve(&ask->text, 1 << 16); /* So that it does not move. */
    ask->argv[0] = slice_str(name);
    ask->op.op.args = (struct args){.argv = ask->argv, .argc = 1};
    ask->op.deliver = deliver;
    self->asked = true;
    self->asked_ns = self->sim->now_ns;
    return ask;
}

/* The text that was appended from offset on is the next argument. */
static void add_arg(struct ask *ask, size_t offset)
{
    assert(ask->op.op.args.argc < ARGS_MAX);
    ask->argv[ask->op.op.args.argc++] = slice_of(ask->text.data + offset, ask->text.len - offset);
}

static void add_number(struct ask *ask, uint64_t number)
{
    size_t offset = ask->text.len;
    buf_append_format(&ask->text, "%llu", (unsigned long long)number);
    add_arg(ask, offset);
}

static void send(struct sim_surgeon *self, struct ask *ask, unsigned node, uint64_t shard)
{
    struct sim_actor *actor = &self->sim->actors[node];
    struct worker *worker = sim_node_worker(self->sim->nodes[node]);
    ask->op.origin = worker;
    ask->op.shard = shard;
    ask->op.op.write = shard == SHARD_META;
    ask->op.op.command = shard == SHARD_META ? NULL : command_find(ask->argv[0]);
    sim_enter(actor);
    ask->op.op.expires_ms = clock_now_ms() + 2000;
    worker_submit(worker, &ask->op);
    sim_turn(actor);
}

/* A node that runs and believes to lead the shard; false: there is none. */
static bool find_leader(const struct sim *sim, uint64_t shard, unsigned *node)
{
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        struct worker *worker = sim_node_worker(sim->nodes[i]);
        struct shard *here = worker == NULL ? NULL : worker_shard(worker, shard);
        if (here != NULL && shard_leads(here) && !sim->actors[i].paused) {
            *node = i;
            return true;
        }
    }
    return false;
}

static void order(struct sim_surgeon *self, unsigned node, struct meta_order *order)
{
    struct ask *ask = ask_new(self, "META.ORDER");
    (void)snprintf(order->who, sizeof(order->who), "surgeon");
    meta_order_encode(order, &ask->text);
    add_arg(ask, 0);
    send(self, ask, node, SHARD_META);
}

/* ---- what is to be done ---- */

static bool differs(const struct shard_map *map, const struct shard_desc *desc)
{
    const struct shard_desc *mapped = shard_map_shard(map, desc->id);
    return mapped == NULL || mapped->ver < desc->ver;
}

/* What the leaders know and the map does not, all at once. False: nothing. */
static bool report(struct sim_surgeon *self, unsigned meta, const struct shard_map *map)
{
    struct sim *sim = self->sim;
    struct shard_desc news[ARGS_MAX];
    size_t count = 0;
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        struct worker *worker = sim_node_worker(sim->nodes[i]);
        size_t at = 0;
        for (struct shard *shard; worker != NULL && count < ARGS_MAX - 1 &&
                                  (shard = worker_next_shard(worker, &at)) != NULL;) {
            struct shard_desc desc;
            shard_describe(shard, &desc);
            if (shard_leads(shard) && desc.id != SHARD_META && differs(map, &desc)) {
                news[count++] = desc;
            }
        }
    }
    if (count == 0) {
        return false;
    }
    struct ask *ask = ask_new(self, "META.REPORT");
    for (size_t i = 0; i < count; i++) {
        size_t offset = ask->text.len;
        shard_desc_encode(&news[i], &ask->text);
        add_arg(ask, offset);
    }
    send(self, ask, meta, SHARD_META);
    return true;
}

static void ask_split(struct sim_surgeon *self, const struct cluster_job *job)
{
    unsigned node = 0;
    if (!find_leader(self->sim, job->spec.shard, &node)) {
        self->failed = ++self->tries > TRIES_MAX;
        return;
    }
    struct ask *ask = ask_new(self, "shard_split");
    ask->job = job->id;
    self->tries++;
    add_number(ask, job->spec.ver);
    add_number(ask, job->spec.token);
    add_number(ask, job->child);
    add_number(ask, job->id);
    for (unsigned i = 0; i < job->birth_count; i++) {
        add_number(ask, job->births[i].node);
        add_number(ask, job->births[i].id);
    }
    sim_trace(self->sim, "split shard %llu at %016llx, child %llu",
              (unsigned long long)job->spec.shard, (unsigned long long)job->spec.token,
              (unsigned long long)job->child);
    send(self, ask, node, job->spec.shard);
}

static void drive(struct sim_surgeon *self, unsigned meta, const struct cluster_job *job)
{
    if (self->job != job->id) {
        self->job = job->id;
        self->tries = 0;
        self->done = self->failed = false;
    }
    if (job->state == JOB_QUEUED) {
        struct meta_order step = {.op = META_JOB_STEP, .id = job->id};
        order(self, meta, &step);
    } else if (self->done || self->failed) {
        struct meta_order end = {
            .op = META_JOB_END, .id = job->id, .what = self->done ? JOB_DONE : JOB_FAILED};
        order(self, meta, &end);
    } else {
        ask_split(self, job);
    }
}

static void begin(struct sim_surgeon *self, unsigned meta, const struct shard_map *map)
{
    struct sim *sim = self->sim;
    if (map->shard_count == 0 || map->shard_count >= SHARDS_MAX || self->stopped ||
        !sim_chance(sim, 300)) {
        return;
    }
    const struct shard_desc *shard = &map->shards[rand_below(&sim->rand, map->shard_count)];
    if (shard->last - shard->start < 2) {
        return;
    }
    struct buf items;
    buf_init(&items, 4096);
    struct job_spec spec = {
        .kind = JOB_SPLIT,
        .shard = shard->id,
        .token = shard->start + 1 + rand_below(&sim->rand, shard->last - shard->start)};
    job_spec_encode(&spec, &items);
    struct meta_order add = {.op = META_JOB_ADD, .count = 1, .items = buf_slice(&items)};
    order(self, meta, &add);
    buf_deinit(&items);
}

static void operate(struct sim_surgeon *self, unsigned meta)
{
    struct worker *worker = sim_node_worker(self->sim->nodes[meta]);
    struct shard_map map;
    struct job_list jobs = {0};
    uint8_t mode = 0;
    const struct cluster_job *active = NULL;
    shard_map_init(&map);
    enum status status = meta_machine_load_all(worker_txn(worker), &map, &jobs, &mode);
    assert(status == STATUS_OK);
    for (size_t i = 0; i < jobs.count && active == NULL; i++) {
        active = cluster_job_active(&jobs.jobs[i]) ? &jobs.jobs[i] : NULL;
    }
    if (report(self, meta, &map)) {
        /* First of all: the next split is of what is there. */
    } else if (active != NULL) {
        drive(self, meta, active);
    } else {
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
    if (self->asked && sim->now_ns - self->asked_ns > 3000 * SIM_MS) {
        self->asked = false; /* Lost with its node. */
        self->calls++;
    }
    if (!self->asked && find_leader(sim, SHARD_META, &meta)) {
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
