#include "tests/support/balance_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "server/control/job_check.h"
#include "server/control/placement.h"
#include "tests/support/test.h"

enum {
    OP_US = 20,
    APPLY_US = 5,      /* Of a write, on every replica. */
    OPS_PER_HIT = 160, /* Of what the clients do, a part is shown to the meters. */
    HITS_MAX = 600,
    SECOND_MS = 1000,
    MOVE_BYTES_PER_SECOND = 100 << 20,
};

static void place(struct balance_model *model, unsigned nodes, unsigned shards, uint64_t bytes)
{
    uint64_t width = UINT64_MAX / shards + 1;
    for (unsigned i = 0; i < shards; i++) {
        struct shard_desc *desc = &model->descs[i];
        *desc = (struct shard_desc){.id = model->next_id++,
                                    .start = i * width,
                                    .last = i + 1 == shards ? UINT64_MAX : (i + 1) * width - 1,
                                    .ver = 1,
                                    .conf_ver = 1,
                                    .replica_count = nodes < 3 ? nodes : 3};
        for (unsigned k = 0; k < desc->replica_count; k++) {
            desc->replicas[k] =
                (struct replica_desc){.id = model->next_id++, .node = 1 + (i + k) % nodes};
        }
        model->shards[i].bytes = bytes;
        model->shards[i].leader = i % nodes;
        shard_meter_init(&model->shards[i].meter, desc->start, desc->last, model->now_ms);
    }
    model->map.shard_count = shards;
    model->map.shards_wanted = shards;
}

void balance_model_add_node(struct balance_model *model, const char *zone)
{
    size_t at = model->map.node_count++;
    assert(at < MODEL_NODES_MAX);
    model->nodes[at] = (struct node_desc){.id = at + 1, .incarnation = at + 100};
    (void)snprintf(model->nodes[at].zone, sizeof(model->nodes[at].zone), "%s", zone);
}

struct balance_model *balance_model_new(unsigned nodes,
                                        unsigned zones,
                                        unsigned shards,
                                        uint64_t bytes)
{
    struct balance_model *model = calloc(1, sizeof(*model));
    assert(model != NULL && shards <= MODEL_SHARDS_MAX);
    rand_init(&model->rand, 99);
    model->now_ms = 1000000;
    model->next_id = 100;
    model->loops = 2;
    model->map.version = 1;
    model->map.replicas = 3;
    model->map.nodes = model->nodes;
    model->map.shards = model->descs;
    for (unsigned i = 0; i < nodes; i++) {
        char zone[16];
        (void)snprintf(zone, sizeof(zone), "z%u", zones == 0 ? 0 : i % zones);
        balance_model_add_node(model, zone);
    }
    place(model, nodes, shards, bytes);
    load_table_init(&model->table);
    struct balancer_options options = {0};
    model->balancer = balancer_new(&options, model->now_ms);
    return model;
}

void balance_model_free(struct balance_model *model)
{
    for (size_t i = 0; i < model->map.shard_count; i++) {
        shard_meter_deinit(&model->shards[i].meter);
    }
    load_table_deinit(&model->table);
    job_list_deinit(&model->jobs);
    balancer_free(model->balancer);
    free(model);
}

struct model_source *balance_model_source(struct balance_model *model,
                                          uint64_t first,
                                          uint64_t last,
                                          double ops)
{
    assert(model->source_count < MODEL_SOURCES_MAX && first <= last);
    struct model_source *source = &model->sources[model->source_count++];
    *source = (struct model_source){.first = first, .last = last, .ops = ops};
    return source;
}

/* ---- load ---- */

static double overlap(const struct model_source *source, const struct shard_desc *desc)
{
    uint64_t first = source->first > desc->start ? source->first : desc->start;
    uint64_t last = source->last < desc->last ? source->last : desc->last;
    if (first > last) {
        return 0;
    }
    return ((double)(last - first) + 1) / ((double)(source->last - source->first) + 1);
}

struct demand {
    double ops, writes, absent;
};

static struct demand demand_of(const struct balance_model *model, const struct shard_desc *desc)
{
    struct demand demand = {0};
    for (size_t i = 0; i < model->source_count; i++) {
        const struct model_source *source = &model->sources[i];
        double part = overlap(source, desc);
        demand.ops += part * source->ops;
        demand.writes += part * source->ops * source->writes;
    }
    return demand;
}

