#include "server/shard/shard.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/cluster/token.h"
#include "server/shard/shard_private.h"

void shard_finish(struct op *op, enum status status, struct slice reply)
{
    assert(op->on_done != NULL);
    if (op->wait.wanted && op->shard != NULL) {
        shard_wait_end(op->shard, op);
    }
    op->on_done(op, status, reply);
}

uint64_t shard_now_ms(struct shard *shard)
{
    uint64_t now_ms = clock_wall_ms();
    now_ms = now_ms < shard->state.machine.time_ms ? shard->state.machine.time_ms : now_ms;
    shard->stamp_ms = now_ms < shard->stamp_ms ? shard->stamp_ms : now_ms;
    return shard->stamp_ms;
}

/* Its keys do not tell what it conflicts with: it names none, or may touch others. */
static bool keyless(const struct op *op)
{
    return op->command == NULL || command_key_at(op->command, op->args, 0) == 0 ||
           ((op->command->flags & CMD_ANY_KEY) != 0 && !op->write) || (op->trial && op->write);
}

static size_t slot_at(const struct op *op, size_t nth)
{
    size_t at = command_key_at(op->command, op->args, nth);
    return at == 0 ? TOKEN_SLOTS : token_of(op->db, op->args.argv[at]) % TOKEN_SLOTS;
}

void shard_count(struct shard *shard, const struct op *op, int sign)
{
    if (op->write && op->wait.wanted) {
        return; /* Its sender sends nothing more before it is answered. */
    }
    uint32_t *slots = op->write ? shard->writing : shard->reading;
    if (keyless(op)) {
        size_t *count = op->write ? &shard->writes_keyless : &shard->reads_keyless;
        *count += (size_t)(ptrdiff_t)sign;
        return;
    }
    for (size_t nth = 0, slot = 0; (slot = slot_at(op, nth)) < TOKEN_SLOTS; nth++) {
        slots[slot] += (uint32_t)sign;
    }
}

bool shard_conflicts(const struct shard *shard, const struct op *op)
{
    const uint32_t *slots = op->write ? shard->reading : shard->writing;
    size_t pending = op->write ? shard->reads_pending : shard->writes_pending;
    if (pending == 0) {
        return false;
    }
    if (keyless(op) || (op->write ? shard->reads_keyless : shard->writes_keyless) > 0) {
        return true;
    }
    for (size_t nth = 0, slot = 0; (slot = slot_at(op, nth)) < TOKEN_SLOTS; nth++) {
        if (slots[slot] > 0) {
            return true;
        }
    }
    return false;
}

bool shard_write_pending(const struct shard *shard, const struct op *op)
{
    if (shard->writes_keyless > 0) {
        return true;
    }
    for (size_t nth = 0, slot = 0; (slot = slot_at(op, nth)) < TOKEN_SLOTS; nth++) {
        if (shard->writing[slot] > 0) {
            return true;
        }
    }
    return false;
}

static size_t size_of(const struct op *op)
{
    size_t size = 0;
    for (size_t i = 0; i < op->args.argc; i++) {
        size += op->args.argv[i].len;
    }
    return size;
}

void shard_note_keys(struct shard *shard, const struct op *op, bool absent, size_t reply_size)
{
    shard->meter.now.traffic += reply_size;
    if (op->command == NULL || command_key_at(op->command, op->args, 0) == 0) {
        return;
    }
    for (size_t nth = 0; nth < NOTED_KEYS_MAX; nth++) {
        size_t at = command_key_at(op->command, op->args, nth);
        if (at == 0) {
            return;
        }
        size_t size = nth == 0 ? size_of(op) + reply_size : 0;
        struct slice key = op->args.argv[at];
        shard_meter_hit(&shard->meter, &(struct meter_hit){.token = token_of(op->db, key),
                                                           .key = key,
                                                           .db = op->db,
                                                           .write = op->write,
                                                           .absent = absent,
                                                           .size = size});
    }
}

