#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "router/core.h"
#include "server/worker.h"
#include "tests/sim/sim.h"
#include "tests/support/lincheck.h"

static const struct shard_map *any_map(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->options.routers; i++) {
        struct core *core = sim_router_core(sim->routers[i]);
        if (core != NULL) {
            return core_map(core);
        }
    }
    return NULL;
}

static bool leads(const struct sim *sim, uint64_t shard)
{
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        struct worker *worker = sim_node_worker(sim->nodes[i]);
        struct shard *here = worker == NULL ? NULL : worker_shard(worker, shard);
        if (here != NULL && shard_leads(here)) {
            return true;
        }
    }
    return false;
}

bool sim_check_leads(const struct sim *sim, unsigned node)
{
    struct worker *worker = sim_node_worker(sim->nodes[node]);
    size_t at = 0;
    for (struct shard *shard; worker != NULL && (shard = worker_next_shard(worker, &at)) != NULL;) {
        if (shard_id(shard) != SHARD_META && shard_leads(shard)) {
            return true;
        }
    }
    return false;
}

bool sim_check_serving(struct sim *sim)
{
    const struct shard_map *map = any_map(sim);
    if (map == NULL || map->shard_count == 0) {
        return false;
    }
    for (size_t i = 0; i < map->shard_count; i++) {
        if (!leads(sim, map->shards[i].id)) {
            return false;
        }
    }
    return true;
}

static struct shard *replica_on(const struct sim *sim, const struct replica_desc *replica)
{
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        struct worker *worker = sim_node_worker(sim->nodes[i]);
        if (worker == NULL) {
            continue;
        }
        size_t at = 0;
        for (struct shard *shard; (shard = worker_next_shard(worker, &at)) != NULL;) {
            if (shard_state(shard)->replica == replica->id) {
                return shard;
            }
        }
    }
    return NULL;
}

static bool shard_whole(const struct sim *sim, const struct shard_desc *desc)
{
    uint64_t index = 0;
    for (unsigned i = 0; i < desc->replica_count; i++) {
        struct shard *shard = replica_on(sim, &desc->replicas[i]);
        if (shard == NULL) {
            return false;
        }
        struct group_info info;
        group_info(shard_group(shard), &info);
        if (info.conf.count != desc->replica_count || info.applied_index == 0) {
            return false;
        }
        for (unsigned k = 0; k < info.conf.count; k++) {
            if (info.conf.members[k].role != MEMBER_VOTER) {
                return false;
            }
        }
        if (i > 0 && info.applied_index + 50 < index) {
            return false;
        }
        index = info.applied_index > index ? info.applied_index : index;
    }
    return desc->replica_count > 0;
}

bool sim_check_whole(const struct sim *sim)
{
    const struct shard_map *map = any_map(sim);
    if (map == NULL || map->shard_count == 0 || !shard_whole(sim, &map->meta)) {
        return false;
    }
    for (size_t i = 0; i < map->shard_count; i++) {
        if (!shard_whole(sim, &map->shards[i])) {
            return false;
        }
    }
    return map->meta.replica_count >= 3;
}

static uint64_t hash_rows(
    struct txn *txn, enum store_family family, struct slice from, struct slice to, uint64_t sum)
{
    struct store_iter *iter = iter_open(txn, family, from, to);
    for (; iter_valid(iter); iter_next(iter)) {
        sum = hash_bytes_seeded(iter_key(iter), sum);
        sum = hash_bytes_seeded(iter_value(iter), sum);
    }
    enum status status = iter_status(iter);
    assert(status == STATUS_OK);
    iter_close(iter);
    return sum;
}

/* Of everything that replicas of a shard must agree on. */
static uint64_t hash_shard(struct worker *worker, struct shard *shard)
{
    const struct shard_state *state = shard_state(shard);
    struct machine_scope scope = {
        .shard = state->desc.id, .start = state->desc.start, .last = state->desc.last};
    struct buf from;
    struct buf to;
    struct buf own;
    buf_init(&from, 64);
    buf_init(&to, 64);
    buf_init(&own, 4096);
    machine_state_encode(&state->machine, &own);
    uint64_t sum = hash_bytes(buf_slice(&own));
    for (int family = 0; family < STORE_FAMILY_COUNT; family++) {
        if (family == STORE_DATA && state->desc.id == SHARD_META) {
            continue;
        }
        buf_clear(&from);
        buf_clear(&to);
        machine_range(scope, (enum store_family)family, &from, &to);
        sum = hash_rows(worker_txn(worker), (enum store_family)family, buf_slice(&from),
                        buf_slice(&to), sum);
    }
    buf_deinit(&from);
    buf_deinit(&to);
    buf_deinit(&own);
    return sum;
}

enum { SEEN_MAX = 4096 };

struct seen {
    uint64_t shard, index, hash;
    unsigned node;
};

struct seen_all {
    size_t count;
    struct seen rows[SEEN_MAX];
};

/* Adds what one replica holds; fails if another at the same index holds something else. */
static void see(struct sim *sim, struct seen_all *all, const struct seen *now)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct seen *other = &all->rows[i];
        if (other->shard == now->shard && other->index == now->index && other->hash != now->hash) {
            sim_fail(sim, "shard %llu differs at index %llu between nodes %u and %u",
                     (unsigned long long)now->shard, (unsigned long long)now->index, other->node,
                     now->node);
        }
    }
    assert(all->count < SEEN_MAX);
    all->rows[all->count++] = *now;
}

