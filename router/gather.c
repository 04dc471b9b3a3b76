#include "router/gather.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "router/fanout.h"
#include "router/flow.h"
#include "router/parking.h"
#include "router/retry.h"
#include "router/seek.h"

enum { MERGED_KEPT_SIZE_MAX = 1 << 20 };

static bool is_write(const struct core_request *request)
{
    return (request->command->flags & CMD_WRITE) != 0;
}

static bool may_be_applied(const struct lane_part *part)
{
    return part->seq != 0 && (part->unsure || part->unanswered > 0);
}

bool gather_bound(const struct lane_part *part)
{
    return may_be_applied(part);
}

static void drop_part(struct core *core, struct lane_part *part)
{
    flow_remove(core, part);
    list_remove(&part->queue); /* A stray. */
    flow_detach(core, part);
}

void gather_schedule(struct core *core, struct core_request *request)
{
    /* Sorted by deadline: at the end but for a while after core_set_deadline(). */
    struct list *at = core->requests.prev;
    while (at != &core->requests &&
           list_entry(at, struct core_request, expiry)->deadline_ms > request->deadline_ms) {
        at = at->prev;
    }
    list_push_back(at->next, &request->expiry);
    core_wake_at(core, request->deadline_ms);
}

static void finish(struct core *core, struct core_request *request, struct slice reply)
{
    parking_end(core, request);
    seek_end(core, request);
    list_remove(&request->expiry);
    core->stats.inflight--;
    request->on_done(request, reply);
}

static void finish_with_error(struct core *core, struct core_request *request, struct slice text)
{
    struct buf reply;
    buf_init(&reply, FRAME_BODY_SIZE_MAX);
    resp_write_errorf(&reply, "%.*s", (int)text.len, (const char *)text.data);
    finish(core, request, buf_slice(&reply));
    buf_deinit(&reply);
}

/* Shares of a request that is spread. */

static struct lane_part *new_share(struct core *core, struct core_request *request, uint64_t order)
{
    struct lane_part *share = core->parts_free;
    if (share != NULL) {
        core->parts_free = share->sibling;
    } else {
        share = malloc(sizeof(*share));
        assert(share != NULL);
    }
    *share = (struct lane_part){.request = request, .order = order};
    list_init(&share->queue);
    list_init(&share->writes);
    share->seq = is_write(request) ? order : 0;
    share->sibling = request->gather->shares;
    request->gather->shares = share;
    request->gather->pending++;
    flow_attach(core, share);
    core->stats.parts++;
    return share;
}

/* Ends a share that is in no lane any more. The reply is copied. */
static void close_share(struct core *core, struct lane_part *share, struct slice reply)
{
    assert(!share->done && share->lane == NULL);
    flow_detach(core, share);
    share->done = true;
    share->reply = malloc(reply.len + 1);
    assert(share->reply != NULL);
    memcpy(share->reply, reply.data, reply.len);
    share->reply_size = reply.len;
    share->request->gather->pending--;
}

static void free_gather(struct core *core, struct core_request *request)
{
    struct core_gather *gather = request->gather;
    while (gather->shares != NULL) {
        struct lane_part *share = gather->shares;
        gather->shares = share->sibling;
        if (!share->done) {
            drop_part(core, share);
        }
        free(share->reply);
        share->sibling = core->parts_free;
        core->parts_free = share;
    }
    free(gather->keys);
    free(gather);
    request->gather = NULL;
}

void gather_forget(struct core *core, struct core_request *request)
{
    parking_end(core, request);
    seek_end(core, request);
    list_remove(&request->expiry);
    list_remove(&request->part.queue);
    core->stats.inflight--;
    if (request->gather != NULL) {
        free_gather(core, request);
    } else if (request->part.request != NULL) {
        drop_part(core, &request->part);
    }
}

