#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "server/shard/shard_private.h"

/* Scripts at a shard. One that may write runs on trial when everything before it is applied, first
 * on the loop; one that takes too long there runs again from its start on the pool, on a view,
 * while the writes of the shard wait. docs/scripting.md. */

struct tried *tried_new(void)
{
    struct tried *tried = calloc(1, sizeof(*tried));
    assert(tried != NULL);
    buf_init(&tried->planned, SIZE_MAX / 2);
    buf_init(&tried->reply, SIZE_MAX / 2);
    return tried;
}

void tried_free(struct tried *tried)
{
    if (tried != NULL) {
        buf_deinit(&tried->planned);
        buf_deinit(&tried->reply);
        free(tried);
    }
}

struct trial_op script_trial_op(const struct op *op, uint64_t seed)
{
    return (struct trial_op){.command = op->command,
                             .args = op->args,
                             .db = op->db,
                             .session = op->session,
                             .seq = op->seq,
                             .first_unacked = op->first_unacked,
                             .seed = seed,
                             .sought = op->sought};
}

static struct trial_place place_of(struct shard *shard, uint64_t now_ms)
{
    const struct shard_desc *desc = &shard->state.desc;
    return (struct trial_place){
        .txn = shard->env->txn,
        .state = &shard->state.machine,
        .scope = {.shard = desc->id, .start = desc->start, .last = desc->last},
        .now_ms = now_ms,
        .slice = true,
        .refuse_growth = shard->env->refuse_writes(shard->env->ctx, true)};
}

void script_kill(struct shard *shard, struct op *op)
{
    struct buf *reply = shard->env->reply;
    struct script_desk *desk = shard->env->desk;
    if (desk != NULL && desk->slow > 0) {
        atomic_store(&desk->killed, true);
        shard->stats.killed_scripts++;
        resp_write_ok(reply);
    } else {
        resp_write_error(reply, "NOTBUSY No scripts in execution right now.");
    }
    shard_finish(op, STATUS_OK, buf_slice(reply));
    buf_clear(reply);
}

enum status script_read(struct shard *shard, const struct op *op, struct buf *reply)
{
    struct trial_place place = place_of(shard, shard_now_ms(shard));
    struct trial_op tried = script_trial_op(op, rand_u64(shard->env->rand));
    return trial_read(shard->env->trial, &place, &tried, reply);
}

enum status script_begin(struct shard *shard, uint64_t stamp_ms)
{
    struct trial_place place = place_of(shard, stamp_ms);
    return trial_begin(shard->env->trial, &place);
}

/* The time of the shard went on since, as others were answered, and one of them may have seen that
 * a key has expired: then it has for this one, too. */
static bool expired_since(const struct shard *shard, uint64_t stamp_ms)
{
    uint64_t expiry_ms = shard->state.machine.expiry_ms;
    return shard->stamp_ms > stamp_ms && expiry_ms != 0 && expiry_ms <= shard->stamp_ms;
}

bool script_holds(const struct shard *shard, const struct op *op)
{
    const struct tried *tried = op->tried;
    return tried != NULL && tried->index == shard->state.group.index &&
           tried->term == shard->term && !expired_since(shard, tried->stamp_ms);
}

static enum trial_result take_over(struct shard *shard, struct op *op, enum status *status)
{
    struct tried *tried = op->tried;
    *status = tried->status;
    if (tried->result != TRIAL_PLANNED) {
        buf_append_slice(shard->env->reply, buf_slice(&tried->reply));
        op->tried = NULL;
        enum trial_result result = tried->result;
        tried_free(tried);
        return result;
    }
    buf_append_slice(shard->env->planned, buf_slice(&tried->planned));
    if (shard->scripts == 0) {
        return TRIAL_PLANNED;
    }
    struct trial_op input = script_trial_op(op, 0);
    *status = trial_apply(shard->env->trial, &input, buf_slice(&tried->planned));
    return *status == STATUS_OK ? TRIAL_PLANNED : TRIAL_FAILED;
}

