#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "server/worker_private.h"

/* Reads off the loop, and the bound on what one connection is owed.
 *
 * A gate counts the bytes of replies that were made for a connection and have not left: on their
 * way between loops, and in its output. While it is crowded, reads with large replies wait here,
 * with the view of the state that they are to be answered from, so that they hold up no write, and
 * small replies of others on the same connection are never behind more than a few megabytes. */

enum {
    GATE_SIZE = 4 << 20,
    GATE_UNKNOWN_SIZE = 8 << 20, /* A reply nobody knows the size of: one at a time. */
};

struct gate {
    uint64_t link;
    atomic_size_t transit; /* Between loops, and being read. */
    atomic_size_t pending; /* In the output of the connection, as last seen. */
    atomic_size_t held;    /* Slow reads not begun: a later large one must not pass them. */
    atomic_bool gone;
    atomic_uint users; /* Ops, and the worker while the connection lasts. */
};

struct gate *slow_gate_enter(struct worker *worker, uint64_t link)
{
    struct gate *gate = map_get(&worker->gates, link);
    if (gate == NULL) {
        gate = calloc(1, sizeof(*gate));
        assert(gate != NULL);
        gate->link = link;
        atomic_store(&gate->users, 1);
        struct gate *before = map_put(&worker->gates, link, gate);
        assert(before == NULL);
    }
    atomic_fetch_add(&gate->users, 1);
    return gate;
}

void slow_gate_leave(struct gate *gate)
{
    if (gate != NULL && atomic_fetch_sub(&gate->users, 1) == 1) {
        free(gate);
    }
}

void slow_gate_close(struct worker *worker, uint64_t link)
{
    struct gate *gate = map_remove(&worker->gates, link);
    if (gate != NULL) {
        atomic_store(&gate->gone, true);
        slow_gate_leave(gate);
    }
}

void slow_gate_charge(struct gate *gate, size_t size)
{
    if (gate != NULL) {
        atomic_fetch_add(&gate->transit, size);
    }
}

void slow_gate_settle(struct gate *gate, size_t size)
{
    if (gate != NULL) {
        size_t before = atomic_fetch_sub(&gate->transit, size);
        assert(before >= size);
    }
}

void slow_gate_look(struct worker *worker, struct gate *gate)
{
    if (gate != NULL && worker->env.link_pending != NULL) {
        atomic_store(&gate->pending, worker->env.link_pending(worker->env.ctx, gate->link));
    }
}

static bool crowded(struct gate *gate)
{
    return gate != NULL && atomic_load(&gate->transit) + atomic_load(&gate->pending) > GATE_SIZE;
}

static struct worker_op *op_of(struct op *op)
{
    return list_entry(op, struct worker_op, op);
}

/* A script holds up the writes of its shard: it waits for nobody's connection. */
static struct gate *gate_of(struct op *op)
{
    return op->write ? NULL : op_of(op)->gate;
}

bool slow_crowded(void *ctx, struct op *op)
{
    (void)ctx;
    struct gate *gate = op_of(op)->gate;
    return gate != NULL && (atomic_load(&gate->held) > 0 || crowded(gate));
}

void slow_begin(void *ctx, struct shard *shard, struct op *op)
{
    struct worker *worker = ctx;
    struct slow *slow = calloc(1, sizeof(*slow));
    assert(slow != NULL);
    slow->worker = worker;
    slow->shard = shard;
    slow->op = op;
    list_push_back(&worker->slow_waiting, &slow->link);
    if (gate_of(op) != NULL) {
        atomic_fetch_add(&gate_of(op)->held, 1);
    }
    worker->env.again(worker->env.ctx);
}

static void run_slow(struct job *job)
{
    struct slow *slow = list_entry(job, struct slow, job);
    shard_read_slow(&slow->read);
}

/* A read that is over, or was never begun (then its status says why). */
static void end(struct slow *slow)
{
    struct worker *worker = slow->worker;
    if (!slow->op->write) {
        op_of(slow->op)->made = &slow->read.reply;
    }
    if (slow->read.view != NULL) {
        txn_free(slow->read.view);
    }
    shard_read_done(&slow->read);
    worker->env.again(worker->env.ctx);
    free(slow);
}

static void go_on(struct worker *worker);

static void on_slow(struct job *job)
{
    struct slow *slow = list_entry(job, struct slow, job);
    struct worker *worker = slow->worker;
    worker->jobs--;
    slow_gate_settle(gate_of(slow->op), slow->charged);
    end(slow);
    go_on(worker);
}

