#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/proto/block.h"
#include "common/proto/resp.h"
#include "server/control/agent.h"
#include "server/control/meta_machine.h"
#include "server/worker_private.h"

/* Commands from frames: taken apart, carried to the loop of their shard, answered where they came
 * from. Small ones are recycled. */

enum { OP_SIZE_SMALL = 1024, OPS_FREE_MAX = 4096, OP_REPLY_LARGE = 4096 };

static struct worker_op *op_new(struct worker *worker, size_t size)
{
    struct worker_op *op = NULL;
    if (size <= OP_SIZE_SMALL && !list_empty(&worker->ops_free)) {
        op = list_entry(list_pop_front(&worker->ops_free), struct worker_op, op.link);
        worker->ops_free_count--;
    } else {
        op = malloc(size < OP_SIZE_SMALL ? OP_SIZE_SMALL : size);
        assert(op != NULL);
    }
    *op = (struct worker_op){.origin = worker, .size = size};
    return op;
}

static void op_free(struct worker_op *op)
{
    struct worker *worker = op->origin;
    if (op->size <= OP_SIZE_SMALL && worker->ops_free_count < OPS_FREE_MAX) {
        list_push_back(&worker->ops_free, &op->op.link);
        worker->ops_free_count++;
        return;
    }
    free(op);
}

/* A connection whose request for a shard was refused: what follows on it for that shard is refused
 * alike until the sender begins anew (REQUEST_FIRST), so that no command overtakes an earlier one
 * of the same client that has to be sent again. Kept on the shard's loop, until the connection
 * ends. */
struct refusal {
    uint64_t key;
    uint64_t connection;
    unsigned loop;
    enum status status;
};

/* Two that meet in 64 bits would only have one refusal too many, which the next REQUEST_FIRST
 * clears. */
static uint64_t refusal_key(const struct worker_op *op)
{
    uint64_t parts[] = {op->shard, op->link, op->origin->options.loop};
    return hash_bytes(slice_of(parts, sizeof(parts)));
}

static struct refusal *find_refusal(struct worker *worker, const struct worker_op *op)
{
    return worker->refusals.count == 0 ? NULL : map_get(&worker->refusals, refusal_key(op));
}

static bool is_refusal(enum status status)
{
    return status == STATUS_BUSY || status == STATUS_NOT_LEADER || status == STATUS_NO_SHARD ||
           status == STATUS_LEADERSHIP_LOST;
}

static void note_refusal(struct worker *worker, const struct worker_op *op, enum status status)
{
    struct refusal *refusal = find_refusal(worker, op);
    if (refusal == NULL) {
        refusal = calloc(1, sizeof(*refusal));
        assert(refusal != NULL);
        *refusal = (struct refusal){
            .key = refusal_key(op), .connection = op->link, .loop = op->origin->options.loop};
        struct refusal *before = map_put(&worker->refusals, refusal->key, refusal);
        assert(before == NULL);
    }
    refusal->status = status;
}

static void drop_refusal(struct worker *worker, struct refusal *refusal)
{
    (void)map_remove(&worker->refusals, refusal->key);
    free(refusal);
}

static uint64_t wait_key(unsigned loop, uint64_t link, uint64_t request_id)
{
    uint64_t parts[] = {loop, link, request_id};
    return hash_bytes(slice_of(parts, sizeof(parts)));
}

/* On the shard's loop. What meets another in 64 bits cannot be cancelled. */
static void begin_wait(struct worker *worker, struct worker_op *op)
{
    uint64_t key = wait_key(op->origin->options.loop, op->link, op->request_id);
    if (map_get(&worker->waits, key) == NULL) {
        (void)map_put(&worker->waits, key, op);
    }
}

static void end_wait(struct worker *worker, struct worker_op *op)
{
    uint64_t key = wait_key(op->origin->options.loop, op->link, op->request_id);
    if (map_get(&worker->waits, key) == op) {
        (void)map_remove(&worker->waits, key);
    }
}

static void cancel_here(struct worker *worker, unsigned loop, uint64_t link, uint64_t request_id)
{
    struct worker_op *op = map_get(&worker->waits, wait_key(loop, link, request_id));
    if (op != NULL && op->request_id == request_id && op->link == link) {
        shard_cancel(op->op.shard, &op->op);
    }
}

