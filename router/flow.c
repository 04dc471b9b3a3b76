#include "router/flow.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "router/backend.h"
#include "router/gather.h"
#include "router/map_watch.h"
#include "router/nearby.h"
#include "router/parking.h"
#include "router/retry.h"
#include "router/seek.h"

enum {
    REQUEST_OVERHEAD = FRAME_HEADER_SIZE + 5 * 8 + 4 + 2 + 4,
    TRY_DOUBLINGS_MAX = 2,
    STALL_MS = 2,
};

void flow_attach(struct core *core, struct lane_part *part)
{
    if (core->slot_free == SLOT_NONE) {
        uint32_t size = core->slot_size == 0 ? 256 : core->slot_size * 2;
        assert(size <= UINT32_C(1) << SLOT_BITS);
        core->slots = realloc(core->slots, size * sizeof(*core->slots));
        assert(core->slots != NULL);
        for (uint32_t i = size; i > core->slot_size; i--) {
            core->slots[i - 1] = (struct slot){.free_next = core->slot_free};
            core->slot_free = i - 1;
        }
        core->slot_size = size;
    }
    part->slot = core->slot_free;
    struct slot *slot = &core->slots[part->slot];
    core->slot_free = slot->free_next;
    slot->part = part;
    slot->generation = (slot->generation + 1) & GENERATION_MAX;
}

void flow_detach(struct core *core, struct lane_part *part)
{
    struct slot *slot = &core->slots[part->slot];
    assert(slot->part == part && part->lane == NULL);
    nearby_leave(part);
    if (part->session != 0) {
        list_remove(&part->writes);
    }
    slot->part = NULL;
    slot->free_next = core->slot_free;
    core->slot_free = part->slot;
    free(part->coming);
    part->coming = NULL;
}

static size_t key_step(const struct core_request *request)
{
    return (size_t)request->command->key_step;
}

size_t flow_frame_size(const struct core_request *request, const struct lane_part *part)
{
    const struct args *args = &request->args;
    size_t size = REQUEST_OVERHEAD + (parking_waits(request) ? 4 + WAIT_REF_SIZE : 0);
    if (part->keys == NULL) {
        for (size_t i = 0; i < args->argc; i++) {
            size += 4 + args->argv[i].len;
        }
        return size;
    }
    size += 4 + args->argv[0].len;
    for (uint32_t i = 0; i < part->key_count; i++) {
        for (size_t j = 0; j < key_step(request); j++) {
            size += 4 + args->argv[part->keys[i] + j].len;
        }
    }
    return size;
}

static void reserve_argv(struct core *core, size_t count)
{
    if (core->argv_size < count) {
        core->argv = realloc(core->argv, count * sizeof(*core->argv));
        assert(core->argv != NULL);
        core->argv_size = count;
    }
}

/* Those of a request that may wait: one more says how long yet. */
static struct args wait_args(struct core *core,
                             const struct core_request *request,
                             uint8_t bytes[WAIT_REF_SIZE])
{
    const struct args *args = &request->args;
    struct wait_ref ref = {.left_ms = parking_left_ms(core, request), .parked = request->waited};
    wait_ref_encode(&ref, bytes);
    reserve_argv(core, args->argc + 1);
    memcpy(core->argv, args->argv, args->argc * sizeof(*core->argv));
    core->argv[args->argc] = slice_of(bytes, WAIT_REF_SIZE);
    if (request->wait_frozen_len > 0) {
        memcpy(request->wait_frozen, bytes, WAIT_REF_SIZE);
        core->argv[args->argc] = slice_of(request->wait_frozen, request->wait_frozen_len);
    }
    return (struct args){.argv = core->argv, .argc = args->argc + 1};
}

/* The arguments of one share: the name, and its keys with what belongs to each. */
struct args flow_share_args(struct core *core, const struct lane_part *part)
{
    const struct core_request *request = part->request;
    if (part->keys == NULL) {
        return request->args;
    }
    size_t count = 1 + part->key_count * key_step(request);
    reserve_argv(core, count);
    core->argv[0] = request->args.argv[0];
    size_t at = 1;
    for (uint32_t i = 0; i < part->key_count; i++) {
        for (size_t j = 0; j < key_step(request); j++) {
            core->argv[at] = request->args.argv[part->keys[i] + j];
            at++;
        }
    }
    return (struct args){.argv = core->argv, .argc = count};
}

