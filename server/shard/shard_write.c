#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "server/machine/planned.h"
#include "server/shard/entry.h"
#include "server/shard/range_change.h"
#include "server/shard/shard_private.h"

static const char disk_full[] =
    "DISKFULL the free disk space of the leader's node is under free-space-min; delete keys or "
    "make room, then try again";

static size_t op_size(const struct op *op)
{
    size_t size = 64;
    for (size_t i = 0; i < op->args.argc; i++) {
        size += op->args.argv[i].len + 16;
    }
    return size;
}

static bool refused(struct shard *shard, struct op *op)
{
    bool grows = op->command == NULL || (op->command->flags & CMD_GROWS) != 0;
    struct transaction transaction;
    if (op->command != NULL && op->command->id == CMD_batch) {
        grows = transaction_open(op->args, &transaction) == STATUS_OK && transaction.grows;
    }
    if (!shard->env->refuse_writes(shard->env->ctx, grows)) {
        return false;
    }
    shard->stats.refused++;
    resp_write_error(shard->env->reply, disk_full);
    shard_finish(op, STATUS_OK, buf_slice(shard->env->reply));
    buf_clear(shard->env->reply);
    return true;
}

bool shard_write_fits(const struct shard *shard)
{
    return shard->gathered_count < GATHERED_OPS_MAX && shard->gathered_size < GATHERED_SIZE_MAX;
}

void shard_write_submit(struct shard *shard, struct op *op)
{
    assert(op->write);
    if (!shard_write_fits(shard)) {
        shard_finish(op, STATUS_BUSY, slice_of(NULL, 0));
        return;
    }
    if (refused(shard, op)) {
        return;
    }
    shard_count(shard, op, 1);
    op->counted = true;
    shard->writes_pending++;
    shard->writes_seen++;
    op->barrier = shard->writes_seen;
    shard->gathered_count++;
    shard->gathered_size += op_size(op);
    shard->scripts += op->trial;
    list_push_back(&shard->gathered, &op->link);
    shard->env->wake(shard->env->ctx, shard);
}

void shard_write_regather(struct shard *shard, struct op *op)
{
    assert(op->write && op->wait.wanted && !op->counted);
    op->counted = true;
    shard->writes_pending++;
    shard->gathered_count++;
    shard->gathered_size += op_size(op);
    list_push_back(shard->gathered.next, &op->link); /* Before the first. */
    shard->env->wake(shard->env->ctx, shard);
}

/* An op that may wait is no longer among the writes. */
static void unpend(struct shard *shard, struct op *op)
{
    assert(op->counted && shard->writes_pending > 0);
    op->counted = false;
    shard->writes_pending--;
}

static void finish_later(struct shard *shard, struct op *op, enum status status, struct slice reply)
{
    if (op->tried == NULL) {
        op->tried = tried_new();
    }
    buf_clear(&op->tried->reply);
    buf_append_slice(&op->tried->reply, reply);
    op->status = status;
    list_push_back(&shard->over, &op->link);
}

static void finish_write(struct shard *shard, struct op *op, enum status status, struct slice reply)
{
    assert(op->counted);
    assert(shard->writes_pending > 0);
    if (shard->in_trial) {
        finish_later(shard, op, status, reply);
        return;
    }
    shard_count(shard, op, -1);
    op->counted = false;
    shard->writes_pending--;
    struct tried *tried = op->tried; /* The op may be gone when it is finished. */
    op->tried = NULL;
    if (status == STATUS_OK && tried != NULL && tried->reply.len > 0) {
        reply = buf_slice(&tried->reply);
    }
    shard_finish(op, status, reply);
    tried_free(tried);
}

static struct op *ungather(struct shard *shard)
{
    struct list *at = list_pop_front(&shard->gathered);
    if (at == NULL) {
        return NULL;
    }
    struct op *op = list_entry(at, struct op, link);
    shard->gathered_count--;
    shard->gathered_size -= op_size(op);
    shard->scripts -= op->trial;
    return op;
}

uint64_t shard_write_oldest(const struct shard *shard)
{
    if (!list_empty(&shard->batches)) {
        return list_entry(shard->batches.next, struct shard_batch, link)->first;
    }
    if (shard->trying != NULL) {
        return shard->trying->barrier;
    }
    return list_empty(&shard->gathered)
               ? UINT64_MAX
               : list_entry(shard->gathered.next, struct op, link)->barrier;
}

