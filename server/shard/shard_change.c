#include <stdio.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/number.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "server/machine/divide.h"
#include "server/machine/keyspace.h"
#include "server/shard/range_change.h"
#include "server/shard/shard_private.h"

/* Changes of what tokens a shard owns: docs/elastic.md. They are entries of the shard's log, and
 * whether one has effect is decided when it is applied, from the state as of the entry before it,
 * so all replicas come to the same. What the leader checks beforehand only spares the log entries
 * that would change nothing. */

enum { ARG_VER = 1, ARG_TOKEN, ARG_CHILD, ARG_JOB, ARG_MEMBERS, VOTER_LAG_MAX = 1000 };

bool shard_owns(const struct shard *shard, const struct op *op)
{
    const struct shard_desc *desc = &shard->state.desc;
    size_t at = 0;
    for (size_t nth = 0; op->command != NULL; nth++) {
        at = command_key_at(op->command, op->args, nth);
        if (at == 0) {
            break;
        }
        uint64_t token = token_of(op->db, op->args.argv[at]);
        if (token < desc->start || token > desc->last) {
            return false;
        }
    }
    return true;
}

static struct machine_scope scope_of(const struct shard_desc *desc)
{
    return (struct machine_scope){.shard = desc->id, .start = desc->start, .last = desc->last};
}

static const struct replica_desc *member_on(const struct range_change *change, uint64_t node)
{
    for (unsigned i = 0; i < change->count; i++) {
        if (change->members[i].node == node) {
            return &change->members[i];
        }
    }
    return NULL;
}

/* Everybody is a voter, and the change has one member on the node of each. */
bool shard_members_match(const struct group_conf *conf, const struct range_change *change)
{
    bool match = conf->count == change->count;
    for (unsigned i = 0; match && i < conf->count; i++) {
        const struct replica_desc *member = member_on(change, conf->members[i].node);
        match = conf->members[i].role == MEMBER_VOTER && member != NULL && member->id != 0;
        for (unsigned k = 0; match && k < i; k++) {
            match = change->members[k].id != change->members[i].id &&
                    change->members[k].node != change->members[i].node;
        }
    }
    return match;
}

/* Appends an error, which the caller may take for final unless it begins with RETRY; false then. */
static bool check_split(struct shard *shard,
                        const struct range_change *change,
                        struct buf *reply,
                        enum status *status)
{
    const struct shard_desc *desc = &shard->state.desc;
    const char *why = NULL;
    *status = STATUS_OK;
    if (desc->ver != change->ver || shard_frozen(shard)) {
        resp_write_errorf(reply, "STALE the shard has version %llu", (unsigned long long)desc->ver);
        return false;
    }
    if (change->token <= desc->start || change->token > desc->last || change->other == desc->id) {
        resp_write_error(reply, "REFUSED this token is not inside the shard");
        return false;
    }
    if (!shard_members_match(&shard->state.group.conf, change)) {
        resp_write_error(reply, "RETRY the members of the shard are others");
        return false;
    }
    *status = divide_check(shard->env->txn, &shard->state.machine, scope_of(desc), &why);
    if (*status == STATUS_OK && why != NULL) {
        resp_write_errorf(reply, "RETRY %s", why);
    }
    return *status == STATUS_OK && why == NULL;
}

/* ---- applied ---- */

static void remember(struct shard *shard, const struct shard_desc *desc)
{
    shard->kin[shard->kin_count++ % SHARD_KIN_MAX] = *desc;
}

static void child_desc(const struct shard_desc *parent,
                       const struct range_change *change,
                       struct shard_desc *child)
{
    *child = (struct shard_desc){.id = change->other,
                                 .start = change->token,
                                 .last = parent->last,
                                 .ver = change->ver + 1,
                                 .conf_ver = 1,
                                 .parent = parent->id,
                                 .replica_count = change->count};
    for (unsigned i = 0; i < change->count; i++) {
        child->replicas[i] = change->members[i];
        uint64_t id = change->members[i].id;
        child->birth_max = id > child->birth_max ? id : child->birth_max;
    }
}

/* The replica of the child on this node; 0: none, this one is no member any more. */
static uint64_t own_child(const struct shard *shard, const struct range_change *change)
{
    const struct group_conf *conf = &shard->state.group.conf;
    for (unsigned i = 0; i < conf->count; i++) {
        if (conf->members[i].replica == shard->state.replica) {
            return member_on(change, conf->members[i].node)->id;
        }
    }
    return 0;
}

