#include "tests/shard/shard_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/proto/transaction.h"
#include "tests/support/clock_sim.h"
#include "tests/support/disk_sim.h"
#include "tests/support/store_memory.h"

enum { ITEMS_MAX = 16, WORDS_MAX = 64, SHARD = 5 };

static const struct shard_machine machine = {.divides = true,
                                             .plan = machine_plan,
                                             .apply = machine_apply,
                                             .advance = machine_advance,
                                             .advance_wanted = machine_advance_wanted,
                                             .read = machine_read,
                                             .ready = machine_ready};

static void on_wake(void *ctx, struct shard *shard)
{
    struct shard_rig_replica *replica = ctx;
    (void)shard;
    replica->woken = true;
}

static void on_shard(void *ctx, struct shard *shard)
{
    (void)ctx;
    (void)shard;
}

static void on_slow(void *ctx, struct shard *shard, struct op *op)
{
    struct shard_rig_replica *replica = ctx;
    (void)shard;
    CHECK(replica->slow_count < SHARD_RIG_SLOW_MAX);
    replica->slow[replica->slow_count++] = op;
}

static bool may_bear(void *ctx, uint64_t child, uint64_t replica)
{
    (void)ctx;
    (void)child;
    (void)replica;
    return true;
}

static void divided(void *ctx, struct shard *shard, const struct shard_state *child)
{
    struct shard_rig_replica *replica = ctx;
    (void)shard;
    replica->child = *child;
}

static const char *unfit(void *ctx, struct shard *shard, uint64_t target, uint64_t target_ver)
{
    (void)ctx;
    (void)shard;
    (void)target;
    return target_ver == 0 ? "RETRY the test says so" : NULL;
}

static void absorbed(void *ctx, struct shard *shard, const struct shard_state *source)
{
    struct shard_rig_replica *replica = ctx;
    (void)shard;
    replica->child = *source;
}

static bool refuse_writes(void *ctx, bool grows)
{
    const struct shard_rig_replica *replica = ctx;
    return grows && replica->rig->disk_full;
}

static void on_happened(void *ctx, struct shard *shard, struct slice events)
{
    struct shard_rig_replica *replica = ctx;
    (void)shard;
    replica->events += events.len;
}

static void open_replica(struct shard_rig *rig, size_t index)
{
    struct shard_rig_replica *self = &rig->replicas[index];
    self->rig = rig;
    char path[32];
    (void)snprintf(path, sizeof(path), "/sim/%zu/store", index);
    CHECK_EQ(disk_make_folder(path), STATUS_OK);
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK_EQ(store_open(path, &options, &self->store), STATUS_OK);
    for (size_t i = 0; i < 4; i++) {
        buf_init(&self->bufs[i], SIZE_MAX / 2);
    }
    rand_init(&self->rand, 100 + index);
    struct trial_limits limits = {.memory_max = 64 << 20,
                                  .time_ms_max = 1000,
                                  .slice_ms_max = 1000,
                                  .slice_steps_max = 400000};
    self->env = (struct shard_env){.ctx = self,
                                   .txn = txn_new(self->store),
                                   .entry = &self->bufs[0],
                                   .planned = &self->bufs[1],
                                   .reply = &self->bufs[2],
                                   .events = &self->bufs[3],
                                   .trial = trial_new(&limits),
                                   .script_limits = limits,
                                   .desk = &self->desk,
                                   .rand = &self->rand,
                                   .wake = on_wake,
                                   .touched = on_shard,
                                   .on_role = on_shard,
                                   .read_slow = on_slow,
                                   .parked = on_shard,
                                   .waiters = &self->waiters,
                                   .waiters_max = rig->waiters_max,
                                   .refuse_writes = refuse_writes,
                                   .may_bear = may_bear,
                                   .divided = divided,
                                   .unfit = unfit,
                                   .frozen = on_shard,
                                   .absorbed = absorbed,
                                   .happened = on_happened};
    struct shard_desc desc = {
        .id = SHARD, .last = UINT64_MAX, .ver = 1, .replica_count = 2, .birth_max = 2};
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        desc.replicas[i] = (struct replica_desc){.id = i + 1, .node = i + 1};
    }
    struct shard_state state;
    shard_state_birth(&desc, index + 1, &state);
    CHECK_EQ(shard_open(&self->env, &machine, &state, SHARD_GOES_ON, &self->shard), STATUS_OK);
}

static void set_time(struct shard_rig *rig)
{
    clock_sim_set_ns(rig->now_ms * 1000 * 1000);
}

