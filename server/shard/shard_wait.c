#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"
#include "server/machine/batch.h"
#include "server/machine/keyspace.h"
#include "server/shard/shard_private.h"

/* Ops that wait for something to take. Whether there is something is decided when they are applied,
 * like everything else; what stands here only decides when it is worth a try. While one is parked,
 * the applied state has nothing for it, and so it cannot be forgotten: whatever is written that it
 * waits for gathers it again, at the latest when that was applied. When the leader itself proposes
 * such a write, it puts those that have waited longest into the same entry right behind it, so that
 * nobody comes in between. */

static const char too_many[] =
    "OVERLOADED too many clients of this node wait for elements; see blocked-clients-max";

enum { WAITING_SIZE_MAX = 256 << 20 }; /* Of a shard. */

static struct machine_read_input input_of(struct shard *shard, struct op *op)
{
    const struct shard_desc *desc = &shard->state.desc;
    return (struct machine_read_input){
        .scope = {.shard = desc->id, .start = desc->start, .last = desc->last},
        .command = op->command,
        .args = op->args,
        .db = op->db,
        .now_ms = shard_now_ms(shard),
        .frozen = &op->wait.frozen};
}

/* For how many like it the applied state has something. What is not in memory may be there. Rows of
 * tokens that went to another shard are not looked at: the loop would remember what others write.
 */
static uint64_t ready(struct shard *shard, struct op *op)
{
    if (!shard_owns(shard, op)) {
        return UINT64_MAX;
    }
    struct txn *txn = shard->env->txn;
    struct machine_read_input input = input_of(shard, op);
    uint64_t count = 0;
    txn_set_cache_only(txn, true);
    enum status status =
        shard->machine->ready(txn, &shard->state.machine, &input, !op->wait.parked, &count);
    txn_set_cache_only(txn, false);
    return status == STATUS_OK ? count : UINT64_MAX;
}

/* The same of one that has just looked, and found nothing: from the disk if need be, which has just
 * been read for that. "Perhaps" would send it round and round. */
static bool ready_behind(struct shard *shard, struct op *op)
{
    if (!shard_owns(shard, op)) {
        return false;
    }
    struct machine_read_input input = input_of(shard, op);
    uint64_t count = 0;
    enum status status =
        shard->machine->ready(shard->env->txn, &shard->state.machine, &input, false, &count);
    return status == STATUS_OK && count > 0;
}

void shard_wait_begin(struct shard *shard, struct op *op)
{
    assert(op->command != NULL && shard->machine->ready != NULL);
    op->wait.told = false;
    op->wait.cancelled = false;
    op->wait.gone = false;
    op->wait.replaced = false;
    op->wait.repeated = op->wait.retry;
    op->wait.last = false;
    op->wait.nothing = false;
    op->wait.waiter = NULL;
    buf_init(&op->wait.frozen, SIZE_MAX / 2);
    buf_append_slice(&op->wait.frozen, op->wait.known);
    if (op->session == 0) {
        return;
    }
    /* The sender has lost the connection that the earlier one came by, or has given that up. */
    struct op *before = map_put(&shard->waits, op->session, op);
    if (before == NULL) {
        return;
    }
    before->wait.replaced = true;
    if (before->wait.waiter != NULL && before->wait.waiter->parked) {
        shard_finish(before, STATUS_CLOSED, slice_of(NULL, 0));
    }
}

void shard_wait_end(struct shard *shard, struct op *op)
{
    buf_deinit(&op->wait.frozen);
    if (op->wait.waiter != NULL) {
        waiter_free(&shard->waiting, op->wait.waiter);
        op->wait.waiter = NULL;
        assert(*shard->env->waiters > 0);
        --*shard->env->waiters;
    }
    if (op->session != 0 && map_get(&shard->waits, op->session) == op) {
        (void)map_remove(&shard->waits, op->session);
    }
}

static void gather_again(struct shard *shard, struct op *op)
{
    if (op->write) {
        shard_write_regather(shard, op);
    } else {
        list_push_back(&shard->rereads, &op->link);
        shard->env->wake(shard->env->ctx, shard);
    }
}

/* It has waited in vain. Redis says the same then, whatever the command. Another try of the same
 * may stand in a log that nobody knows the end of, and must not take anything afterwards: so it is
 * recorded first. It is in no list. */
