#include "server/shard/shard_meter.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum {
    FAST_MS = 1500,
    SLOW_MS = 30000,
    HALVE_MS = 10000,
    ENGAGED_MS = 30000, /* So long after it was worth it last. */
    SIZE_UNIT = 1024,   /* So many bytes count like one more command, */
    SIZE_WEIGHT_MAX = 64,
    PERMILLE = 1000,
    TOLD_MIN = 64, /* Hits that were looked at, before a key is named. */
    /* What the connection of a command and the log of an entry cost, before the clock is asked. It
     * stands for all of it where the clock does not move: in the simulator. */
    OP_NS = 2000,
    ENTRY_NS = 5000,
};

void shard_meter_init(struct shard_meter *meter, uint64_t start, uint64_t last, uint64_t now_ms)
{
    *meter = (struct shard_meter){
        .dice = start ^ UINT64_C(0x9E3779B97F4A7C15), .ticked_ms = now_ms, .halved_ms = now_ms};
    heat_init(&meter->heat, start, last);
}

void shard_meter_deinit(struct shard_meter *meter)
{
    free(meter->top);
    meter->top = NULL;
}

/* One in METER_SAMPLE, not in step with anything (Knuth's MMIX generator). */
static bool chosen(struct shard_meter *meter)
{
    meter->dice = meter->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (meter->dice >> 33) % METER_SAMPLE == 0;
}

void shard_meter_op(struct shard_meter *meter, bool write, size_t size)
{
    meter->now.ops++;
    meter->now.reads += !write;
    meter->now.writes += write;
    meter->now.traffic += size;
    meter->now.work += OP_NS;
}

void shard_meter_hit(struct shard_meter *meter, const struct meter_hit *hit)
{
    size_t units = hit->size / SIZE_UNIT;
    uint32_t weight = 1 + (units > SIZE_WEIGHT_MAX ? SIZE_WEIGHT_MAX : (uint32_t)units);
    meter->now.absent += hit->absent;
    heat_add(&meter->heat, hit->token, weight, !hit->absent);
    if (meter->top != NULL && chosen(meter)) {
        space_saving_add(meter->top, &(struct space_saving_hit){.place = hit->token,
                                                                .key = hit->key,
                                                                .db = hit->db,
                                                                .write = hit->write,
                                                                .absent = hit->absent,
                                                                .weight = weight});
    }
}

bool shard_meter_due(struct shard_meter *meter)
{
    return chosen(meter);
}

void shard_meter_work(struct shard_meter *meter, uint64_t ns)
{
    meter->now.work += ns;
}

void shard_meter_apply(struct shard_meter *meter, uint64_t ns)
{
    meter->now.work += ns + ENTRY_NS;
    meter->now.apply += ns + ENTRY_NS;
}

void shard_meter_pool(struct shard_meter *meter, uint64_t ns)
{
    meter->now.pool += ns;
}

uint64_t shard_meter_pending_ns(const struct shard_meter *meter)
{
    return meter->now.work;
}

static void blend(double *rate, double per_second, double part)
{
    *rate += (per_second - *rate) * part;
    if (*rate < 0.01) {
        *rate = 0; /* Not for ever on the way down. */
    }
}

/* The share of the newest value: 1 - exp(-spent / tau), near enough for times of a second. */
static double part_of(uint64_t spent_ms, uint64_t tau_ms)
{
    double part = 2.0 * (double)spent_ms / (2.0 * (double)tau_ms + (double)spent_ms);
    return part > 1 ? 1 : part;
}

static void blend_all(struct shard_meter *meter, uint64_t spent_ms, uint64_t loop_us)
{
    const struct meter_count *now = &meter->now;
    struct meter_rate *rate = &meter->rate;
    double per_second = 1000.0 / (double)spent_ms;
    double fast = part_of(spent_ms, FAST_MS);
    double slow = part_of(spent_ms, SLOW_MS);
    double cpu = ((double)loop_us + (double)now->pool / 1000) * per_second;
    double apply = now->work == 0 ? 0 : (double)now->apply / (double)now->work;
    double follower = (double)loop_us * apply * per_second;
    blend(&rate->ops, (double)now->ops * per_second, fast);
    blend(&rate->reads, (double)now->reads * per_second, fast);
    blend(&rate->writes, (double)now->writes * per_second, fast);
    blend(&rate->absent, (double)now->absent * per_second, fast);
    blend(&rate->traffic, (double)now->traffic * per_second, fast);
    blend(&rate->cpu, cpu, fast);
    blend(&rate->follower_cpu, follower, fast);
    blend(&rate->slow_ops, (double)now->ops * per_second, slow);
    blend(&rate->slow_cpu, cpu, slow);
}