struct shard_rig *shard_rig_new(void)
{
    struct shard_rig *rig = calloc(1, sizeof(*rig));
    CHECK(rig != NULL);
    rig->now_ms = 1000;
    rig->waiters_max = 100;
    disk_sim_reset();
    store_memory_wipe("/sim");
    set_time(rig);
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        open_replica(rig, i);
    }
    rig->leader = &rig->replicas[0];
    rig->term = 2;
    group_fake_lead(shard_group(rig->leader->shard), rig->term);
    group_fake_feed(shard_group(rig->replicas[1].shard), slice_of(NULL, 0));
    return rig;
}

static void compare_rows(struct shard_rig *rig, enum store_family family)
{
    static const uint8_t top[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct store_iter *iters[SHARD_RIG_REPLICAS];
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        iters[i] = iter_open(rig->replicas[i].env.txn, family, slice_of(NULL, 0),
                             slice_of(top, sizeof(top)));
    }
    while (iter_valid(iters[0]) && iter_valid(iters[1])) {
        CHECK(slice_equal(iter_key(iters[0]), iter_key(iters[1])));
        bool state = family == STORE_LOCAL && iter_key(iters[0]).len == 9; /* Its own replica id. */
        CHECK(state || slice_equal(iter_value(iters[0]), iter_value(iters[1])));
        iter_next(iters[0]);
        iter_next(iters[1]);
    }
    CHECK(!iter_valid(iters[0]) && !iter_valid(iters[1]));
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        CHECK_EQ(iter_status(iters[i]), STATUS_OK);
        iter_close(iters[i]);
    }
}

static void compare(struct shard_rig *rig)
{
    const struct shard_state *a = shard_state(rig->replicas[0].shard);
    const struct shard_state *b = shard_state(rig->replicas[1].shard);
    CHECK(a->group.index == b->group.index);
    CHECK(memcmp(&a->machine, &b->machine, sizeof(a->machine)) == 0);
    compare_rows(rig, STORE_DATA);
    compare_rows(rig, STORE_LOCAL);
}

static void free_op(struct shard_rig_op *op)
{
    free(op->argv);
    buf_deinit(&op->text);
    buf_deinit(&op->frame);
    buf_deinit(&op->reply);
}

void shard_rig_free(struct shard_rig *rig)
{
    compare(rig);
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        struct shard_rig_replica *replica = &rig->replicas[i];
        CHECK_EQ(replica->slow_count, 0);
        shard_close(replica->shard);
        CHECK_EQ(replica->waiters, 0);
    }
    for (size_t i = 0; i < rig->op_count; i++) {
        CHECK_EQ(rig->ops[i].done, 1);
        free_op(&rig->ops[i]);
    }
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        struct shard_rig_replica *replica = &rig->replicas[i];
        trial_free(replica->env.trial);
        txn_free(replica->env.txn);
        store_close(replica->store);
        for (size_t n = 0; n < 4; n++) {
            CHECK_EQ(replica->bufs[n].len, 0);
            buf_deinit(&replica->bufs[n]);
        }
    }
    free(rig);
}

static void on_done(struct op *op, enum status status, struct slice reply)
{
    struct shard_rig_op *self = list_entry(op, struct shard_rig_op, op);
    self->done++;
    CHECK_EQ(self->done, 1);
    self->order = ++self->rig->done_count;
    self->status = status;
    buf_append_slice(&self->reply, reply);
    if (self->then != NULL) {
        self->then(self->then_arg);
    }
}

static void on_parked(struct op *op)
{
    list_entry(op, struct shard_rig_op, op)->parked = true;
}

static struct shard_rig_op *new_op(struct shard_rig *rig)
{
    CHECK(rig->op_count < SHARD_RIG_OPS_MAX);
    struct shard_rig_op *op = &rig->ops[rig->op_count++];
    *op = (struct shard_rig_op){.rig = rig};
    buf_init(&op->text, SIZE_MAX / 2);
    buf_init(&op->frame, SIZE_MAX / 2);
    buf_init(&op->reply, SIZE_MAX / 2);
    op->op.session = 1000 + rig->op_count;
    op->op.seq = 1;
    op->op.first_unacked = 1;
    op->op.expires_ms = UINT64_MAX;
    op->op.sought = rig->sought;
    op->op.on_done = on_done;
    return op;
}

/* Words, of which those in double quotes may have blanks. Offsets into text, as that moves. */
static size_t split(const char *line, struct buf *text, struct slice *words)
{
    size_t count = 0;
    while (*line != '\0') {
        bool quoted = *line == '"';
        line += quoted;
        size_t len = strcspn(line, quoted ? "\"" : " ");
        CHECK(count < WORDS_MAX);
        words[count++] = slice_of((const uint8_t *)text->len, len);
        buf_append(text, line, len);
        line += len;
        line += quoted;
        line += *line == ' ';
    }
    return count;
}

