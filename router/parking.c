#include "router/parking.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/cluster/session_number.h"
#include "common/proto/block.h"
#include "router/backend.h"
#include "router/flow.h"
#include "router/gather.h"
#include "router/part_tokens.h"

enum { LOOK_MS = 1000, CANCEL_MS = 2 };

/* Odd: so that multiples of it are all different. */
static const uint64_t session_step = UINT64_C(0x9e3779b97f4a7c15);

/* A cancel that its link did not take yet. */
struct cancel {
    struct list link;
    unsigned number; /* Of the link. */
    struct frame_ref ref;
};

void parking_begin(struct core *core, struct core_request *request)
{
    uint64_t timeout_ms = block_timeout(request->command, request->args);
    uint64_t now_ms = core_now(core);
    request->wait_until_ms = 0;
    request->wait_over = false;
    request->waited = false;
    request->wait_frozen = NULL;
    request->wait_frozen_len = 0;
    request->wait_session = 0;
    if (timeout_ms == 0) {
        return;
    }
    request->wait_until_ms =
        timeout_ms > BLOCK_FOREVER - now_ms ? BLOCK_FOREVER : now_ms + timeout_ms;
    if (core->wait_free_count > 0) {
        request->wait_session = core->wait_free[--core->wait_free_count];
    } else {
        core->wait_sessions++;
        request->wait_session = core->wait_sessions;
    }
}

void parking_end(struct core *core, struct core_request *request)
{
    if (request->wait_session == 0) {
        return;
    }
    free(request->wait_frozen);
    request->wait_frozen = NULL;
    request->wait_frozen_len = 0;
    if (core->wait_free_count == core->wait_free_size) {
        core->wait_free_size = core->wait_free_size == 0 ? 64 : core->wait_free_size * 2;
        core->wait_free = realloc(core->wait_free, core->wait_free_size * sizeof(*core->wait_free));
        assert(core->wait_free != NULL);
    }
    core->wait_free[core->wait_free_count++] = request->wait_session;
    request->wait_session = 0;
}

void parking_freeze(struct lane_part *part, struct slice frozen)
{
    struct core_request *request = part->request;
    bool fits = part->size + frozen.len <= FRAME_BODY_SIZE_MAX;
    if (frozen.len == 0 || request->wait_frozen_len > 0 || !fits) {
        return; /* Nothing, or said by another node before. */
    }
    part->size += frozen.len;
    request->wait_frozen_len = WAIT_REF_SIZE + frozen.len;
    request->wait_frozen = malloc(request->wait_frozen_len);
    assert(request->wait_frozen != NULL);
    memcpy(request->wait_frozen + WAIT_REF_SIZE, frozen.data, frozen.len);
}

uint64_t parking_session(const struct core *core, const struct core_request *request)
{
    assert(request->wait_session != 0);
    return session_number_own(core->session + request->wait_session * session_step);
}

uint64_t parking_left_ms(const struct core *core, const struct core_request *request)
{
    if (request->wait_until_ms == BLOCK_FOREVER) {
        return 0;
    }
    uint64_t now_ms = core_now(core);
    return request->wait_until_ms > now_ms ? request->wait_until_ms - now_ms : 1;
}

/* Cancelling. */

static uint64_t frame_id(const struct core *core, const struct lane_part *part)
{
    return (uint64_t)core->slots[part->slot].generation << 32 |
           (uint64_t)(part->tries & 0xff) << SLOT_BITS | part->slot;
}

static bool send_cancel(struct core *core, unsigned number, const struct frame_ref *ref)
{
    struct buf *out = core->env.send(core->env.ctx, number);
    if (out == NULL) {
        return false;
    }
    frame_write_ref(out, FRAME_CANCEL, ref);
    return true;
}

/* Tells the node that it was sent to last; one that is not connected any more knows. */
static void cancel_at(struct core *core, const struct backend *backend, struct lane_part *part)
{
    struct frame_ref ref = {.shard = part->shard, .id = frame_id(core, part)};
    if (backend == NULL || !backend->up || send_cancel(core, backend->link, &ref)) {
        return;
    }
    struct cancel *cancel = malloc(sizeof(*cancel));
    assert(cancel != NULL);
    *cancel = (struct cancel){.number = backend->link, .ref = ref};
    list_push_back(&core->cancels, &cancel->link);
    core_wake_at(core, core_now(core) + CANCEL_MS);
}

static void drop_cancel(struct cancel *cancel)
{
    list_remove(&cancel->link);
    free(cancel);
}

static void send_cancels(struct core *core)
{
    struct list *next = NULL;
    for (struct list *at = core->cancels.next; at != &core->cancels; at = next) {
        next = at->next;
        struct cancel *cancel = list_entry(at, struct cancel, link);
        const struct backend *backend = backend_at(core, cancel->number);
        if (backend == NULL || !backend->up || send_cancel(core, cancel->number, &cancel->ref)) {
            drop_cancel(cancel);
        }
    }
    if (!list_empty(&core->cancels)) {
        core_wake_at(core, core_now(core) + CANCEL_MS);
    }
}

static struct backend *asked(const struct lane_part *part)
{
    if (part->parked_at != NULL) {
        return part->parked_at;
    }
    return part->lane != NULL && part->run == part->lane->run ? part->lane->target : NULL;
}

void core_cancel(struct core *core, struct core_request *request)
{
    assert(parking_waits(request));
    struct lane_part *part = &request->part;
    if (part->request != NULL && part->unanswered > 0) {
        cancel_at(core, asked(part), part);
    }
    parking_leave(core, part);
    gather_forget(core, request);
}

