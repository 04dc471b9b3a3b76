#include "router/map_watch.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "common/cluster/shard_map_take.h"
#include "router/backend.h"
#include "router/flow.h"
#include "router/gather.h"
#include "router/parking.h"
#include "router/part_tokens.h"

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
        /* A child is led first where its parent is. */
        const struct lane *parent = map_get(&core->by_shard, shard->parent);
        lane->leader = parent == NULL ? 0 : parent->leader;
    }
    lane->replica_count = shard->replica_count;
    for (unsigned i = 0; i < shard->replica_count; i++) {
        lane->replicas[i] = backend_of(core, shard->replicas[i].node);
    }
    return lane;
}

/* About all of a range that is another one by now, and nobody was asked yet. */
static bool is_outdated(const struct shard_desc *shard, const struct lane_part *part)
{
    return part->ver != 0 && part->ver != shard->ver && part->unanswered == 0 && !part->unsure;
}

/* One that may be applied stays as long as its first key does: the shard is asked for it, and its
 * number remains open there. */
static bool stays(const struct shard_desc *shard, const struct lane_part *part)
{
    uint64_t token = 0;
    if (gather_bound(part) && part_tokens_first(part, &token)) {
        return shard->start <= token && token <= shard->last;
    }
    return part_tokens_within(part, shard) && !is_outdated(shard, part);
}

/* Takes out what has to go to another shard; shard: what the lane's has become, NULL: it is gone.
 * The order in which parts wait goes with them. */
static void unsettle(struct core *core, struct lane *lane, const struct shard_desc *shard)
{
    struct lane_part *next = NULL;
    for (struct lane_part *part = lane_head(lane); part != NULL; part = next) {
        next = lane_after(lane, part);
        if (shard == NULL || !stays(shard, part)) {
            core->stats.moved++;
            flow_remove(core, part);
            gather_stray(core, part);
        }
    }
    parking_disown(core, lane, shard);
    if (shard == NULL) {
        assert(lane->count == 0);
        (void)map_remove(&core->by_shard, lane->shard);
        free(lane);
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
    free(old);
}

/* core->map is the new one. What waits is among the strays then. */
static void adopt(struct core *core, struct shard_map *before)
{
    backend_follow_map(core);
    rebuild_lanes(core, before);
    backend_drop_unwanted(core);
    shard_map_deinit(before);
    core->channels.look_ms = 0; /* Those who listen do so at the new homes. */
    core_wake_at(core, core_now(core));
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
    (void)shard_map_take(&fresh, core->map.shards, core->map.shard_count);
    struct shard_map before = core->map;
    core->map = fresh;
    core->stats.maps++;
    log_info("router.map", "version=%" PRIu64 " nodes=%zu shards=%zu", fresh.version,
             fresh.node_count, fresh.shard_count);
    adopt(core, &before);
    if (save && core->env.save_map != NULL) {
        core->env.save_map(core->env.ctx, bytes);
    }
    gather_reroute(core);
    return STATUS_OK;
}

/* Most news has come before, by way of another node or with another refusal. */
static bool is_news(const struct core *core, const struct shard_desc *desc)
{
    const struct shard_desc *known = shard_map_find(&core->map, desc->start);
    return known != NULL && (desc->ver > known->ver || desc->conf_ver > known->conf_ver);
}

static void take_descs(struct core *core, const struct shard_news *news)
{
    bool any = false;
    for (size_t i = 0; i < news->count; i++) {
        any = any || is_news(core, &news->descs[i]);
    }
    if (!any) {
        return;
    }
    struct shard_map before;
    shard_map_init(&before);
    shard_map_copy(&before, &core->map);
    if (!shard_map_take(&core->map, news->descs, news->count)) {
        shard_map_deinit(&before);
        return;
    }
    core->stats.patches++;
    log_info("router.map_patched", "shard=%" PRIu64 " ver=%" PRIu64 " shards=%zu",
             news->descs[0].id, news->descs[0].ver, core->map.shard_count);
    adopt(core, &before);
}

bool map_watch_told(struct core *core, struct slice body, bool *changed)
{
    struct shard_news *news = &core->news;
    uint64_t patches = core->stats.patches;
    if (!shard_news_decode(body, news)) {
        return false;
    }
    if (news->count > 0) {
        take_descs(core, news);
    }
    for (size_t i = 0; i < news->count; i++) {
        flow_hear(core, &news->hints[i]);
    }
    *changed = core->stats.patches != patches;
    if (*changed) {
        gather_reroute(core);
    }
    return true;
}

bool map_watch_descs(struct core *core, struct slice body)
{
    bool changed = false;
    return map_watch_told(core, body, &changed);
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