static void run_cancel(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    struct reader in = reader_of(slice_of(bytes->bytes, bytes->len));
    uint64_t link = reader_u64(&in);
    uint64_t request_id = reader_u64(&in);
    assert(reader_done(&in));
    cancel_here(to, (unsigned)bytes->node, link, request_id);
    free(bytes);
}

static void cancel(struct worker *worker, uint64_t shard, uint64_t link, uint64_t request_id)
{
    unsigned loop = worker_loop_of(worker, shard);
    if (loop == worker->options.loop) {
        cancel_here(worker, loop, link, request_id);
        return;
    }
    struct buf bytes;
    buf_init(&bytes, 16);
    buf_append_u64(&bytes, link);
    buf_append_u64(&bytes, request_id);
    worker_post_bytes(worker, loop, worker->options.loop, buf_slice(&bytes), run_cancel);
    buf_deinit(&bytes);
}

void worker_cancel(struct worker *worker, uint64_t shard, uint64_t request_id)
{
    cancel(worker, shard, 0, request_id);
}

enum status op_cancel(struct worker *worker, uint64_t link, struct slice body)
{
    struct frame_ref ref;
    enum status status = frame_read_ref(body, &ref);
    if (status == STATUS_OK && link != 0) {
        cancel(worker, ref.shard, link, ref.id);
    }
    return status;
}

void op_parked(void *ctx, struct shard *shard)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot_of(worker, shard);
    if (list_empty(&slot->waiting)) {
        list_push_back(&worker->waiting, &slot->waiting);
    }
}

/* Whoever sent them is gone: what they would take nobody would get. */
static void cancel_all(struct worker *worker, unsigned loop, uint64_t link)
{
    size_t at = 0;
    for (struct worker_op *op; (op = map_next(&worker->waits, &at)) != NULL;) {
        if (op->link == link && op->origin->options.loop == loop) {
            shard_abandon(op->op.shard, &op->op);
        }
    }
}

void op_forget(struct worker *worker, unsigned loop, uint64_t link)
{
    cancel_all(worker, loop, link);
    size_t at = 0;
    for (struct refusal *refusal; (refusal = map_next(&worker->refusals, &at)) != NULL;) {
        if (refusal->connection == link && refusal->loop == loop) {
            drop_refusal(worker, refusal);
        }
    }
}

void op_free_waiting(struct worker *worker)
{
    for (struct list *at; (at = list_pop_front(&worker->ops_free)) != NULL;) {
        free(list_entry(at, struct worker_op, op.link));
    }
    size_t at = 0;
    for (struct refusal *refusal; (refusal = map_next(&worker->refusals, &at)) != NULL;) {
        drop_refusal(worker, refusal);
    }
    map_deinit(&worker->refusals);
    assert(worker->waits.count == 0);
    map_deinit(&worker->waits);
}

/* On the origin's loop. */
static void deliver_frame(struct worker_op *op, enum status status, struct slice reply)
{
    struct worker *worker = op->origin;
    struct buf *out = worker->env.out_link(worker->env.ctx, op->link);
    if (out != NULL && (status != STATUS_OK || !part_begin(worker, op, reply))) {
        struct frame_reply frame = {.id = op->request_id, .status = status, .body = reply};
        frame_write_reply(out, &frame);
        if (reply.len >= OP_REPLY_LARGE) {
            slow_gate_look(worker, op->gate);
        }
    }
    slow_gate_leave(op->gate);
    op_free(op);
}

static void run_reply(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct worker_op *op = list_entry(mail, struct worker_op, mail);
    struct buf reply = op->reply;
    op->made = &reply; /* May be taken. */
    slow_gate_settle(op->gate, reply.len);
    op->deliver(op, op->status, buf_slice(&reply));
    buf_deinit(&reply);
}