static void start(struct shard *shard, struct op *op)
{
    if (op->write) {
        shard_write_submit(shard, op);
    } else {
        shard_read_submit(shard, op);
    }
}

void shard_submit(struct shard *shard, struct op *op)
{
    assert(shard->magic == SHARD_MAGIC);
    op->shard = shard;
    op->counted = false;
    op->trial =
        op->command != NULL && shard->env->trial != NULL && trial_wanted(op->command, op->args);
    op->slow = false;
    op->tried = NULL;
    list_init(&op->link);
    if (shard_replica_may_read(shard, op)) {
        shard_replica_submit(shard, op);
        return;
    }
    if (shard->role != GROUP_LEADER) {
        shard->stats.not_leader++;
        shard_finish(op, STATUS_NOT_LEADER, slice_of(NULL, 0));
        return;
    }
    if (shard_frozen(shard)) {
        shard_finish(op, STATUS_BUSY, slice_of(NULL, 0));
        return;
    }
    shard->ops[op->db]++;
    shard_meter_op(&shard->meter, op->write, size_of(op));
    if (op->write) {
        shard_note_keys(shard, op, false, 0);
    }
    if (op->command != NULL && op->command->id == CMD_script_kill) {
        script_kill(shard, op);
        return;
    }
    if (op->trial && trial_only_reads(shard->env->trial, op->command, op->args)) {
        op->write = false;
    }
    if (shard->held_count + shard->reads_pending + shard->reads_slow >= WAITING_OPS_MAX) {
        shard_finish(op, STATUS_BUSY, slice_of(NULL, 0));
        return;
    }
    if (op->wait.wanted) {
        shard_wait_begin(shard, op);
    }
    if (!list_empty(&shard->held) || (op->write && shard_conflicts(shard, op))) {
        list_push_back(&shard->held, &op->link);
        shard->held_count++;
        return;
    }
    start(shard, op);
}

void shard_release(struct shard *shard)
{
    if (shard->releasing) {
        return; /* A read that finished inside start(): the loop below goes on anyway. */
    }
    shard->releasing = true;
    while (!list_empty(&shard->held)) {
        struct op *op = list_entry(shard->held.next, struct op, link);
        /* A write that were refused here would be overtaken by what is held behind it: it waits for
         * the batches that make room, whose end comes here again. */
        if (op->write && (shard_conflicts(shard, op) || !shard_write_fits(shard))) {
            break;
        }
        list_remove(&op->link);
        shard->held_count--;
        start(shard, op);
    }
    shard->releasing = false;
}

static void fail_held(struct shard *shard, enum status status)
{
    for (struct list *at; (at = list_pop_front(&shard->held)) != NULL;) {
        shard->held_count--;
        shard_finish(list_entry(at, struct op, link), status, slice_of(NULL, 0));
    }
}

void shard_refuse_all(struct shard *shard, enum status status)
{
    shard_write_fail(shard, status);
    shard_read_fail(shard, status);
    fail_held(shard, status);
    shard_wait_fail(shard, status);
}

static void on_role(void *ctx, enum group_role role, uint64_t term, uint64_t leader_node)
{
    struct shard *shard;
    CAST_OBJ(shard, ctx, SHARD_MAGIC);
    bool led = shard->role == GROUP_LEADER;
    shard->role = role;
    shard->term = term;
    shard->leader_node = leader_node;
    if (led && role != GROUP_LEADER) {
        /* Nothing of these was proposed: the sender may go to the new leader. */
        shard_refuse_all(shard, STATUS_NOT_LEADER);
    }
    shard->env->on_role(shard->env->ctx, shard);
}

static void on_snapshot_wanted(void *ctx, const struct group_member *to, uint64_t token)
{
    struct shard *shard;
    CAST_OBJ(shard, ctx, SHARD_MAGIC);
    shard->env->snapshot_wanted(shard->env->ctx, shard, to, token);
}