static void end_empty(struct shard *shard, struct op *op)
{
    if (op->wait.gone) {
        shard_finish(op, STATUS_CLOSED, slice_of(NULL, 0));
    } else if (op->write && op->wait.repeated) {
        op->wait.last = true;
        gather_again(shard, op);
    } else {
        shard_finish(op, STATUS_OK, slice_str("*-1\r\n"));
    }
}

static bool make_waiter(struct shard *shard, struct op *op)
{
    const struct shard_env *env = shard->env;
    if (*env->waiters >= env->waiters_max || shard->waiting.size > WAITING_SIZE_MAX) {
        return false;
    }
    struct buf row_key;
    buf_init(&row_key, SIZE_MAX / 2);
    buf_clear(&shard->keys);
    size_t count = 0;
    struct machine_want want;
    for (; machine_wants(op->command, op->args, count, &want); count++) {
        buf_clear(&row_key);
        keyspace_row_key(op->db, op->args.argv[want.index], &row_key);
        buf_append_u8(&shard->keys, want.type);
        buf_append_bytes(&shard->keys, buf_slice(&row_key));
    }
    buf_deinit(&row_key);
    op->wait.waiter = waiter_new(&shard->waiting, op, buf_slice(&shard->keys), count);
    op->wait.waiter->until_ms = op->wait.until_ms;
    ++*env->waiters;
    return true;
}

static void park(struct shard *shard, struct op *op)
{
    if (shard_frozen(shard) || !shard_owns(shard, op)) {
        enum status status = shard_frozen(shard) ? STATUS_BUSY : STATUS_NOT_OWNER;
        shard_finish(op, status, slice_of(NULL, 0));
        return;
    }
    if (op->wait.waiter == NULL && !make_waiter(shard, op)) {
        struct buf error;
        buf_init(&error, 256);
        resp_write_error(&error, too_many);
        shard_finish(op, STATUS_OK, buf_slice(&error));
        buf_deinit(&error);
        return;
    }
    op->wait.parked = true;
    op->expires_ms = UINT64_MAX; /* That was about being started. */
    waiting_park(&shard->waiting, op->wait.waiter);
    shard->env->parked(shard->env->ctx, shard);
    if (!op->wait.told) {
        op->wait.told = true;
        if (op->wait.on_parked != NULL) {
            op->wait.on_parked(op);
        }
    }
}

/* We lead: so what is applied here is all that there is. */
static void end_in_vain(struct shard *shard, struct op *op)
{
    if (shard_frozen(shard) || !shard_owns(shard, op)) {
        enum status status = shard_frozen(shard) ? STATUS_BUSY : STATUS_NOT_OWNER;
        shard_finish(op, status, slice_of(NULL, 0));
    } else if (!op->wait.cancelled && ready(shard, op) > 0) {
        gather_again(shard, op);
    } else {
        end_empty(shard, op);
    }
}

static void on_confirmed(struct group_read *read, enum status status)
{
    struct op *op = list_entry(read, struct op, read);
    struct shard *shard = op->shard;
    assert(shard->confirming > 0);
    shard->confirming--;
    if (op->wait.replaced) {
        shard_finish(op, STATUS_CLOSED, slice_of(NULL, 0));
    } else if (status == STATUS_OK) {
        end_in_vain(shard, op);
    } else {
        shard_finish(op, status, slice_of(NULL, 0));
    }
}

/* Its time is over. Another leader may have had something for it: nobody says "nothing" who might
 * be deposed. */
static void expire(struct shard *shard, struct op *op)
{
    if (!op->write) {
        gather_again(shard, op); /* Reading asks for that too. */
        return;
    }
    op->read.on_readable = on_confirmed;
    enum status status = group_read(shard->group, &op->read);
    if (status == STATUS_OK) {
        end_in_vain(shard, op);
    } else if (status == STATUS_AGAIN) {
        shard->confirming++;
    } else {
        shard_finish(op, status, slice_of(NULL, 0));
    }
}

bool shard_wait_try(struct shard *shard, struct op *op)
{
    assert(op->write && op->counted);
    bool again = op->wait.retry;
    op->wait.retry = false; /* The log knows then. */
    if (op->wait.replaced) {
        op->counted = false;
        shard->writes_pending--;
        shard_finish(op, STATUS_CLOSED, slice_of(NULL, 0));
        return false;
    }
    if (again || op->wait.last || shard_write_pending(shard, op) || ready(shard, op) > 0) {
        return true;
    }
    op->counted = false;
    shard->writes_pending--;
    if (op->wait.cancelled) {
        end_empty(shard, op);
    } else if (op->wait.until_ms <= clock_now_ms()) {
        expire(shard, op);
    } else {
        park(shard, op);
    }
    return false;
}