void core_unblock(struct core *core, struct core_request *request)
{
    assert(parking_waits(request));
    struct lane_part *part = &request->part;
    request->wait_until_ms = 1;
    request->wait_over = true;
    request->wait_over_ms = core_now(core);
    if (part->parked_at != NULL) {
        cancel_at(core, part->parked_at, part);
    } else if (part->request == NULL || !gather_bound(part)) {
        if (part->request != NULL && part->unanswered > 0) {
            cancel_at(core, asked(part), part); /* A read, which has taken nothing. */
        }
        gather_end_wait(core, request);
    } /* Else it is on its way there: it is cancelled when it is parked. */
}

void core_unblock_all(struct core *core)
{
    for (size_t i = 0; i < core->lane_count; i++) {
        for (struct list *at = core->lanes[i]->parked.next; at != &core->lanes[i]->parked;
             at = at->next) {
            core_unblock(core, list_entry(at, struct lane_part, queue)->request);
        }
    }
}

/* Parked ones. */

void parking_take(struct core *core,
                  struct lane *lane,
                  struct lane_part *part,
                  struct backend *backend)
{
    struct core_request *request = part->request;
    assert(part->lane == NULL && part->parked_at == NULL && parking_waits(request));
    part->parked_at = backend;
    list_push_back(&lane->parked, &part->queue);
    list_remove(&request->expiry);
    request->waited = true;
    core->stats.parked++;
    if (request->wait_over) {
        cancel_at(core, backend, part);
    }
    core_wake_at(core, core_now(core) + LOOK_MS);
}

void parking_leave(struct core *core, struct lane_part *part)
{
    if (part->parked_at == NULL) {
        return;
    }
    assert(core->stats.parked > 0);
    core->stats.parked--;
    part->parked_at = NULL;
    list_remove(&part->queue);
}

void parking_return(struct core *core, struct lane_part *part)
{
    parking_leave(core, part);
    part->request->deadline_ms = core_now(core) + core->deadline_ms;
    gather_schedule(core, part->request);
    part->run = 0;
    core->stats.rearmed++;
    struct lane *lane = map_get(&core->by_shard, part->shard);
    if (lane != NULL) {
        flow_insert(core, lane, part);
    } else {
        gather_stray(core, part);
    }
}

static void return_some(struct core *core,
                        struct lane *lane,
                        const struct backend *at_node,
                        const struct backend *not_at)
{
    struct list *next = NULL;
    struct list due;
    list_init(&due);
    for (struct list *at = lane->parked.next; at != &lane->parked; at = next) {
        next = at->next;
        struct lane_part *part = list_entry(at, struct lane_part, queue);
        bool goes = at_node != NULL ? part->parked_at == at_node : part->parked_at != not_at;
        if (goes) {
            list_remove(&part->queue);
            list_push_back(&due, &part->queue);
        }
    }
    for (struct list *at; (at = list_pop_front(&due)) != NULL;) {
        struct lane_part *part = list_entry(at, struct lane_part, queue);
        part->unsure = true; /* It may have taken something there. */
        parking_return(core, part);
    }
}

void parking_lost(struct core *core, const struct backend *backend)
{
    for (size_t i = 0; core->stats.parked > 0 && i < core->lane_count; i++) {
        return_some(core, core->lanes[i], backend, NULL);
    }
}

void parking_follow(struct core *core, struct lane *lane)
{
    const struct backend *leader = backend_of(core, lane->leader);
    if (leader != NULL && !list_empty(&lane->parked)) {
        return_some(core, lane, NULL, leader);
    }
}

void parking_disown(struct core *core, struct lane *lane, const struct shard_desc *shard)
{
    struct list *next = NULL;
    for (struct list *at = lane->parked.next; at != &lane->parked; at = next) {
        next = at->next;
        struct lane_part *part = list_entry(at, struct lane_part, queue);
        if (shard != NULL && part_tokens_within(part, shard)) {
            continue;
        }
        parking_leave(core, part);
        part->unsure = true; /* It may have taken something before. */
        part->request->deadline_ms = core_now(core) + core->deadline_ms;
        gather_schedule(core, part->request);
        gather_stray(core, part);
    }
}

static void look(struct core *core, struct lane *lane, uint64_t now_ms)
{
    struct list *next = NULL;
    for (struct list *at = lane->parked.next; at != &lane->parked; at = next) {
        next = at->next;
        struct lane_part *part = list_entry(at, struct lane_part, queue);
        struct core_request *request = part->request;
        uint64_t until_ms = request->wait_over ? request->wait_over_ms : request->wait_until_ms;
        if (until_ms < UINT64_MAX - core->deadline_ms && until_ms + core->deadline_ms < now_ms) {
            parking_leave(core, part);
            gather_expire(core, request);
            next = lane->parked.next; /* Its end may have begun and ended others. */
        }
    }
}

void parking_tick(struct core *core)
{
    send_cancels(core);
    uint64_t now_ms = core_now(core);
    if (core->stats.parked == 0) {
        return;
    }
    if (core->parked_look_ms + LOOK_MS <= now_ms) {
        core->parked_look_ms = now_ms;
        for (size_t i = 0; i < core->lane_count; i++) {
            look(core, core->lanes[i], now_ms);
        }
    }
    core_wake_at(core, core->parked_look_ms + LOOK_MS);
}

void parking_free(struct core *core)
{
    for (size_t i = 0; i < core->lane_count; i++) {
        struct lane *lane = core->lanes[i];
        while (!list_empty(&lane->parked)) {
            struct lane_part *part = list_entry(lane->parked.next, struct lane_part, queue);
            parking_leave(core, part);
            gather_forget(core, part->request);
        }
    }
    while (!list_empty(&core->cancels)) {
        drop_cancel(list_entry(core->cancels.next, struct cancel, link));
    }
    free(core->wait_free);
}