/* Here nobody owns these tokens from now on. */
static void drop_child(struct shard *shard, const struct shard_desc *child)
{
    struct machine_scope scope = scope_of(child);
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    for (int family = 0; family < STORE_FAMILY_COUNT; family++) {
        buf_clear(&from);
        buf_clear(&to);
        machine_range(scope, (enum store_family)family, &from, &to);
        txn_disown_range(shard->env->txn, (enum store_family)family, buf_slice(&from),
                         buf_slice(&to));
    }
    buf_deinit(&from);
    buf_deinit(&to);
}

static void put_state(struct shard *shard, const struct shard_state *state)
{
    struct buf key;
    struct buf value;
    buf_init(&key, 16);
    buf_init(&value, 4096);
    shard_state_key(state->desc.id, &key);
    shard_state_encode(state, &value);
    txn_put(shard->env->txn, STORE_LOCAL, buf_slice(&key), buf_slice(&value));
    buf_deinit(&key);
    buf_deinit(&value);
}

static enum status apply_split(struct shard *shard,
                               const struct range_change *change,
                               struct buf *reply)
{
    enum status status = STATUS_OK;
    if (!check_split(shard, change, reply, &status)) {
        return status;
    }
    struct shard_desc *desc = &shard->state.desc;
    struct shard_desc child;
    struct shard_state born;
    child_desc(desc, change, &child);
    uint64_t replica = own_child(shard, change);
    shard_state_birth(&child, replica, &born);
    status = divide_split(shard->env->txn, &shard->state.machine, scope_of(desc), scope_of(&child),
                          &born.machine);
    if (status != STATUS_OK) {
        return status;
    }
    desc->last = change->token - 1;
    desc->ver = change->ver + 1;
    bool here = replica != 0 && shard->env->may_bear(shard->env->ctx, child.id, replica);
    if (here) {
        put_state(shard, &born);
    } else {
        drop_child(shard, &child);
    }
    remember(shard, &child);
    shard->moved = true;
    shard->spread = shard->role == GROUP_LEADER;
    shard->env->wake(shard->env->ctx, shard);
    shard->env->divided(shard->env->ctx, shard, here ? &born : NULL);
    log_info("shard.split", "shard=%llu child=%llu token=%llu ver=%llu job=%llu",
             (unsigned long long)desc->id, (unsigned long long)child.id,
             (unsigned long long)child.start, (unsigned long long)desc->ver,
             (unsigned long long)change->job);
    resp_write_ok(reply);
    return STATUS_OK;
}

enum status shard_change_apply(struct shard *shard, struct slice entry, struct shard_batch *batch)
{
    struct range_change change;
    enum status status = range_change_decode(entry, &change);
    if (status == STATUS_OK && !shard_frozen(shard)) {
        status = shard->machine->advance(shard->env->txn, &shard->state.machine,
                                         scope_of(&shard->state.desc), change.stamp_ms, NULL);
    }
    if (status == STATUS_OK) {
        struct buf *reply = batch == NULL ? shard->env->reply : &batch->replies;
        status = change.kind == RANGE_SPLIT ? apply_split(shard, &change, reply)
                                            : shard_merge_apply(shard, &change, reply);
        if (batch == NULL) {
            buf_clear(reply);
        }
    }
    return status;
}

/* ---- asked for ---- */

static bool read_change(struct args args, struct range_change *change)
{
    uint64_t numbers[ARG_MEMBERS + 2 * SHARD_REPLICAS_MAX];
    size_t pairs = (args.argc - ARG_MEMBERS) / 2;
    bool good = args.argc > ARG_MEMBERS && args.argc == ARG_MEMBERS + 2 * pairs && pairs > 0 &&
                pairs <= SHARD_REPLICAS_MAX;
    for (size_t i = 1; good && i < args.argc; i++) {
        good = number_parse_u64(args.argv[i], &numbers[i]);
    }
    if (!good || numbers[ARG_CHILD] < SHARD_FIRST) {
        return false;
    }
    *change = (struct range_change){.kind = RANGE_SPLIT,
                                    .ver = numbers[ARG_VER],
                                    .token = numbers[ARG_TOKEN],
                                    .other = numbers[ARG_CHILD],
                                    .job = numbers[ARG_JOB],
                                    .count = (unsigned)pairs};
    for (size_t i = 0; i < pairs; i++) {
        change->members[i] = (struct replica_desc){.node = numbers[ARG_MEMBERS + 2 * i],
                                                   .id = numbers[ARG_MEMBERS + 2 * i + 1]};
    }
    return true;
}