/* On the shard's loop. */
static void finish(struct worker *worker,
                   struct worker_op *op,
                   enum status status,
                   struct slice reply)
{
    uint8_t hint_bytes[LEADER_HINT_SIZE];
    if (op->op.wait.wanted) {
        end_wait(worker, op);
    }
    /* One that was parked is behind nothing and before nothing. */
    if (op->link != 0 && op->op.command != NULL && is_refusal(status) && !op->op.wait.told &&
        !op->op.replica) {
        note_refusal(worker, op, status);
    }
    struct buf owners;
    buf_init(&owners, FRAME_BODY_SIZE_MAX);
    if (status == STATUS_NOT_OWNER && op->op.shard != NULL) {
        change_write_owners(worker, &op->op, &owners);
        reply = buf_slice(&owners);
    }
    if (status == STATUS_NOT_LEADER && op->op.shard != NULL) {
        struct leader_hint hint = shard_leader(op->op.shard);
        struct buf bytes = {
            .data = hint_bytes, .size = sizeof(hint_bytes), .size_max = sizeof(hint_bytes)};
        hint.node = hint.node == worker->options.node ? 0 : hint.node;
        leader_hint_encode(&hint, &bytes);
        reply = buf_slice(&bytes);
    }
    if (op->origin == worker) {
        op->deliver(op, status, reply);
        buf_deinit(&owners);
        return;
    }
    if (op->made != NULL && op->made->data != NULL && op->made->data == reply.data) {
        op->reply = *op->made; /* Too large to be copied without need. */
        *op->made = (struct buf){0};
        op->made = NULL;
    } else {
        buf_init(&op->reply, reply.len + 1);
        buf_append_slice(&op->reply, reply);
    }
    buf_deinit(&owners);
    slow_gate_charge(op->gate, op->reply.len);
    op->status = status;
    op->mail.run = run_reply;
    worker->env.post(worker->env.ctx, op->origin->options.loop, &op->mail);
}

static void on_done(struct op *op, enum status status, struct slice reply)
{
    struct worker_op *self = list_entry(op, struct worker_op, op);
    finish(self->mail.to, self, status, reply);
}

static void on_group_readable(struct group_read *read, enum status status)
{
    struct worker_op *op = list_entry(read, struct worker_op, op.read);
    struct worker *worker = op->mail.to;
    struct buf reply;
    buf_init(&reply, 1 << 16);
    if (status == STATUS_OK && op->ask == GROUP_ASK_CONF) {
        agent_write_conf(&shard_state(op->op.shard)->group.conf, &reply);
    } else if (status == STATUS_OK) {
        worker_group_report(worker, op->op.shard, &reply);
    }
    finish(worker, op, status, buf_slice(&reply));
    buf_deinit(&reply);
}

/* An older leader of the meta group may still believe that it is one. */
static bool is_outdated(struct worker *worker, const struct worker_op *op)
{
    bool asked = op->op.session == 0 && op->op.seq != 0;
    if (asked && op->op.seq > worker->meta_term) {
        worker->meta_term = op->op.seq;
    }
    return asked && op->op.seq < worker->meta_term;
}

static void submit_group(struct worker *worker, struct worker_op *op, struct slot *slot)
{
    op->op.shard = slot->shard;
    if (!shard_leads(slot->shard)) {
        finish(worker, op, STATUS_NOT_LEADER, slice_of(NULL, 0));
        return;
    }
    if (op->ask == GROUP_ASK_LEAD || op->ask == GROUP_ASK_PACE) {
        enum status status = worker_group_obey(worker, slot, op);
        finish(worker, op, status,
               slice_str(status == STATUS_OK ? "+OK\r\n" : status_text(status)));
        return;
    }
    op->op.read.on_readable = on_group_readable;
    enum status status = group_read(shard_group(slot->shard), &op->op.read);
    if (status != STATUS_AGAIN) {
        on_group_readable(&op->op.read, status);
    }
}

static void submit_admin(struct worker *worker, struct worker_op *op, struct shard *shard)
{
    op->op.shard = shard;
    if (shard_leads(shard) && worker->env.admin != NULL) {
        worker->env.admin(worker->env.ctx, op);
    } else {
        finish(worker, op, STATUS_NOT_LEADER, slice_of(NULL, 0));
    }
}

void worker_answer(struct worker *worker,
                   struct worker_op *op,
                   enum status status,
                   struct slice reply)
{
    buf_init(&op->reply, reply.len + 1);
    buf_append_slice(&op->reply, reply);
    slow_gate_charge(op->gate, op->reply.len);
    op->status = status;
    op->mail.run = run_reply;
    worker->env.post(worker->env.ctx, op->origin->options.loop, &op->mail);
}

static void submit_node(struct worker *worker, struct worker_op *op, struct shard *shard)
{
    struct buf reply;
    buf_init(&reply, FRAME_BODY_SIZE_MAX);
    op->op.shard = shard;
    enum status status = worker_hub_run(worker, op, &reply);
    finish(worker, op, status, buf_slice(&reply));
    buf_deinit(&reply);
}

