#include "server/node.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/log.h"
#include "server/control/meta_machine.h"
#include "server/node_load.h"
#include "server/node_private.h"

enum {
    SECOND_MS = 1000,
    FLUSH_LATEST_MS = 10 * 60 * 1000,
    REFUSE_NOTHING = 0,
    REFUSE_GROWTH = 1,
    REFUSE_ALL = 2,
};

struct save_job {
    struct job job;
    struct node *node;
    bool is_map;
    struct identity identity;
    struct buf map;
    enum status status;
};

struct map_mail {
    struct worker_mail mail;
    struct shard_map map;
    struct buf bytes;
};

struct replica_mail {
    struct worker_mail mail;
    struct shard_desc desc;
    uint64_t replica;
    bool birth;
};

struct node_mail {
    struct worker_mail mail;
    struct node *node;
};

static void on_connect(void *ctx, uint64_t peer, const char *address)
{
    struct node *node = ctx;
    node->env.connect(node->env.ctx, peer, address);
}

static void on_disconnect(void *ctx, uint64_t peer)
{
    struct node *node = ctx;
    node->env.disconnect(node->env.ctx, peer);
}

/* A request of the agent to this node's own shard. */
struct own_op {
    struct worker_op op;
    struct node *node;
    struct buf body;
};

static void deliver_own(struct worker_op *op, enum status status, struct slice reply)
{
    struct own_op *own = list_entry(op, struct own_op, op);
    if (errand_owns(op->request_id)) {
        errands_reply(&own->node->errands, op->request_id, status, reply);
    } else {
        agent_reply(own->node->agent, op->request_id, status, reply);
    }
    buf_deinit(&own->body);
    free(own);
}

struct own_job {
    struct job job;
    struct own_op *own;
};

static void run_nothing(struct job *job)
{
    (void)job;
}

/* Not from inside the agent's own call, which must not be entered again. */
static void submit_own(struct job *job)
{
    struct own_job *later = list_entry(job, struct own_job, job);
    struct own_op *own = later->own;
    struct node *node = own->node;
    free(later);
    node->jobs--;
    const struct worker_op *op = &own->op;
    bool known = op->shard == SHARD_META || op->ask != GROUP_ASK_NONE || op->op.command != NULL;
    if (node->workers == NULL || !known) {
        deliver_own(&own->op, known ? STATUS_NO_SHARD : STATUS_BAD_ARGUMENT, slice_of(NULL, 0));
        return;
    }
    own->op.origin = node->workers[0];
    worker_submit(node->workers[0], &own->op);
}

/* Which command it is; of the control plane's own few. */
static void classify_own(struct own_op *own, const struct frame_request *request)
{
    struct worker_op *op = &own->op;
    struct slice name = op->op.args.argv[0];
    op->ask = group_ask_of(op->op.args, op->numbers);
    op->op.seq = request->seq;
    if (op->ask != GROUP_ASK_NONE) {
        return;
    }
    if (request->shard == SHARD_META) {
        op->op.write = meta_machine_kind(name) == META_WRITE;
        op->admin = meta_machine_kind(name) == META_ADMIN;
        return;
    }
    op->op.command = command_find(name);
    op->op.write = op->op.command != NULL && (op->op.command->flags & CMD_WRITE) != 0;
}

void node_request_own(struct node *node, const struct frame_request *request)
{
    size_t argc = request->args.argc;
    struct own_op *own = calloc(1, sizeof(*own) + argc * sizeof(struct slice));
    struct own_job *later = calloc(1, sizeof(*later));
    assert(own != NULL && later != NULL);
    struct slice *argv = (struct slice *)(void *)(own + 1);
    own->node = node;
    buf_init(&own->body, 1 << 20);
    for (size_t i = 0; i < argc; i++) {
        buf_append_slice(&own->body, request->args.argv[i]);
    }
    size_t at = 0;
    for (size_t i = 0; i < argc; i++) {
        argv[i] = slice_of(own->body.data + at, request->args.argv[i].len);
        at += argv[i].len;
    }
    own->op.shard = request->shard;
    own->op.request_id = request->id;
    own->op.deliver = deliver_own;
    own->op.op.args = (struct args){.argv = argv, .argc = argc};
    own->op.op.expires_ms = clock_now_ms() + request->deadline_ms;
    classify_own(own, request);
    later->own = own;
    later->job = (struct job){.run = run_nothing, .done = submit_own};
    node->jobs++;
    node->env.run(node->env.ctx, &later->job);
}