static void see_node(struct sim *sim, struct seen_all *all, unsigned index)
{
    struct worker *worker = sim_node_worker(sim->nodes[index]);
    size_t at = 0;
    for (struct shard *shard; worker != NULL && (shard = worker_next_shard(worker, &at)) != NULL;) {
        struct seen now = {
            .shard = shard_id(shard), .index = shard_state(shard)->group.index, .node = index + 1};
        bool frozen = shard_frozen(shard); /* Its rows may be another's already. */
        if (now.index != 0 && !frozen && !worker_installing(worker, now.shard)) {
            now.hash = hash_shard(worker, shard);
            see(sim, all, &now);
        }
    }
}

/* Replicas of one node that hold anything have nothing in common. */
static void check_apart(struct sim *sim, unsigned index)
{
    struct worker *worker = sim_node_worker(sim->nodes[index]);
    size_t at = 0;
    for (struct shard *a; worker != NULL && (a = worker_next_shard(worker, &at)) != NULL;) {
        const struct shard_state *one = shard_state(a);
        size_t next = at;
        for (struct shard *b; (b = worker_next_shard(worker, &next)) != NULL;) {
            const struct shard_state *other = shard_state(b);
            bool hold = one->group.index > 0 && other->group.index > 0 &&
                        one->desc.id != SHARD_META && other->desc.id != SHARD_META;
            hold = hold && one->target != other->desc.id && other->target != one->desc.id;
            if (hold && one->desc.start <= other->desc.last &&
                other->desc.start <= one->desc.last) {
                sim_fail(sim, "node %u: shards %llu and %llu overlap", index + 1,
                         (unsigned long long)one->desc.id, (unsigned long long)other->desc.id);
            }
        }
    }
}

static bool owned(struct worker *worker, enum store_family family, struct slice key)
{
    struct reader in = reader_of(key);
    uint64_t number = reader_u64_be(&in);
    size_t at = 0;
    for (struct shard *shard; (shard = worker_next_shard(worker, &at)) != NULL;) {
        const struct shard_desc *desc = &shard_state(shard)->desc;
        bool here = family == STORE_DATA
                        ? desc->id != SHARD_META && number >= desc->start && number <= desc->last
                        : desc->id == number;
        if (here) {
            return true;
        }
    }
    return family == STORE_LOCAL && number == 0; /* Tombstones. */
}

/* In peace there is no row that belongs to no replica. */
static void check_rows(struct sim *sim, unsigned index)
{
    static const uint8_t top[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct worker *worker = sim_node_worker(sim->nodes[index]);
    for (int family = 0; worker != NULL && family < STORE_FAMILY_COUNT; family++) {
        struct store_iter *iter = iter_open(worker_txn(worker), (enum store_family)family,
                                            slice_of(NULL, 0), slice_of(top, sizeof(top)));
        for (; iter_valid(iter); iter_next(iter)) {
            struct slice key = iter_key(iter);
            if (!owned(worker, (enum store_family)family, key)) {
                sim_fail(sim, "node %u: a row of family %d, %02x%02x%02x%02x..., is nobody's",
                         index + 1, family, key.data[0], key.data[1], key.data[2], key.data[3]);
            }
        }
        iter_close(iter);
    }
}

void sim_check_replicas(struct sim *sim)
{
    struct seen_all *all = calloc(1, sizeof(*all));
    assert(all != NULL);
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        see_node(sim, all, i);
        check_apart(sim, i);
    }
    free(all);
}

/* Every router has heard that the shard lacks nothing. */
static void check_told(struct sim *sim, const struct shard_desc *desc)
{
    for (unsigned i = 0; i < sim->options.routers; i++) {
        struct core *core = sim_router_core(sim->routers[i]);
        struct leader_hint hint = {0};
        bool known = core != NULL && core_leader(core, desc->id, &hint);
        if (core != NULL && (!known || hint.voters != desc->replica_count)) {
            sim_fail(sim, "router %u knows of %llu voters of shard %llu in peace", i + 1,
                     (unsigned long long)hint.voters, (unsigned long long)desc->id);
        }
    }
}

static void check_banks(struct sim *sim, const struct shard_desc *desc)
{
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        struct worker *worker = sim_node_worker(sim->nodes[i]);
        struct shard *shard = worker == NULL ? NULL : worker_shard(worker, desc->id);
        if (shard != NULL && shard_leads(shard)) {
            sim_teller_check(sim, worker, shard);
        }
    }
}

static void check_converged(struct sim *sim)
{
    const struct shard_map *map = any_map(sim);
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *desc = i == 0 ? &map->meta : &map->shards[i - 1];
        if (!leads(sim, desc->id)) {
            sim_fail(sim, "shard %llu has no leader in peace", (unsigned long long)desc->id);
        }
        uint64_t index = 0;
        for (unsigned k = 0; k < desc->replica_count; k++) {
            struct shard *shard = replica_on(sim, &desc->replicas[k]);
            if (shard == NULL) {
                sim_fail(sim, "shard %llu: replica %llu is not there in peace",
                         (unsigned long long)desc->id, (unsigned long long)desc->replicas[k].id);
            }
            uint64_t applied = shard_state(shard)->group.index;
            if (k > 0 && applied != index) {
                sim_fail(sim, "shard %llu: replicas at %llu and %llu in peace",
                         (unsigned long long)desc->id, (unsigned long long)index,
                         (unsigned long long)applied);
            }
            index = applied;
        }
        check_banks(sim, desc);
        check_told(sim, desc);
    }
}

void sim_check_end(struct sim *sim)
{
    check_converged(sim);
    sim_check_replicas(sim);
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        check_rows(sim, i);
    }
    struct lincheck_options options = {0};
    struct lincheck_report report;
    lincheck_run(&sim->history, &options, &report);
    if (report.verdict != LINCHECK_LINEARIZABLE) {
        sim_fail(sim, "%s\n%.*s", lincheck_verdict_name(report.verdict), (int)report.detail.len,
                 (const char *)report.detail.data);
    }
    lincheck_report_deinit(&report);
}
