#include "router/core.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/cluster/session_number.h"
#include "router/backend.h"
#include "router/flow.h"
#include "router/gather.h"
#include "router/map_watch.h"
#include "router/nearby.h"
#include "router/parking.h"
#include "router/seek.h"

enum { LANE_PARTS_MAX_DEFAULT = 16384, LANE_SIZE_MAX_DEFAULT = 64 << 20 };

static void copy_options(struct core *core, const struct core_options *options)
{
    assert(options->session != 0);
    core->session = session_number_own(options->session);
    core->deadline_ms = options->deadline_ms == 0 ? CORE_DEADLINE_MS_DEFAULT : options->deadline_ms;
    core->try_ms = options->try_ms == 0 ? CORE_TRY_MS_DEFAULT : options->try_ms;
    core->lane_parts_max =
        options->lane_parts_max == 0 ? LANE_PARTS_MAX_DEFAULT : options->lane_parts_max;
    core->lane_size_max =
        options->lane_size_max == 0 ? LANE_SIZE_MAX_DEFAULT : options->lane_size_max;
    core->seeds = calloc(options->seed_count + 1, sizeof(*core->seeds));
    assert(core->seeds != NULL);
    core->seed_count = options->seed_count;
    for (size_t i = 0; i < options->seed_count; i++) {
        core->seeds[i] = strdup(options->seeds[i]);
        assert(core->seeds[i] != NULL);
    }
}

static bool errand_leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    return core_leader(ctx, shard, hint);
}

static const struct shard_desc *errand_shard(void *ctx, uint64_t shard)
{
    const struct core *core = ctx;
    return core->map.version == 0 ? NULL : shard_map_shard(&core->map, shard);
}

static bool errand_send(void *ctx, uint64_t node, const struct frame_request *request)
{
    struct core *core = ctx;
    const struct backend *backend = backend_of(core, node);
    struct buf *out =
        backend == NULL || !backend->up ? NULL : core->env.send(core->env.ctx, backend->link);
    if (out != NULL) {
        frame_write_request(out, request);
    }
    return out != NULL;
}

struct core *core_new(const struct core_options *options, const struct core_env *env)
{
    struct core *core = calloc(1, sizeof(*core));
    assert(core != NULL);
    core->env = *env;
    copy_options(core, options);
    rand_init(&core->rand, options->seed);
    shard_map_init(&core->map);
    map_init(&core->by_shard);
    map_init(&core->by_node);
    map_init(&core->held_tokens);
    list_init(&core->active);
    list_init(&core->requests);
    list_init(&core->unrouted);
    list_init(&core->strays);
    list_init(&core->nearby);
    core->zone = options->zone == NULL || options->zone[0] == '\0' ? NULL : strdup(options->zone);
    list_init(&core->wanderers);
    list_init(&core->cancels);
    route_init(&core->route);
    channels_init(&core->channels);
    struct errands_env errands = {
        .ctx = core, .leader = errand_leader, .shard = errand_shard, .send = errand_send};
    errands_init(&core->errands, &errands, options->seed);
    buf_init(&core->merged, FRAME_BODY_SIZE_MAX);
    core->scripts = calloc(SEEK_KNOWN_MAX, sizeof(*core->scripts));
    assert(core->scripts != NULL);
    core->slot_free = SLOT_NONE;
    core->timer_ms = UINT64_MAX;
    core->layout = 1;
    if (options->saved_map.len > 0) {
        enum status status = map_watch_take(core, options->saved_map, false);
        if (status != STATUS_OK) {
            log_warn("router.saved_map", "reason=\"%s\"", status_text(status));
        }
    }
    backend_dial_seeds(core);
    return core;
}

static void free_parts(struct core *core)
{
    while (core->parts_free != NULL) {
        struct lane_part *part = core->parts_free;
        core->parts_free = part->sibling;
        free(part);
    }
}

