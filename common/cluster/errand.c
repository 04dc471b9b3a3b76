#include "common/cluster/errand.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"

enum { PAUSE_MS_MIN = 50, PAUSE_MS_MAX = 500, ERRAND_REPLY_MAX = 128 << 20 };

struct errand {
    struct list link;
    struct errand_order order;
    uint64_t id;   /* Of the frame under way; 0: none. */
    uint64_t node; /* That it was sent to. */
    uint64_t hint; /* Named as the leader by another; 0: none. */
    uint64_t sent_ms;
    uint64_t next_ms;
    uint64_t end_ms; /* 0: not looked at yet. */
    uint32_t pause_ms;
    unsigned turn;
    enum status last; /* What the last node said. */
    bool over;
    struct buf coming; /* Of a reply in pieces. */
    struct slice argv[ERRAND_ARGC_MAX];
    uint8_t bytes[];
};

void errands_init(struct errands *errands, const struct errands_env *env, uint64_t seed)
{
    *errands = (struct errands){.env = *env};
    list_init(&errands->list);
    rand_init(&errands->rand, seed);
}

void errands_deinit(struct errands *errands)
{
    for (struct list *at; (at = list_pop_front(&errands->list)) != NULL;) {
        struct errand *errand = list_entry(at, struct errand, link);
        buf_deinit(&errand->coming);
        free(errand);
    }
}

void errands_begin(struct errands *errands, const struct errand_order *order)
{
    size_t size = 0;
    assert(order->args.argc > 0 && order->args.argc <= ERRAND_ARGC_MAX && order->done != NULL);
    for (size_t i = 0; i < order->args.argc; i++) {
        size += order->args.argv[i].len;
    }
    assert(size <= ERRAND_SIZE_MAX);
    struct errand *errand = calloc(1, sizeof(*errand) + size);
    assert(errand != NULL);
    errand->order = *order;
    errand->last = errands->count < ERRANDS_MAX ? STATUS_TIMEOUT : STATUS_BUSY;
    errand->over = errands->count >= ERRANDS_MAX;
    size_t at = 0;
    for (size_t i = 0; i < order->args.argc; i++) {
        struct slice arg = order->args.argv[i];
        if (arg.len > 0) {
            memcpy(errand->bytes + at, arg.data, arg.len);
        }
        errand->argv[i] = slice_of(errand->bytes + at, arg.len);
        at += arg.len;
    }
    errand->order.args.argv = errand->argv;
    buf_init(&errand->coming, ERRAND_REPLY_MAX);
    errands->count++;
    list_push_back(&errands->list, &errand->link);
}

static void finish(struct errands *errands,
                   struct errand *errand,
                   enum status status,
                   struct slice reply)
{
    list_remove(&errand->link);
    errands->count--;
    errand->order.done(&errand->order, status, reply);
    buf_deinit(&errand->coming);
    free(errand);
}

static void again(struct errands *errands, struct errand *errand, enum status status)
{
    uint32_t next = errand->pause_ms * 2;
    next = next < PAUSE_MS_MIN ? PAUSE_MS_MIN : next;
    errand->pause_ms = next > PAUSE_MS_MAX ? PAUSE_MS_MAX : next;
    uint64_t jitter = rand_below(&errands->rand, errand->pause_ms / 4 + 1);
    errand->next_ms = errands->now_ms + errand->pause_ms + jitter;
    errand->id = 0;
    errand->node = 0;
    buf_clear(&errand->coming);
    errand->turn++;
    errand->last = status;
}

/* The node to ask: the one named, the leader that is known, the shard's by turns. */
static uint64_t pick(struct errands *errands, struct errand *errand)
{
    const struct errands_env *env = &errands->env;
    struct leader_hint hint = {0};
    uint64_t hinted = errand->hint;
    errand->hint = 0;
    if (hinted != 0) {
        return hinted;
    }
    bool known = env->leader(env->ctx, errand->order.shard, &hint) && hint.node != 0;
    if (known && errand->turn % 2 == 0) {
        return hint.node;
    }
    const struct shard_desc *shard = env->shard(env->ctx, errand->order.shard);
    if (shard == NULL || shard->replica_count == 0) {
        return known ? hint.node : 0;
    }
    return shard->replicas[errand->turn / 2 % shard->replica_count].node;
}

static void send(struct errands *errands, struct errand *errand)
{
    uint64_t node = pick(errands, errand);
    if (node == 0) {
        again(errands, errand, STATUS_NO_SHARD);
        return;
    }
    errand->id = UINT64_C(1) << 62 | ++errands->last_id;
    struct frame_request request = {.id = errand->id,
                                    .shard = errand->order.shard,
                                    .seq = errand->order.term,
                                    .flags = REQUEST_FIRST,
                                    .args = errand->order.args};
    uint64_t left_ms = errand->end_ms - errands->now_ms;
    request.deadline_ms = (uint32_t)(left_ms < ERRAND_SILENCE_MS ? left_ms : ERRAND_SILENCE_MS);
    errand->node = node;
    errand->sent_ms = errands->now_ms;
    if (!errands->env.send(errands->env.ctx, node, &request)) {
        again(errands, errand, STATUS_NO_SHARD);
    }
}