void shard_write_fail(struct shard *shard, enum status status)
{
    for (struct op *op; (op = ungather(shard)) != NULL;) {
        finish_write(shard, op, status, slice_of(NULL, 0));
    }
}

static void batch_free(struct shard_batch *batch)
{
    assert(list_empty(&batch->ops));
    buf_deinit(&batch->replies);
    batch->magic = 0;
    free(batch);
}

/* Moves batch_done over the finished batches at the front. One that was never proposed finishes
 * before older ones that are under way. */
static void retire(struct shard *shard)
{
    while (!list_empty(&shard->batches)) {
        struct shard_batch *batch = list_entry(shard->batches.next, struct shard_batch, link);
        if (!batch->finished) {
            return;
        }
        assert(batch->seq == shard->batch_done + 1);
        shard->batch_done = batch->seq;
        list_remove(&batch->link);
        batch_free(batch);
    }
}

static void on_proposed(struct proposal *proposal, enum status status)
{
    struct shard_batch *batch = list_entry(proposal, struct shard_batch, proposal);
    assert(batch->magic == BATCH_MAGIC);
    struct shard *shard = batch->shard;
    size_t at = 0;
    for (struct list *link; (link = list_pop_front(&batch->ops)) != NULL;) {
        struct op *op = list_entry(link, struct op, link);
        if (status != STATUS_OK) {
            finish_write(shard, op, status, slice_of(NULL, 0));
            continue;
        }
        assert(op->reply_end >= at);
        struct slice reply = slice_of(batch->replies.data + at, op->reply_end - at);
        at = op->reply_end;
        if (op->wait.nothing && op->status == STATUS_OK) {
            unpend(shard, op);
            shard_wait_return(shard, op);
            continue;
        }
        finish_write(shard, op, op->status, reply);
    }
    if (batch->changes) {
        shard_change_done(shard, batch, status);
    }
    batch->finished = true;
    retire(shard);
    shard_read_unblock(shard);
    shard_release(shard);
    if (!list_empty(&shard->gathered)) {
        shard->env->wake(shard->env->ctx, shard);
    }
}

struct shard_batch *shard_batch_new(struct shard *shard)
{
    struct shard_batch *batch = calloc(1, sizeof(*batch));
    assert(batch != NULL);
    batch->magic = BATCH_MAGIC;
    batch->proposal.on_done = on_proposed;
    batch->shard = shard;
    batch->seq = shard->batch_next++;
    batch->first = list_empty(&shard->gathered)
                       ? shard->writes_seen + 1
                       : list_entry(shard->gathered.next, struct op, link)->barrier;
    list_init(&batch->ops);
    list_push_back(&shard->batches, &batch->link);
    buf_init(&batch->replies, SIZE_MAX / 2);
    return batch;
}

static enum machine_wait wait_of(const struct op *op)
{
    if (!op->wait.wanted) {
        return MACHINE_WAIT_NEVER;
    }
    if (op->wait.last) {
        return MACHINE_WAIT_LAST;
    }
    return op->wait.parked ? MACHINE_WAIT_AGAIN : MACHINE_WAIT_FIRST;
}

/* Plans one op into env->planned; if not, env->reply has what it is answered. AGAIN: there is
 * nothing for it, and it waits. */
static enum status plan(struct shard *shard, struct op *op)
{
    const struct shard_env *env = shard->env;
    struct machine_plan_input input = {.command = op->command,
                                       .args = op->args,
                                       .db = op->db,
                                       .wait = wait_of(op),
                                       .now_ms = shard->stamp_ms,
                                       .seed = rand_u64(env->rand),
                                       .stage = op->staged ? &op->stage : NULL};
    enum status status = shard->machine->plan(&input, env->planned, env->reply);
    if (status == STATUS_OK && op->wait.wanted && !shard_wait_try(shard, op)) {
        buf_clear(env->planned); /* Well-formed, and nothing is there for it. */
        return STATUS_AGAIN;
    }
    assert(status == STATUS_OK || status == STATUS_BAD_ARGUMENT);
    return status;
}

