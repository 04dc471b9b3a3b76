#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/proto/resp.h"
#include "server/control/admin_desk.h"
#include "server/control/meta_machine.h"
#include "server/node_private.h"

/* The steward of this node, who works while it leads the meta group, and the way of administrators'
 * commands: from a client's connection to the node that leads the meta group, to its loop 0, to the
 * desk, and back. */

enum { REPLY_SIZE_MAX = 64 << 20, NUMBER_SIZE = 24 };

static bool known_leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    struct node *node = ctx;
    return node->workers != NULL && worker_leader(node->workers[0], shard, hint);
}

static bool is_self(const struct node *node, uint64_t id)
{
    return id != 0 && id == agent_identity(node->agent)->node;
}

static bool is_up(void *ctx, uint64_t id)
{
    struct node *node = ctx;
    return is_self(node, id) || node->env.out_peer(node->env.ctx, id) != NULL;
}

static const struct shard_desc *known_shard(void *ctx, uint64_t shard)
{
    const struct node *node = ctx;
    const struct shard_map *map = agent_map(node->agent);
    return map->version == 0 ? NULL : shard_map_shard(map, shard);
}

static bool send_errand(void *ctx, uint64_t id, const struct frame_request *request)
{
    struct node *node = ctx;
    if (is_self(node, id)) {
        node_request_own(node, request);
        return true;
    }
    struct buf *out = node->env.out_peer(node->env.ctx, id);
    if (out != NULL) {
        frame_write_request(out, request);
    }
    return out != NULL;
}

static void ask(void *ctx, const struct errand_order *order)
{
    struct node *node = ctx;
    errands_begin(&node->errands, order);
}

/* As the nodes that lead them say. */
static uint64_t size_of(void *ctx, uint64_t shard)
{
    const struct node *node = ctx;
    const struct load_shard *load =
        node->loads == NULL ? NULL
                            : load_table_shard(node_load_table(node->loads), shard, clock_now_ms());
    return load == NULL ? 0 : load->load.bytes;
}

void node_steward_init(struct node *node)
{
    struct errands_env errands = {
        .ctx = node, .leader = known_leader, .shard = known_shard, .send = send_errand};
    struct steward_env steward = {
        .ctx = node, .leader = known_leader, .is_up = is_up, .ask = ask, .size = size_of};
    errands_init(&node->errands, &errands, node->options.seed ^ 1);
    node->steward = steward_new(&steward);
    steward_set_rebuild(node->steward, node->options.rebuild_after_ms);
}

void node_steward_deinit(struct node *node)
{
    errands_deinit(&node->errands);
    steward_free(node->steward);
}

/* Of the meta group, if this node leads it. */
static uint64_t led_term(const struct node *node)
{
    struct leader_hint hint = {0};
    bool led = node->workers != NULL && worker_leads(node->workers[0], SHARD_META, &hint);
    return led ? hint.term : 0;
}

void node_steward_tick(struct node *node, uint64_t now_ms)
{
    struct steward_counts counts;
    steward_tick(node->steward, now_ms, led_term(node));
    errands_tick(&node->errands, now_ms);
    steward_count(node->steward, &counts);
    bool leads = steward_leads(node->steward);
    node->stats.jobs_running = leads ? counts.running : 0;
    node->stats.jobs_waiting = leads ? counts.waiting : 0;
    node->stats.jobs_done = counts.done;
    node->stats.jobs_failed = counts.failed;
    node->stats.jobs_bytes = counts.bytes;
}

/* ---- the desk ---- */

struct desk_call {
    struct worker_mail mail;
    struct node *node;
    struct worker_op *op;
    struct meta_order order;
    struct buf items;
};

static void answer(struct desk_call *call, enum status status, struct slice reply)
{
    worker_answer(call->node->workers[0], call->op, status, reply);
    buf_deinit(&call->items);
    free(call);
}

static void on_ordered(const struct errand_order *order, enum status status, struct slice reply)
{
    struct desk_call *call = order->ctx;
    struct buf out;
    if (status != STATUS_OK) {
        answer(call, status, slice_of(NULL, 0));
        return;
    }
    buf_init(&out, REPLY_SIZE_MAX);
    admin_desk_finish(&call->order, reply, &out);
    answer(call, STATUS_OK, buf_slice(&out));
    buf_deinit(&out);
}