void shard_wait_return(struct shard *shard, struct op *op)
{
    assert(!op->counted);
    op->wait.nothing = false;
    if (op->wait.replaced) {
        shard_finish(op, STATUS_CLOSED, slice_of(NULL, 0));
    } else if (shard->role != GROUP_LEADER && op->wait.repeated) {
        shard_finish(op, STATUS_NOT_LEADER, slice_of(NULL, 0));
    } else if (op->wait.cancelled || op->wait.until_ms <= clock_now_ms()) {
        end_empty(shard, op); /* That it was applied says that we led. */
    } else if (shard->role != GROUP_LEADER) {
        shard_finish(op, STATUS_NOT_LEADER, slice_of(NULL, 0));
    } else if (ready_behind(shard, op)) {
        gather_again(shard, op); /* Written behind it, before it is parked again. */
    } else {
        park(shard, op);
    }
}

/* Takes waiters away from where they are parked and collects them in order. */
static void take(struct shard *shard, struct waiter *waiter, struct list *taken)
{
    waiting_leave(&shard->waiting, waiter);
    list_push_back(taken, &waiter->op->link);
}

/* In front of everything, in their order. */
static void gather_taken(struct shard *shard, struct list *taken)
{
    while (!list_empty(taken)) {
        struct op *op = list_entry(taken->prev, struct op, link);
        list_remove(&op->link);
        gather_again(shard, op);
    }
}

static const uint8_t awaited_types[] = {KEYSPACE_LIST, KEYSPACE_ZSET, KEYSPACE_STREAM};

static void attach_to_key(struct shard *shard,
                          struct slice row_key,
                          size_t feeds,
                          struct list *taken)
{
    for (size_t i = 0; i < sizeof(awaited_types); i++) {
        struct waiter *next = NULL;
        struct waiter *waiter = waiting_next(&shard->waiting, awaited_types[i], row_key, NULL);
        for (size_t n = 0; n < feeds && waiter != NULL; waiter = next) {
            next = waiting_next(&shard->waiting, awaited_types[i], row_key, waiter);
            if (waiter->op->write) {
                take(shard, waiter, taken);
                n++;
            }
        }
    }
}

static void attach_to(struct shard *shard, const struct planned *planned, struct list *taken)
{
    struct reader in = reader_of(planned->rest);
    for (size_t nth = 0; nth < planned->key_count && shard->waiting.count > 0; nth++) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        size_t feeds = machine_feeds(planned->command, planned->arg_count, nth);
        if (feeds > 0) {
            buf_clear(&shard->keys);
            keyspace_row_key(planned->db, key, &shard->keys);
            attach_to_key(shard, buf_slice(&shard->keys), feeds, taken);
        }
    }
}

/* What a script did: its commands stand behind the keys and the reply. */
static void attach_to_effects(struct shard *shard,
                              const struct planned *effects,
                              struct list *taken)
{
    struct reader in = reader_of(effects->rest);
    for (size_t i = 0; i < effects->arg_count && shard->waiting.count > 0; i++) {
        struct slice bytes = reader_bytes(&in, UINT32_MAX);
        struct planned planned;
        if (i > effects->key_count) {
            enum status status = planned_decode(bytes, &planned);
            assert(status == STATUS_OK && !in.failed);
            attach_to(shard, &planned, taken);
        }
    }
}

static void attach_to_any(struct shard *shard, const struct planned *planned, struct list *taken)
{
    if (planned->command->id == CMD_effects) {
        attach_to_effects(shard, planned, taken);
    } else {
        attach_to(shard, planned, taken);
    }
}

/* A transaction: nobody gets anything before all of it was executed. */
static void attach_to_batch(struct shard *shard, const struct planned *planned, struct list *taken)
{
    struct batch batch;
    struct batch_item item;
    enum status status = batch_open(planned_last(planned), &batch);
    assert(status == STATUS_OK);
    while (shard->waiting.count > 0 && batch_next_item(&batch, &item)) {
        if (item.kind == BATCH_WRITE) {
            attach_to_any(shard, &item.planned, taken);
        }
    }
}