static void answer(struct shard *shard, struct op *op, const char *text)
{
    struct buf *reply = shard->env->reply;
    resp_write_error(reply, text);
    shard_finish(op, STATUS_OK, buf_slice(reply));
    buf_clear(reply);
}

/* The members are not being changed, and so many are near that it goes on without a pause. */
static const char *not_now(struct shard *shard, bool all_near)
{
    struct group_info info;
    group_info(shard->group, &info);
    const struct group_conf *conf = &shard->state.group.conf;
    bool same = info.conf.count == conf->count;
    unsigned near = 0;
    for (unsigned i = 0; same && i < conf->count; i++) {
        same = info.conf.members[i].replica == conf->members[i].replica &&
               info.conf.members[i].role == conf->members[i].role;
        near += info.conf.members[i].replica == info.replica ||
                info.match[i] + VOTER_LAG_MAX >= info.last_index;
    }
    if (!same) {
        return "RETRY the members of the shard are being changed";
    }
    if (near < (all_near ? conf->count : conf->count / 2 + 1)) {
        return "RETRY a member of the shard is far behind";
    }
    if (shard->changing > 0) {
        return "RETRY another change of the shard is under way";
    }
    if (shard->fenced) {
        return "RETRY a backup is taking a view of the shard";
    }
    if (shard->env->refuse_writes(shard->env->ctx, true)) {
        return "RETRY there is too little free disk space";
    }
    return group_can_propose(shard->group) ? NULL : "RETRY too much is under way";
}

void shard_change_propose(struct shard *shard, struct range_change *change, struct op *op)
{
    struct shard_batch *batch = shard_batch_new(shard);
    batch->changes = true;
    batch->change = op;
    shard->changing++;
    change->stamp_ms = shard_now_ms(shard);
    range_change_encode(change, shard->env->entry);
    enum status status =
        group_propose(shard->group, buf_slice(shard->env->entry), &batch->proposal);
    buf_clear(shard->env->entry);
    if (status != STATUS_OK) {
        batch->proposal.on_done(&batch->proposal, status);
    }
}

static void submit_split(struct shard *shard, struct op *op)
{
    struct range_change change;
    enum status status = STATUS_OK;
    struct buf *reply = shard->env->reply;
    if (!shard->machine->divides || !read_change(op->args, &change)) {
        shard_finish(op, STATUS_BAD_ARGUMENT, slice_of(NULL, 0));
        return;
    }
    if (!check_split(shard, &change, reply, &status)) {
        shard_finish(op, status, buf_slice(reply));
        buf_clear(reply);
        return;
    }
    const char *why = not_now(shard, false);
    if (why != NULL) {
        answer(shard, op, why);
        return;
    }
    shard_change_propose(shard, &change, op);
}

void shard_change_done(struct shard *shard, struct shard_batch *batch, enum status status)
{
    struct op *op = batch->change;
    assert(shard->changing > 0);
    shard->changing--;
    batch->change = NULL;
    if (op == NULL) {
        return; /* Nobody asked. */
    }
    shard_finish(op, status, status == STATUS_OK ? buf_slice(&batch->replies) : slice_of(NULL, 0));
}

/* After the entries of this turn: what they left to do. */
void shard_change_turn(struct shard *shard)
{
    if (shard->moved) {
        shard->moved = false;
        shard_wait_moved(shard);
    }
    if (shard->refuse) {
        shard->refuse = false;
        shard_refuse_all(shard, STATUS_BUSY);
    }
    /* The others learn that the split is committed with the next entry, and not with the next
     * heartbeat: the child's members must be there to elect its leader. */
    if (shard->spread && shard->role == GROUP_LEADER && !shard->fenced &&
        group_can_propose(shard->group)) {
        shard->spread = false;
        shard_propose_empty(shard);
    }
}

/* ---- told ---- */

void shard_describe(const struct shard *shard, struct shard_desc *desc)
{
    const struct shard_desc *own = &shard->state.desc;
    *desc = shard->wanted; /* The map says who the members are to be, the log which tokens it is. */
    desc->start = own->start;
    desc->last = own->last;
    desc->ver = own->ver;
    desc->parent = own->parent;
}