static void start(struct worker *worker, struct slow *slow)
{
    size_t expected = slow->op->reply_size;
    slow->charged = expected == 0 ? GATE_UNKNOWN_SIZE : expected;
    slow_gate_charge(gate_of(slow->op), slow->charged);
    slow->job = (struct job){.run = run_slow, .done = on_slow};
    worker->jobs++;
    worker->stats.slow_reads++;
    worker->env.run(worker->env.ctx, &slow->job);
}

/* Reads of one connection, oldest first. There are few connections: one per loop of a router. */
struct slow_queue {
    struct list link; /* In worker->slow_queues. */
    struct gate *gate;
    struct list reads;
};

static struct slow_queue *queue_of(struct worker *worker, struct gate *gate)
{
    for (struct list *at = worker->slow_queues.next; at != &worker->slow_queues; at = at->next) {
        struct slow_queue *queue = list_entry(at, struct slow_queue, link);
        if (queue->gate == gate) {
            return queue;
        }
    }
    struct slow_queue *queue = calloc(1, sizeof(*queue));
    assert(queue != NULL);
    queue->gate = gate;
    list_init(&queue->reads);
    list_push_back(&worker->slow_queues, &queue->link);
    return queue;
}

static void release(struct slow *slow)
{
    list_remove(&slow->link);
    struct gate *gate = gate_of(slow->op);
    if (gate != NULL) {
        size_t before = atomic_fetch_sub(&gate->held, 1);
        assert(before > 0);
    }
}

/* Begins what may begin; whoever asked has gone, or waits no longer: ends it. */
static void drain(struct worker *worker, struct slow_queue *queue, uint64_t now_ms)
{
    while (!list_empty(&queue->reads)) {
        struct slow *slow = list_entry(queue->reads.next, struct slow, link);
        bool gone = queue->gate != NULL && atomic_load(&queue->gate->gone);
        if (gone || slow->op->expires_ms < now_ms) {
            release(slow);
            slow->read.status = gone ? STATUS_CLOSED : STATUS_TIMEOUT;
            end(slow);
        } else if (crowded(queue->gate)) {
            return;
        } else {
            release(slow);
            start(worker, slow);
        }
    }
}

static void go_on(struct worker *worker)
{
    uint64_t now_ms = clock_now_ms();
    struct list *next = NULL;
    for (struct list *at = worker->slow_queues.next; at != &worker->slow_queues; at = next) {
        struct slow_queue *queue = list_entry(at, struct slow_queue, link);
        drain(worker, queue, now_ms);
        next = at->next;
        if (list_empty(&queue->reads)) {
            list_remove(&queue->link);
            free(queue);
        }
    }
}

void slow_after_commit(struct worker *worker)
{
    for (struct list *at; (at = list_pop_front(&worker->slow_waiting)) != NULL;) {
        struct slow *slow = list_entry(at, struct slow, link);
        slow->read.view =
            slow->op->write ? txn_trial(worker->options.store) : txn_view(worker->options.store);
        shard_read_prepare(slow->shard, slow->op, &slow->read);
        struct slow_queue *queue = queue_of(worker, gate_of(slow->op));
        list_push_back(&queue->reads, &slow->link);
    }
    go_on(worker);
}

void slow_tick(struct worker *worker)
{
    size_t at = 0;
    for (struct gate *gate; (gate = map_next(&worker->gates, &at)) != NULL;) {
        slow_gate_look(worker, gate);
    }
    go_on(worker);
}

static void end_closed(struct slow *slow)
{
    release(slow);
    slow->read.status = STATUS_CLOSED;
    end(slow);
}

void slow_close(struct worker *worker)
{
    while (!list_empty(&worker->slow_queues)) {
        struct slow_queue *queue = list_entry(worker->slow_queues.next, struct slow_queue, link);
        while (!list_empty(&queue->reads)) {
            end_closed(list_entry(queue->reads.next, struct slow, link));
        }
        list_remove(&queue->link);
        free(queue);
    }
    /* What ended above let others begin, which now wait here. */
    while (!list_empty(&worker->slow_waiting)) {
        struct slow *slow = list_entry(worker->slow_waiting.next, struct slow, link);
        shard_read_prepare(slow->shard, slow->op, &slow->read);
        end_closed(slow);
    }
}

void slow_gate_free_all(struct worker *worker)
{
    size_t at = 0;
    for (struct gate *gate; (gate = map_next(&worker->gates, &at)) != NULL;) {
        slow_gate_leave(gate);
    }
    map_deinit(&worker->gates);
}