void core_free(struct core *core)
{
    while (!list_empty(&core->requests)) {
        gather_forget(core, list_entry(core->requests.next, struct core_request, expiry));
    }
    errands_deinit(&core->errands);
    channels_deinit(&core->channels);
    parking_free(core);
    backend_free_all(core);
    for (size_t i = 0; i < core->lane_count; i++) {
        free(core->lanes[i]);
    }
    for (size_t i = 0; i < core->seed_count; i++) {
        free(core->seeds[i]);
    }
    free_parts(core);
    free(core->lanes);
    free(core->scripts);
    free(core->seeds);
    free(core->zone);
    free(core->slots);
    free(core->argv);
    map_deinit(&core->by_shard);
    map_deinit(&core->by_node);
    map_deinit(&core->held_tokens);
    shard_map_deinit(&core->map);
    route_deinit(&core->route);
    buf_deinit(&core->merged);
    free(core);
}

void core_execute(struct core *core, struct core_request *request)
{
    assert(request->command != NULL && (request->command->flags & CMD_FRONT) == 0);
    assert(request->args.argc > 0 && request->on_done != NULL);
    core->stats.requests++;
    core->stats.inflight++;
    core->order++;
    request->part = (struct lane_part){.order = core->order};
    request->seek = NULL;
    if (request->command->id == CMD_script_flush) {
        seek_forget(core);
    }
    uint32_t within_ms = core->deadline_ms;
    if (request->command->merge == MERGE_ALL_FOUND && within_ms > SEEK_MS) {
        within_ms = SEEK_MS; /* Who answers later has not found it. */
    }
    request->deadline_ms = core_now(core) + within_ms;
    gather_schedule(core, request);
    parking_begin(core, request);
    gather_begin(core, request);
}

uint64_t core_number(struct core *core)
{
    core->order++;
    return core->order;
}

uint8_t *core_take_reply(struct core *core, struct slice reply)
{
    if (core->given == NULL || core->given != reply.data) {
        return NULL;
    }
    uint8_t *memory = core->given;
    core->given = NULL;
    return memory;
}

void core_set_deadline(struct core *core, uint32_t deadline_ms)
{
    assert(deadline_ms > 0);
    core->deadline_ms = deadline_ms;
}

void core_link_up(struct core *core, unsigned link, const struct frame_hello *hello)
{
    struct backend *backend = backend_at(core, link);
    if (backend == NULL) {
        return;
    }
    backend = backend_up(core, link, hello);
    if (backend != NULL) {
        flow_found(core, backend);
    }
}

void core_link_down(struct core *core, unsigned link)
{
    struct backend *backend = backend_at(core, link);
    if (backend == NULL || !backend->up) {
        return; /* It was up, but of no use to us. */
    }
    uint64_t node = backend->node;
    backend_down(core, backend);
    errands_lost(&core->errands, node);
    backend_dial_seeds(core);
}

enum status core_frame(struct core *core, unsigned link, const struct frame *frame)
{
    struct backend *backend = backend_at(core, link);
    if (backend == NULL || !backend->up) {
        return STATUS_OK;
    }
    backend->suspect_ms = 0;
    backend->heard_ms = core_now(core);
    if (frame->type == FRAME_REPLY) {
        struct frame_reply reply;
        if (frame_read_reply(frame->body, &reply) != STATUS_OK) {
            return STATUS_PROTOCOL;
        }
        if (errand_owns(reply.id)) {
            errands_reply(&core->errands, reply.id, reply.status, reply.body);
            return STATUS_OK;
        }
        return flow_reply(core, backend, &reply);
    }
    if (frame->type == FRAME_PARKED) {
        struct frame_ref ref;
        enum status status = frame_read_ref(frame->body, &ref);
        if (status == STATUS_OK) {
            flow_parked(core, backend, &ref);
        }
        return status;
    }
    if (frame->type == FRAME_PART) {
        struct frame_part piece;
        enum status status = frame_read_part(frame->body, &piece);
        if (status == STATUS_OK && errand_owns(piece.id)) {
            errands_part(&core->errands, &piece);
            return STATUS_OK;
        }
        return status == STATUS_OK ? flow_reply_part(core, backend, &piece) : status;
    }
    if (frame->type == FRAME_MAP) {
        enum status status = map_watch_take(core, frame->body, true);
        return status == STATUS_OK ? STATUS_OK : STATUS_PROTOCOL;
    }
    if (frame->type == FRAME_LEADERS) {
        return map_watch_leaders(core, frame->body) ? STATUS_OK : STATUS_PROTOCOL;
    }
    if (frame->type == FRAME_DESCS) {
        return map_watch_descs(core, frame->body) ? STATUS_OK : STATUS_PROTOCOL;
    }
    if (frame->type == FRAME_MESSAGE) {
        struct frame_message message;
        enum status status = frame_read_message(frame->body, &message);
        if (status == STATUS_OK && core->env.message != NULL) {
            core->env.message(core->env.ctx, &message);
        }
        return status;
    }
    return STATUS_PROTOCOL;
}