/* Takes what was planned into the entry, or answers the op. */
static void take(struct shard *shard, struct shard_batch *batch, struct op *op, bool planned)
{
    const struct shard_env *env = shard->env;
    if (planned) {
        struct entry_command command = {.session = op->session,
                                        .seq = op->seq,
                                        .first_unacked = op->first_unacked,
                                        .planned = buf_slice(env->planned)};
        entry_add(env->entry, &command);
        list_push_back(&batch->ops, &op->link);
        if (shard->waiting.count > 0) {
            shard_wait_attach(shard, command.planned);
        }
    } else {
        finish_write(shard, op, STATUS_OK, buf_slice(env->reply));
    }
    buf_clear(env->planned);
    buf_clear(env->reply);
}

/* Whether the first that is gathered fits an entry which has count ops. */
static bool fits(const struct shard *shard, size_t count)
{
    if (list_empty(&shard->gathered) || count >= ENTRY_OPS_MAX) {
        return false;
    }
    const struct op *next = list_entry(shard->gathered.next, struct op, link);
    return count == 0 || shard->env->entry->len + op_size(next) <= ENTRY_SIZE_MAX;
}

static struct op *next_op(struct shard *shard, uint64_t now_ms)
{
    struct op *op = ungather(shard);
    if (op->expires_ms >= now_ms) {
        return op;
    }
    finish_write(shard, op, STATUS_TIMEOUT, slice_of(NULL, 0));
    return NULL;
}

static void send(struct shard *shard, struct shard_batch *batch)
{
    enum status status = STATUS_OK;
    bool empty = list_empty(&batch->ops);
    if (!empty) {
        status = group_propose(shard->group, buf_slice(shard->env->entry), &batch->proposal);
        shard->stats.entries += status == STATUS_OK;
    }
    buf_clear(shard->env->entry);
    if (empty || status != STATUS_OK) {
        on_proposed(&batch->proposal, status);
    }
}

static void propose(struct shard *shard)
{
    struct shard_batch *batch = shard_batch_new(shard);
    entry_begin(shard->env->entry, shard_now_ms(shard));
    uint64_t now_ms = clock_now_ms();
    for (size_t count = 0; fits(shard, count); count++) {
        struct op *op = next_op(shard, now_ms);
        enum status status = op == NULL ? STATUS_AGAIN : plan(shard, op);
        if (status != STATUS_AGAIN) {
            take(shard, batch, op, status == STATUS_OK);
        }
    }
    send(shard, batch);
}

/* A script that has to be tried elsewhere, or again: first in line. */
static void put_back(struct shard *shard, struct op *op)
{
    shard->gathered_count++;
    shard->gathered_size += op_size(op);
    shard->scripts += op->trial;
    list_push_back(shard->gathered.next, &op->link);
}

struct op *shard_write_first(struct shard *shard)
{
    struct op *op = ungather(shard);
    assert(op != NULL);
    return op;
}

void shard_write_again(struct shard *shard, struct op *op)
{
    put_back(shard, op);
    shard->env->wake(shard->env->ctx, shard);
}

void shard_write_end(struct shard *shard, struct op *op, enum status status)
{
    finish_write(shard, op, status, slice_of(NULL, 0));
    shard_read_unblock(shard);
}

/* One script of an entry. False: the trial is spoilt, or enough; the entry ends here. */
static bool take_script(struct shard *shard, struct shard_batch *batch, struct op *op)
{
    enum status status = STATUS_OK;
    enum trial_result result = script_try(shard, op, list_empty(&batch->ops), &status);
    switch (result) {
    case TRIAL_PLANNED:
        batch->kept += op->tried == NULL ? 0 : op->tried->reply.len;
        take(shard, batch, op, true);
        return batch->kept < ENTRY_KEPT_MAX;
    case TRIAL_REFUSED: take(shard, batch, op, false); return true;
    case TRIAL_STOPPED: take(shard, batch, op, false); return false;
    case TRIAL_AGAIN:
        op->slow = true;
        buf_clear(shard->env->planned);
        buf_clear(shard->env->reply);
        put_back(shard, op);
        return false;
    case TRIAL_UNKNOWN: finish_write(shard, op, status, slice_of(NULL, 0)); return true;
    case TRIAL_FAILED: break;
    }
    buf_clear(shard->env->planned);
    buf_clear(shard->env->reply);
    finish_write(shard, op, status, slice_of(NULL, 0));
    return false;
}