static void halve(struct shard_meter *meter)
{
    for (size_t i = 0; i < HEAT_BUCKETS; i++) {
        /* Where nothing is seen any more, what was found there may be gone. */
        if (meter->heat.buckets[i] == 0) {
            meter->heat.found[i / 64] &= ~(UINT64_C(1) << (i % 64));
        }
        meter->heat.buckets[i] /= 2;
    }
    if (meter->top != NULL) {
        space_saving_halve(meter->top);
    }
}

static void engage_or_not(struct shard_meter *meter, uint64_t now_ms, bool engage)
{
    meter->engaged_ms = engage ? now_ms : meter->engaged_ms;
    if (engage && meter->top == NULL) {
        meter->top = malloc(sizeof(*meter->top));
        assert(meter->top != NULL);
        space_saving_init(meter->top);
    }
    if (!engage && meter->top != NULL && now_ms - meter->engaged_ms > ENGAGED_MS) {
        free(meter->top);
        meter->top = NULL;
    }
}

void shard_meter_tick(struct shard_meter *meter, uint64_t now_ms, uint64_t loop_us, bool engage)
{
    uint64_t spent_ms = now_ms - meter->ticked_ms;
    if (spent_ms == 0) {
        return;
    }
    blend_all(meter, spent_ms, loop_us);
    meter->now = (struct meter_count){0};
    meter->ticked_ms = now_ms;
    engage_or_not(meter, now_ms, engage);
    if (now_ms - meter->halved_ms >= HALVE_MS) {
        meter->halved_ms = now_ms;
        halve(meter);
    }
}

static uint16_t share_of(uint64_t part, uint64_t total)
{
    uint64_t share = total == 0 ? 0 : part * PERMILLE / total;
    return share > PERMILLE ? PERMILLE : (uint16_t)share;
}

static void read_keys(const struct space_saving *top, struct shard_load *load)
{
    size_t best[SHARD_LOAD_KEYS_MAX];
    size_t count = space_saving_top(top, best, SHARD_LOAD_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct space_saving_item *item = &top->items[best[i]];
        uint64_t sure = top->weights[best[i]] - item->over;
        /* An item that is mostly what it took over says nothing of its key. */
        if (sure < item->over || share_of(sure, top->total) == 0) {
            continue;
        }
        struct key_load *key = &load->hot[load->key_count++];
        *key = (struct key_load){.token = item->place,
                                 .share = share_of(sure, top->total),
                                 .writes = share_of(item->writes, top->total),
                                 .absent = share_of(item->absent, top->total),
                                 .key_size = item->key_size,
                                 .db = item->db,
                                 .key_len = item->key_len};
        static_assert((int)SHARD_LOAD_KEY_SIZE_MAX == (int)SPACE_SAVING_KEY_SIZE_MAX, "keys fit");
        memcpy(key->key, item->key, item->key_len);
    }
}

static uint64_t whole(double rate)
{
    return (uint64_t)(rate + 0.5);
}

void shard_meter_read(const struct shard_meter *meter, struct shard_load *load)
{
    const struct meter_rate *rate = &meter->rate;
    load->start = meter->heat.start;
    load->last = meter->heat.last;
    load->ops = whole(rate->ops);
    load->reads = whole(rate->reads);
    load->writes = whole(rate->writes);
    load->absent = whole(rate->absent);
    load->traffic = whole(rate->traffic);
    load->cpu = whole(rate->cpu);
    load->follower_cpu = whole(rate->follower_cpu);
    load->slow_ops = whole(rate->slow_ops);
    load->slow_cpu = whole(rate->slow_cpu);
    load->key_count = 0;
    if (load->slow_ops == 0) {
        return;
    }
    struct split_point point;
    split_point_find(&meter->heat, meter->top, &point);
    load->verdict = point.verdict;
    load->split_token = point.token;
    load->split_left = point.left;
    load->cut_count = point.cut_count;
    memcpy(load->cuts, point.cuts, sizeof(point.cuts));
    load->hot_token = point.hot_token;
    load->hot_share = point.hot_share;
    heat_shares(&meter->heat, load->heat, SHARD_LOAD_HEAT);
    if (meter->top != NULL && meter->top->total >= TOLD_MIN) {
        read_keys(meter->top, load);
    }
}