/* What the desk wants goes to the meta group; once, as a second time would be a second job. */
static void forward(struct desk_call *call, enum desk_answer kind)
{
    struct buf bytes;
    char number[NUMBER_SIZE];
    buf_init(&bytes, META_ORDER_SIZE_MAX);
    struct slice argv[2] = {slice_str("META.EVENTS")};
    if (kind == DESK_EVENTS) {
        int len = snprintf(number, sizeof(number), "%llu", (unsigned long long)call->order.value);
        argv[1] = slice_of(number, (size_t)len);
    } else {
        meta_order_encode(&call->order, &bytes);
        argv[0] = slice_str("META.ORDER");
        argv[1] = buf_slice(&bytes);
    }
    struct errand_order order = {.shard = SHARD_META,
                                 .args = {.argv = argv, .argc = 2},
                                 .once = true,
                                 .ctx = call,
                                 .done = on_ordered};
    errands_begin(&call->node->errands, &order);
    errands_tick(&call->node->errands, clock_now_ms());
    buf_deinit(&bytes);
}

/* On loop 0. */
static void run_desk(struct worker *to, struct worker_mail *mail)
{
    struct desk_call *call = list_entry(mail, struct desk_call, mail);
    struct buf reply;
    (void)to;
    buf_init(&reply, REPLY_SIZE_MAX);
    enum desk_answer kind = DESK_ANSWERED;
    if (!node_balance_answer(call->node, &call->op->op.args, &reply)) {
        kind = admin_desk_take(call->node->steward, call->op->op.args, (uint64_t)clock_wall_ms(),
                               &call->order, &call->items, &reply);
    }
    if (kind == DESK_UNKNOWN) {
        resp_write_error(&reply,
                         "ERR unknown subcommand of SHERD. Try STATUS, NODES, SHARDS, EXPLAIN key"
                         " [db], MAP, DATABASES, JOB, NODE, SHARD, REBALANCE, BALANCER, EVENTS, "
                         "LOAD, HOT, HEAT.");
        kind = DESK_ANSWERED;
    }
    if (kind == DESK_ANSWERED) {
        answer(call, STATUS_OK, buf_slice(&reply));
    } else {
        forward(call, kind);
    }
    buf_deinit(&reply);
}

void node_admin(struct node *node, struct worker_op *op)
{
    struct desk_call *call = calloc(1, sizeof(*call));
    assert(call != NULL);
    call->node = node;
    call->op = op;
    call->mail.run = run_desk;
    buf_init(&call->items, META_ORDER_SIZE_MAX);
    node->env.post(node->env.ctx, 0, &call->mail);
}

/* ---- clients of this node ---- */

static void run_told(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct node_inquiry *inquiry = list_entry(mail, struct node_inquiry, mail);
    inquiry->done(inquiry);
}

static void on_inquired(const struct errand_order *order, enum status status, struct slice reply)
{
    struct node_inquiry *inquiry = order->ctx;
    if (status == STATUS_OK) {
        buf_append_slice(&inquiry->reply, reply);
    } else {
        errand_write_failure(status, &inquiry->reply);
    }
    inquiry->mail.run = run_told;
    inquiry->node->env.post(inquiry->node->env.ctx, inquiry->loop, &inquiry->mail);
}

static void run_inquiry(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct node_inquiry *inquiry = list_entry(mail, struct node_inquiry, mail);
    struct errand_order order = {.shard = SHARD_META,
                                 .args = inquiry->args,
                                 .deadline_ms = inquiry->deadline_ms,
                                 .once = true,
                                 .ctx = inquiry,
                                 .done = on_inquired};
    errands_begin(&inquiry->node->errands, &order);
    errands_tick(&inquiry->node->errands, clock_now_ms());
}

void node_inquire(struct node *node, struct node_inquiry *inquiry)
{
    assert(inquiry->args.argc > 0 && inquiry->args.argc <= ERRAND_ARGC_MAX);
    inquiry->node = node;
    inquiry->mail.run = run_inquiry;
    node->env.post(node->env.ctx, 0, &inquiry->mail);
}
