#include "router/map_watch.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "router/backend.h"
#include "router/flow.h"
#include "router/gather.h"
#include "router/parking.h"

_Static_assert((int)LANE_REPLICAS_MAX == (int)SHARD_REPLICAS_MAX, "lanes hold all replicas");

static bool same_ring(const struct shard_map *a, const struct shard_map *b)
{
    if (a->shard_count != b->shard_count) {
        return false;
    }
    for (size_t i = 0; i < a->shard_count; i++) {
        if (a->shards[i].id != b->shards[i].id || a->shards[i].last != b->shards[i].last) {
            return false;
        }
    }
    return true;
}

static struct lane *lane_for(struct core *core, const struct shard_desc *shard)
{
    struct lane *lane = map_get(&core->by_shard, shard->id);
    if (lane == NULL) {
        lane = malloc(sizeof(*lane));
        assert(lane != NULL);
        lane_init(lane, shard->id);
        /* The first to be asked is the preferred leader, replicas[0]. */
        lane->turn = shard->replica_count == 0 ? 0 : shard->replica_count - 1;
        (void)map_put(&core->by_shard, shard->id, lane);
    }
    lane->replica_count = shard->replica_count;
    for (unsigned i = 0; i < shard->replica_count; i++) {
        lane->replicas[i] = backend_of(core, shard->replicas[i].node);
    }
    return lane;
}

/* All keys of the part still belong to that shard. */
static bool still_owns(const struct shard_desc *shard, const struct lane_part *part)
{
    const struct core_request *request = part->request;
    for (size_t nth = 0;; nth++) {
        size_t index = part->keys != NULL ? (nth < part->key_count ? part->keys[nth] : 0)
                                          : command_key_at(request->command, request->args, nth);
        if (index == 0) {
            return true;
        }
        uint64_t token = token_of(request->db, request->args.argv[index]);
        if (token < shard->start || token > shard->last) {
            return false;
        }
    }
}

/* Takes out what has to go to another shard. A write that may have been applied stays, to be
 * answered by this shard, and so does what came behind it. */
static void unsettle(struct core *core, struct lane *lane, const struct shard_desc *shard)
{
    bool bound = false;
    struct lane_part *next = NULL;
    for (struct lane_part *part = lane_head(lane); part != NULL; part = next) {
        next = lane_after(lane, part);
        if (shard != NULL && still_owns(shard, part)) {
            continue;
        }
        bound = bound || (shard != NULL && gather_bound(part));
        if (bound) {
            core->left += !part->left;
            part->left = true;
        } else {
            flow_remove(core, part);
            gather_stray(core, part);
        }
    }
    if (shard == NULL) {
        assert(lane->count == 0);
        parking_clear(core, lane);
        (void)map_remove(&core->by_shard, lane->shard);
        free(lane);
    }
}

/* Lanes that got tokens of others wait for what those have left. */
static void hold_gainers(struct core *core, const struct shard_map *before)
{
    for (size_t i = 0; core->left > 0 && i < core->lane_count; i++) {
        struct lane *lane = core->lanes[i];
        const struct shard_desc *now = &core->map.shards[i];
        const struct shard_desc *then = shard_map_find(before, now->start);
        bool same = then != NULL && then->id == now->id && then->last >= now->last;
        if (!same) {
            lane->held = true;
            lane_shut(lane, 0);
            core_wake_at(core, core_now(core));
        }
    }
}

static void rebuild_lanes(struct core *core, const struct shard_map *before)
{
    struct lane **old = core->lanes;
    size_t old_count = core->lane_count;
    const size_t none = SIZE_MAX;
    for (size_t i = 0; i < old_count; i++) {
        old[i]->position = none;
    }
    core->lane_count = core->map.shard_count;
    core->lanes = calloc(core->lane_count + 1, sizeof(struct lane *));
    assert(core->lanes != NULL);
    for (size_t i = 0; i < core->lane_count; i++) {
        core->lanes[i] = lane_for(core, &core->map.shards[i]);
        core->lanes[i]->position = i;
    }
    bool ring = !same_ring(before, &core->map);
    core->layout += ring;
    for (size_t i = 0; ring && i < old_count; i++) {
        bool gone = old[i]->position == none;
        const struct shard_desc *now = gone ? NULL : &core->map.shards[old[i]->position];
        const struct shard_desc *then = &before->shards[i];
        if (gone || now->start != then->start || now->last != then->last) {
            unsettle(core, old[i], now);
        }
    }
    if (ring) {
        hold_gainers(core, before);
    }
    free(old);
}

enum status map_watch_take(struct core *core, struct slice bytes, bool save)
{
    static const uint8_t none[16];
    struct shard_map fresh;
    shard_map_init(&fresh);
    if (shard_map_decode(bytes, &fresh) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    bool known = memcmp(core->map.cluster, none, sizeof(none)) != 0;
    if (known && memcmp(core->map.cluster, fresh.cluster, sizeof(none)) != 0) {
        log_warn("router.map_refused", "reason=\"map of another cluster\" version=%" PRIu64,
                 fresh.version);
        shard_map_deinit(&fresh);
        return STATUS_WRONG_CLUSTER;
    }
    if (known && fresh.version <= core->map.version) {
        shard_map_deinit(&fresh);
        return STATUS_OK;
    }
    struct shard_map before = core->map;
    core->map = fresh;
    core->stats.maps++;
    log_info("router.map", "version=%" PRIu64 " nodes=%zu shards=%zu", fresh.version,
             fresh.node_count, fresh.shard_count);
    backend_follow_map(core);
    rebuild_lanes(core, &before);
    backend_drop_unwanted(core);
    shard_map_deinit(&before);
    if (save && core->env.save_map != NULL) {
        core->env.save_map(core->env.ctx, bytes);
    }
    gather_reroute(core);
    return STATUS_OK;
}

bool map_watch_leaders(struct core *core, struct slice body)
{
    if (body.len % LEADER_HINT_SIZE != 0) {
        return false;
    }
    struct reader in = reader_of(body);
    struct leader_hint hint;
    while (in.rest.len > 0 && leader_hint_decode(&in, &hint)) {
        if (hint.shard == SHARD_META && hint.term >= core->meta.term && hint.node != 0) {
            core->meta = hint;
        }
        flow_learn(core, &hint);
    }
    return true;
}