/* One op of an entry with scripts. False: the entry ends before it. */
static bool take_tried(struct shard *shard, struct shard_batch *batch, struct op *op)
{
    if (op->trial) {
        return take_script(shard, batch, op);
    }
    enum status status = plan(shard, op);
    if (status == STATUS_AGAIN) {
        return true;
    }
    bool planned = status == STATUS_OK;
    status = STATUS_OK;
    if (planned && shard->scripts > 0) {
        struct trial_op tried = script_trial_op(op, 0);
        status = trial_apply(shard->env->trial, &tried, buf_slice(shard->env->planned));
    }
    if (planned && op->command->id == CMD_script_flush) {
        trial_forget(shard->env->trial, shard->state.desc.id);
    }
    take(shard, batch, op, planned);
    return status == STATUS_OK;
}

/* An entry with scripts: what is gathered is tried out in order, on the state that the entry will
 * be applied to. */
static void propose_scripts(struct shard *shard)
{
    assert(list_empty(&shard->batches));
    const struct op *head = list_entry(shard->gathered.next, struct op, link);
    if (head->slow && head->tried == NULL) {
        script_start_slow(shard);
        return;
    }
    /* What was tried on the pool was tried at its own time. */
    uint64_t stamp_ms = script_holds(shard, head) ? head->tried->stamp_ms : shard_now_ms(shard);
    struct shard_batch *batch = shard_batch_new(shard);
    entry_begin(shard->env->entry, stamp_ms);
    if (script_begin(shard, stamp_ms) != STATUS_OK) {
        buf_clear(shard->env->entry);
        shard_write_fail(shard, STATUS_IO);
        on_proposed(&batch->proposal, STATUS_IO);
        return;
    }
    shard->in_trial = true;
    batch->tried = true;
    uint64_t now_ms = clock_now_ms();
    bool clean = true;
    for (size_t count = 0; clean && fits(shard, count); count++) {
        struct op *next = list_entry(shard->gathered.next, struct op, link);
        if (next->slow && next->tried == NULL) {
            break;
        }
        struct op *op = next_op(shard, now_ms);
        clean = op == NULL || take_tried(shard, batch, op);
    }
    trial_end(shard->env->trial);
    shard->in_trial = false;
    for (struct list *at; (at = list_pop_front(&shard->over)) != NULL;) {
        struct op *op = list_entry(at, struct op, link);
        finish_write(shard, op, op->status, slice_of(NULL, 0)); /* Its reply is op->tried. */
    }
    send(shard, batch);
}

static void turn(struct shard *shard)
{
    while (!list_empty(&shard->gathered) && shard->role == GROUP_LEADER && !shard->fenced &&
           group_can_propose(shard->group) && shard->trying == NULL) {
        if (shard->scripts == 0) {
            propose(shard);
        } else if (list_empty(&shard->batches)) {
            propose_scripts(shard);
        } else {
            return; /* Until what is in flight is applied. */
        }
    }
}

void shard_turn(struct shard *shard)
{
    assert(shard->magic == SHARD_MAGIC);
    shard_change_turn(shard);
    shard_wait_reread(shard);
    if (!list_empty(&shard->gathered)) {
        uint64_t began_ns = clock_now_ns();
        turn(shard);
        shard_meter_work(&shard->meter, clock_now_ns() - began_ns);
    }
}

void shard_propose_empty(struct shard *shard)
{
    struct shard_batch *batch = shard_batch_new(shard);
    entry_begin(shard->env->entry, shard_now_ms(shard));
    enum status status =
        group_propose(shard->group, buf_slice(shard->env->entry), &batch->proposal);
    buf_clear(shard->env->entry);
    if (status != STATUS_OK) {
        on_proposed(&batch->proposal, status);
    }
}

/* A replica that cannot apply what the others apply must not go on: its state would differ. */
static void stop_broken(const struct shard *shard, enum status status)
{
    log_error("shard.broken",
              "shard=%llu index=%llu reason=\"%s\" action=\"this node stops; replace its disk or "
              "start it again to retry\"",
              (unsigned long long)shard->state.desc.id,
              (unsigned long long)shard->state.group.index, status_text(status));
    abort();
}

/* NULL: keyspace events are for the leader to publish, and nobody wants any. messages: what scripts
 * publish may be among them. */
static struct buf *events_wanted(const struct shard *shard, bool messages)
{
    bool wanted = shard->role == GROUP_LEADER && shard->env->happened != NULL &&
                  (messages || shard->state.machine.notify != 0);
    return wanted ? shard->env->events : NULL;
}

