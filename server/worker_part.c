#include <stdlib.h>

#include "common/base/assert.h"
#include "server/worker_private.h"

/* Large replies on their way out: in parts, so that replies to others go between them and neither
 * this loop nor the receiver's ever handles all of it at once. */

enum {
    PART_REPLY_SIZE_MIN = 1 << 20, /* Replies from this size on. */
    PART_SIZE = 256 << 10,
    PART_PENDING_MAX = 1 << 20, /* More unsent output of the connection: wait. */
};

struct outgoing {
    struct list link;
    struct gate *gate;
    uint64_t connection;
    uint64_t request_id;
    struct buf reply;
    size_t sent;
};

bool part_begin(struct worker *worker, struct worker_op *op, struct slice reply)
{
    struct buf *from = op->made;
    bool owned = from != NULL && from->data == reply.data;
    bool fits = owned && reply.len >= PART_REPLY_SIZE_MIN && op->op.command != NULL &&
                worker->env.link_pending != NULL;
    if (!fits) {
        return false;
    }
    struct outgoing *outgoing = calloc(1, sizeof(*outgoing));
    assert(outgoing != NULL);
    outgoing->gate = op->gate;
    op->gate = NULL;
    outgoing->connection = op->link;
    outgoing->request_id = op->request_id;
    outgoing->reply = *from;
    *from = (struct buf){0};
    slow_gate_charge(outgoing->gate, outgoing->reply.len);
    list_push_back(&worker->outgoing, &outgoing->link);
    worker->env.again(worker->env.ctx);
    return true;
}

static void end(struct outgoing *outgoing)
{
    list_remove(&outgoing->link);
    slow_gate_settle(outgoing->gate, outgoing->reply.len - outgoing->sent);
    slow_gate_leave(outgoing->gate);
    buf_deinit(&outgoing->reply);
    free(outgoing);
}

/* False if the connection takes nothing just now. */
static bool send_part(struct worker *worker, struct outgoing *outgoing)
{
    size_t pending = worker->env.link_pending(worker->env.ctx, outgoing->connection);
    if (pending > PART_PENDING_MAX) {
        return false;
    }
    struct buf *out = worker->env.out_link(worker->env.ctx, outgoing->connection);
    if (out == NULL) {
        end(outgoing);
        return true;
    }
    size_t left = outgoing->reply.len - outgoing->sent;
    size_t len = left < PART_SIZE ? left : (size_t)PART_SIZE;
    struct frame_part part = {.id = outgoing->request_id,
                              .size = outgoing->reply.len,
                              .offset = outgoing->sent,
                              .bytes = slice_of(outgoing->reply.data + outgoing->sent, len)};
    frame_write_part(out, &part);
    outgoing->sent += len;
    slow_gate_settle(outgoing->gate, len);
    if (outgoing->sent == outgoing->reply.len) {
        end(outgoing);
    }
    return true;
}

void part_turn(struct worker *worker)
{
    bool any = false;
    struct list *next = NULL;
    /* One part of each: they share the connection. */
    for (struct list *at = worker->outgoing.next; at != &worker->outgoing; at = next) {
        next = at->next;
        any = send_part(worker, list_entry(at, struct outgoing, link)) || any;
    }
    if (any) {
        worker->env.again(worker->env.ctx);
    }
}

void part_close(struct worker *worker)
{
    while (!list_empty(&worker->outgoing)) {
        end(list_entry(worker->outgoing.next, struct outgoing, link));
    }
}