static void on_request(void *ctx, uint64_t peer, const struct frame_request *request)
{
    struct node *node = ctx;
    if (peer == agent_identity(node->agent)->node && peer != 0) {
        node_request_own(node, request);
        return;
    }
    struct buf *out = node->env.out_peer(node->env.ctx, peer);
    if (out != NULL) {
        frame_write_request(out, request);
    }
}

static void on_subscribe(void *ctx, uint64_t peer, uint64_t version)
{
    struct node *node = ctx;
    struct buf *out = node->env.out_peer(node->env.ctx, peer);
    if (out != NULL) {
        size_t offset = frame_begin(out, FRAME_SUBSCRIBE, 0);
        buf_append_u64(out, version);
        frame_end(out, offset);
    }
}

static void on_push_map(void *ctx, uint64_t peer, struct slice encoded)
{
    struct node *node = ctx;
    struct buf *out = node->env.out_peer(node->env.ctx, peer);
    if (out != NULL) {
        size_t offset = frame_begin(out, FRAME_MAP, 0);
        buf_append_slice(out, encoded);
        frame_end(out, offset);
    }
}

static void on_addresses_changed(void *ctx)
{
    struct node *node = ctx;
    node->env.map_changed(node->env.ctx, agent_map(node->agent));
}

static void run_save(struct job *job)
{
    struct save_job *save = list_entry(job, struct save_job, job);
    save->status = save->is_map ? identity_save_map(save->node->dir, buf_slice(&save->map))
                                : identity_save(save->node->dir, &save->identity);
}

static void on_saved(struct job *job)
{
    struct save_job *save = list_entry(job, struct save_job, job);
    struct node *node = save->node;
    node->jobs--;
    if (!save->is_map) {
        agent_identity_saved(node->agent, save->status);
    } else if (save->status != STATUS_OK) {
        log_warn("map.unsaved", "reason=\"%s\"", status_text(save->status));
    }
    buf_deinit(&save->map);
    free(save);
}

static struct save_job *save_new(struct node *node, bool is_map)
{
    struct save_job *save = calloc(1, sizeof(*save));
    assert(save != NULL);
    save->node = node;
    save->is_map = is_map;
    save->job = (struct job){.run = run_save, .done = on_saved};
    buf_init(&save->map, 1 << 30);
    node->jobs++;
    return save;
}

static void on_save_identity(void *ctx, const struct identity *identity)
{
    struct node *node = ctx;
    struct save_job *save = save_new(node, false);
    save->identity = *identity;
    node->env.run(node->env.ctx, &save->job);
}

static void on_save_map(void *ctx, struct slice encoded)
{
    struct node *node = ctx;
    struct save_job *save = save_new(node, true);
    buf_append_slice(&save->map, encoded);
    node->env.run(node->env.ctx, &save->job);
}

static void on_joined(void *ctx, const struct identity *identity)
{
    struct node *node = ctx;
    node->env.joined(node->env.ctx, identity);
}

static void run_map(struct worker *to, struct worker_mail *mail)
{
    struct map_mail *map = list_entry(mail, struct map_mail, mail);
    worker_set_map(to, &map->map, buf_slice(&map->bytes));
    shard_map_deinit(&map->map);
    buf_deinit(&map->bytes);
    free(map);
}

static void give_map(struct node *node, const struct shard_map *map, struct slice encoded)
{
    if (node->workers == NULL) {
        return;
    }
    worker_set_map(node->workers[0], map, encoded);
    for (unsigned loop = 1; loop < node->options.loops; loop++) {
        struct map_mail *mail = calloc(1, sizeof(*mail));
        assert(mail != NULL);
        mail->mail.run = run_map;
        shard_map_init(&mail->map);
        shard_map_copy(&mail->map, map);
        buf_init(&mail->bytes, 1 << 30);
        buf_append_slice(&mail->bytes, encoded);
        node->env.post(node->env.ctx, loop, &mail->mail);
    }
    node->env.map_changed(node->env.ctx, map);
}

