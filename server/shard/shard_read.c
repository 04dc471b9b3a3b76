#include "common/base/assert.h"
#include "common/base/clock.h"
#include "server/shard/shard_private.h"

static void finish_read(struct shard *shard, struct op *op, enum status status, struct slice reply)
{
    if (op->counted) {
        assert(shard->reads_pending > 0);
        shard_count(shard, op, -1);
        op->counted = false;
        shard->reads_pending--;
    }
    shard_finish(op, status, reply);
}

/* Null, an empty collection, or a count of nothing. */
static bool is_nothing(struct slice reply)
{
    static const char *const texts[] = {"_\r\n", "*-1\r\n", ":0\r\n", "*0\r\n", "%0\r\n", "~0\r\n"};
    bool nothing = false;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !nothing; i++) {
        nothing = slice_equal(reply, slice_str(texts[i]));
    }
    return nothing;
}

/* Was read: done, or parked if it found nothing and may wait. */
static void end_read(
    struct shard *shard, struct op *op, enum status status, bool nothing, struct slice reply)
{
    if (status == STATUS_OK && !op->write) {
        shard_note_keys(shard, op, is_nothing(reply), reply.len);
    }
    bool waits = op->wait.wanted && nothing && op->wait.until_ms > clock_now_ms();
    if (!waits || op->wait.cancelled || shard->role != GROUP_LEADER) {
        finish_read(shard, op, status, reply);
        return;
    }
    if (op->counted) {
        assert(shard->reads_pending > 0);
        shard_count(shard, op, -1);
        op->counted = false;
        shard->reads_pending--;
    }
    shard_wait_return(shard, op);
}

/* What has expired for a reader at the leader must be so for all who begin later, and nobody looks
 * at the clocks of two nodes: a replica takes the leader's time. */
static uint64_t time_of(struct shard *shard, const struct op *op)
{
    if (!op->replica || shard->role == GROUP_LEADER) {
        return shard_now_ms(shard);
    }
    uint64_t applied_ms = shard->state.machine.time_ms;
    return applied_ms > op->replica_ms ? applied_ms : op->replica_ms;
}

static struct machine_read_input input_of(struct shard *shard, struct op *op)
{
    const struct shard_desc *desc = &shard->state.desc;
    return (struct machine_read_input){
        .scope = {.shard = desc->id, .start = desc->start, .last = desc->last},
        .command = op->command,
        .args = op->args,
        .db = op->db,
        .now_ms = time_of(shard, op),
        .load = &shard->load,
        .frozen = op->wait.wanted ? &op->wait.frozen : NULL};
}

/* Asked for the whole of a range that is another by now. */
static bool is_outdated(const struct op *op, uint64_t ver)
{
    return op->ver != 0 && op->ver != ver;
}

/* The applied state is readable now. */
static void read_applied(struct shard *shard, struct op *op)
{
    if (shard_frozen(shard)) {
        finish_read(shard, op, STATUS_BUSY, slice_of(NULL, 0));
        return;
    }
    const struct shard_env *env = shard->env;
    bool large = op->command != NULL && (op->command->flags & CMD_LARGE) != 0;
    bool nothing = false;
    enum status status = STATUS_AGAIN;
    if (is_outdated(op, shard->state.desc.ver)) {
        status = STATUS_NOT_OWNER;
    } else if (!large) {
        struct machine_read_input input = input_of(shard, op);
        input.nothing = &nothing;
        input.seed = rand_u64(env->rand);
        txn_set_cache_only(env->txn, true);
        status = op->trial
                     ? script_read(shard, op, env->reply)
                     : shard->machine->read(env->txn, &shard->state.machine, &input, env->reply);
        txn_set_cache_only(env->txn, false);
    }
    shard->stats.reads++;
    op->reply_size = env->reply->len;
    bool crowded =
        env->reply->len >= READ_LARGE_SIZE && env->crowded != NULL && env->crowded(env->ctx, op);
    if (status == STATUS_AGAIN || crowded) {
        buf_clear(env->reply);
        shard->stats.slow_reads++;
        shard->reads_slow++;
        env->read_slow(env->ctx, shard, op);
        return;
    }
    end_read(shard, op, status, nothing, buf_slice(env->reply));
    buf_clear(env->reply);
}

void shard_read_now(struct shard *shard, struct op *op)
{
    if (!shard_meter_due(&shard->meter)) {
        read_applied(shard, op);
        return;
    }
    uint64_t began_ns = clock_now_ns();
    read_applied(shard, op);
    shard_meter_work(&shard->meter, (clock_now_ns() - began_ns) * METER_SAMPLE);
}

static void on_readable(struct group_read *read, enum status status)
{
    struct op *op = list_entry(read, struct op, read);
    struct shard *shard = op->shard;
    if (status == STATUS_OK) {
        shard_read_now(shard, op);
    } else {
        finish_read(shard, op, status, slice_of(NULL, 0));
    }
    shard_release(shard);
}