/* What METER_SAMPLE hits there do to a meter, the one that it looks at among them. */
static void hit(struct shard_meter *meter, const struct model_source *source, uint64_t token)
{
    heat_add(&meter->heat, token, METER_SAMPLE, !source->absent);
    if (meter->top == NULL) {
        return;
    }
    char name[24];
    int len = snprintf(name, sizeof(name), "%016llx", (unsigned long long)token);
    space_saving_add(meter->top, &(struct space_saving_hit){.place = token,
                                                            .key = slice_of(name, (size_t)len),
                                                            .write = source->writes > 0.5,
                                                            .absent = source->absent,
                                                            .weight = 1});
}

/* Hits like those of the sources, fewer. */
static void feed(struct balance_model *model, struct model_shard *shard, double ops)
{
    struct shard_desc *desc = &model->descs[shard - model->shards];
    double hits = ops / OPS_PER_HIT < HITS_MAX ? ops / OPS_PER_HIT : HITS_MAX;
    for (size_t i = 0; ops >= 1 && i < model->source_count; i++) {
        const struct model_source *source = &model->sources[i];
        double share = overlap(source, desc) * source->ops * model->pace / ops * hits;
        uint64_t count = (uint64_t)share;
        double rest = (share - (double)count) * 1000;
        count += rand_below(&model->rand, 1000) < (uint64_t)rest;
        uint64_t first = source->first > desc->start ? source->first : desc->start;
        uint64_t last = source->last < desc->last ? source->last : desc->last;
        for (uint64_t k = 0; k < count; k++) {
            uint64_t token = first == last ? first : first + rand_below(&model->rand, last - first);
            hit(&shard->meter, source, token);
        }
    }
}

static void load_shards(struct balance_model *model)
{
    double loads[MODEL_NODES_MAX] = {0};
    struct demand demands[MODEL_SHARDS_MAX];
    double sum = 0;
    for (size_t i = 0; i < model->map.shard_count; i++) {
        demands[i] = demand_of(model, &model->descs[i]);
        model->shards[i].wanted = demands[i].ops * OP_US;
        loads[model->shards[i].leader] += model->shards[i].wanted;
        for (unsigned k = 0; k < model->descs[i].replica_count; k++) {
            size_t node = model->descs[i].replicas[k].node - 1;
            if (node != model->shards[i].leader && node < MODEL_NODES_MAX) {
                loads[node] += demands[i].writes * APPLY_US;
            }
        }
    }
    double most = 0;
    size_t alive = 0;
    for (size_t i = 0; i < model->map.node_count; i++) {
        sum += loads[i];
        most = loads[i] > most ? loads[i] : most;
        alive += !model->dead[i];
    }
    double capacity = model->loops * 1e6;
    model->pace = most > capacity ? capacity / most : 1;
    double even = sum / (double)alive;
    model->best = even > capacity ? capacity / even : 1;
    for (size_t i = 0; i < model->map.shard_count; i++) {
        struct model_shard *shard = &model->shards[i];
        double ops = demands[i].ops * model->pace;
        feed(model, shard, ops);
        struct meter_count *now = &shard->meter.now;
        now->ops = (uint64_t)ops;
        now->writes = (uint64_t)(demands[i].writes * model->pace);
        now->reads = now->ops - now->writes;
        now->work = now->ops * OP_US;
        now->apply = now->writes * APPLY_US;
        bool engage = shard->meter.rate.cpu > capacity / 40;
        shard_meter_tick(&shard->meter, model->now_ms, (uint64_t)(ops * OP_US), engage);
    }
}