static void on_map_changed(void *ctx, const struct shard_map *map, struct slice encoded)
{
    struct node *node = ctx;
    log_info("map.changed", "version=%llu nodes=%zu shards=%zu", (unsigned long long)map->version,
             map->node_count, map->shard_count);
    give_map(node, map, encoded);
}

static void run_create(struct worker *to, struct worker_mail *mail)
{
    struct replica_mail *replica = list_entry(mail, struct replica_mail, mail);
    worker_create(to, &replica->desc, replica->replica, replica->birth);
    free(replica);
}

static void run_remove(struct worker *to, struct worker_mail *mail)
{
    struct replica_mail *replica = list_entry(mail, struct replica_mail, mail);
    worker_remove(to, replica->desc.id, replica->replica);
    free(replica);
}

static void on_replica_create(void *ctx,
                              const struct shard_desc *desc,
                              uint64_t replica,
                              bool birth)
{
    struct node *node = ctx;
    assert(node->workers != NULL);
    struct replica_mail *mail = calloc(1, sizeof(*mail));
    assert(mail != NULL);
    *mail = (struct replica_mail){
        .mail = {.run = run_create}, .desc = *desc, .replica = replica, .birth = birth};
    node->env.post(node->env.ctx, worker_loop_of(node->workers[0], desc->id), &mail->mail);
}

static void on_replica_remove(void *ctx, uint64_t shard, uint64_t replica)
{
    struct node *node = ctx;
    assert(node->workers != NULL);
    struct replica_mail *mail = calloc(1, sizeof(*mail));
    assert(mail != NULL);
    *mail = (struct replica_mail){
        .mail = {.run = run_remove}, .desc = {.id = shard}, .replica = replica};
    node->env.post(node->env.ctx, worker_loop_of(node->workers[0], shard), &mail->mail);
}

static void on_failed(void *ctx, enum status status, const char *text)
{
    struct node *node = ctx;
    node->env.failed(node->env.ctx, status, text);
}

struct node *node_new(const struct node_options *options, const struct node_env *env)
{
    struct node *node = calloc(1, sizeof(*node));
    assert(node != NULL);
    node->env = *env;
    node->options = *options;
    node->dir = strdup(options->dir);
    assert(node->dir != NULL);
    node->flushed_ms = clock_now_ms();
    struct shard_map map;
    shard_map_init(&map);
    bool saved = identity_load_map(node->dir, &map) == STATUS_OK;
    struct agent_options agent = {.identity = options->identity,
                                  .address = options->address,
                                  .zone = options->zone,
                                  .incarnation = options->incarnation,
                                  .seeds = options->seeds,
                                  .seed_count = options->seed_count,
                                  .random = options->seed,
                                  .map = saved ? &map : NULL};
    struct agent_env agent_env = {.ctx = node,
                                  .connect = on_connect,
                                  .disconnect = on_disconnect,
                                  .request = on_request,
                                  .subscribe = on_subscribe,
                                  .push_map = on_push_map,
                                  .addresses_changed = on_addresses_changed,
                                  .save_identity = on_save_identity,
                                  .save_map = on_save_map,
                                  .joined = on_joined,
                                  .map_changed = on_map_changed,
                                  .replica_create = on_replica_create,
                                  .replica_remove = on_replica_remove,
                                  .failed = on_failed};
    node->agent = agent_new(&agent, &agent_env);
    shard_map_deinit(&map);
    node_steward_init(node);
    return node;
}

void node_free(struct node *node)
{
    assert(!node_busy(node));
    node_balance_deinit(node);
    node_steward_deinit(node);
    agent_free(node->agent);
    if (node->loads != NULL) {
        node_load_free(node->loads);
    }
    free(node->workers);
    free(node->dir);
    free(node);
}

bool node_busy(const struct node *node)
{
    return node->jobs > 0;
}

static void on_tombstone(void *arg, uint64_t shard, uint64_t replica)
{
    struct node *node = arg;
    agent_replica_tombstoned(node->agent, shard, replica);
}