static void pend(struct shard *shard, struct op *op)
{
    if (!op->counted) {
        shard_count(shard, op, 1);
        op->counted = true;
        shard->reads_pending++;
    }
}

static void ask(struct shard *shard, struct op *op)
{
    if (op->expires_ms < clock_now_ms()) {
        finish_read(shard, op, STATUS_TIMEOUT, slice_of(NULL, 0));
        return;
    }
    op->read.on_readable = on_readable;
    enum status status = group_read(shard->group, &op->read);
    if (status == STATUS_OK) {
        shard_read_now(shard, op);
    } else if (status == STATUS_AGAIN) {
        pend(shard, op);
    } else {
        finish_read(shard, op, status, slice_of(NULL, 0));
    }
}

void shard_read_submit(struct shard *shard, struct op *op)
{
    assert(!op->write);
    /* Behind everything gathered or in flight, but for what has waited and is gathered again: its
     * sender sends nothing more before it is answered. */
    op->barrier = shard->writes_seen;
    if (!shard_conflicts(shard, op) || op->barrier < shard_write_oldest(shard)) {
        ask(shard, op);
        return;
    }
    pend(shard, op);
    list_push_back(&shard->blocked, &op->link);
}

void shard_read_unblock(struct shard *shard)
{
    while (!list_empty(&shard->blocked)) {
        struct op *op = list_entry(shard->blocked.next, struct op, link);
        if (op->barrier >= shard_write_oldest(shard)) {
            return;
        }
        list_remove(&op->link);
        ask(shard, op);
    }
}

void shard_read_fail(struct shard *shard, enum status status)
{
    for (struct list *at; (at = list_pop_front(&shard->blocked)) != NULL;) {
        finish_read(shard, list_entry(at, struct op, link), status, slice_of(NULL, 0));
    }
}

void shard_read_prepare(struct shard *shard, struct op *op, struct slow_read *read)
{
    struct machine_read_input input = input_of(shard, op);
    *read = (struct slow_read){.op = op,
                               .shard = shard,
                               .view = read->view,
                               .scope = input.scope,
                               .ver = shard->state.desc.ver,
                               .installs = shard->installs,
                               .state = shard->state.machine,
                               .machine = shard->machine,
                               .load = shard->load,
                               .now_ms = input.now_ms,
                               .seed = rand_u64(shard->env->rand),
                               .status = STATUS_AGAIN};
    buf_init(&read->reply, SIZE_MAX / 2);
    buf_init(&read->sources, SIZE_MAX / 2);
    if (op->trial) {
        shard->env->desk->slow++;
        read->killed = &shard->env->desk->killed;
        read->script_limits = shard->env->script_limits;
        read->index = shard->state.group.index;
        read->term = shard->term;
        read->refuse_growth = shard->env->refuse_writes(shard->env->ctx, true);
        trial_pack(shard->env->trial, read->scope.shard, op->command, op->args, &read->sources);
    }
    if (op->write) {
        return; /* Stays counted: until its entry is applied. */
    }
    /* The view does not change any more: writes behind this read need not wait for it. */
    if (op->counted) {
        shard_count(shard, op, -1);
        op->counted = false;
        shard->reads_pending--;
    }
}

void shard_read_slow(struct slow_read *read)
{
    struct machine_read_input input = {
        .scope = read->scope,
        .command = read->op->command,
        .args = read->op->args,
        .db = read->op->db,
        .now_ms = read->now_ms,
        .seed = read->seed,
        .load = &read->load,
        .nothing = &read->nothing,
        .frozen = read->op->wait.wanted ? &read->op->wait.frozen : NULL};
    uint64_t began_ns = clock_thread_ns();
    if (read->killed != NULL) {
        script_run_slow(read);
    } else if (is_outdated(read->op, read->ver)) {
        read->status = STATUS_NOT_OWNER;
    } else {
        read->status = read->machine->read(read->view, &read->state, &input, &read->reply);
    }
    read->spent_ns = clock_thread_ns() - began_ns;
}

void shard_read_done(struct slow_read *read)
{
    struct shard *shard = read->shard;
    assert(shard->reads_slow > 0);
    shard->reads_slow--;
    shard_meter_pool(&shard->meter, read->spent_ns);
    buf_deinit(&read->sources);
    if (read->killed != NULL) {
        script_end_slow(read);
    }
    if (read->op == NULL) {
        return;
    }
    /* A view may show parts of a snapshot that is being installed. */
    bool torn = read->installs % 2 != 0 || read->installs != shard->installs;
    if (read->op->replica && torn) {
        read->status = STATUS_NOT_LEADER;
        buf_clear(&read->reply);
    }
    end_read(shard, read->op, read->status, read->nothing, buf_slice(&read->reply));
    buf_deinit(&read->reply);
    shard_release(shard);
}