uint64_t flow_frame_id(const struct core *core, const struct lane_part *part)
{
    return (uint64_t)core->slots[part->slot].generation << 32 |
           (uint64_t)(part->tries & 0xff) << SLOT_BITS | part->slot;
}

/* Of what has gone to another shard some may be recorded here yet: its record is to stay. */
static uint64_t first_unacked(const struct core *core,
                              const struct lane *lane,
                              const struct lane_part *part)
{
    uint64_t seq = lane_first_unacked(lane, part);
    if (part->session != 0 || part->alone || list_empty(&core->wanderers)) {
        return seq;
    }
    uint64_t oldest = list_entry(core->wanderers.next, struct lane_part, writes)->seq;
    return oldest < seq ? oldest : seq;
}

/* False if the link takes nothing just now. */
static bool send_part(struct core *core, struct lane *lane, struct lane_part *part, bool first)
{
    struct buf *out = core->env.send(core->env.ctx, lane->target->link);
    if (out == NULL || part->size > out->size_max - out->len) {
        return false;
    }
    uint64_t now_ms = core_now(core);
    const struct core_request *request = part->request;
    uint64_t left_ms = request->deadline_ms > now_ms ? request->deadline_ms - now_ms : 1;
    bool retry = part->unsure || part->unanswered > 0;
    core->stats.frames++;
    core->stats.retries += part->tries > 0;
    part->tries++;
    part->unanswered++;
    part->run = lane->run;
    part->sent_ms = now_ms;
    struct frame_request frame = {
        .id = flow_frame_id(core, part),
        .shard = lane->shard,
        .deadline_ms = (uint32_t)left_ms,
        /* One that may have been applied is not given up for another try, as it would be if its
         * script had to be looked for. */
        .flags = (uint8_t)(request->flags | (retry ? REQUEST_RETRY | REQUEST_SOUGHT : 0) |
                           (first ? REQUEST_FIRST : 0)),
        .db = request->db,
        .args = flow_share_args(core, part),
        .ver = part->ver,
    };
    frame.flags |= part->ver != 0 ? REQUEST_EXACT : 0;
    uint8_t wait[WAIT_REF_SIZE];
    if (parking_waits(request)) {
        frame.flags |= REQUEST_WAIT;
        frame.args = wait_args(core, request, wait);
    }
    if (part->seq != 0) {
        frame.session = gather_session(core, part);
        frame.seq = part->seq;
        frame.first_unacked = first_unacked(core, lane, part);
    }
    frame_write_request(out, &frame);
    core_wake_at(core, now_ms + core->try_ms);
    return true;
}

/* Sends all of an open lane that this run has not sent. */
static void pour(struct core *core, struct lane *lane)
{
    assert(lane->state == LANE_OPEN);
    while (lane->next != NULL) {
        struct lane_part *part = lane->next;
        if (part->run != lane->run && gather_held(core, part)) {
            flow_remove(core, part);
            gather_stray(core, part);
            continue;
        }
        if (part->run != lane->run && !send_part(core, lane, part, false)) {
            lane->wake_ms = core_now(core) + STALL_MS;
            core_wake_at(core, lane->wake_ms);
            return;
        }
        lane->next = lane_after(lane, part);
    }
    lane->wake_ms = 0;
}

/* The leader if it can be asked, else one replica after the other. */
static struct backend *pick_target(struct core *core, struct lane *lane)
{
    struct backend *leader = backend_of(core, lane->leader);
    if (backend_usable(core, leader)) {
        return leader;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 1; i <= lane->replica_count; i++) {
            unsigned turn = (lane->turn + i) % lane->replica_count;
            struct backend *replica = lane->replicas[turn];
            bool fits = replica != NULL && replica->up;
            if (fits && (pass == 1 || backend_usable(core, replica))) {
                lane->turn = turn;
                return replica;
            }
        }
    }
    return NULL;
}

