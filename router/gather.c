#include "router/gather.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/cluster/command_place.h"
#include "common/cluster/session_number.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "router/fanout.h"
#include "router/flow.h"
#include "router/nearby.h"
#include "router/parking.h"
#include "router/part_tokens.h"
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

uint64_t gather_session(const struct core *core, const struct lane_part *part)
{
    if (part->session != 0) {
        return part->session;
    }
    return part->alone ? parking_session(core, part->request) : core->session;
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
    share->seq = is_write(request) ? core_number(core) : 0; /* Two may meet on one shard. */
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

static void free_share(struct core *core, struct lane_part *share)
{
    if (!share->done) {
        drop_part(core, share);
    }
    free(share->reply);
    share->sibling = core->parts_free;
    core->parts_free = share;
}

static void free_gather(struct core *core, struct core_request *request)
{
    struct core_gather *gather = request->gather;
    while (gather->shares != NULL) {
        struct lane_part *share = gather->shares;
        gather->shares = share->sibling;
        free_share(core, share);
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
        count += !share->stale;
    }
    *parts = calloc(count + 1, sizeof(**parts));
    assert(*parts != NULL);
    size_t at = count;
    for (struct lane_part *share = gather->shares; share != NULL; share = share->sibling) {
        if (share->stale) {
            continue;
        }
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

/* Shares of a command that is about the whole ring. */

static void mark_range(struct lane_part *share, const struct shard_desc *shard)
{
    share->ver = shard->ver;
    share->start = shard->start;
    share->last = shard->last;
}

static struct lane_part *add_whole(struct core *core, struct core_request *request, size_t position)
{
    struct lane_part *share = new_share(core, request, request->part.order);
    const struct shard_desc *shard = &core->map.shards[position];
    share->shard = shard->id;
    share->start = shard->start;
    share->last = shard->last;
    if (command_place_exact(request->command, request->db)) {
        mark_range(share, shard);
    }
    return share;
}

/* Today's shards lie within what it is about, or beside it. */
static bool is_aligned(const struct core *core, const struct lane_part *share)
{
    return shard_map_find(&core->map, share->start)->start == share->start &&
           shard_map_find(&core->map, share->last)->last == share->last;
}

static int compare_starts(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Keeps the answers that are still about whole shards. Returns their ranges, first and last token
 * of each, by token. */
static uint64_t *keep_answers(struct core *core, struct core_gather *gather, size_t *count)
{
    struct lane_part *share = gather->shares;
    size_t kept = 0;
    gather->shares = NULL;
    while (share != NULL) {
        struct lane_part *next = share->sibling;
        if (share->stale || !is_aligned(core, share)) {
            free_share(core, share);
        } else {
            share->sibling = gather->shares;
            gather->shares = share;
            kept++;
        }
        share = next;
    }
    uint64_t *ranges = calloc(kept + 1, 2 * sizeof(*ranges));
    assert(ranges != NULL);
    size_t at = 0;
    for (share = gather->shares; share != NULL; share = share->sibling) {
        ranges[at++] = share->start;
        ranges[at++] = share->last;
    }
    qsort(ranges, kept, 2 * sizeof(*ranges), compare_starts);
    *count = kept;
    return ranges;
}

/* Shards have changed meanwhile: those that no answer is about are asked as well. Ends nothing. */
static void ask_rest(struct core *core, struct core_request *request)
{
    struct core_gather *gather = request->gather;
    size_t kept = 0;
    uint64_t *ranges = keep_answers(core, gather, &kept);
    struct lane_part *before = gather->shares;
    size_t at = 0;
    for (size_t i = 0; i < core->map.shard_count; i++) {
        while (at < kept && ranges[2 * at + 1] < core->map.shards[i].start) {
            at++;
        }
        if (at == kept || core->map.shards[i].start < ranges[2 * at]) {
            struct lane_part *share = add_whole(core, request, i);
            share->size = flow_frame_size(request, share);
        }
    }
    free(ranges);
    assert(gather->pending > 0);
    for (struct lane_part *share = gather->shares; share != before; share = share->sibling) {
        flow_insert(core, map_get(&core->by_shard, share->shard), share);
    }
}

static bool is_incomplete(const struct core_gather *gather)
{
    const struct lane_part *share = gather->failed ? NULL : gather->shares;
    while (share != NULL && !share->stale) {
        share = share->sibling;
    }
    return share != NULL;
}

static void conclude(struct core *core, struct core_request *request)
{
    struct core_gather *gather = request->gather;
    if (gather->every && is_incomplete(gather)) {
        ask_rest(core, request);
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

/* What it is about is no shard any more. */
static void close_stale(struct core *core, struct lane_part *share)
{
    struct core_request *request = share->request;
    list_remove(&share->queue);
    flow_detach(core, share);
    share->done = true;
    share->stale = true;
    request->gather->pending--;
    if (request->gather->pending == 0) {
        conclude(core, request);
    }
}

/* Answers. */

static void finish_scan(struct core *core, struct lane_part *part, struct slice reply)
{
    struct core_request *request = part->request;
    struct buf out;
    buf_init(&out, FRAME_BODY_SIZE_MAX);
    fanout_scan(reply, part->ver == 0 ? UINT64_MAX : part->last, &out);
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
            finish_scan(core, part, reply);
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

/* Strays. */

void gather_stray(struct core *core, struct lane_part *part)
{
    uint64_t now_ms = core_now(core);
    /* Only a newer map helps, which is on its way: half as long as the longest backoff at first. */
    uint64_t due_ms = now_ms + retry_backoff_ms(part->hops + 4, rand_u64(&core->rand));
    if (list_empty(&core->strays) || due_ms < core->strays_ms) {
        core->strays_ms = due_ms;
    }
    struct list *at = core->strays.prev;
    while (at != &core->strays && list_entry(at, struct lane_part, queue)->order > part->order) {
        at = at->prev;
    }
    list_push_back(at->next, &part->queue);
    core_wake_at(core, core->strays_ms);
}

void gather_hold(struct core *core, const struct lane_part *part)
{
    uint64_t token = 0;
    if (part_tokens_first(part, &token)) {
        (void)map_put(&core->held_tokens, token, core);
    }
}

bool gather_held(const struct core *core, const struct lane_part *part)
{
    if (core->held_tokens.count == 0 || list_empty(&core->strays) || may_be_applied(part)) {
        return false;
    }
    return part_tokens_any(part, &core->held_tokens);
}

/* To its lane, or behind what must not be overtaken. */
static void insert(struct core *core, struct lane *lane, struct lane_part *part)
{
    if (gather_held(core, part)) {
        part->shard = lane->shard;
        gather_stray(core, part);
    } else if (!nearby_begin(core, lane, part)) {
        flow_insert(core, lane, part);
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

/* again: it was taken before, and is not refused now. */
static void begin_one(struct core *core, struct core_request *request, bool again)
{
    struct lane *lane = core->lanes[core->route.shard];
    struct lane_part *part = &request->part;
    part->size = flow_frame_size(request, part);
    if (part->size > FRAME_BODY_SIZE_MAX) {
        finish_with_error(core, request, slice_str("ERR the command is too large"));
        return;
    }
    if (!again && !has_room(core, lane, part->size)) {
        refuse_overload(core, request, lane);
        return;
    }
    part->request = request;
    part->seq = is_write(request) && part->seq == 0 ? part->order : part->seq;
    if (command_place_exact(request->command, request->db)) {
        mark_range(part, &core->map.shards[core->route.shard]);
    }
    part->alone = parking_waits(request);
    seek_prepare(core, request, lane->shard);
    flow_attach(core, part);
    core->stats.parts++;
    insert(core, lane, part);
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
    request->gather->every = true;
    for (size_t i = 0; i < core->lane_count; i++) {
        (void)add_whole(core, request, i);
    }
}

static void begin_several(struct core *core, struct core_request *request, bool again)
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
        if (!again && !has_room(core, lane, share->size)) {
            free_gather(core, request);
            refuse_overload(core, request, lane);
            return;
        }
    }
    for (share = request->gather->shares; share != NULL; share = share->sibling) {
        insert(core, map_get(&core->by_shard, share->shard), share);
    }
}

static void begin(struct core *core, struct core_request *request, bool again)
{
    const struct lane_part *before = &request->part;
    request->part =
        (struct lane_part){.order = before->order, .seq = before->seq, .hops = before->hops};
    request->gather = NULL;
    list_init(&request->part.queue);
    list_init(&request->part.writes);
    if (core->lane_count == 0 || (core->rerouting && !again)) {
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
        begin_one(core, request, again);
    } else {
        begin_several(core, request, again);
    }
    buf_deinit(&error);
}

void gather_begin(struct core *core, struct core_request *request)
{
    begin(core, request, false);
}

/* Parts that have to go elsewhere. */

void gather_disown(struct core *core, struct lane_part *part)
{
    part->hops++;
    core->stats.disowned++;
    core->stats.hops_max = part->hops > core->stats.hops_max ? part->hops : core->stats.hops_max;
    gather_stray(core, part);
}

static void split_share(struct core *core, struct lane_part *share)
{
    struct core_request *request = share->request;
    struct route *route = &core->route;
    struct core_gather *gather = request->gather;
    uint32_t *keys = gather->keys + (share->keys - gather->keys);
    route_regroup(route, &request->args, request->db, &core->map, keys, share->key_count);
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

/* It may be applied: whoever owns its first key now knows. Where that is another shard than was
 * asked, it knows of it as inherited. */
static void place_bound(struct core *core, struct lane_part *part, uint64_t token)
{
    const struct shard_desc *shard = shard_map_find(&core->map, token);
    if (shard->id != part->shard && part->session == 0) {
        part->session = session_number_inherited(gather_session(core, part), part->shard);
        struct list *at = core->wanderers.prev;
        while (at != &core->wanderers &&
               list_entry(at, struct lane_part, writes)->seq > part->seq) {
            at = at->prev;
        }
        list_push_back(at->next, &part->writes);
    }
    flow_insert(core, map_get(&core->by_shard, shard->id), part);
}

/* A share of a command that is about all shards. */
static void place_whole(struct core *core, struct lane_part *share)
{
    struct lane *lane = map_get(&core->by_shard, share->shard);
    uint64_t ver = lane == NULL ? 0 : core->map.shards[lane->position].ver;
    if (lane != NULL && (share->ver == 0 || share->ver == ver)) {
        flow_insert(core, lane, share);
    } else {
        close_stale(core, share);
    }
}

static void place(struct core *core, struct lane_part *part)
{
    struct core_request *request = part->request;
    uint64_t token = 0;
    if (may_be_applied(part) && part_tokens_first(part, &token)) {
        place_bound(core, part, token);
        return;
    }
    if (part->session != 0) {
        list_remove(&part->writes);
        part->session = 0;
    }
    part->moved =
        part->tries; /* Another write: what was answered to the old one is not about it. */
    if (part->seq != 0) {
        part->seq = core_number(core); /* The shard to come may have acknowledged later ones. */
    }
    if (request->gather == NULL) {
        flow_detach(core, part);
        begin(core, request, true);
    } else if (part->keys != NULL) {
        split_share(core, part);
    } else if (request->gather->every) {
        place_whole(core, part);
    } else {
        flow_insert(core, core->lanes[rand_below(&core->rand, core->lane_count)], part);
    }
}

bool gather_settle(struct core *core, struct lane_part *part)
{
    uint64_t token = 0;
    const struct lane *lane = map_get(&core->by_shard, part->shard);
    bool elsewhere = lane == NULL;
    if (lane != NULL && part->ver != 0) {
        elsewhere = core->map.shards[lane->position].ver != part->ver;
    } else if (lane != NULL && part_tokens_first(part, &token)) {
        elsewhere = !part_tokens_within(part, &core->map.shards[lane->position]);
    }
    if (!elsewhere || core->lane_count == 0) {
        return false;
    }
    list_remove(&part->queue);
    core->stats.moved++;
    place(core, part);
    return true;
}

void gather_reroute(struct core *core)
{
    if (core->lane_count == 0) {
        return;
    }
    struct list parts;
    list_init(&parts);
    map_deinit(&core->held_tokens);
    map_init(&core->held_tokens);
    struct list *node = NULL;
    while ((node = list_pop_front(&core->strays)) != NULL) {
        list_push_back(&parts, node);
    }
    /* What comes when one of them ends is not to overtake those that are still to be placed. */
    core->rerouting = true;
    while ((node = list_pop_front(&parts)) != NULL) {
        place(core, list_entry(node, struct lane_part, queue));
    }
    core->rerouting = false;
    while ((node = list_pop_front(&core->unrouted)) != NULL) {
        gather_begin(core, list_entry(node, struct core_request, part.queue));
    }
}