void node_start(struct node *node, struct worker *const *workers)
{
    assert(node->workers == NULL);
    node->workers = calloc(node->options.loops, sizeof(*node->workers));
    assert(node->workers != NULL);
    memcpy(node->workers, workers, node->options.loops * sizeof(*workers));
    struct node_load_options loads = {.node = agent_identity(node->agent)->node,
                                      .incarnation = node->options.incarnation,
                                      .loops = node->options.loops};
    node->loads = node_load_new(&loads);
    worker_each_tombstone(workers[0], on_tombstone, node);
    for (unsigned loop = 0; loop < node->options.loops; loop++) {
        size_t at = 0;
        for (struct shard *shard; (shard = worker_next_shard(workers[loop], &at)) != NULL;) {
            agent_replica_opened(node->agent, shard_id(shard), shard_state(shard)->replica);
        }
    }
    if (agent_map(node->agent)->version > 0) {
        give_map(node, agent_map(node->agent), agent_map_bytes(node->agent));
    }
    /* No other loop runs yet: its worker may be looked at from here. */
    if (worker_shard(workers[worker_loop_of(workers[0], SHARD_META)], SHARD_META) != NULL) {
        node_meta_changed(node);
    }
}

static void run_flush(struct job *job)
{
    struct flushing *flushing = list_entry(job, struct flushing, job);
    flushing->status = store_flush(flushing->node->options.store);
}

static void run_flushed(struct worker *to, struct worker_mail *mail)
{
    worker_flushed(to);
    free(list_entry(mail, struct node_mail, mail));
}

static void post_all(struct node *node, void (*run)(struct worker *, struct worker_mail *))
{
    for (unsigned loop = 0; loop < node->options.loops; loop++) {
        struct node_mail *mail = calloc(1, sizeof(*mail));
        assert(mail != NULL);
        mail->node = node;
        mail->mail.run = run;
        node->env.post(node->env.ctx, loop, &mail->mail);
    }
}

static void on_flushed(struct job *job)
{
    struct flushing *flushing = list_entry(job, struct flushing, job);
    struct node *node = flushing->node;
    node->jobs--;
    flushing->running = false;
    if (flushing->status != STATUS_OK) {
        log_error("store.failed", "reason=\"%s\" action=\"this node stops; check its disk\"",
                  status_text(flushing->status));
        abort();
    }
    node->stats.flushes++;
    node->flushed_bytes = flushing->bytes_at_start;
    node->flushed_ms = clock_now_ms();
    post_all(node, run_flushed);
}

/* Back on loop 0: one loop has marked. */
static void run_marked(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct node_mail *self = list_entry(mail, struct node_mail, mail);
    struct flushing *flushing = &self->node->flushing;
    free(self);
    assert(flushing->marks_left > 0);
    if (--flushing->marks_left > 0) {
        return;
    }
    flushing->job = (struct job){.run = run_flush, .done = on_flushed};
    flushing->node->env.run(flushing->node->env.ctx, &flushing->job);
}

static void run_mark(struct worker *to, struct worker_mail *mail)
{
    worker_flush_mark(to);
    struct node_mail *self = list_entry(mail, struct node_mail, mail);
    self->mail.run = run_marked;
    self->node->env.post(self->node->env.ctx, 0, &self->mail);
}

static void flush_if_due(struct node *node, uint64_t now_ms)
{
    struct wal_stats wal;
    wal_stats(node->options.wal, &wal);
    uint64_t written = wal.bytes_written - node->flushed_bytes;
    bool old = written > 0 && now_ms - node->flushed_ms > FLUSH_LATEST_MS;
    if (node->flushing.running || node->workers == NULL ||
        (written < node->options.flush_bytes && !old)) {
        return;
    }
    node->flushing = (struct flushing){.node = node,
                                       .running = true,
                                       .marks_left = node->options.loops,
                                       .bytes_at_start = wal.bytes_written};
    node->jobs++;
    post_all(node, run_mark);
}

static void run_space(struct job *job)
{
    struct space_job *space = list_entry(job, struct space_job, job);
    space->status = disk_free(space->node->dir, &space->bytes);
}