static bool is_urgent(const struct lane_part *part)
{
    return part->request->command->id == CMD_script_kill;
}

/* What a lane waits for may be the very script that SCRIPT KILL is to end. */
static void send_urgent(struct core *core, struct lane *lane)
{
    if (core->urgent == 0 || lane->state != LANE_PROBE) {
        return;
    }
    for (struct lane_part *part = lane_head(lane); part != NULL; part = lane_after(lane, part)) {
        if (is_urgent(part) && part->run != lane->run) {
            (void)send_part(core, lane, part, false);
        }
    }
}

/* Tries target with one part; NULL: goes on with the paused run. */
static void probe(struct core *core, struct lane *lane, struct backend *target)
{
    struct lane_part *part = lane_probe(lane, target);
    while (part != NULL && gather_held(core, part)) {
        flow_remove(core, part);
        gather_stray(core, part);
        part = lane->count > 0 ? lane_probe(lane, NULL) : NULL;
    }
    if (part == NULL) {
        return;
    }
    core->stats.probes++;
    if (!send_part(core, lane, part, true)) {
        /* Nothing of this run is out: another target may do better. */
        uint64_t wake_ms = core_now(core) + STALL_MS;
        if (target == NULL) {
            lane_pause(lane, wake_ms);
        } else {
            lane_shut(lane, wake_ms);
        }
        core_wake_at(core, wake_ms);
    }
    send_urgent(core, lane);
}

static void open_lane(struct core *core, struct lane *lane)
{
    assert(lane->state == LANE_SHUT);
    if (lane->count == 0) {
        return;
    }
    if (lane->target != NULL) {
        probe(core, lane, NULL);
        return;
    }
    struct backend *target = pick_target(core, lane);
    if (target != NULL) {
        probe(core, lane, target);
        return;
    }
    lane_shut(lane, core_now(core) + RETRY_BACKOFF_MS_MAX);
    core_wake_at(core, lane->wake_ms);
}

void flow_insert(struct core *core, struct lane *lane, struct lane_part *part)
{
    lane_insert(lane, part);
    core->stats.queued++;
    core->stats.queued_size += part->size;
    if (lane->count == 1) {
        list_push_back(&core->active, &lane->active);
    }
    if (lane->state == LANE_OPEN && lane->next != NULL && lane->wake_ms == 0) {
        pour(core, lane);
    } else if (lane->state == LANE_SHUT && lane->wake_ms <= core_now(core)) {
        open_lane(core, lane);
    } else if (lane->wake_ms != 0) {
        core_wake_at(core, lane->wake_ms);
    }
    core->urgent += is_urgent(part);
    send_urgent(core, lane);
}

void flow_remove(struct core *core, struct lane_part *part)
{
    struct lane *lane = part->lane;
    if (lane == NULL) {
        return;
    }
    lane_remove(lane, part);
    core->urgent -= is_urgent(part);
    core->stats.queued--;
    core->stats.queued_size -= part->size;
    if (lane->count == 0) {
        list_remove(&lane->active);
    } else if (lane->state == LANE_SHUT) {
        core_wake_at(core, lane->wake_ms);
    }
}

static bool read_hint(struct slice body, struct leader_hint *hint)
{
    struct reader in = reader_of(body);
    return leader_hint_decode(&in, hint) && reader_done(&in);
}

/* That try was sent to the shard that the part is at now. */
static bool is_here(const struct lane_part *part, uint32_t try)
{
    return ((part->tries - try) & 0xff) < part->tries - part->moved;
}

/* The node serves the part as the leader: it leaves its lane, which goes on. */
static void release(struct core *core,
                    struct backend *backend,
                    struct lane_part *part,
                    uint32_t try)
{
    struct lane *lane = part->lane;
    bool latest = (part->tries & 0xff) == try;
    bool here = is_here(part, try);
    bool current = latest && lane->target == backend && part->run == lane->run;
    core->stats.late += !current;
    if (current) {
        lane_confirm(lane, part);
        lane->leader = lane->leader == 0 ? backend->node : lane->leader;
    }
    flow_remove(core, part);
    bool free = here && lane->state == LANE_SHUT && lane->target == NULL;
    if (!current && free && lane->count > 0) {
        probe(core, lane, backend); /* Slow rather than dead. */
    } else if (lane->state == LANE_OPEN && lane->next != NULL) {
        pour(core, lane);
    }
}

