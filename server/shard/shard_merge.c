#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "server/machine/divide.h"
#include "server/shard/range_change.h"
#include "server/shard/shard_private.h"

/* Merges, as one of the two shards sees them: docs/elastic.md. The source is frozen by its own log;
 * whether the target then absorbs it is decided by the target's, once, at one version of the
 * target: an entry that takes it over and one that says it never will are for the same version, and
 * whichever is applied first makes the other void. */

static struct machine_scope scope_of(const struct shard_desc *desc)
{
    return (struct machine_scope){.shard = desc->id, .start = desc->start, .last = desc->last};
}

bool shard_frozen(const struct shard *shard)
{
    return shard->state.target != 0;
}

bool shard_changing(const struct shard *shard)
{
    return shard->changing > 0;
}

static bool all_vote(const struct group_conf *conf)
{
    for (unsigned i = 0; i < conf->count; i++) {
        if (conf->members[i].role != MEMBER_VOTER) {
            return false;
        }
    }
    return conf->count > 0 && conf->count <= SHARD_REPLICAS_MAX;
}

bool shard_merge_check(struct shard *shard,
                       const struct range_change *change,
                       struct buf *reply,
                       enum status *status)
{
    const char *why = NULL;
    *status = STATUS_OK;
    if (!all_vote(&shard->state.group.conf)) {
        resp_write_error(reply, "RETRY the members of the shard are being changed");
        return false;
    }
    if (change->other == shard->state.desc.id) {
        resp_write_error(reply, "REFUSED a shard is not merged into itself");
        return false;
    }
    *status = divide_check_join(shard->env->txn, &shard->state.machine, shard->state.desc.id, &why);
    if (*status == STATUS_OK && why != NULL) {
        resp_write_errorf(reply, "RETRY %s", why);
    }
    return *status == STATUS_OK && why == NULL;
}

static enum status freeze(struct shard *shard, const struct range_change *change, struct buf *reply)
{
    enum status status = STATUS_OK;
    if (!shard_merge_check(shard, change, reply, &status)) {
        return status;
    }
    shard->state.desc.ver++;
    shard->state.target = change->other;
    shard->state.target_ver = change->other_ver;
    shard->refuse = true;
    shard->spread = shard->role == GROUP_LEADER;
    shard->env->wake(shard->env->ctx, shard);
    shard->env->frozen(shard->env->ctx, shard);
    log_info("shard.frozen", "shard=%llu target=%llu ver=%llu job=%llu",
             (unsigned long long)shard->state.desc.id, (unsigned long long)change->other,
             (unsigned long long)shard->state.desc.ver, (unsigned long long)change->job);
    resp_write_ok(reply);
    return STATUS_OK;
}

static void unfreeze(struct shard *shard, struct buf *reply)
{
    shard->state.desc.ver++;
    shard->state.target = 0;
    shard->state.target_ver = 0;
    shard->env->frozen(shard->env->ctx, shard);
    log_info("shard.unfrozen", "shard=%llu ver=%llu", (unsigned long long)shard->state.desc.id,
             (unsigned long long)shard->state.desc.ver);
    resp_write_ok(reply);
}

/* The state row of a replica that may be another loop's, which writes it no more. Not remembered:
 * that loop may do so again. */
static enum status load_state(struct txn *txn, uint64_t shard, struct shard_state *state)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 16);
    buf_init(&to, 16);
    shard_state_key(shard, &from);
    shard_state_key(shard, &to);
    buf_append_u8(&to, 0);
    struct store_iter *iter = iter_open(txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    enum status status = STATUS_NOT_FOUND;
    if (iter_valid(iter)) {
        status = shard_state_decode(iter_value(iter), state);
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return walked == STATUS_OK ? status : walked;
}

static bool adjacent(const struct shard_desc *desc, const struct range_change *change)
{
    return (desc->start > 0 && change->last == desc->start - 1) ||
           (change->start > 0 && desc->last == change->start - 1);
}

/* NULL, or why the target does not take the source over. */
static const char *unfit(const struct shard *shard, const struct range_change *change)
{
    const struct shard_state *state = &shard->state;
    if (state->target != 0) {
        return "STALE the shard is being merged itself";
    }
    if (!adjacent(&state->desc, change)) {
        return "REFUSED the shards are not neighbours";
    }
    if (!shard_members_match(&state->group.conf, change)) {
        return "RETRY the members of the shards are on different nodes";
    }
    return state->machine.recount_ms != 0 ? "RETRY the keys of the shard are being counted" : NULL;
}

static enum status absorb(struct shard *shard, const struct range_change *change, struct buf *reply)
{
    struct shard_desc *desc = &shard->state.desc;
    struct shard_state source;
    const char *why = unfit(shard, change);
    if (why != NULL) {
        resp_write_error(reply, why);
        return STATUS_OK;
    }
    enum status status = load_state(shard->env->txn, change->other, &source);
    bool same = status == STATUS_OK && source.desc.ver == change->other_ver &&
                source.target == desc->id && source.target_ver == change->ver;
    if (!same) { /* It was asked for only when every member had it so on its disk. */
        log_error("shard.source_lost", "shard=%llu source=%llu reason=\"%s\"",
                  (unsigned long long)desc->id, (unsigned long long)change->other,
                  status_text(status));
        return STATUS_CORRUPT;
    }
    status = divide_join(shard->env->txn, desc->id, &shard->state.machine, scope_of(&source.desc),
                         &source.machine);
    if (status != STATUS_OK) {
        return status;
    }
    desc->start = change->start < desc->start ? change->start : desc->start;
    desc->last = change->last > desc->last ? change->last : desc->last;
    desc->ver = (change->other_ver > desc->ver ? change->other_ver : desc->ver) + 1;
    shard->spread = shard->role == GROUP_LEADER;
    shard->env->wake(shard->env->ctx, shard);
    shard->env->absorbed(shard->env->ctx, shard, &source);
    log_info("shard.merged", "shard=%llu source=%llu ver=%llu", (unsigned long long)desc->id,
             (unsigned long long)change->other, (unsigned long long)desc->ver);
    resp_write_ok(reply);
    return STATUS_OK;
}

enum status shard_merge_apply(struct shard *shard,
                              const struct range_change *change,
                              struct buf *reply)
{
    struct shard_desc *desc = &shard->state.desc;
    bool frozen = shard_frozen(shard);
    if (desc->ver != change->ver || frozen != (change->kind == RANGE_UNFREEZE)) {
        resp_write_errorf(reply, "STALE the shard has version %llu", (unsigned long long)desc->ver);
        return STATUS_OK;
    }
    switch (change->kind) {
    case RANGE_FREEZE: return freeze(shard, change, reply);
    case RANGE_UNFREEZE: unfreeze(shard, reply); return STATUS_OK;
    case RANGE_ABSORB: return absorb(shard, change, reply);
    case RANGE_VOID:
        desc->ver++;
        resp_write_ok(reply);
        return STATUS_OK;
    case RANGE_SPLIT:
    case RANGE_KINDS: break;
    }
    return STATUS_CORRUPT;
}

void shard_merge_propose(struct shard *shard, const struct range_change *change)
{
    struct range_change fresh = *change;
    if (shard->role == GROUP_LEADER && shard->changing == 0 && !shard->fenced &&
        shard->state.desc.ver == change->ver && group_can_propose(shard->group)) {
        shard_change_propose(shard, &fresh, NULL);
    }
}
