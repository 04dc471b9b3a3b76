#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "server/worker_private.h"

/* What the loop's shards had to do. Every second the time of the loop's thread is shared out among
 * them by what each of them measured, so that they add up to it; what an idle loop spends on itself
 * is nobody's. */

enum {
    LOAD_MS = 1000,
    SIZES_MS = 15000,
    /* The thread may take so many times what the shards measured; more is not their doing. */
    OVERHEAD_MAX = 8,
    ENGAGE_OPS = 100,       /* Per second, at least. */
    ENGAGE_CPU_US = 125000, /* A quarter of half a core, */
    ENGAGE_SHARE = 20,      /* or a 20th of what the loop does: a quarter of what is hot. */
};

struct size_row {
    uint64_t shard, start, last, bytes;
};

struct size_job {
    struct job job;
    struct worker *worker;
    size_t count;
    struct size_row rows[];
};

static void run_sizes(struct job *job)
{
    struct size_job *sizes = list_entry(job, struct size_job, job);
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    for (size_t i = 0; i < sizes->count; i++) {
        struct size_row *row = &sizes->rows[i];
        buf_clear(&from);
        buf_clear(&to);
        machine_range((struct machine_scope){row->shard, row->start, row->last}, STORE_DATA, &from,
                      &to);
        row->bytes =
            store_size(sizes->worker->options.store, STORE_DATA, buf_slice(&from), buf_slice(&to));
    }
    buf_deinit(&from);
    buf_deinit(&to);
}

static void on_sizes(struct job *job)
{
    struct size_job *sizes = list_entry(job, struct size_job, job);
    struct worker *worker = sizes->worker;
    worker->jobs--;
    for (size_t i = 0; i < sizes->count; i++) {
        struct slot *slot = worker_slot(worker, sizes->rows[i].shard);
        if (slot != NULL) {
            slot->bytes = sizes->rows[i].bytes;
        }
    }
    worker->sizing = false;
    free(sizes);
}

static bool told_of(const struct slot *slot)
{
    return shard_leads(slot->shard) && shard_id(slot->shard) != SHARD_META;
}

static void measure_sizes(struct worker *worker)
{
    struct size_job *sizes =
        calloc(1, sizeof(*sizes) + worker->slots.count * sizeof(struct size_row));
    assert(sizes != NULL);
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        if (told_of(slot)) {
            const struct shard_desc *desc = &shard_state(slot->shard)->desc;
            sizes->rows[sizes->count++] =
                (struct size_row){.shard = desc->id, .start = desc->start, .last = desc->last};
        }
    }
    sizes->worker = worker;
    sizes->job = (struct job){.run = run_sizes, .done = on_sizes};
    worker->sizing = true;
    worker->jobs++;
    worker->env.run(worker->env.ctx, &sizes->job);
}

/* A split, a merge or a snapshot changed it. */
static void follow_range(struct shard *shard)
{
    const struct shard_desc *desc = &shard_state(shard)->desc;
    struct shard_meter *meter = shard_meter(shard);
    if (desc->start != meter->heat.start || desc->last != meter->heat.last) {
        shard_meter_range(meter, desc->start, desc->last);
    }
}

static void tick_meters(struct worker *worker, uint64_t now_ms, uint64_t thread_us)
{
    uint64_t work_ns = 0;
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        follow_range(slot->shard);
        work_ns += shard_meter_pending_ns(shard_meter(slot->shard));
    }
    uint64_t work_us = work_ns / 1000;
    uint64_t shared_us = thread_us < work_us * OVERHEAD_MAX ? thread_us : work_us * OVERHEAD_MAX;
    shared_us = thread_us == 0 ? work_us : shared_us; /* The clock does not tell. */
    at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        struct shard_meter *meter = shard_meter(slot->shard);
        double part = work_ns == 0 ? 0 : (double)shard_meter_pending_ns(meter) / (double)work_ns;
        uint64_t cpu = (uint64_t)meter->rate.cpu;
        bool heavy = cpu >= ENGAGE_CPU_US || cpu * ENGAGE_SHARE >= worker->load_cpu;
        bool engage = told_of(slot) && heavy && meter->rate.ops >= ENGAGE_OPS;
        shard_meter_tick(meter, now_ms, (uint64_t)((double)shared_us * part), engage);
    }
}

static void read_shard(const struct slot *slot, struct shard_load *load)
{
    const struct shard_state *state = shard_state(slot->shard);
    *load =
        (struct shard_load){.shard = state->desc.id, .ver = state->desc.ver, .bytes = slot->bytes};
    for (size_t db = 0; db < MACHINE_DATABASES; db++) {
        load->keys += state->machine.keys[db];
    }
    shard_meter_read(shard_meter(slot->shard), load);
}

static void tell(struct worker *worker)
{
    struct worker_load *loop =
        calloc(1, sizeof(*loop) + worker->slots.count * sizeof(struct shard_load));
    assert(loop != NULL);
    loop->loop = worker->options.loop;
    loop->cpu = worker->load_cpu;
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        loop->replicas++;
        if (told_of(slot)) {
            struct shard_load *load = &loop->shards[loop->count++];
            read_shard(slot, load);
            loop->ops += load->ops;
        }
    }
    worker->env.measured(worker->env.ctx, loop);
}

void load_tick(struct worker *worker, uint64_t now_ms)
{
    uint64_t spent_ms = now_ms - worker->load_ms;
    if (spent_ms < LOAD_MS) {
        return;
    }
    uint64_t thread_ns = clock_thread_ns();
    bool first = worker->load_ms == 0;
    uint64_t thread_us = first ? 0 : (thread_ns - worker->load_thread_ns) / 1000;
    worker->load_ms = now_ms;
    worker->load_thread_ns = thread_ns;
    if (!first) {
        worker->load_cpu = thread_us * 1000 / spent_ms;
    }
    tick_meters(worker, now_ms, thread_us);
    if (worker->env.measured != NULL) {
        tell(worker);
    }
    if (!worker->sizing && now_ms - worker->sizes_ms >= SIZES_MS) {
        worker->sizes_ms = now_ms;
        measure_sizes(worker);
    }
}

struct shard_meter *load_divide(struct shard *shard, const struct shard_desc *child)
{
    struct shard_meter *parent = shard_meter(shard);
    struct shard_meter *part = malloc(sizeof(*part));
    assert(part != NULL);
    uint64_t start = shard_state(shard)->desc.start;
    if (parent->heat.start != start || parent->heat.last != child->last) {
        shard_meter_range(parent, start, child->last); /* It has not followed the last change. */
    }
    shard_meter_init(part, child->start, child->last, parent->ticked_ms);
    shard_meter_split(parent, part, child->start);
    return part;
}

void load_adopt(struct shard *shard, struct shard_meter *meter)
{
    struct shard_meter *own = shard_meter(shard);
    shard_meter_deinit(own);
    *own = *meter;
    free(meter);
}

void load_drop(struct shard_meter *meter)
{
    if (meter != NULL) {
        shard_meter_deinit(meter);
        free(meter);
    }
}