/* First in the order of the arguments. */
static size_t list_replies(const struct core_gather *gather, struct fanout_part **parts)
{
    size_t count = 0;
    for (struct lane_part *share = gather->shares; share != NULL; share = share->sibling) {
        count++;
    }
    *parts = calloc(count + 1, sizeof(**parts));
    assert(*parts != NULL);
    size_t at = count;
    for (struct lane_part *share = gather->shares; share != NULL; share = share->sibling) {
        at--;
        (*parts)[at] = (struct fanout_part){.reply = slice_of(share->reply, share->reply_size),
                                            .keys = share->keys,
                                            .key_count = share->key_count};
    }
    return count;
}

/* Some shares of a write are in, others are not: the whole is neither done nor undone. */
static bool write_partial(const struct fanout_part *parts, size_t count, struct buf *out)
{
    const struct fanout_part *bad = NULL;
    size_t good = 0;
    for (size_t i = 0; i < count; i++) {
        if (!fanout_is_error(parts[i].reply)) {
            good++;
        } else if (bad == NULL) {
            bad = &parts[i];
        }
    }
    if (bad == NULL || good == 0) {
        return false;
    }
    struct slice text = slice_of(bad->reply.data + 1, bad->reply.len - 1);
    while (text.len > 0 && text.data[text.len - 1] <= ' ') {
        text.len--;
    }
    resp_write_errorf(out, "UNKNOWN this write was applied on %zu of %zu shards only: %.*s", good,
                      count, (int)text.len, (const char *)text.data);
    return true;
}

static void conclude(struct core *core, struct core_request *request)
{
    struct core_gather *gather = request->gather;
    if (gather->layout != 0 && gather->layout != core->layout && !gather->failed) {
        free_gather(core, request);
        core->order++;
        request->part.order = core->order; /* A write of its own: the old one is answered. */
        gather_begin(core, request);
        return;
    }
    struct fanout_part *parts = NULL;
    size_t count = list_replies(gather, &parts);
    buf_clear(&core->merged);
    if (request->command->merge == MERGE_ANY) {
        buf_append_slice(&core->merged, parts[0].reply);
    } else if (!is_write(request) || !write_partial(parts, count, &core->merged)) {
        fanout_merge(request->command, parts, count, &core->merged);
    }
    free(parts);
    free_gather(core, request);
    finish(core, request, buf_slice(&core->merged));
    if (core->merged.size > MERGED_KEPT_SIZE_MAX) {
        buf_deinit(&core->merged);
        buf_init(&core->merged, FRAME_BODY_SIZE_MAX);
    }
}

/* Answers. */

static void finish_scan(struct core *core, struct core_request *request, struct slice reply)
{
    uint64_t cursor = 0;
    const struct shard_desc *shard = NULL;
    if (request->db == 0 && route_cursor(request->args.argv[1], &cursor)) {
        shard = shard_map_find(&core->map, cursor);
    }
    struct buf out;
    buf_init(&out, FRAME_BODY_SIZE_MAX);
    fanout_scan(reply, shard == NULL ? UINT64_MAX : shard->last, &out);
    finish(core, request, buf_slice(&out));
    buf_deinit(&out);
}

void gather_answer(struct core *core, struct lane_part *part, struct slice reply)
{
    struct core_request *request = part->request;
    list_remove(&part->queue);
    if (request->gather == NULL) {
        flow_detach(core, part);
        seek_note(core, request, part->shard);
        if (request->command->merge == MERGE_SCAN) {
            finish_scan(core, request, reply);
        } else {
            finish(core, request, reply);
        }
        return;
    }
    struct core_gather *gather = request->gather;
    bool again = request->command->merge == MERGE_ANY && fanout_is_null(reply) &&
                 gather->asked < core->lane_count;
    if (again) {
        const struct lane *last = map_get(&core->by_shard, part->shard);
        size_t position = last == NULL ? 0 : (last->position + 1) % core->lane_count;
        gather->asked++;
        flow_insert(core, core->lanes[position], part);
        return;
    }
    gather->failed = gather->failed || fanout_is_error(reply);
    close_share(core, part, reply);
    if (gather->pending == 0) {
        conclude(core, request);
    }
}