static struct errand *find(struct errands *errands, uint64_t request_id)
{
    for (struct list *at = errands->list.next; at != &errands->list; at = at->next) {
        struct errand *errand = list_entry(at, struct errand, link);
        if (errand->id == request_id) {
            return errand;
        }
    }
    return NULL;
}

static uint64_t named(enum status status, struct slice body)
{
    struct reader in = reader_of(body);
    struct leader_hint hint;
    bool read = leader_hint_decode(&in, &hint) && reader_done(&in);
    return status == STATUS_NOT_LEADER && read ? hint.node : 0;
}

void errands_reply(struct errands *errands,
                   uint64_t request_id,
                   enum status status,
                   struct slice body)
{
    struct errand *errand = request_id == 0 ? NULL : find(errands, request_id);
    if (errand == NULL) {
        return; /* Too late, and asked again elsewhere. */
    }
    enum status_class class = status_class(status);
    bool unknown = class == STATUS_CLASS_OUTCOME_UNKNOWN;
    if (status == STATUS_OK || class == STATUS_CLASS_CALLER_FAULT ||
        class == STATUS_CLASS_NODE_FAULT || (unknown && errand->order.once)) {
        finish(errands, errand, status, body);
        return;
    }
    uint64_t hint = named(status, body);
    uint64_t before = errand->node;
    again(errands, errand, status);
    if (hint != 0 && hint != before) {
        errand->hint = hint;
        errand->next_ms = errands->now_ms;
    }
}

void errands_part(struct errands *errands, const struct frame_part *piece)
{
    struct errand *errand = find(errands, piece->id);
    if (errand == NULL || piece->id == 0 || piece->size > ERRAND_REPLY_MAX ||
        piece->offset != errand->coming.len || piece->bytes.len > piece->size - piece->offset) {
        return; /* Nobody waits for it any more, or it does not fit: asked again, or given up. */
    }
    errand->sent_ms = errands->now_ms; /* It is not silent. */
    buf_append_slice(&errand->coming, piece->bytes);
    if (errand->coming.len == piece->size) {
        errands_reply(errands, piece->id, STATUS_OK, buf_slice(&errand->coming));
    }
}

void errands_expire(struct errands *errands)
{
    for (struct list *at = errands->list.next; at != &errands->list; at = at->next) {
        list_entry(at, struct errand, link)->over = true;
    }
    errands_tick(errands, errands->now_ms);
}

void errands_lost(struct errands *errands, uint64_t node)
{
    for (struct list *at = errands->list.next; at != &errands->list;) {
        struct errand *errand = list_entry(at, struct errand, link);
        at = at->next;
        if (errand->id != 0 && errand->node == node) {
            errand->over = errand->over || errand->order.once; /* Told at the next tick. */
            again(errands, errand, STATUS_DISCONNECTED);
        }
    }
}

static void tick_one(struct errands *errands, struct errand *errand)
{
    uint64_t now_ms = errands->now_ms;
    if (errand->end_ms == 0) {
        uint32_t span = errand->order.deadline_ms;
        errand->end_ms = now_ms + (span == 0 ? (uint32_t)ERRAND_DEADLINE_MS : span);
    }
    if (errand->over || now_ms >= errand->end_ms) {
        enum status status = errand->id != 0 ? STATUS_TIMEOUT : errand->last;
        finish(errands, errand, status, slice_of(NULL, 0));
        return;
    }
    if (errand->id != 0 && now_ms >= errand->sent_ms + ERRAND_SILENCE_MS && !errand->order.once) {
        again(errands, errand, STATUS_TIMEOUT);
    }
    if (errand->id == 0 && now_ms >= errand->next_ms) {
        send(errands, errand);
    }
}

void errands_tick(struct errands *errands, uint64_t now_ms)
{
    errands->now_ms = now_ms;
    size_t left = errands->count; /* Those that are begun meanwhile wait for the next. */
    for (struct list *at = errands->list.next; left > 0 && at != &errands->list; left--) {
        struct errand *errand = list_entry(at, struct errand, link);
        at = at->next;
        tick_one(errands, errand);
    }
}

void errand_write_failure(enum status status, struct buf *reply)
{
    if (status_class(status) == STATUS_CLASS_OUTCOME_UNKNOWN) {
        resp_write_errorf(
            reply, "UNKNOWN whether it was done is not known (%s): look before you try again",
            status_text(status));
    } else if (status_class(status) == STATUS_CLASS_CALLER_FAULT) {
        resp_write_errorf(reply, "ERR %s", status_text(status));
    } else {
        resp_write_errorf(
            reply,
            "CLUSTERDOWN the meta group has no leader that answers (%s): try again, or"
            " look whether most nodes are up",
            status_text(status));
    }
}
