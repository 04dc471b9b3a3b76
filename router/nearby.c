#include "router/nearby.h"

#include "common/base/assert.h"
#include "router/backend.h"
#include "router/flow.h"
#include "router/gather.h"
#include "router/parking.h"

enum {
    PATIENCE_SHARE = 4,    /* Of the time after which a leader is given up. */
    AVOID_MS = 200,        /* After a refusal the shard's reads go to the leader so long. */
    LATENCY_FACTOR = 1024, /* Of a millisecond: what backend.latency counts. */
    LATENCY_LEAST = 128,   /* Of a node of which nothing is known, and what is added to all. */
    LATENCY_WEIGHT = 8,
};

static bool may_leave_leader(const struct core_request *request, const struct lane_part *part)
{
    unsigned flags = request->command->flags;
    return request->replica && (flags & CMD_READ) != 0 && (flags & CMD_WRITE) == 0 &&
           request->flags == 0 && part->seq == 0 && part->ver == 0 && part->tries == 0 &&
           !part->alone && !parking_waits(request);
}

static bool in_zone(const struct core *core, const struct backend *backend)
{
    const struct node_desc *node = shard_map_node(&core->map, backend->node);
    return core->zone != NULL && node != NULL && strcmp(node->zone, core->zone) == 0;
}

/* Those that can be asked: of the own zone if there are any. Returns how many. */
static size_t candidates(const struct core *core,
                         const struct lane *lane,
                         struct backend *found[LANE_REPLICAS_MAX])
{
    size_t count = 0;
    size_t near = 0;
    for (unsigned i = 0; i < lane->replica_count; i++) {
        struct backend *backend = lane->replicas[i];
        if (backend == NULL || !backend_usable(core, backend)) {
            continue;
        }
        found[count] = backend;
        if (in_zone(core, backend)) {
            found[count] = found[near];
            found[near++] = backend;
        }
        count++;
    }
    return near > 0 ? near : count;
}

static uint64_t cost(const struct lane *lane, const struct backend *backend)
{
    size_t waiting = backend->node == lane->leader ? lane->count : 0;
    return (backend->latency + LATENCY_LEAST) * (backend->replica_reads + waiting + 1);
}

static struct backend *pick(struct core *core, const struct lane *lane)
{
    struct backend *found[LANE_REPLICAS_MAX];
    size_t count = candidates(core, lane, found);
    if (count < 2) {
        return count == 0 ? NULL : found[0];
    }
    size_t one = (size_t)rand_below(&core->rand, count);
    size_t other = (one + 1 + (size_t)rand_below(&core->rand, count - 1)) % count;
    return cost(lane, found[other]) < cost(lane, found[one]) ? found[other] : found[one];
}

/* False: not now. */
static bool send_part(struct core *core,
                      const struct lane *lane,
                      struct lane_part *part,
                      const struct backend *backend)
{
    struct buf *out = core->env.send(core->env.ctx, backend->link);
    if (out == NULL || part->size > out->size_max - out->len) {
        return false;
    }
    uint64_t now_ms = core_now(core);
    const struct core_request *request = part->request;
    uint64_t left_ms = request->deadline_ms > now_ms ? request->deadline_ms - now_ms : 1;
    core->stats.frames++;
    part->tries++;
    part->sent_ms = now_ms;
    struct frame_request frame = {.id = flow_frame_id(core, part),
                                  .shard = lane->shard,
                                  .seq = request->bound_ms,
                                  .deadline_ms = (uint32_t)left_ms,
                                  .flags = REQUEST_REPLICA,
                                  .db = request->db,
                                  .args = flow_share_args(core, part)};
    frame_write_request(out, &frame);
    return true;
}

bool nearby_begin(struct core *core, struct lane *lane, struct lane_part *part)
{
    const struct core_request *request = part->request;
    if (!may_leave_leader(request, part) || lane->avoid_until_ms > core_now(core)) {
        return false;
    }
    struct backend *backend = pick(core, lane);
    bool leads = backend != NULL && backend->node == lane->leader;
    if (backend == NULL || leads || !send_part(core, lane, part, backend)) {
        core->stats.replica_at_leader++;
        return false;
    }
    part->shard = lane->shard;
    part->near = backend;
    part->near_try = part->tries;
    backend->replica_reads++;
    list_push_back(&core->nearby, &part->queue);
    core->stats.replica_reads++;
    nearby_plan_timer(core);
    return true;
}

void nearby_leave(struct lane_part *part)
{
    if (part->near != NULL) {
        assert(part->near->replica_reads > 0);
        part->near->replica_reads--;
        part->near = NULL;
        list_remove(&part->queue);
    }
}

static void go_to_leader(struct core *core, struct lane_part *part)
{
    struct lane *lane = map_get(&core->by_shard, part->shard);
    nearby_leave(part);
    core->stats.replica_forwarded++;
    if (lane == NULL) {
        gather_stray(core, part);
        return;
    }
    lane->avoid_until_ms = core_now(core) + AVOID_MS;
    flow_insert(core, lane, part);
}

void nearby_note(struct backend *backend, uint64_t passed_ms)
{
    uint64_t sample = passed_ms * LATENCY_FACTOR;
    backend->latency = (backend->latency * (LATENCY_WEIGHT - 1) + sample) / LATENCY_WEIGHT;
}

void nearby_reply(struct core *core, struct lane_part *part, const struct frame_reply *reply)
{
    if (part->near == NULL) {
        return; /* It went to the leader meanwhile. */
    }
    nearby_note(part->near, core_now(core) - part->sent_ms);
    if (reply->status != STATUS_OK || reply->body.len == 0) {
        go_to_leader(core, part);
        return;
    }
    nearby_leave(part);
    gather_answer(core, part, reply->body);
}

static uint64_t patience_ms(const struct core *core)
{
    return core->try_ms / PATIENCE_SHARE + 1;
}

void nearby_lost(struct core *core, const struct backend *backend)
{
    struct list *next = NULL;
    for (struct list *at = core->nearby.next; at != &core->nearby; at = next) {
        next = at->next; /* Nothing in here ends a part. */
        struct lane_part *part = list_entry(at, struct lane_part, queue);
        if (part->near == backend) {
            go_to_leader(core, part);
        }
    }
}

/* The oldest are first. */
void nearby_tick(struct core *core)
{
    uint64_t now_ms = core_now(core);
    while (!list_empty(&core->nearby)) {
        struct lane_part *part = list_entry(core->nearby.next, struct lane_part, queue);
        if (part->sent_ms + patience_ms(core) > now_ms) {
            return;
        }
        nearby_note(part->near, now_ms - part->sent_ms);
        go_to_leader(core, part);
    }
}

void nearby_plan_timer(struct core *core)
{
    if (!list_empty(&core->nearby)) {
        const struct lane_part *part = list_entry(core->nearby.next, struct lane_part, queue);
        core_wake_at(core, part->sent_ms + patience_ms(core));
    }
}