void core_inquire(struct core *core, const struct errand_order *order)
{
    errands_begin(&core->errands, order);
    core_wake_at(core, core_now(core));
}

void core_join(struct core *core, const struct core_join *join)
{
    channels_join(core, join);
}

uint64_t core_next_ms(const struct core *core)
{
    return core->timer_ms;
}

static struct core_request *oldest(const struct core *core)
{
    return list_empty(&core->requests)
               ? NULL
               : list_entry(core->requests.next, struct core_request, expiry);
}

void core_tick(struct core *core)
{
    uint64_t now_ms = core_now(core);
    core->timer_ms = UINT64_MAX;
    struct core_request *request = NULL;
    while ((request = oldest(core)) != NULL && request->deadline_ms <= now_ms) {
        gather_expire(core, request);
    }
    if (!list_empty(&core->strays) && core->strays_ms <= now_ms) {
        gather_reroute(core);
    }
    flow_tick(core);
    nearby_tick(core);
    parking_tick(core);
    backend_tick(core);
    channels_tick(core);
    errands_tick(&core->errands, now_ms);
    if (core->errands.count > 0) {
        core_wake_at(core, now_ms + ERRAND_TICK_MS);
    }
    flow_plan_timer(core);
    nearby_plan_timer(core);
    if (!list_empty(&core->strays)) {
        core_wake_at(core, core->strays_ms);
    }
    request = oldest(core);
    if (request != NULL) {
        core_wake_at(core, request->deadline_ms);
    }
}

void core_expire_all(struct core *core)
{
    /* As many as there are now: on_done may start new ones. */
    for (uint64_t count = core->stats.inflight; count > 0 && oldest(core) != NULL; count--) {
        gather_expire(core, oldest(core));
    }
    errands_expire(&core->errands);
}

const struct shard_map *core_map(const struct core *core)
{
    return &core->map;
}

/* The leader that commands are sent to, or would be. False: unknown. */
static bool leader_of(const struct core *core, const struct lane *lane, struct leader_hint *hint)
{
    *hint = (struct leader_hint){.shard = lane->shard, .term = lane->term, .node = lane->leader};
    bool told =
        lane->told_term >= lane->term && backend_usable(core, backend_of(core, lane->told_node));
    if (hint->node == 0 && told) {
        hint->node = lane->told_node;
        hint->term = lane->told_term;
    }
    if (hint->node == lane->told_node && hint->term == lane->told_term) {
        hint->voters = lane->told_voters;
    }
    return hint->node != 0;
}

bool core_leader(const struct core *core, uint64_t shard, struct leader_hint *hint)
{
    if (shard == SHARD_META) {
        *hint = core->meta;
        return hint->node != 0;
    }
    const struct lane *lane = map_get(&core->by_shard, shard);
    return lane != NULL && leader_of(core, lane, hint);
}

bool core_node_up(const struct core *core, uint64_t node)
{
    const struct backend *backend = backend_of(core, node);
    return backend != NULL && backend->up;
}

void core_stats(const struct core *core, struct core_stats *stats)
{
    *stats = core->stats;
    stats->nodes = core->map.node_count;
    stats->nodes_up = core->nodes_up;
    stats->shards = core->lane_count;
    for (size_t i = 0; i < core->lane_count; i++) {
        const struct lane *lane = core->lanes[i];
        struct leader_hint hint;
        bool led = leader_of(core, lane, &hint) && core_node_up(core, hint.node);
        stats->shards_led += led;
        stats->shards_short += !led || hint.voters < lane->replica_count;
        stats->queued_max = lane->count > stats->queued_max ? lane->count : stats->queued_max;
    }
}