static void answered(struct core *core,
                     struct backend *backend,
                     struct lane_part *part,
                     uint32_t try,
                     struct slice body)
{
    if (part->lane != NULL) {
        release(core, backend, part, try);
    }
    if (part->seq == 0 && part->tries == 1 && !parking_waits(part->request)) {
        nearby_note(backend, core_now(core) - part->sent_ms);
    }
    parking_leave(core, part);
    gather_answer(core, part, body);
}

static void move_lane(struct core *core,
                      struct lane *lane,
                      const struct retry_plan *plan,
                      struct backend *hinted)
{
    uint64_t wake_ms = core_now(core) + plan->wait_ms;
    lane->failures++;
    switch (plan->verdict) {
    case RETRY_FOLLOW:
        lane->redirects++;
        core->stats.redirects++;
        probe(core, lane, hinted);
        return;
    case RETRY_WAIT: lane_pause(lane, wake_ms); break;
    case RETRY_ELSEWHERE: lane_shut(lane, wake_ms); break;
    case RETRY_REMAP:
    case RETRY_FAIL: return;
    }
    core_wake_at(core, wake_ms);
}

/* The leader that a refusal names, if it can be asked. */
static struct backend *take_hint(struct core *core,
                                 struct backend *from,
                                 struct lane *lane,
                                 const struct frame_reply *reply)
{
    struct leader_hint hint;
    if (reply->status != STATUS_NOT_LEADER || lane == NULL) {
        return NULL;
    }
    lane_forget(lane, from->node);
    if (lane->told_node == from->node) {
        lane->told_node = 0; /* It takes it back itself. */
    }
    if (!read_hint(reply->body, &hint) || hint.shard != lane->shard || hint.node == from->node) {
        return NULL;
    }
    (void)lane_learn(lane, hint.node, hint.term);
    struct backend *hinted = backend_of(core, lane->leader);
    return backend_usable(core, hinted) && hinted != from ? hinted : NULL;
}

/* What an answer other than OK says about the part. */
static struct retry_plan judge(struct core *core,
                               const struct lane *lane,
                               struct lane_part *part,
                               enum status status,
                               bool hint)
{
    struct retry_case input = {.status = status,
                               .hint = hint,
                               .redirects = lane == NULL ? 0 : lane->redirects,
                               .failures = lane == NULL ? 0 : lane->failures};
    input.random = rand_u64(&core->rand);
    struct retry_plan plan = retry_decide(&input);
    part->unsure = part->unsure || !plan.refused;
    if (plan.none_applied) {
        part->unsure = false;
        part->unanswered = 0;
    }
    return plan;
}

/* One that waited there is given back. True: as refused(). */
static bool evicted(struct core *core,
                    struct backend *backend,
                    struct lane_part *part,
                    const struct frame_reply *reply)
{
    struct lane *lane = map_get(&core->by_shard, part->shard);
    struct backend *hinted = take_hint(core, backend, lane, reply);
    struct retry_plan plan = judge(core, NULL, part, reply->status, hinted != NULL);
    bool leads = plan.verdict != RETRY_FOLLOW && plan.verdict != RETRY_ELSEWHERE;
    if (!leads && lane != NULL && lane->target == backend && lane->state != LANE_SHUT) {
        uint64_t wake_ms = core_now(core) + (hinted != NULL ? 0 : plan.wait_ms);
        lane_shut(lane, wake_ms);
        core_wake_at(core, wake_ms);
    }
    if (plan.verdict != RETRY_REMAP) {
        parking_return(core, part);
        return false;
    }
    parking_leave(core, part);
    part->request->deadline_ms = core_now(core) + core->deadline_ms;
    gather_schedule(core, part->request);
    gather_disown(core, part);
    return true;
}