void gather_fail(struct core *core, struct lane_part *part, struct slice text)
{
    struct core_request *request = part->request;
    list_remove(&part->queue);
    core->stats.unknown += text.len > 7 && memcmp(text.data, "UNKNOWN", 7) == 0;
    if (request->gather == NULL) {
        flow_detach(core, part);
        finish_with_error(core, request, text);
        return;
    }
    struct buf reply;
    buf_init(&reply, FRAME_BODY_SIZE_MAX);
    resp_write_errorf(&reply, "%.*s", (int)text.len, (const char *)text.data);
    gather_answer(core, part, buf_slice(&reply));
    buf_deinit(&reply);
}

static void fail_end(struct core *core, struct lane_part *part, enum retry_end end, uint64_t leader)
{
    core->stats.timeouts += end == RETRY_END_TIMEOUT;
    core->stats.clusterdown += end == RETRY_END_NO_LEADER;
    struct buf text;
    buf_init(&text, FRAME_BODY_SIZE_MAX);
    retry_write_end(&text, end, part->shard, leader, core->deadline_ms);
    gather_fail(core, part, buf_slice(&text));
    buf_deinit(&text);
}

static void expire_part(struct core *core, struct lane_part *part)
{
    const struct lane *lane = map_get(&core->by_shard, part->shard);
    uint64_t leader = lane == NULL ? 0 : lane->leader;
    bool asked = part->tries > 0 && leader != 0;
    enum retry_end end = retry_end_of(part->seq != 0, may_be_applied(part), asked);
    flow_remove(core, part);
    fail_end(core, part, end, leader);
}

void gather_end_wait(struct core *core, struct core_request *request)
{
    struct slice empty = slice_str("*-1\r\n");
    if (request->part.request == NULL) {
        list_remove(&request->part.queue);
        finish(core, request, empty);
        return;
    }
    flow_remove(core, &request->part);
    gather_answer(core, &request->part, empty);
}

void gather_expire(struct core *core, struct core_request *request)
{
    bool over = parking_waits(request) && request->wait_until_ms <= core_now(core);
    if (over && !may_be_applied(&request->part)) {
        gather_end_wait(core, request);
        return;
    }
    if (request->gather == NULL && request->part.request == NULL) {
        struct buf text;
        buf_init(&text, FRAME_BODY_SIZE_MAX);
        enum retry_end end = seek_busy(request) ? RETRY_END_TIMEOUT : RETRY_END_NO_MAP;
        core->stats.timeouts += end == RETRY_END_TIMEOUT;
        core->stats.clusterdown += end == RETRY_END_NO_MAP;
        retry_write_end(&text, end, request->part.shard, 0, core->deadline_ms);
        list_remove(&request->part.queue);
        finish_with_error(core, request, buf_slice(&text));
        buf_deinit(&text);
        return;
    }
    if (request->gather == NULL) {
        expire_part(core, &request->part);
        return;
    }
    /* The last of them ends the request. */
    request->gather->failed = true;
    struct lane_part *share = request->gather->shares;
    size_t pending = request->gather->pending;
    while (pending > 0) {
        struct lane_part *sibling = share->sibling;
        if (!share->done) {
            pending--;
            expire_part(core, share);
        }
        share = sibling;
    }
}

/* Requests. */

static bool has_room(struct core *core, const struct lane *lane, size_t size)
{
    return lane->count == 0 ||
           (lane->count < core->lane_parts_max && lane->size + size <= core->lane_size_max);
}

static void refuse_overload(struct core *core,
                            struct core_request *request,
                            const struct lane *lane)
{
    core->stats.overloads++;
    struct buf text;
    buf_init(&text, FRAME_BODY_SIZE_MAX);
    buf_append_format(&text,
                      "OVERLOADED shard %" PRIu64
                      " has %zu commands (%zu bytes) waiting here; "
                      "nothing was changed, try again later",
                      lane->shard, lane->count, lane->size);
    finish_with_error(core, request, buf_slice(&text));
    buf_deinit(&text);
}