static void on_space(struct job *job)
{
    struct space_job *space = list_entry(job, struct space_job, job);
    struct node *node = space->node;
    node->jobs--;
    space->running = false;
    if (space->status != STATUS_OK) {
        return;
    }
    node->stats.disk_free_bytes = space->bytes;
    int before = atomic_load(&node->refusing);
    uint64_t min = node->options.free_space_min;
    /* Coming back needs an eighth more, so that it does not flicker. */
    uint64_t margin = before == REFUSE_NOTHING ? 0 : min / 8;
    int now = space->bytes < min / 2 + margin ? REFUSE_ALL
              : space->bytes < min + margin   ? REFUSE_GROWTH
                                              : REFUSE_NOTHING;
    if (now != before) {
        log_warn("disk.space", "free_bytes=%llu free_space_min=%llu refusing=%s",
                 (unsigned long long)space->bytes, (unsigned long long)min,
                 now == REFUSE_ALL      ? "writes"
                 : now == REFUSE_GROWTH ? "growth"
                                        : "nothing");
        atomic_store(&node->refusing, now);
    }
}

static void watch_space(struct node *node)
{
    if (node->space.running) {
        return;
    }
    node->space = (struct space_job){
        .job = {.run = run_space, .done = on_space}, .node = node, .running = true};
    node->jobs++;
    node->env.run(node->env.ctx, &node->space.job);
}

static void tell_load(struct node *node, uint64_t now_ms)
{
    struct leader_hint meta;
    if (node->workers == NULL || !worker_leader(node->workers[0], SHARD_META, &meta)) {
        return;
    }
    bool own = meta.node == agent_identity(node->agent)->node;
    struct buf *out = own ? NULL : node->env.out_peer(node->env.ctx, meta.node);
    node_load_tick(node->loads, meta.node, out, node->stats.disk_free_bytes, now_ms);
}

void node_tick(struct node *node)
{
    uint64_t now_ms = clock_now_ms();
    agent_tick(node->agent, now_ms);
    node_steward_tick(node, now_ms);
    if (now_ms - node->second_ms >= SECOND_MS) {
        node->second_ms = now_ms;
        flush_if_due(node, now_ms);
        watch_space(node);
        tell_load(node, now_ms);
        node_balance_tick(node, now_ms);
    }
}

enum status node_link_up(struct node *node, uint64_t peer, const struct frame_hello *hello)
{
    return agent_link_up(node->agent, peer, hello);
}

void node_link_down(struct node *node, uint64_t peer)
{
    agent_link_down(node->agent, peer);
    errands_lost(&node->errands, peer);
}

void node_link_refused(struct node *node, uint64_t peer, enum status status, const char *text)
{
    agent_link_refused(node->agent, peer, status, text);
}

enum status node_frame(struct node *node, const struct frame *frame)
{
    if (frame->type == FRAME_MAP) {
        return agent_receive_map(node->agent, frame->body);
    }
    if (frame->type == FRAME_LEADERS && node->workers != NULL) {
        return worker_hear(node->workers[0], frame->body);
    }
    if (frame->type == FRAME_LOAD && node->loads != NULL) {
        return node_load_receive(node->loads, frame->body);
    }
    if (frame->type == FRAME_PART) {
        struct frame_part piece;
        enum status status = frame_read_part(frame->body, &piece);
        if (status == STATUS_OK && errand_owns(piece.id)) {
            errands_part(&node->errands, &piece);
        }
        return status;
    }
    if (frame->type == FRAME_REPLY) {
        struct frame_reply reply;
        enum status status = frame_read_reply(frame->body, &reply);
        if (status != STATUS_OK) {
            return status;
        }
        if (agent_owns_request(reply.id)) {
            agent_reply(node->agent, reply.id, reply.status, reply.body);
        } else if (errand_owns(reply.id)) {
            errands_reply(&node->errands, reply.id, reply.status, reply.body);
        }
    }
    return STATUS_OK;
}

struct meta_mail {
    struct worker_mail mail;
    struct node *node;
    struct shard_map map;
    struct job_list jobs;
    uint8_t mode;
};

static void run_meta(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct meta_mail *meta = list_entry(mail, struct meta_mail, mail);
    agent_apply_map(meta->node->agent, &meta->map);
    steward_take(meta->node->steward, &meta->map, &meta->jobs);
    meta->node->balancer_mode = meta->mode;
    shard_map_deinit(&meta->map);
    job_list_deinit(&meta->jobs);
    free(meta);
}