/* True: it is not this shard's, and is among the strays. */
static bool refused(struct core *core,
                    struct backend *backend,
                    struct lane_part *part,
                    bool latest,
                    const struct frame_reply *reply)
{
    struct lane *lane = part->lane;
    struct backend *hinted = take_hint(core, backend, lane, reply);
    struct retry_plan plan = judge(core, lane, part, reply->status, hinted != NULL);
    bool late = !latest && plan.verdict != RETRY_REMAP;
    if (late || lane == NULL) {
        return false; /* A later try is under way, or a newer map is waited for. */
    }
    bool current = lane->target == backend && part->run == lane->run;
    part->run = 0;
    if (plan.verdict == RETRY_REMAP) {
        flow_remove(core, part);
        gather_disown(core, part);
        return true;
    }
    if (plan.verdict == RETRY_FAIL) {
        bool probing = lane->probe == part;
        uint64_t shard = lane->shard;
        flow_remove(core, part);
        if (probing && lane->count > 0) {
            open_lane(core, lane);
        }
        if (reply->status == STATUS_NO_SCRIPT) {
            seek_begin(core, part);
            return false;
        }
        struct buf text;
        buf_init(&text, FRAME_BODY_SIZE_MAX);
        retry_write_failure(&text, reply->status, shard, reply->body);
        gather_fail(core, part, buf_slice(&text));
        buf_deinit(&text);
    } else if (current) {
        /* The rest of a burst that was refused together says nothing new. */
        bool echo = lane->state == LANE_SHUT || (lane->probe != NULL && lane->probe != part);
        if (plan.verdict != RETRY_WAIT || !echo) {
            move_lane(core, lane, &plan, hinted);
        }
    }
    return false;
}

/* A shard is another one, or gone; perhaps the node says what has become of it. stray: the part
 * that it was said of, NULL: none. */
static enum status take_news(struct core *core,
                             struct backend *backend,
                             uint64_t shard,
                             struct lane_part *stray,
                             struct slice body)
{
    bool changed = false;
    if (!map_watch_told(core, body, &changed)) {
        return STATUS_PROTOCOL;
    }
    bool helped = changed || (stray != NULL && gather_settle(core, stray));
    if (!helped) {
        backend_subscribe(core, backend);
    }
    if (!helped && stray != NULL) {
        gather_hold(core, stray);
    }
    struct lane *lane = map_get(&core->by_shard, shard);
    bool due = lane != NULL && lane->state == LANE_SHUT && lane->wake_ms <= core_now(core);
    if (due && lane->target != NULL && lane->count > 0) {
        open_lane(core, lane); /* What was sent to try it out went elsewhere. */
    }
    return STATUS_OK;
}

/* An answer other than OK. */
static enum status take_refusal(struct core *core,
                                struct backend *backend,
                                struct lane_part *part,
                                uint32_t try,
                                const struct frame_reply *reply)
{
    bool latest = (part->tries & 0xff) == try;
    uint64_t shard = part->shard;
    bool disowned = false;
    if (!is_here(part, try)) {
        struct retry_case input = {.status = reply->status};
        part->unsure = part->unsure || !retry_decide(&input).refused;
    } else if (part->parked_at == NULL) {
        disowned = refused(core, backend, part, latest, reply);
    } else if (latest) {
        disowned = evicted(core, backend, part, reply);
    }
    if (reply->status != STATUS_NOT_OWNER && reply->status != STATUS_NO_SHARD) {
        return STATUS_OK;
    }
    return take_news(core, backend, shard, disowned ? part : NULL, reply->body);
}