/* What is counted, in two parts that add up to it. */
static void divide_count(uint64_t *from, uint64_t *to, double part)
{
    *to = (uint64_t)((double)*from * part);
    *from -= *to;
}

static void divide(struct shard_meter *parent, struct shard_meter *child, double part)
{
    struct meter_count *from = &parent->now;
    struct meter_count *to = &child->now;
    divide_count(&from->ops, &to->ops, part);
    divide_count(&from->reads, &to->reads, part);
    divide_count(&from->writes, &to->writes, part);
    divide_count(&from->absent, &to->absent, part);
    divide_count(&from->traffic, &to->traffic, part);
    divide_count(&from->work, &to->work, part);
    divide_count(&from->apply, &to->apply, part);
    divide_count(&from->pool, &to->pool, part);
    double *const rates[] = {
        &parent->rate.ops,      &parent->rate.reads,    &parent->rate.writes,
        &parent->rate.absent,   &parent->rate.traffic,  &parent->rate.cpu,
        &parent->rate.slow_ops, &parent->rate.slow_cpu, &parent->rate.follower_cpu};
    double *const theirs[] = {
        &child->rate.ops,      &child->rate.reads,    &child->rate.writes,
        &child->rate.absent,   &child->rate.traffic,  &child->rate.cpu,
        &child->rate.slow_ops, &child->rate.slow_cpu, &child->rate.follower_cpu};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        *theirs[i] = *rates[i] * part;
        *rates[i] -= *theirs[i];
    }
}

static struct space_saving *top_within(const struct space_saving *top,
                                       uint64_t first,
                                       uint64_t last)
{
    struct space_saving *part = malloc(sizeof(*part));
    assert(part != NULL);
    *part = *top;
    space_saving_keep(part, first, last);
    return part;
}

void shard_meter_split(struct shard_meter *parent, struct shard_meter *child, uint64_t token)
{
    uint64_t start = parent->heat.start;
    uint64_t last = parent->heat.last;
    assert(token > start && token <= last);
    shard_meter_deinit(child);
    shard_meter_init(child, token, last, parent->ticked_ms);
    child->halved_ms = parent->halved_ms;
    child->engaged_ms = parent->engaged_ms;
    struct heat whole_heat = parent->heat;
    uint64_t total = heat_total(&whole_heat);
    heat_copy(&child->heat, &whole_heat, token, last);
    heat_copy(&parent->heat, &whole_heat, start, token - 1);
    double part = 0.5;
    if (total > 0) {
        double right = (double)heat_total(&child->heat) / (double)total;
        part = right > 1 ? 1 : right;
    }
    divide(parent, child, part);
    if (parent->top != NULL) {
        child->top = top_within(parent->top, token, last);
        space_saving_keep(parent->top, start, token - 1);
    }
}

void shard_meter_range(struct shard_meter *meter, uint64_t start, uint64_t last)
{
    struct heat before = meter->heat;
    heat_copy(&meter->heat, &before, start, last);
    if (meter->top != NULL) {
        space_saving_keep(meter->top, start, last);
    }
}

void shard_meter_absorb(struct shard_meter *meter,
                        const struct shard_meter *other,
                        uint64_t start,
                        uint64_t last)
{
    struct heat before = meter->heat;
    heat_copy(&meter->heat, &before, start, last);
    heat_merge(&meter->heat, &other->heat);
    meter->now.ops += other->now.ops;
    meter->now.reads += other->now.reads;
    meter->now.writes += other->now.writes;
    meter->now.absent += other->now.absent;
    meter->now.traffic += other->now.traffic;
    meter->now.work += other->now.work;
    meter->now.apply += other->now.apply;
    meter->now.pool += other->now.pool;
    meter->rate.ops += other->rate.ops;
    meter->rate.reads += other->rate.reads;
    meter->rate.writes += other->rate.writes;
    meter->rate.absent += other->rate.absent;
    meter->rate.traffic += other->rate.traffic;
    meter->rate.cpu += other->rate.cpu;
    meter->rate.follower_cpu += other->rate.follower_cpu;
    meter->rate.slow_ops += other->rate.slow_ops;
    meter->rate.slow_cpu += other->rate.slow_cpu;
    /* The keys of the two are not comparable: each had a total of its own. They are found again in
     * a few seconds. */
    if (meter->top != NULL) {
        space_saving_init(meter->top);
    }
}