static void settle_words(const struct buf *text, struct slice *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        words[i].data = text->data + (size_t)words[i].data;
    }
}

static void submit(struct shard_rig_op *op)
{
    op->op.write = (op->op.command->flags & CMD_WRITE) != 0;
    if (!op->op.write) {
        op->op.session = 0;
    }
    shard_submit(op->rig->leader->shard, &op->op);
}

static struct shard_rig_op *make(struct shard_rig *rig, const char *line)
{
    struct shard_rig_op *op = new_op(rig);
    op->argv = calloc(WORDS_MAX, sizeof(*op->argv));
    CHECK(op->argv != NULL);
    size_t argc = split(line, &op->text, op->argv);
    settle_words(&op->text, op->argv, argc);
    op->op.args = (struct args){.argv = op->argv, .argc = argc};
    op->op.command = command_find(op->argv[0]);
    CHECK(op->op.command != NULL);
    return op;
}

struct shard_rig_op *shard_rig_send(struct shard_rig *rig, const char *line)
{
    struct shard_rig_op *op = make(rig, line);
    submit(op);
    return op;
}

struct shard *shard_rig_follower(struct shard_rig *rig)
{
    return rig->replicas[rig->leader == &rig->replicas[0]].shard;
}

struct shard_rig_op *shard_rig_ask_replica(struct shard_rig *rig,
                                           const char *line,
                                           uint64_t bound_ms)
{
    struct shard_rig_op *op = make(rig, line);
    op->op.write = (op->op.command->flags & CMD_WRITE) != 0;
    op->op.replica = true;
    op->op.bound_ms = bound_ms;
    shard_submit(shard_rig_follower(rig), &op->op);
    return op;
}

struct shard_rig_op *shard_rig_change(struct shard_rig *rig, const char *line)
{
    struct shard_rig_op *op = make(rig, line);
    shard_change_submit(rig->leader->shard, &op->op);
    return op;
}

static void set_wait(struct shard_rig_op *op, uint64_t wait_ms)
{
    op->op.wait = (struct op_wait){.wanted = true,
                                   .until_ms = wait_ms == 0 ? UINT64_MAX : clock_now_ms() + wait_ms,
                                   .on_parked = on_parked};
}

struct shard_rig_op *shard_rig_wait(struct shard_rig *rig, const char *line, uint64_t wait_ms)
{
    struct shard_rig_op *op = make(rig, line);
    set_wait(op, wait_ms);
    submit(op);
    return op;
}

struct shard_rig_op *shard_rig_exec(struct shard_rig *rig, const char *const *lines)
{
    struct shard_rig_op *op = new_op(rig);
    struct slice words[ITEMS_MAX][WORDS_MAX];
    struct transaction_item items[ITEMS_MAX];
    size_t count = 0;
    for (; lines[count] != NULL; count++) {
        CHECK(count < ITEMS_MAX);
        size_t argc = split(lines[count], &op->text, words[count]);
        items[count].args = (struct args){.argv = words[count], .argc = argc};
        items[count].db = 0;
    }
    for (size_t i = 0; i < count; i++) {
        settle_words(&op->text, words[i], items[i].args.argc);
        items[i].command = command_find(words[i][0]);
        CHECK(items[i].command != NULL);
    }
    struct transaction_form form;
    transaction_form_init(&form, items, count, NULL, 0);
    /* The form's count and frame are its own: they are copied. */
    op->argv = calloc(form.args.argc, sizeof(*op->argv));
    CHECK(op->argv != NULL);
    memcpy(op->argv, form.args.argv, form.args.argc * sizeof(*op->argv));
    buf_append_slice(&op->frame, buf_slice(&form.frame));
    buf_append_slice(&op->frame, form.args.argv[1]);
    for (size_t i = 0; i < form.args.argc; i++) {
        if (op->argv[i].data == form.frame.data) {
            op->argv[i].data = op->frame.data;
        }
    }
    op->argv[1].data = op->frame.data + form.frame.len;
    op->op.args = (struct args){.argv = op->argv, .argc = form.args.argc};
    op->op.command = command_at(CMD_batch);
    transaction_form_deinit(&form);
    submit(op);
    return op;
}