enum status flow_reply(struct core *core, struct backend *backend, const struct frame_reply *reply)
{
    uint32_t index = (uint32_t)(reply->id & ((UINT32_C(1) << SLOT_BITS) - 1));
    uint32_t try = (uint32_t)(reply->id >> SLOT_BITS) & 0xff;
    uint32_t generation = (uint32_t)(reply->id >> 32);
    core->stats.statuses[reply->status]++;
    struct slot *slot = index < core->slot_size ? &core->slots[index] : NULL;
    if (slot == NULL || slot->part == NULL || slot->generation != generation) {
        core->stats.strange++;
        return STATUS_OK;
    }
    struct lane_part *part = slot->part;
    if (part->near_try != 0 && (part->near_try & 0xff) == try) {
        nearby_reply(core, part, reply);
        return STATUS_OK;
    }
    if (part->unanswered > 0 && is_here(part, try)) {
        part->unanswered--;
    }
    if (reply->status != STATUS_OK) {
        return take_refusal(core, backend, part, try, reply);
    }
    if (reply->body.len == 0) {
        return STATUS_PROTOCOL;
    }
    bool vain = parking_waits(part->request) && slice_equal(reply->body, slice_str("*-1\r\n"));
    if (vain && (part->tries & 0xff) != try) {
        return STATUS_OK; /* A later try may take something yet. */
    }
    answered(core, backend, part, try, reply->body);
    return STATUS_OK;
}

void flow_parked(struct core *core, struct backend *backend, const struct frame_ref *ref)
{
    uint32_t index = (uint32_t)(ref->id & ((UINT32_C(1) << SLOT_BITS) - 1));
    uint32_t try = (uint32_t)(ref->id >> SLOT_BITS) & 0xff;
    struct slot *slot = index < core->slot_size ? &core->slots[index] : NULL;
    if (slot == NULL || slot->part == NULL || slot->generation != (uint32_t)(ref->id >> 32)) {
        return; /* It was cancelled. */
    }
    struct lane_part *part = slot->part;
    struct lane *lane = part->lane;
    if (lane == NULL || (part->tries & 0xff) != try || !parking_waits(part->request)) {
        return; /* A later try, or a newer map, counts. */
    }
    release(core, backend, part, try);
    parking_freeze(part, ref->frozen);
    parking_take(core, lane, part, backend);
}

/* Begins anew with the first piece of another try. False: a piece is not what comes next. */
static bool collect(struct lane_part *part, const struct frame_part *piece)
{
    if (piece->offset == 0) {
        free(part->coming);
        part->coming = malloc(piece->size);
        assert(part->coming != NULL);
        part->coming_size = piece->size;
        part->coming_len = 0;
        part->coming_id = piece->id;
    }
    if (part->coming == NULL || part->coming_id != piece->id || part->coming_len != piece->offset ||
        part->coming_size != piece->size) {
        return false;
    }
    memcpy(part->coming + part->coming_len, piece->bytes.data, piece->bytes.len);
    part->coming_len += piece->bytes.len;
    return true;
}

enum status flow_reply_part(struct core *core,
                            struct backend *backend,
                            const struct frame_part *piece)
{
    uint32_t index = (uint32_t)(piece->id & ((UINT32_C(1) << SLOT_BITS) - 1));
    struct slot *slot = index < core->slot_size ? &core->slots[index] : NULL;
    if (slot == NULL || slot->part == NULL || slot->generation != (uint32_t)(piece->id >> 32)) {
        return STATUS_OK; /* Nobody waits for it any more. */
    }
    struct lane_part *part = slot->part;
    if (!collect(part, piece) || part->coming_len < part->coming_size) {
        return STATUS_OK;
    }
    struct frame_reply reply = {
        .id = piece->id, .status = STATUS_OK, .body = slice_of(part->coming, part->coming_size)};
    core->given = part->coming;
    part->coming = NULL;
    enum status status = flow_reply(core, backend, &reply);
    free(core->given);
    core->given = NULL;
    return status;
}

void flow_found(struct core *core, struct backend *backend)
{
    for (struct list *at = core->active.next; at != &core->active; at = at->next) {
        struct lane *lane = list_entry(at, struct lane, active);
        bool helps = backend->node != 0 && lane->leader == backend->node;
        bool lost = !backend_usable(core, backend_of(core, lane->leader));
        if (lane->state == LANE_SHUT && lane->target == NULL && (helps || lost)) {
            open_lane(core, lane);
        }
    }
}