static void begin_one(struct core *core, struct core_request *request)
{
    struct lane *lane = core->lanes[core->route.shard];
    struct lane_part *part = &request->part;
    part->size = flow_frame_size(request, part);
    if (part->size > FRAME_BODY_SIZE_MAX) {
        finish_with_error(core, request, slice_str("ERR the command is too large"));
        return;
    }
    if (!has_room(core, lane, part->size)) {
        refuse_overload(core, request, lane);
        return;
    }
    part->request = request;
    part->seq = is_write(request) ? part->order : 0;
    part->alone = parking_waits(request);
    seek_prepare(core, request, lane->shard);
    flow_attach(core, part);
    core->stats.parts++;
    flow_insert(core, lane, part);
}

static void spread_keys(struct core *core, struct core_request *request)
{
    const struct route *route = &core->route;
    struct core_gather *gather = request->gather;
    size_t count = 0;
    for (size_t i = 0; i < route->share_count; i++) {
        count += route->shares[i].key_count;
    }
    gather->keys = malloc(count * sizeof(*gather->keys));
    assert(gather->keys != NULL);
    memcpy(gather->keys, route->keys, count * sizeof(*gather->keys));
    for (size_t i = 0; i < route->share_count; i++) {
        struct lane_part *share = new_share(core, request, request->part.order);
        share->keys = gather->keys + route->shares[i].key_from;
        share->key_count = route->shares[i].key_count;
        share->shard = core->lanes[route->shares[i].shard]->shard;
    }
}

static void spread_all(struct core *core, struct core_request *request)
{
    request->gather->layout = core->layout;
    for (size_t i = 0; i < core->lane_count; i++) {
        struct lane_part *share = new_share(core, request, request->part.order);
        share->shard = core->lanes[i]->shard;
    }
}

static void begin_several(struct core *core, struct core_request *request)
{
    request->gather = calloc(1, sizeof(*request->gather));
    assert(request->gather != NULL);
    core->stats.gathers++;
    if (core->route.shape == ROUTE_SPREAD) {
        spread_keys(core, request);
    } else if (core->route.shape == ROUTE_EVERY) {
        spread_all(core, request);
    } else {
        struct lane_part *share = new_share(core, request, request->part.order);
        share->shard = core->lanes[rand_below(&core->rand, core->lane_count)]->shard;
        request->gather->asked = 1;
    }
    struct lane_part *share = request->gather->shares;
    for (; share != NULL; share = share->sibling) {
        struct lane *lane = map_get(&core->by_shard, share->shard);
        share->size = flow_frame_size(request, share);
        if (!has_room(core, lane, share->size)) {
            free_gather(core, request);
            refuse_overload(core, request, lane);
            return;
        }
    }
    for (share = request->gather->shares; share != NULL; share = share->sibling) {
        flow_insert(core, map_get(&core->by_shard, share->shard), share);
    }
}

void gather_begin(struct core *core, struct core_request *request)
{
    uint64_t order = request->part.order;
    request->part = (struct lane_part){.order = order};
    request->gather = NULL;
    list_init(&request->part.queue);
    list_init(&request->part.writes);
    if (core->lane_count == 0) {
        list_push_back(&core->unrouted, &request->part.queue);
        return;
    }
    struct buf error;
    buf_init(&error, FRAME_BODY_SIZE_MAX);
    enum status status =
        route_plan(&core->route, request->command, &request->args, request->db, &core->map, &error);
    if (status != STATUS_OK) {
        core->stats.crossslots += status == STATUS_CONFLICT;
        finish_with_error(core, request, buf_slice(&error));
    } else if (core->route.shape == ROUTE_ONE) {
        begin_one(core, request);
    } else {
        begin_several(core, request);
    }
    buf_deinit(&error);
}

/* Parts that have to go elsewhere. */