static bool is_change(const struct command *command)
{
    return command->id == CMD_shard_split || command->id == CMD_shard_info ||
           command->id == CMD_shard_merge;
}

static void submit_here(struct worker *worker, struct worker_op *op)
{
    op->mail.to = worker;
    op->op.on_done = on_done;
    worker->stats.requests++;
    struct refusal *refusal =
        op->link == 0 || op->op.command == NULL || op->op.replica ? NULL : find_refusal(worker, op);
    if (refusal != NULL && !op->first) {
        op->op.shard = worker_shard(worker, op->shard);
        finish(worker, op, refusal->status, slice_of(NULL, 0));
        return;
    }
    if (refusal != NULL) {
        drop_refusal(worker, refusal);
    }
    struct slot *slot = worker_slot(worker, op->shard);
    if (slot == NULL || slot->removing) {
        op->op.shard = NULL;
        finish(worker, op, STATUS_NO_SHARD, slice_of(NULL, 0));
    } else if (is_outdated(worker, op)) {
        op->op.shard = slot->shard;
        finish(worker, op, STATUS_CONFLICT, slice_str("a newer leader of the meta group is known"));
    } else if (op->ask != GROUP_ASK_NONE) {
        submit_group(worker, op, slot);
    } else if (op->admin) {
        submit_admin(worker, op, slot->shard);
    } else if (op->op.command != NULL && is_change(op->op.command)) {
        shard_change_submit(slot->shard, &op->op);
    } else if (op->op.command != NULL && (op->op.command->flags & CMD_NODE) != 0) {
        submit_node(worker, op, slot->shard);
    } else {
        if (op->op.wait.wanted) {
            op->op.shard = slot->shard;
            begin_wait(worker, op);
        }
        shard_submit(slot->shard, &op->op);
    }
}

static void run_submit(struct worker *to, struct worker_mail *mail)
{
    submit_here(to, list_entry(mail, struct worker_op, mail));
}

void worker_submit(struct worker *worker, struct worker_op *op)
{
    unsigned loop = worker_loop_of(worker, op->shard);
    if (loop == worker->options.loop) {
        submit_here(worker, op);
        return;
    }
    op->mail.run = run_submit;
    worker->env.post(worker->env.ctx, loop, &op->mail);
}

static void refuse(struct worker_op *op, enum status status, const char *text)
{
    op->deliver(op, status, slice_str(text));
}

/* Which command it is, and whether this shard may be asked it. */
static enum status classify(struct worker_op *op)
{
    struct slice name = op->op.args.argv[0];
    op->ask = group_ask_of(op->op.args, op->numbers);
    if (op->ask != GROUP_ASK_NONE || op->shard == SHARD_META) {
        op->op.wait.wanted = false;
    }
    if (op->ask != GROUP_ASK_NONE) {
        return STATUS_OK;
    }
    if (op->shard == SHARD_META) {
        enum meta_kind kind = meta_machine_kind(name);
        op->op.write = kind == META_WRITE;
        op->admin = kind == META_ADMIN;
        return kind == META_UNKNOWN ? STATUS_BAD_ARGUMENT : STATUS_OK;
    }
    const struct command *command = command_find(name);
    if (command == NULL || (command->flags & (CMD_READ | CMD_WRITE | CMD_NODE)) == 0) {
        return STATUS_BAD_ARGUMENT;
    }
    op->op.command = command;
    op->op.write = (command->flags & CMD_WRITE) != 0;
    if (op->op.wait.wanted && block_timeout(command, op->op.args) == 0) {
        return STATUS_BAD_ARGUMENT;
    }
    op->op.wait.wanted = op->op.wait.wanted && machine_waits(command);
    return command_check(command, op->op.args.argc);
}

/* Takes the last argument off if it says which part of a large value this is. */
static bool take_stage(struct worker_op *op, uint8_t flags)
{
    op->op.staged = (flags & (REQUEST_PIECE | REQUEST_STAGED)) != 0;
    if (!op->op.staged) {
        return true;
    }
    struct stage_ref ref;
    struct args *args = &op->op.args;
    if (args->argc < 2 || !stage_ref_decode(args->argv[args->argc - 1], &ref)) {
        return false;
    }
    args->argc--;
    op->op.stage = (struct machine_stage){.id = ref.id,
                                          .size = ref.size,
                                          .offset = ref.offset,
                                          .piece = (flags & REQUEST_PIECE) != 0};
    return true;
}

