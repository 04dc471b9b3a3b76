#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/control/load_view.h"
#include "server/node_private.h"

/* The balancer of this node, which lives while the node leads the meta group: once a second it
 * looks at the loads, and what it decides becomes a job like an administrator's. */

enum { ORDER_SIZE_MAX = 1 << 16 };

static void on_ordered(const struct errand_order *order, enum status status, struct slice reply)
{
    (void)order;
    bool refused = status == STATUS_OK && reply.len > 0 && reply.data[0] == '-';
    if (status != STATUS_OK || refused) {
        /* It is decided anew from what is then. */
        log_info("balancer.refused", "reason=\"%.*s\"", refused ? (int)reply.len - 3 : 0,
                 refused ? (const char *)reply.data + 1 : "");
    }
}

static void send_order(struct node *node, const struct meta_order *order)
{
    struct buf bytes;
    buf_init(&bytes, META_ORDER_SIZE_MAX);
    meta_order_encode(order, &bytes);
    struct slice argv[] = {slice_str("META.ORDER"), buf_slice(&bytes)};
    struct errand_order errand = {.shard = SHARD_META,
                                  .args = {.argv = argv, .argc = 2},
                                  .once = true,
                                  .ctx = node,
                                  .done = on_ordered};
    errands_begin(&node->errands, &errand);
    buf_deinit(&bytes);
}

static void order_job(struct node *node, const struct job_spec *spec)
{
    struct buf items;
    buf_init(&items, ORDER_SIZE_MAX);
    job_spec_encode(spec, &items);
    struct meta_order order = {
        .op = META_JOB_ADD, .who = "balancer", .count = 1, .items = buf_slice(&items)};
    send_order(node, &order);
    buf_deinit(&items);
    char text[JOB_TEXT_SIZE_MAX];
    log_info("balancer.decided", "what=\"%s\" why=\"%s\"",
             job_spec_describe(spec, text, sizeof(text)), spec->reason);
}

static void order_note(struct node *node, const struct balancer_note *note)
{
    struct meta_order order = {.op = META_NOTE, .who = "balancer"};
    cluster_job_text_copy(order.text, sizeof(order.text), note->what);
    cluster_job_text_copy(order.why, sizeof(order.why), note->why);
    cluster_job_text_copy(order.effect, sizeof(order.effect), note->effect);
    send_order(node, &order);
}

static void count(struct node *node)
{
    static const struct balancer_stats none;
    const struct balancer_stats *stats =
        node->balancer == NULL ? &none : balancer_stats(node->balancer);
    node->stats.hot_shards = stats->hot;
    node->stats.load_skew_permille = (uint64_t)(stats->skew * 1000);
}

void node_hold_balancer(struct node *node, bool held)
{
    node->balancer_held = held;
}

void node_balance_deinit(struct node *node)
{
    if (node->balancer != NULL) {
        balancer_free(node->balancer);
        node->balancer = NULL;
    }
}

void node_balance_tick(struct node *node, uint64_t now_ms)
{
    bool leads = node->loads != NULL && steward_leads(node->steward) &&
                 node_load_leading_ms(node->loads) != 0;
    if (!leads) {
        node_balance_deinit(node);
        count(node);
        return;
    }
    if (node->balancer == NULL) {
        node->balancer = balancer_new(&node->options.balancer, now_ms);
    }
    struct balance_input input = {.map = steward_map(node->steward),
                                  .table = node_load_table(node->loads),
                                  .jobs = steward_jobs(node->steward),
                                  .now_ms = now_ms};
    struct balancer_output output;
    enum balancer_mode mode = (enum balancer_mode)node->balancer_mode;
    mode = node->balancer_held ? BALANCER_OFF : mode;
    balancer_tick(node->balancer, &input, mode, &output);
    for (size_t i = 0; i < output.note_count; i++) {
        order_note(node, &output.notes[i]);
    }
    if (output.decided) {
        enum job_kind kind = output.spec.kind;
        node->stats.balancer_splits += kind == JOB_SPLIT;
        node->stats.balancer_transfers += kind == JOB_TRANSFER;
        node->stats.balancer_moves += kind == JOB_MOVE;
        node->stats.balancer_merges += kind == JOB_MERGE;
        order_job(node, &output.spec);
    }
    count(node);
}

bool node_balance_answer(struct node *node, const struct args *args, struct buf *reply)
{
    if (!steward_leads(node->steward)) {
        return false;
    }
    struct load_view view = {.table = node_load_table(node->loads),
                             .map = steward_map(node->steward),
                             .balancer = node->balancer,
                             .mode = (enum balancer_mode)node->balancer_mode,
                             .now_ms = clock_now_ms()};
    return load_view_answer(&view, args, reply);
}