void flow_lost(struct core *core, struct backend *backend)
{
    uint64_t now_ms = core_now(core);
    nearby_lost(core, backend);
    for (size_t i = 0; i < core->lane_count; i++) {
        struct lane *lane = core->lanes[i];
        if (lane->target != backend) {
            continue;
        }
        struct lane_part *part = lane_head(lane);
        for (; part != NULL; part = lane_after(lane, part)) {
            part->unsure = part->unsure || part->unanswered > 0;
        }
        lane_forget(lane, backend->node);
        lane->failures++;
        lane_shut(lane, now_ms);
        core_wake_at(core, now_ms);
    }
    parking_lost(core, backend);
}

void flow_learn(struct core *core, const struct leader_hint *hint)
{
    struct lane *lane = map_get(&core->by_shard, hint->shard);
    if (lane != NULL && hint->term >= lane->told_term) {
        lane->told_node = hint->node;
        lane->told_term = hint->term;
        lane->told_voters = hint->voters;
    }
    flow_hear(core, hint);
}

void flow_hear(struct core *core, const struct leader_hint *hint)
{
    struct lane *lane = map_get(&core->by_shard, hint->shard);
    if (lane == NULL || !lane_learn(lane, hint->node, hint->term)) {
        return;
    }
    parking_follow(core, lane);
    struct backend *leader = backend_of(core, hint->node);
    if (lane->count > 0 && lane->target != leader && backend_usable(core, leader)) {
        lane_shut(lane, 0);
        open_lane(core, lane);
    }
}

/* When the node was last seen to take or to send anything. One that does may be busy with what was
 * asked before, or with a large value: it is not asked again, and nobody else in its place. */
static uint64_t alive_ms(const struct core *core, const struct backend *backend)
{
    if (!backend->up || core->env.moved_ms == NULL) {
        return backend->heard_ms;
    }
    uint64_t moved_ms = core->env.moved_ms(core->env.ctx, backend->link);
    return moved_ms > backend->heard_ms ? moved_ms : backend->heard_ms;
}

/* When an unanswered part of the current run means that the target is not there; 0: none waits. */
static uint64_t silence_ms(const struct core *core, const struct lane *lane)
{
    const struct lane_part *head = lane_head(lane);
    if (lane->target == NULL || head == NULL || head->run != lane->run) {
        return 0;
    }
    unsigned doublings = lane->silences < TRY_DOUBLINGS_MAX ? lane->silences : TRY_DOUBLINGS_MAX;
    uint64_t alive = alive_ms(core, lane->target);
    uint64_t since_ms = head->sent_ms > alive ? head->sent_ms : alive;
    return since_ms + ((uint64_t)core->try_ms << doublings);
}

static void tick_lane(struct core *core, struct lane *lane, uint64_t now_ms)
{
    uint64_t silent_ms = silence_ms(core, lane);
    if (silent_ms != 0 && silent_ms <= now_ms) {
        log_info("router.silence", "shard=%" PRIu64 " node=%" PRIu64, lane->shard,
                 lane->target->node);
        core->stats.silences++;
        backend_suspect(core, lane->target);
        lane_forget(lane, lane->target->node);
        lane->silences++;
        lane->failures++;
        lane_shut(lane, now_ms);
    }
    if (lane->wake_ms > now_ms) {
        return;
    }
    if (lane->state == LANE_SHUT) {
        open_lane(core, lane);
    } else if (lane->state == LANE_OPEN && lane->next != NULL) {
        pour(core, lane);
    }
}

void flow_tick(struct core *core)
{
    uint64_t now_ms = core_now(core);
    struct list *next = NULL;
    for (struct list *at = core->active.next; at != &core->active; at = next) {
        next = at->next; /* Nothing in here ends a part. */
        tick_lane(core, list_entry(at, struct lane, active), now_ms);
    }
}

void flow_plan_timer(struct core *core)
{
    for (struct list *at = core->active.next; at != &core->active; at = at->next) {
        const struct lane *lane = list_entry(at, struct lane, active);
        uint64_t silent_ms = silence_ms(core, lane);
        if (silent_ms != 0) {
            core_wake_at(core, silent_ms);
        }
        if (lane->state == LANE_SHUT || lane->next != NULL) {
            core_wake_at(core, lane->wake_ms);
        }
    }
}