void shard_wait_attach(struct shard *shard, struct slice bytes)
{
    struct planned planned;
    enum status status = planned_decode(bytes, &planned);
    assert(status == STATUS_OK);
    struct list taken;
    list_init(&taken);
    if (planned.command->id == CMD_batch) {
        attach_to_batch(shard, &planned, &taken);
    } else {
        attach_to_any(shard, &planned, &taken);
    }
    gather_taken(shard, &taken);
}

static void wake_key(struct shard *shard, uint8_t type, struct slice row_key, struct list *taken)
{
    struct waiter *next = NULL;
    uint64_t count = 0;
    for (struct waiter *waiter = waiting_next(&shard->waiting, type, row_key, NULL); waiter != NULL;
         waiter = next) {
        next = waiting_next(&shard->waiting, type, row_key, waiter);
        uint64_t there = ready(shard, waiter->op);
        if (there > count) {
            take(shard, waiter, taken);
            count++;
        } else if (type != KEYSPACE_STREAM) {
            return; /* What is there is shared out. Of a stream everyone wants something else. */
        }
    }
}

/* After a flush there is nothing to take; but groups of streams are gone, which those who wait for
 * one are told. */
static void wake_all(struct shard *shard, struct list *taken)
{
    struct list *next = NULL;
    for (struct list *at = shard->waiting.parked.next; at != &shard->waiting.parked; at = next) {
        next = at->next;
        struct waiter *waiter = list_entry(at, struct waiter, link);
        if (waiter->op->command->id == CMD_xreadgroup && ready(shard, waiter->op) > 0) {
            take(shard, waiter, taken);
        }
    }
}

void shard_wait_wake(struct shard *shard)
{
    struct list taken;
    list_init(&taken);
    struct reader in = reader_of(buf_slice(&shard->ready));
    while (in.rest.len > 0 && shard->waiting.count > 0) {
        uint8_t type = reader_u8(&in);
        struct slice row_key = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        if (type == KEYSPACE_ANY) {
            wake_all(shard, &taken);
        } else {
            wake_key(shard, type, row_key, &taken);
        }
    }
    buf_clear(&shard->ready);
    gather_taken(shard, &taken);
}

void shard_wait_reread(struct shard *shard)
{
    struct list due;
    list_init(&due);
    for (struct list *at; (at = list_pop_front(&shard->rereads)) != NULL;) {
        list_push_back(&due, at);
    }
    for (struct list *at; (at = list_pop_front(&due)) != NULL;) {
        shard_read_submit(shard, list_entry(at, struct op, link));
    }
}

void shard_wait_moved(struct shard *shard)
{
    struct list gone;
    list_init(&gone);
    struct list *next = NULL;
    for (struct list *at = shard->waiting.parked.next; at != &shard->waiting.parked; at = next) {
        next = at->next;
        struct waiter *waiter = list_entry(at, struct waiter, link);
        if (!shard_owns(shard, waiter->op)) {
            take(shard, waiter, &gone);
        }
    }
    for (struct list *at; (at = list_pop_front(&gone)) != NULL;) {
        shard_finish(list_entry(at, struct op, link), STATUS_NOT_OWNER, slice_of(NULL, 0));
    }
}

void shard_wait_fail(struct shard *shard, enum status status)
{
    for (struct waiter *waiter; (waiter = waiting_any(&shard->waiting)) != NULL;) {
        shard_finish(waiter->op, status, slice_of(NULL, 0));
    }
    for (struct list *at; (at = list_pop_front(&shard->rereads)) != NULL;) {
        shard_finish(list_entry(at, struct op, link), status, slice_of(NULL, 0));
    }
}

void shard_wait_tick(struct shard *shard, uint64_t now_ms)
{
    assert(shard->magic == SHARD_MAGIC);
    for (struct waiter *waiter; (waiter = waiting_due(&shard->waiting, now_ms)) != NULL;) {
        waiting_leave(&shard->waiting, waiter);
        expire(shard, waiter->op);
    }
}

void shard_cancel(struct shard *shard, struct op *op)
{
    assert(shard->magic == SHARD_MAGIC && op->wait.wanted);
    op->wait.cancelled = true;
    if (op->wait.waiter != NULL && op->wait.waiter->parked) {
        waiting_leave(&shard->waiting, op->wait.waiter);
        end_empty(shard, op);
    }
}

void shard_abandon(struct shard *shard, struct op *op)
{
    op->wait.gone = true;
    shard_cancel(shard, op);
}

size_t shard_waiting(const struct shard *shard)
{
    return shard->waiting.count;
}