static void on_snapshot_install(void *ctx, const struct group_state *state, struct slice manifest)
{
    struct shard *shard;
    CAST_OBJ(shard, ctx, SHARD_MAGIC);
    shard->installs++;
    shard->env->snapshot_install(shard->env->ctx, shard, state, manifest);
}

static bool snapshot_ready(void *ctx, const struct group_state *state, struct slice manifest)
{
    struct shard *shard;
    CAST_OBJ(shard, ctx, SHARD_MAGIC);
    return shard->env->snapshot_ready(shard->env->ctx, shard, state, manifest);
}

static uint64_t read_stamp(void *ctx)
{
    struct shard *shard;
    CAST_OBJ(shard, ctx, SHARD_MAGIC);
    return shard_now_ms(shard);
}

static const struct group_machine group_machine = {
    .apply = shard_apply,
    .on_role = on_role,
    .on_snapshot_wanted = on_snapshot_wanted,
    .on_snapshot_install = on_snapshot_install,
    .snapshot_ready = snapshot_ready,
    .read_stamp = read_stamp,
};

static void release(struct shard *shard)
{
    waiting_deinit(&shard->waiting);
    map_deinit(&shard->waits);
    buf_deinit(&shard->ready);
    buf_deinit(&shard->keys);
    shard_meter_deinit(&shard->meter);
    shard->magic = 0;
    free(shard);
}

enum status shard_open(const struct shard_env *env,
                       const struct shard_machine *machine,
                       const struct shard_state *state,
                       enum shard_start start,
                       struct shard **shard)
{
    struct shard *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->magic = SHARD_MAGIC;
    self->env = env;
    self->machine = machine;
    self->state = *state;
    self->wanted = state->desc;
    self->batch_next = 1;
    self->ticked_ms = clock_now_ms();
    shard_meter_init(&self->meter, state->desc.start, state->desc.last, self->ticked_ms);
    self->flush_index = state->group.index;
    self->stored_index = state->group.index;
    list_init(&self->gathered);
    list_init(&self->held);
    list_init(&self->blocked);
    list_init(&self->batches);
    list_init(&self->rereads);
    list_init(&self->over);
    waiting_init(&self->waiting);
    map_init(&self->waits);
    buf_init(&self->ready, SIZE_MAX / 2);
    buf_init(&self->keys, SIZE_MAX / 2);
    struct group_options options = {.id = state->desc.id,
                                    .replica = state->replica,
                                    .ctx = self,
                                    .machine = &group_machine,
                                    .state = state->group,
                                    .campaign = start != SHARD_GOES_ON,
                                    .reborn = start == SHARD_REBORN};
    enum status status = group_open(env->host, &options, &self->group);
    if (status != STATUS_OK) {
        release(self);
        return status;
    }
    *shard = self;
    return STATUS_OK;
}

void shard_close(struct shard *shard)
{
    assert(shard->magic == SHARD_MAGIC);
    assert(shard->reads_slow == 0);
    shard->role = GROUP_FOLLOWER; /* What comes from now on is refused. */
    group_close(shard->group);
    shard_write_fail(shard, STATUS_CLOSED);
    shard_read_fail(shard, STATUS_CLOSED);
    fail_held(shard, STATUS_CLOSED);
    shard_wait_fail(shard, STATUS_CLOSED);
    assert(list_empty(&shard->batches) && list_empty(&shard->over));
    assert(shard->writes_pending == 0);
    assert(shard->reads_pending == 0);
    assert(shard->confirming == 0 && shard->waits.count == 0);
    if (shard->env->trial != NULL) {
        trial_forget(shard->env->trial, shard->state.desc.id);
    }
    release(shard);
}

/* Operations per second, of the last second or so. */
static void measure(struct shard *shard)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t spent_ms = now_ms - shard->ticked_ms;
    if (spent_ms == 0) {
        return;
    }
    for (size_t db = 0; db < MACHINE_DATABASES; db++) {
        uint64_t ops = shard->ops[db];
        shard->load.ops_per_second[db] = (ops * 1000 + spent_ms / 2) / spent_ms;
        shard->ops[db] = 0;
    }
    shard->ticked_ms = now_ms;
}