static void apply_command(struct shard *shard,
                          const struct entry *entry,
                          const struct entry_command *command,
                          struct op *op,
                          bool tried,
                          struct buf *replies)
{
    const struct shard_desc *desc = &shard->state.desc;
    if (shard_frozen(shard)) {
        if (op != NULL) {
            op->status = STATUS_BUSY; /* Nothing happens, and nothing is told of what did before. */
            op->reply_end = replies->len;
            op->wait.nothing = false;
        }
        return;
    }
    struct machine_apply_input input = {
        .scope = {.shard = desc->id, .start = desc->start, .last = desc->last},
        .planned = command->planned,
        .now_ms = entry->stamp_ms,
        .session = command->session,
        .seq = command->seq,
        .first_unacked = command->first_unacked,
        .events = events_wanted(shard, planned_is(command->planned, CMD_effects))};
    bool nothing = false;
    size_t reply_from = replies->len;
    input.nothing = &nothing;
    input.ready = shard->waiting.count > 0 ? &shard->ready : NULL;
    enum status status =
        shard->machine->apply(shard->env->txn, &shard->state.machine, &input, replies);
    if (status != STATUS_OK && status != STATUS_NOT_OWNER) {
        stop_broken(shard, status);
    }
    if (op != NULL) {
        op->status = status;
        if (op->ver != 0 && op->ver != desc->ver) { /* See REQUEST_EXACT. */
            op->status = STATUS_NOT_OWNER;
            buf_truncate(replies, reply_from);
        }
        op->reply_end = replies->len;
        op->wait.nothing = nothing;
    }
    if (shard->env->trial != NULL && !tried && planned_is(command->planned, CMD_script_flush)) {
        trial_forget(shard->env->trial, desc->id);
    }
    shard->stats.writes++;
}

static void apply_entry(struct shard *shard, struct slice bytes, struct shard_batch *batch)
{
    const struct shard_desc *desc = &shard->state.desc;
    struct entry entry;
    enum status status = entry_open(bytes, &entry);
    if (status == STATUS_OK && !shard_frozen(shard)) {
        struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
        status = shard->machine->advance(shard->env->txn, &shard->state.machine, scope,
                                         entry.stamp_ms, events_wanted(shard, false));
    }
    struct buf *replies = batch == NULL ? shard->env->reply : &batch->replies;
    struct list *at = batch == NULL ? NULL : batch->ops.next;
    while (status == STATUS_OK && entry.taken < entry.count) {
        struct entry_command command;
        status = entry_next(&entry, &command);
        if (status != STATUS_OK) {
            break;
        }
        struct op *op = at == NULL ? NULL : list_entry(at, struct op, link);
        assert(IMPLIES(batch != NULL, at != &batch->ops));
        apply_command(shard, &entry, &command, op, batch != NULL && batch->tried, replies);
        at = at == NULL ? NULL : at->next;
        if (batch == NULL) {
            buf_clear(replies);
        }
    }
    if (status != STATUS_OK) {
        stop_broken(shard, status);
    }
}

void shard_apply(void *ctx,
                 const struct group_state *state,
                 struct slice entry,
                 struct proposal *mine)
{
    struct shard *shard;
    CAST_OBJ(shard, ctx, SHARD_MAGIC);
    assert(state->index == shard->state.group.index + 1);
    shard->state.group = *state;
    if (entry.len > 0) {
        struct shard_batch *batch =
            mine == NULL ? NULL : list_entry(mine, struct shard_batch, proposal);
        assert(IMPLIES(batch != NULL, batch->magic == BATCH_MAGIC));
        uint64_t began_ns = clock_now_ns();
        if (range_change_is(entry)) {
            enum status status = shard_change_apply(shard, entry, batch);
            if (status != STATUS_OK) {
                stop_broken(shard, status);
            }
        } else {
            apply_entry(shard, entry, batch);
        }
        shard_meter_apply(&shard->meter, clock_now_ns() - began_ns);
        shard_wait_wake(shard);
    }
    if (shard->env->happened != NULL && shard->env->events->len > 0) {
        shard->env->happened(shard->env->ctx, shard, buf_slice(shard->env->events));
        buf_clear(shard->env->events);
    }
    shard->env->touched(shard->env->ctx, shard);
}