enum trial_result script_try(struct shard *shard, struct op *op, bool first, enum status *status)
{
    const struct shard_env *env = shard->env;
    bool holds = first && script_holds(shard, op);
    if (op->tried != NULL && (holds || op->tried->result == TRIAL_STOPPED)) {
        return take_over(shard, op, status);
    }
    tried_free(op->tried);
    op->tried = NULL;
    struct trial_op input = script_trial_op(op, rand_u64(env->rand));
    enum trial_result result = trial_run(env->trial, &input, env->planned, env->reply, status);
    if (result == TRIAL_PLANNED && env->reply->len > 0) {
        /* Too long for the log; the client gets it when the effects are applied. */
        op->tried = tried_new();
        op->tried->result = result;
        buf_append_slice(&op->tried->reply, buf_slice(env->reply));
    }
    return result;
}

void script_start_slow(struct shard *shard)
{
    assert(shard->trying == NULL);
    struct op *op = shard_write_first(shard);
    shard->trying = op;
    shard->reads_slow++;
    shard->stats.slow_scripts++;
    shard->env->read_slow(shard->env->ctx, shard, op);
}

static void run_write(struct slow_read *read, struct trial *trial, const struct trial_op *op)
{
    struct tried *tried = tried_new();
    struct trial_place place = {.txn = read->view,
                                .state = &read->state,
                                .scope = read->scope,
                                .now_ms = read->now_ms,
                                .refuse_growth = read->refuse_growth,
                                .killed = read->killed};
    tried->index = read->index;
    tried->term = read->term;
    tried->stamp_ms = read->now_ms;
    read->tried = tried;
    read->status = trial_begin(trial, &place);
    if (read->status != STATUS_OK) {
        return;
    }
    tried->result = trial_run(trial, op, &tried->planned, &tried->reply, &tried->status);
    trial_end(trial);
    if (tried->result == TRIAL_AGAIN || tried->result == TRIAL_FAILED ||
        tried->result == TRIAL_UNKNOWN) {
        read->status = tried->status;
    }
}

void script_run_slow(struct slow_read *read)
{
    struct trial *trial = trial_new(&read->script_limits);
    struct trial_op op = script_trial_op(read->op, read->seed);
    trial_unpack(trial, read->scope.shard, buf_slice(&read->sources));
    if (read->op->write) {
        run_write(read, trial, &op);
    } else {
        struct trial_place place = {.txn = read->view,
                                    .state = &read->state,
                                    .scope = read->scope,
                                    .now_ms = read->now_ms,
                                    .killed = read->killed};
        read->status = trial_read(trial, &place, &op, &read->reply);
    }
    trial_free(trial);
}

void script_end_slow(struct slow_read *read)
{
    struct shard *shard = read->shard;
    struct script_desk *desk = shard->env->desk;
    assert(desk->slow > 0);
    desk->slow--;
    if (desk->slow == 0) {
        atomic_store(&desk->killed, false);
    }
    struct op *op = read->op;
    if (read->status == STATUS_OK) {
        trial_learn(shard->env->trial, shard->state.desc.id, op->command, op->args);
    }
    if (!op->write) {
        return;
    }
    assert(shard->trying == op);
    if (read->tried != NULL) {
        trial_count(shard->env->trial, read->tried->result);
    }
    shard->trying = NULL;
    read->op = NULL;
    buf_deinit(&read->reply);
    bool leads = shard->role == GROUP_LEADER;
    if (leads && read->status == STATUS_OK) {
        op->tried = read->tried;
        shard_write_again(shard, op);
        return;
    }
    tried_free(read->tried);
    /* Nothing was proposed. */
    shard_write_end(shard, op, leads ? read->status : STATUS_NOT_LEADER);
    shard_release(shard);
    shard->env->wake(shard->env->ctx, shard);
}