void node_meta_changed(struct node *node)
{
    /* Called on the loop of the meta group's replica; the agent lives on loop 0. */
    unsigned loop = worker_loop_of(node->workers[0], SHARD_META);
    struct meta_mail *meta = calloc(1, sizeof(*meta));
    assert(meta != NULL);
    meta->node = node;
    meta->mail.run = run_meta;
    shard_map_init(&meta->map);
    enum status status = meta_machine_load_all(worker_txn(node->workers[loop]), &meta->map,
                                               &meta->jobs, &meta->mode);
    if (status != STATUS_OK || meta->map.version == 0) {
        shard_map_deinit(&meta->map);
        job_list_deinit(&meta->jobs);
        free(meta);
        return;
    }
    node->env.post(node->env.ctx, 0, &meta->mail);
}

struct report_mail {
    struct worker_mail mail;
    struct node *node;
    uint64_t shard;
    uint64_t replica;
};

/* By mail to loop 0, where the agent is. */
static void report(struct node *node,
                   uint64_t shard,
                   uint64_t replica,
                   void (*run)(struct worker *to, struct worker_mail *mail))
{
    struct report_mail *mail = calloc(1, sizeof(*mail));
    assert(mail != NULL);
    *mail = (struct report_mail){
        .mail = {.run = run}, .node = node, .shard = shard, .replica = replica};
    node->env.post(node->env.ctx, 0, &mail->mail);
}

static void run_removed(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct report_mail *removed = list_entry(mail, struct report_mail, mail);
    agent_replica_removed(removed->node->agent, removed->shard, removed->replica);
    free(removed);
}

static void run_born(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct report_mail *born = list_entry(mail, struct report_mail, mail);
    agent_replica_born(born->node->agent, born->shard, born->replica);
    free(born);
}

struct ranged_mail {
    struct worker_mail mail;
    struct node *node;
    size_t count;
    struct agent_range ranges[];
};

static void run_ranged(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct ranged_mail *ranged = list_entry(mail, struct ranged_mail, mail);
    agent_ranged(ranged->node->agent, ranged->ranges, ranged->count);
    free(ranged);
}

void node_ranged(struct node *node, const struct agent_range *ranges, size_t count)
{
    struct ranged_mail *mail = calloc(1, sizeof(*mail) + count * sizeof(*ranges));
    assert(mail != NULL);
    mail->mail.run = run_ranged;
    mail->node = node;
    mail->count = count;
    memcpy(mail->ranges, ranges, count * sizeof(*ranges));
    node->env.post(node->env.ctx, 0, &mail->mail);
}

void node_born(struct node *node, uint64_t shard, uint64_t replica)
{
    report(node, shard, replica, run_born);
}

static void run_merged(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct report_mail *merged = list_entry(mail, struct report_mail, mail);
    agent_replica_merged(merged->node->agent, merged->shard, merged->replica);
    free(merged);
}

void node_merged(struct node *node, uint64_t shard, uint64_t replica)
{
    report(node, shard, replica, run_merged);
}

void node_removed(struct node *node, uint64_t shard, uint64_t replica)
{
    report(node, shard, replica, run_removed);
}

static void run_measured(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct worker_load *load = list_entry(mail, struct worker_load, mail);
    struct node *node = load->to;
    node_load_measured(node->loads, load);
}

void node_measured(struct node *node, struct worker_load *load)
{
    load->to = node;
    load->mail.run = run_measured;
    node->env.post(node->env.ctx, 0, &load->mail);
}

const struct load_table *node_loads(const struct node *node)
{
    return node_load_table(node->loads);
}

bool node_refuses_writes(const struct node *node, bool grows)
{
    int refusing = atomic_load_explicit(&node->refusing, memory_order_relaxed);
    return refusing == REFUSE_ALL || (grows && refusing == REFUSE_GROWTH);
}

const struct shard_map *node_map(const struct node *node)
{
    return agent_map(node->agent);
}

const char *node_address(const struct node *node, uint64_t id)
{
    return agent_address(node->agent, id);
}

const struct identity *node_identity(const struct node *node)
{
    return agent_identity(node->agent);
}

bool node_is_joined(const struct node *node)
{
    return agent_is_joined(node->agent);
}

void node_stats(const struct node *node, struct node_stats *stats)
{
    *stats = node->stats;
    stats->refusing = (uint64_t)atomic_load(&node->refusing);
}