void gather_stray(struct core *core, struct lane_part *part)
{
    struct list *at = core->strays.prev;
    while (at != &core->strays && list_entry(at, struct lane_part, queue)->order > part->order) {
        at = at->prev;
    }
    list_push_back(at->next, &part->queue);
    core->strays_ms = core_now(core) + STRAY_MS;
    core_wake_at(core, core->strays_ms);
}

static void split_share(struct core *core, struct lane_part *share)
{
    struct core_request *request = share->request;
    struct route *route = &core->route;
    struct core_gather *gather = request->gather;
    uint32_t *keys = gather->keys + (share->keys - gather->keys);
    route_regroup(route, &request->args, request->db, &core->map, keys, share->key_count);
    if (route->share_count > 1 && may_be_applied(share)) {
        fail_end(core, share, RETRY_END_UNKNOWN, 0);
        return;
    }
    share->key_count = route->shares[0].key_count;
    share->size = flow_frame_size(request, share);
    flow_insert(core, core->lanes[route->shares[0].shard], share);
    for (size_t i = 1; i < route->share_count; i++) {
        struct lane_part *more = new_share(core, request, share->order);
        more->keys = keys + route->shares[i].key_from;
        more->key_count = route->shares[i].key_count;
        more->size = flow_frame_size(request, more);
        flow_insert(core, core->lanes[route->shares[i].shard], more);
    }
}

static void place_single(struct core *core, struct lane_part *part)
{
    struct core_request *request = part->request;
    if (!may_be_applied(part)) {
        flow_detach(core, part);
        gather_begin(core, request);
        return;
    }
    struct buf error;
    buf_init(&error, FRAME_BODY_SIZE_MAX);
    enum status status =
        route_plan(&core->route, request->command, &request->args, request->db, &core->map, &error);
    buf_deinit(&error);
    if (status == STATUS_OK && core->route.shape == ROUTE_ONE) {
        flow_insert(core, core->lanes[core->route.shard], part);
    } else {
        fail_end(core, part, RETRY_END_UNKNOWN, 0);
    }
}

static void place(struct core *core, struct lane_part *part)
{
    struct lane *home = map_get(&core->by_shard, part->shard);
    core->stats.moved++;
    if (part->request->gather == NULL) {
        place_single(core, part);
    } else if (part->keys != NULL) {
        split_share(core, part);
    } else if (home != NULL) {
        flow_insert(core, home, part);
    } else if (part->request->gather->layout == 0) {
        flow_insert(core, core->lanes[0], part);
    } else {
        /* The shard is gone, and so the whole command begins again when the others are done. */
        gather_answer(core, part, slice_str("+OK\r\n"));
    }
}

void gather_remap(struct core *core, struct lane_part *part)
{
    const struct core_request *request = part->request;
    size_t index =
        part->keys != NULL ? part->keys[0] : command_key_at(request->command, request->args, 0);
    gather_stray(core, part);
    bool database = index == 0 && request->db != 0 && !command_has_keys(request->command);
    if ((index == 0 && !database) || core->lane_count == 0) {
        return;
    }
    struct slice key = database ? slice_of(NULL, 0) : request->args.argv[index];
    uint64_t token = token_of(request->db, key);
    const struct shard_desc *shard = shard_map_find(&core->map, token);
    if (shard != NULL && shard->id != part->shard) {
        list_remove(&part->queue);
        place(core, part);
    }
}

void gather_reroute(struct core *core)
{
    if (core->lane_count == 0) {
        return;
    }
    struct list parts;
    struct list requests;
    list_init(&parts);
    list_init(&requests);
    struct list *node = NULL;
    while ((node = list_pop_front(&core->strays)) != NULL) {
        list_push_back(&parts, node);
    }
    while ((node = list_pop_front(&core->unrouted)) != NULL) {
        list_push_back(&requests, node);
    }
    while ((node = list_pop_front(&parts)) != NULL) {
        place(core, list_entry(node, struct lane_part, queue));
    }
    while ((node = list_pop_front(&requests)) != NULL) {
        gather_begin(core, list_entry(node, struct core_request, part.queue));
    }
}