static void report(struct balance_model *model, size_t node)
{
    struct buf out;
    buf_init(&out, 64 << 20);
    uint32_t count = 0;
    for (size_t i = 0; i < model->map.shard_count; i++) {
        count += model->shards[i].leader == node;
    }
    struct node_load head = {.node = model->nodes[node].id,
                             .incarnation = model->nodes[node].incarnation,
                             .loops = model->loops};
    load_report_begin(&head, count, &out);
    for (size_t i = 0; i < model->map.shard_count; i++) {
        if (model->shards[i].leader == node) {
            struct shard_load load = {.shard = model->descs[i].id,
                                      .ver = model->descs[i].ver,
                                      .bytes = model->shards[i].bytes,
                                      .keys = 1000};
            shard_meter_read(&model->shards[i].meter, &load);
            shard_load_encode(&load, &out);
        }
    }
    CHECK_EQ(load_table_take(&model->table, buf_slice(&out), model->now_ms), STATUS_OK);
    buf_deinit(&out);
}

/* ---- jobs ---- */

static size_t index_of(const struct balance_model *model, uint64_t shard)
{
    size_t at = 0;
    while (at < model->map.shard_count && model->descs[at].id != shard) {
        at++;
    }
    CHECK(at < model->map.shard_count);
    return at;
}

static void open_gap(struct balance_model *model, size_t at)
{
    size_t behind = model->map.shard_count - at;
    assert(model->map.shard_count < MODEL_SHARDS_MAX);
    memmove(&model->descs[at + 1], &model->descs[at], behind * sizeof(model->descs[0]));
    memmove(&model->shards[at + 1], &model->shards[at], behind * sizeof(model->shards[0]));
    model->map.shard_count++;
}

static void close_gap(struct balance_model *model, size_t at)
{
    size_t behind = model->map.shard_count - at - 1;
    memmove(&model->descs[at], &model->descs[at + 1], behind * sizeof(model->descs[0]));
    memmove(&model->shards[at], &model->shards[at + 1], behind * sizeof(model->shards[0]));
    model->map.shard_count--;
}

static void do_split(struct balance_model *model, const struct cluster_job *job)
{
    size_t at = index_of(model, job->spec.shard);
    open_gap(model, at + 1);
    struct shard_desc *parent = &model->descs[at];
    struct shard_desc *child = &model->descs[at + 1];
    *child = *parent;
    child->id = job->child;
    child->start = job->spec.token;
    parent->last = job->spec.token - 1;
    parent->ver++;
    child->ver = parent->ver;
    for (unsigned k = 0; k < child->replica_count; k++) {
        child->replicas[k].id = model->next_id++;
    }
    model->shards[at + 1] = model->shards[at];
    model->shards[at].bytes /= 2;
    model->shards[at + 1].bytes /= 2;
    shard_meter_init(&model->shards[at + 1].meter, child->start, child->last, model->now_ms);
    shard_meter_split(&model->shards[at].meter, &model->shards[at + 1].meter, child->start);
}

static void do_merge(struct balance_model *model, const struct cluster_job *job)
{
    size_t right = index_of(model, job->spec.shard);
    size_t left = index_of(model, job->spec.other);
    CHECK_EQ(right, left + 1);
    model->descs[left].last = model->descs[right].last;
    model->descs[left].ver++;
    model->shards[left].bytes += model->shards[right].bytes;
    shard_meter_absorb(&model->shards[left].meter, &model->shards[right].meter,
                       model->descs[left].start, model->descs[left].last);
    shard_meter_deinit(&model->shards[right].meter);
    close_gap(model, right);
}

static void check_zones(const struct balance_model *model, const struct shard_desc *desc)
{
    uint64_t nodes[SHARD_REPLICAS_MAX];
    for (unsigned k = 0; k < desc->replica_count; k++) {
        nodes[k] = desc->replicas[k].node;
    }
    CHECK(job_check_crowd(&model->map, nodes, desc->replica_count) <=
          job_check_zone_cap(&model->map, desc->replica_count));
}

static void do_move(struct balance_model *model, const struct cluster_job *job)
{
    size_t at = index_of(model, job->spec.shard);
    struct shard_desc *desc = &model->descs[at];
    for (unsigned k = 0; k < desc->replica_count; k++) {
        if (desc->replicas[k].node == job->spec.from) {
            desc->replicas[k] = (struct replica_desc){.id = model->next_id++, .node = job->spec.to};
        }
    }
    desc->conf_ver++;
    if (model->shards[at].leader == job->spec.from - 1) {
        model->shards[at].leader = job->spec.to - 1;
    }
    model->moved_bytes += model->shards[at].bytes;
    check_zones(model, desc);
}