struct shard_rig_op *shard_rig_retry(struct shard_rig *rig, const struct shard_rig_op *op)
{
    struct shard_rig_op *again = new_op(rig);
    again->argv = calloc(op->op.args.argc, sizeof(*again->argv));
    CHECK(again->argv != NULL);
    memcpy(again->argv, op->op.args.argv, op->op.args.argc * sizeof(*again->argv));
    again->op.args = (struct args){.argv = again->argv, .argc = op->op.args.argc};
    again->op.command = op->op.command;
    again->op.session = op->op.session;
    again->op.seq = op->op.seq;
    if (op->op.wait.wanted) {
        set_wait(again, 0);
        again->op.wait.until_ms = op->op.wait.until_ms;
        again->op.wait.retry = true;
        again->op.wait.parked = op->parked;
    }
    submit(again);
    return again;
}

void shard_rig_turn(struct shard_rig *rig)
{
    while (rig->leader->woken) {
        rig->leader->woken = false;
        shard_turn(rig->leader->shard);
    }
}

static struct shard_rig_replica *other_of(struct shard_rig *rig)
{
    return rig->leader == &rig->replicas[0] ? &rig->replicas[1] : &rig->replicas[0];
}

void shard_rig_commit(struct shard_rig *rig)
{
    struct group *group = shard_group(rig->leader->shard);
    group_fake_feed(shard_group(other_of(rig)->shard), group_fake_oldest(group));
    group_fake_commit(group);
}

void shard_rig_begin_slow(struct shard_rig *rig)
{
    struct shard_rig_replica *leader = rig->leader;
    CHECK(leader->slow_count > 0);
    struct op *op = leader->slow[0];
    leader->slow_count--;
    memmove(leader->slow, leader->slow + 1, leader->slow_count * sizeof(op));
    CHECK_EQ(txn_commit(leader->env.txn), STATUS_OK);
    CHECK(leader->running.view == NULL);
    leader->running.view = op->write ? txn_trial(leader->store) : txn_view(leader->store);
    shard_read_prepare(leader->shard, op, &leader->running);
    shard_read_slow(&leader->running);
}

static void end_slow(struct shard_rig_replica *replica)
{
    CHECK(replica->running.view != NULL);
    txn_free(replica->running.view);
    shard_read_done(&replica->running);
    replica->running = (struct slow_read){0};
}

void shard_rig_end_slow(struct shard_rig *rig)
{
    for (size_t i = 0; i < SHARD_RIG_REPLICAS; i++) {
        if (rig->replicas[i].running.view != NULL) {
            end_slow(&rig->replicas[i]);
        }
    }
}

void shard_rig_run_slow(struct shard_rig *rig)
{
    shard_rig_begin_slow(rig);
    shard_rig_end_slow(rig);
}

void shard_rig_settle(struct shard_rig *rig)
{
    for (;;) {
        shard_rig_turn(rig);
        if (group_fake_waiting(shard_group(rig->leader->shard)) > 0) {
            shard_rig_commit(rig);
        } else if (rig->leader->slow_count > 0) {
            shard_rig_run_slow(rig);
        } else if (!rig->leader->woken) {
            return;
        }
    }
}

void shard_rig_change_leader(struct shard_rig *rig, bool committed)
{
    struct shard_rig_replica *old = rig->leader;
    struct shard_rig_replica *next = other_of(rig);
    struct group *group = shard_group(old->shard);
    struct buf entries[8];
    size_t count = 0;
    while (committed && group_fake_waiting(group) > 0) {
        /* It is not known there that they are committed; that comes later, from the new leader. */
        CHECK(count == 0 && group_fake_waiting(group) == 1);
        buf_init(&entries[count], SIZE_MAX / 2);
        buf_append_slice(&entries[count], group_fake_oldest(group));
        count++;
        break;
    }
    rig->term++;
    group_fake_depose(group, rig->term, (uint64_t)(next - rig->replicas) + 1);
    for (size_t i = 0; i < count; i++) {
        group_fake_feed(shard_group(next->shard), buf_slice(&entries[i]));
        group_fake_feed(group, buf_slice(&entries[i]));
        buf_deinit(&entries[i]);
    }
    group_fake_lead(shard_group(next->shard), rig->term);
    group_fake_feed(group, slice_of(NULL, 0));
    rig->leader = next;
}

void shard_rig_advance(struct shard_rig *rig, uint64_t ms)
{
    rig->now_ms += ms;
    set_time(rig);
    shard_wait_tick(rig->leader->shard, clock_now_ms());
    shard_tick(rig->leader->shard, clock_wall_ms());
}

bool shard_rig_replied(const struct shard_rig_op *op, const char *reply)
{
    return op->done == 1 && op->status == STATUS_OK &&
           slice_equal(buf_slice(&op->reply), slice_str(reply));
}