void shard_tick(struct shard *shard, uint64_t now_ms)
{
    measure(shard);
    if (shard->role != GROUP_LEADER || shard->writes_pending > 0 || shard->fenced ||
        shard_frozen(shard)) {
        return; /* The entries under way do the work. */
    }
    struct machine_scope scope = {.shard = shard->state.desc.id,
                                  .start = shard->state.desc.start,
                                  .last = shard->state.desc.last};
    if (!shard->machine->advance_wanted(shard->env->txn, &shard->state.machine, scope, now_ms)) {
        return;
    }
    if (shard->env->refuse_writes(shard->env->ctx, false) || !group_can_propose(shard->group)) {
        return;
    }
    shard_propose_empty(shard);
}

bool shard_counting(const struct shard *shard)
{
    return shard->role == GROUP_LEADER && shard->state.machine.recount_ms != 0;
}

void shard_count_tick(struct shard *shard, uint64_t now_ms)
{
    bool due = shard_counting(shard) && !shard->fenced && now_ms >= shard->state.machine.recount_ms;
    if (due && list_empty(&shard->batches) && !shard->env->refuse_writes(shard->env->ctx, false) &&
        group_can_propose(shard->group)) {
        shard_propose_empty(shard);
    }
}

void shard_store_state(struct shard *shard)
{
    struct buf key;
    struct buf value;
    buf_init(&key, 16);
    buf_init(&value, 4096);
    shard_state_key(shard->state.desc.id, &key);
    shard_state_encode(&shard->state, &value);
    txn_put(shard->env->txn, STORE_LOCAL, buf_slice(&key), buf_slice(&value));
    shard->stored_index = shard->state.group.index;
    buf_deinit(&key);
    buf_deinit(&value);
}

void shard_flush_mark(struct shard *shard)
{
    shard->flush_index = shard->stored_index;
}

void shard_flushed(struct shard *shard)
{
    group_flushed(shard->group, shard->flush_index);
}

void shard_installed(struct shard *shard, const struct shard_state *state)
{
    assert(state->desc.id == shard->state.desc.id);
    assert(state->replica == shard->state.replica);
    bool frozen = shard_frozen(shard) || state->target != 0;
    shard->state = *state;
    shard->installs++;
    shard->stored_index = state->group.index;
    if (frozen) {
        shard->env->frozen(shard->env->ctx, shard);
    }
    if (shard->env->trial != NULL) {
        trial_forget(shard->env->trial, state->desc.id); /* SCRIPT FLUSH may have been among it. */
    }
    shard->env->touched(shard->env->ctx, shard);
    group_snapshot_installed(shard->group);
}

struct group *shard_group(struct shard *shard)
{
    return shard->group;
}

const struct shard_state *shard_state(const struct shard *shard)
{
    return &shard->state;
}

uint64_t shard_id(const struct shard *shard)
{
    return shard->state.desc.id;
}

struct leader_hint shard_leader(const struct shard *shard)
{
    return (struct leader_hint){
        .shard = shard->state.desc.id, .term = shard->term, .node = shard->leader_node};
}

bool shard_leads(const struct shard *shard)
{
    return shard->role == GROUP_LEADER;
}

void shard_want(struct shard *shard, const struct shard_desc *desc)
{
    assert(desc->id == shard->state.desc.id);
    shard->wanted = *desc;
}

bool shard_quiet(const struct shard *shard)
{
    return shard->writes_pending == 0 && shard->reads_pending == 0 && shard->reads_slow == 0 &&
           list_empty(&shard->held) && shard->confirming == 0;
}

const struct shard_stats *shard_stats(const struct shard *shard)
{
    return &shard->stats;
}

struct shard_meter *shard_meter(struct shard *shard)
{
    return &shard->meter;
}