static void do_transfer(struct balance_model *model, const struct cluster_job *job)
{
    size_t at = index_of(model, job->spec.shard);
    CHECK(shard_map_replica_on(&model->descs[at], job->spec.to) != NULL);
    CHECK(!model->dead[job->spec.to - 1]);
    model->shards[at].leader = job->spec.to - 1;
    model->descs[at].conf_ver++;
    /* The new leader measures from the beginning. */
    struct shard_meter *meter = &model->shards[at].meter;
    shard_meter_deinit(meter);
    shard_meter_init(meter, model->descs[at].start, model->descs[at].last, model->now_ms);
}

static void end_jobs(struct balance_model *model)
{
    for (size_t i = 0; i < model->jobs.count; i++) {
        struct cluster_job *job = &model->jobs.jobs[i];
        if (!cluster_job_active(job) || job->ended_ms > model->now_ms) {
            continue;
        }
        job->state = JOB_DONE;
        switch (job->spec.kind) {
        case JOB_SPLIT: do_split(model, job); break;
        case JOB_MERGE: do_merge(model, job); break;
        case JOB_MOVE: do_move(model, job); break;
        case JOB_TRANSFER: do_transfer(model, job); break;
        case JOB_DRAIN:
        case JOB_REPLACE:
        case JOB_REBUILD:
        case JOB_REBALANCE:
        case JOB_KINDS: CHECK(false);
        }
    }
}

static void begin_job(struct balance_model *model, struct job_spec spec)
{
    char text[JOB_FAULT_SIZE];
    const char *fault = job_check(&model->map, &spec, text);
    if (fault != NULL) {
        (void)fprintf(stderr, "%s\n", fault);
    }
    CHECK(fault == NULL);
    uint64_t ms = SECOND_MS;
    if (spec.kind == JOB_MOVE && !model->quick_jobs) {
        uint64_t bytes = model->shards[index_of(model, spec.shard)].bytes;
        ms = 2 * SECOND_MS + bytes * 1000 / MOVE_BYTES_PER_SECOND;
    }
    struct cluster_job job = {.id = model->next_id++,
                              .spec = spec,
                              .state = JOB_RUNNING,
                              .step = 1,
                              .ended_ms = model->now_ms + ms};
    job.child = spec.kind == JOB_SPLIT ? model->next_id++ : 0;
    job_list_add(&model->jobs, &job);
    model->splits += spec.kind == JOB_SPLIT;
    model->transfers += spec.kind == JOB_TRANSFER;
    model->moves += spec.kind == JOB_MOVE;
    model->merges += spec.kind == JOB_MERGE;
}

void balance_model_step(struct balance_model *model)
{
    model->now_ms += SECOND_MS;
    end_jobs(model);
    load_shards(model);
    for (size_t i = 0; i < model->map.node_count; i++) {
        if (!model->dead[i]) {
            report(model, i);
        }
    }
    load_table_tick(&model->table, model->now_ms);
    struct balance_input input = {
        .map = &model->map, .table = &model->table, .jobs = &model->jobs, .now_ms = model->now_ms};
    balancer_tick(model->balancer, &input, model->mode, &model->output);
    if (model->output.decided) {
        begin_job(model, model->output.spec);
    }
    model->notes += (unsigned)model->output.note_count;
    for (size_t i = 0; i < model->output.note_count; i++) {
        model->last_note = model->output.notes[i];
    }
}

double balance_model_skew(const struct balance_model *model)
{
    double loads[MODEL_NODES_MAX] = {0};
    double sum = 0;
    double most = 0;
    for (size_t i = 0; i < model->map.shard_count; i++) {
        loads[model->shards[i].leader] += model->shards[i].wanted;
        sum += model->shards[i].wanted;
    }
    for (size_t i = 0; i < model->map.node_count; i++) {
        most = loads[i] > most ? loads[i] : most;
    }
    return sum > 0 ? most / (sum / (double)model->map.node_count) : 1;
}

uint64_t balance_model_bytes(const struct balance_model *model, size_t node)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->map.shard_count; i++) {
        bool there = shard_map_replica_on(&model->descs[i], node + 1) != NULL;
        bytes += there ? model->shards[i].bytes : 0;
    }
    return bytes;
}