size_t shard_kin(const struct shard *shard, const struct shard_desc **kin)
{
    *kin = shard->kin;
    return shard->kin_count < SHARD_KIN_MAX ? shard->kin_count : SHARD_KIN_MAX;
}

static void write_pair(struct buf *reply, const char *name, uint64_t value)
{
    resp_write_text(reply, name);
    resp_write_int(reply, (int64_t)value);
}

/* Tokens have more bits than integers of RESP. */
static void write_token(struct buf *reply, const char *name, uint64_t token)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)token);
    resp_write_text(reply, name);
    resp_write_text(reply, text);
}

static void write_members(struct buf *reply, const struct group_info *info)
{
    resp_write_text(reply, "members");
    resp_write_array(reply, info->conf.count);
    for (unsigned i = 0; i < info->conf.count; i++) {
        const struct group_member *member = &info->conf.members[i];
        bool self = member->replica == info->replica;
        resp_write_array(reply, 4);
        resp_write_int(reply, (int64_t)member->replica);
        resp_write_int(reply, (int64_t)member->node);
        resp_write_text(reply, member->role == MEMBER_VOTER     ? "voter"
                               : member->role == MEMBER_STANDBY ? "standby"
                                                                : "spare");
        resp_write_int(reply, (int64_t)(self ? info->last_index : info->match[i]));
    }
}

static uint64_t size_of(const struct shard *shard)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope_of(&shard->state.desc), STORE_DATA, &from, &to);
    uint64_t size = txn_size(shard->env->txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
    return size;
}

static void tell_info(struct shard *shard, struct op *op)
{
    const struct shard_desc *desc = &shard->state.desc;
    struct buf *reply = shard->env->reply;
    struct group_info info;
    uint64_t keys = 0;
    group_info(shard->group, &info);
    for (size_t db = 0; db < MACHINE_DATABASES; db++) {
        keys += shard->state.machine.keys[db];
    }
    resp_write_map(reply, 10);
    write_pair(reply, "id", desc->id);
    write_pair(reply, "ver", desc->ver);
    write_token(reply, "start", desc->start);
    write_token(reply, "last", desc->last);
    resp_write_text(reply, "state");
    resp_write_text(reply, shard_frozen(shard) ? "frozen" : "normal");
    write_pair(reply, "merge", shard->state.target);
    write_members(reply, &info);
    write_pair(reply, "applied", info.applied_index);
    write_pair(reply, "bytes", size_of(shard));
    write_pair(reply, "keys", keys);
    shard_finish(op, STATUS_OK, buf_slice(reply));
    buf_clear(reply);
}

static void submit_merge(struct shard *shard, struct op *op)
{
    uint64_t numbers[5] = {0};
    bool good = shard->machine->divides && op->args.argc == 5;
    for (size_t i = 1; good && i < 5; i++) {
        good = number_parse_u64(op->args.argv[i], &numbers[i]);
    }
    struct range_change change = {.kind = RANGE_FREEZE,
                                  .ver = numbers[2],
                                  .other = numbers[3],
                                  .other_ver = numbers[1],
                                  .job = numbers[4]};
    struct buf *reply = shard->env->reply;
    enum status status = STATUS_OK;
    if (!good || change.other < SHARD_FIRST) {
        shard_finish(op, STATUS_BAD_ARGUMENT, slice_of(NULL, 0));
        return;
    }
    if (shard->state.desc.ver != change.ver || shard_frozen(shard)) {
        answer(shard, op, "STALE the shard has another version");
        return;
    }
    const char *why = not_now(shard, true);
    why = why != NULL ? why
                      : shard->env->unfit(shard->env->ctx, shard, change.other, change.other_ver);
    if (why != NULL) {
        answer(shard, op, why);
        return;
    }
    if (!shard_merge_check(shard, &change, reply, &status)) {
        shard_finish(op, status, buf_slice(reply));
        buf_clear(reply);
        return;
    }
    shard_change_propose(shard, &change, op);
}

void shard_change_submit(struct shard *shard, struct op *op)
{
    assert(shard->magic == SHARD_MAGIC);
    op->shard = shard;
    op->counted = false;
    op->tried = NULL;
    if (shard->role != GROUP_LEADER) {
        shard_finish(op, STATUS_NOT_LEADER, slice_of(NULL, 0));
    } else if (op->command->id == CMD_shard_info) {
        tell_info(shard, op);
    } else if (op->command->id == CMD_shard_merge) {
        submit_merge(shard, op);
    } else {
        submit_split(shard, op);
    }
}