/* On the origin's loop. */
static void tell_parked(struct worker *worker, uint64_t link, const struct frame_ref *ref)
{
    struct buf *out = worker->env.out_link(worker->env.ctx, link);
    if (out != NULL) {
        frame_write_ref(out, FRAME_PARKED, ref);
    }
}

static void run_parked(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    struct reader in = reader_of(slice_of(bytes->bytes, bytes->len));
    uint64_t link = reader_u64(&in);
    struct frame_ref ref = {.shard = reader_u64(&in)};
    ref.id = reader_u64(&in);
    ref.frozen = in.rest;
    assert(!in.failed);
    tell_parked(to, link, &ref);
    free(bytes);
}

/* On the shard's loop. */
static void on_parked(struct op *op)
{
    struct worker_op *self = list_entry(op, struct worker_op, op);
    struct worker *worker = self->mail.to;
    struct frame_ref ref = {
        .shard = self->shard, .id = self->request_id, .frozen = buf_slice(&op->wait.frozen)};
    if (self->origin == worker) {
        tell_parked(worker, self->link, &ref);
        return;
    }
    struct buf bytes;
    buf_init(&bytes, 24 + ref.frozen.len);
    buf_append_u64(&bytes, self->link);
    buf_append_u64(&bytes, ref.shard);
    buf_append_u64(&bytes, ref.id);
    buf_append_slice(&bytes, ref.frozen);
    worker_post_bytes(worker, self->origin->options.loop, 0, buf_slice(&bytes), run_parked);
    buf_deinit(&bytes);
}

/* Takes the last argument off if the command may wait. */
static bool take_wait(struct worker_op *op, uint8_t flags)
{
    if ((flags & REQUEST_WAIT) == 0) {
        return true;
    }
    struct wait_ref ref;
    struct args *args = &op->op.args;
    if (args->argc < 2 || !wait_ref_decode(args->argv[args->argc - 1], &ref)) {
        return false;
    }
    args->argc--;
    uint64_t now_ms = clock_now_ms();
    bool ever = ref.left_ms == 0 || ref.left_ms > UINT64_MAX - now_ms;
    op->op.wait = (struct op_wait){.wanted = true,
                                   .retry = (flags & REQUEST_RETRY) != 0,
                                   .parked = ref.parked,
                                   .known = ref.frozen,
                                   .until_ms = ever ? UINT64_MAX : now_ms + ref.left_ms,
                                   .on_parked = on_parked};
    return true;
}

enum status op_request(struct worker *worker, uint64_t link, struct slice body)
{
    size_t argc = frame_request_argc(body);
    if (argc == 0) {
        return STATUS_PROTOCOL;
    }
    size_t head = sizeof(struct worker_op) + argc * sizeof(struct slice);
    struct worker_op *op = op_new(worker, head + body.len);
    struct slice *argv = (struct slice *)(void *)(op + 1);
    uint8_t *copy = (uint8_t *)op + head;
    memcpy(copy, body.data, body.len);
    struct frame_request request;
    enum status status = frame_read_request(slice_of(copy, body.len), &request, argv, argc);
    op->op.args = request.args;
    bool good = status == STATUS_OK && request.db < MACHINE_DATABASES &&
                take_stage(op, request.flags) && take_wait(op, request.flags);
    if (!good) {
        op_free(op);
        return STATUS_PROTOCOL;
    }
    op->shard = request.shard;
    op->link = link;
    op->gate = slow_gate_enter(worker, link);
    op->request_id = request.id;
    op->deliver = deliver_frame;
    op->first = (request.flags & REQUEST_FIRST) != 0;
    op->op.sought = (request.flags & REQUEST_SOUGHT) != 0;
    op->op.db = request.db;
    op->op.session = request.session;
    op->op.replica = (request.flags & REQUEST_REPLICA) != 0 && request.session == 0;
    op->op.bound_ms = op->op.replica ? request.seq : 0;
    op->op.seq = op->op.replica ? 0 : request.seq;
    op->op.first_unacked = request.first_unacked;
    op->op.ver = request.ver;
    op->op.expires_ms = clock_now_ms() + request.deadline_ms;
    status = classify(op);
    op->op.replica = op->op.replica && !op->op.write && op->op.command != NULL;
    if (status != STATUS_OK) {
        refuse(op, status, status_text(status));
    } else {
        worker_submit(worker, op);
    }
    return STATUS_OK;
}
