#include "server/control/meta_jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"
#include "server/control/job_check.h"
#include "server/control/meta_recover.h"

enum { LINE_SIZE = JOB_TEXT_SIZE_MAX };

static struct cluster_job *job_of(struct meta_change *change, uint64_t id)
{
    struct cluster_job *job = job_list_get(&change->rows.jobs, id);
    if (job == NULL) {
        resp_write_errorf(change->reply, "GONE there is no job %" PRIu64, id);
    }
    return job;
}

static void note_job(struct meta_change *change, const struct cluster_job *job, const char *effect)
{
    char line[LINE_SIZE];
    if (job->parent == 0) { /* Children are in the list of jobs. */
        meta_change_note(change, job->id, job_spec_describe(&job->spec, line, sizeof(line)),
                         job->spec.reason, effect);
    }
}

static bool is_node_job(enum job_kind kind)
{
    return kind == JOB_DRAIN || kind == JOB_REPLACE || kind == JOB_REBUILD;
}

/* A job of that node as a whole that has not ended. */
static struct cluster_job *node_job(const struct meta_change *change, uint64_t node)
{
    for (size_t i = 0; i < change->rows.jobs.count; i++) {
        struct cluster_job *job = &change->rows.jobs.jobs[i];
        if (cluster_job_active(job) && is_node_job(job->spec.kind) && job->spec.from == node) {
            return job;
        }
    }
    return NULL;
}

/* Ended ones beyond what is kept; those that undo or are children of others go as they come. */
static void forget_old(struct meta_change *change)
{
    struct job_list *jobs = &change->rows.jobs;
    size_t ended = 0;
    for (size_t i = 0; i < jobs->count; i++) {
        ended += !cluster_job_active(&jobs->jobs[i]);
    }
    for (size_t i = 0; i < jobs->count && ended > JOBS_ENDED_MAX; i++) {
        if (!cluster_job_active(&jobs->jobs[i])) {
            meta_rows_drop_job(change->txn, jobs->jobs[i].id);
            ended--;
        }
    }
}

/* ---- new jobs ---- */

static size_t active_count(const struct job_list *jobs)
{
    size_t count = 0;
    for (size_t i = 0; i < jobs->count; i++) {
        count += cluster_job_active(&jobs->jobs[i]);
    }
    return count;
}

/* NULL, or why the order cannot be taken; no spec was looked at yet. */
static const char *check_add(const struct meta_change *change,
                             const struct meta_order *order,
                             char *text)
{
    const struct job_list *jobs = &change->rows.jobs;
    const struct cluster_job *parent = job_list_get(jobs, order->parent);
    if (order->parent != 0 && (parent == NULL || parent->state != JOB_RUNNING)) {
        (void)snprintf(text, JOB_FAULT_SIZE, "CONFLICT job %" PRIu64 " is not running",
                       order->parent);
        return text;
    }
    if (active_count(jobs) + order->count > JOBS_ACTIVE_MAX) {
        (void)snprintf(text, JOB_FAULT_SIZE, "LIMIT %d jobs wait or run already", JOBS_ACTIVE_MAX);
        return text;
    }
    return NULL;
}

static const char *check_spec(const struct meta_change *change, struct job_spec *spec, char *text)
{
    const char *fault = job_check(&change->rows.map, spec, text);
    const struct cluster_job *same = is_node_job(spec->kind) ? node_job(change, spec->from) : NULL;
    if (fault == NULL && same != NULL) {
        (void)snprintf(text, JOB_FAULT_SIZE,
                       "CONFLICT job %" PRIu64 " is about node %" PRIu64 " already", same->id,
                       spec->from);
        fault = text;
    }
    return fault;
}

/* A list of moves begins with the job that holds them together; they are its children. */
static void add_one(struct meta_change *change,
                    const struct meta_order *order,
                    const struct job_spec *spec,
                    uint64_t parent)
{
    struct meta_cluster *cluster = &change->rows.cluster;
    struct cluster_job job = {.id = cluster->next_job++,
                              .parent = parent,
                              .undo_of = parent == order->parent ? order->undo_of : 0,
                              .spec = *spec,
                              .state = JOB_QUEUED,
                              .created_ms = change->now_ms};
    cluster_job_text_copy(job.who, sizeof(job.who), order->who);
    size_t node = meta_change_node_index(&change->rows.map, spec->from);
    if ((spec->kind == JOB_DRAIN || spec->kind == JOB_REPLACE) &&
        change->rows.map.nodes[node].state == NODE_UP) {
        change->rows.map.nodes[node].state = NODE_DRAINING;
        meta_change_put_node(change, node);
    }
    job_list_add(&change->rows.jobs, &job);
    meta_change_put_job(change, &job);
    note_job(change, &job, "queued");
    resp_write_int(change->reply, (int64_t)job.id);
}

void meta_jobs_add(struct meta_change *change, const struct meta_order *order)
{
    char text[JOB_FAULT_SIZE];
    const char *fault = check_add(change, order, text);
    struct job_spec *specs = calloc(order->count, sizeof(*specs));
    assert(specs != NULL);
    struct reader in = reader_of(order->items);
    for (uint32_t i = 0; i < order->count && fault == NULL; i++) {
        bool read = job_spec_decode(&in, &specs[i]);
        assert(read); /* meta_order_decode() has looked. */
        fault = i > 0 && cluster_job_has_children(specs[i].kind)
                    ? "ERR a list begins with its own job"
                    : check_spec(change, &specs[i], text);
    }
    if (fault != NULL) {
        resp_write_error(change->reply, fault);
    } else {
        uint64_t parent = order->parent;
        resp_write_array(change->reply, order->count);
        for (uint32_t i = 0; i < order->count; i++) {
            add_one(change, order, &specs[i], parent);
            if (i == 0 && specs[0].kind == JOB_REBALANCE) {
                parent = change->rows.cluster.next_job - 1;
            }
        }
    }
    free(specs);
}

/* ---- steps ---- */

static void start_move(struct meta_change *change, struct cluster_job *job)
{
    struct shard_desc *shard = meta_change_shard(change, job->spec.shard);
    const struct replica_desc *old = shard_map_replica_on(shard, job->spec.from);
    assert(shard->replica_count < SHARD_REPLICAS_MAX && old != NULL);
    job->old_replica = old->id;
    job->new_replica = change->rows.cluster.next_replica++;
    shard->replicas[shard->replica_count++] =
        (struct replica_desc){.id = job->new_replica, .node = job->spec.to};
    shard->conf_ver++;
    meta_change_put_shard(change, shard);
}

static void prefer(struct meta_change *change, struct shard_desc *shard, uint64_t node)
{
    unsigned at = 0;
    while (shard->replicas[at].node != node) {
        at++;
        assert(at < shard->replica_count);
    }
    if (at == 0) {
        return;
    }
    struct replica_desc first = shard->replicas[at];
    for (; at > 0; at--) {
        shard->replicas[at] = shard->replicas[at - 1];
    }
    shard->replicas[0] = first;
    shard->conf_ver++; /* Never a birth: those begin in the first version's order alone. */
    meta_change_put_shard(change, shard);
}

static void start_transfer(struct meta_change *change, struct cluster_job *job)
{
    struct shard_desc *shard = meta_change_shard(change, job->spec.shard);
    job->child = shard->replicas[0].node;
    prefer(change, shard, job->spec.to);
}

static void start_split(struct meta_change *change, struct cluster_job *job)
{
    struct meta_cluster *cluster = &change->rows.cluster;
    const struct shard_desc *shard = meta_change_shard(change, job->spec.shard);
    job->spec.ver = shard->ver;
    job->child = cluster->next_shard++;
    job->birth_count = shard->replica_count;
    for (unsigned i = 0; i < shard->replica_count; i++) {
        job->births[i].id = cluster->next_replica++;
        job->births[i].node = shard->replicas[i].node;
    }
}

static void start_merge(struct meta_change *change, struct cluster_job *job)
{
    const struct shard_desc *source = meta_change_shard(change, job->spec.shard);
    const struct shard_desc *target = meta_change_shard(change, job->spec.other);
    job->spec.ver = source->ver;
    job->edge = source->start > target->start ? source->start : target->start;
}

static void start(struct meta_change *change, struct cluster_job *job)
{
    switch (job->spec.kind) {
    case JOB_MOVE: start_move(change, job); break;
    case JOB_TRANSFER: start_transfer(change, job); break;
    case JOB_SPLIT: start_split(change, job); break;
    case JOB_MERGE: start_merge(change, job); break;
    case JOB_DRAIN:
    case JOB_REPLACE:
    case JOB_REBUILD:
    case JOB_REBALANCE:
    case JOB_KINDS: break;
    }
    job->started_ms = change->now_ms;
}

/* NULL, or why the job cannot begin now. */
static const char *check_start(const struct meta_change *change,
                               struct cluster_job *job,
                               char *text)
{
    const struct job_list *jobs = &change->rows.jobs;
    const struct cluster_job *holder = job_list_holder(jobs, job->spec.shard);
    if (holder == NULL && job->spec.kind == JOB_MERGE) {
        holder = job_list_holder(jobs, job->spec.other);
    }
    if (holder != NULL && !cluster_job_has_children(job->spec.kind)) {
        (void)snprintf(text, JOB_FAULT_SIZE, "CONFLICT job %" PRIu64 " is about shard %" PRIu64,
                       holder->id, job->spec.shard);
        return text;
    }
    struct job_spec spec = job->spec;
    const char *fault = job_check(&change->rows.map, &spec, text);
    if (fault == NULL) {
        job->spec.token = spec.token;
    }
    return fault;
}

/* The new replica takes the place of the old one. NULL, or why it cannot. */
static const char *finish_move(struct meta_change *change, struct cluster_job *job)
{
    struct shard_desc *shard = meta_change_shard(change, job->spec.shard);
    unsigned old = SHARD_REPLICAS_MAX;
    unsigned new = SHARD_REPLICAS_MAX;
    for (unsigned i = 0; shard != NULL && i < shard->replica_count; i++) {
        old = shard->replicas[i].id == job->old_replica ? i : old;
        new = shard->replicas[i].id == job->new_replica ? i : new;
    }
    if (old == SHARD_REPLICAS_MAX || new == SHARD_REPLICAS_MAX) {
        return "CONFLICT the replicas of the shard are no longer what the move began with";
    }
    shard->replicas[old] = shard->replicas[new];
    for (unsigned i = new; i + 1 < shard->replica_count; i++) {
        shard->replicas[i] = shard->replicas[i + 1];
    }
    shard->replica_count--;
    shard->replicas[shard->replica_count] = (struct replica_desc){0};
    shard->conf_ver++;
    meta_change_put_shard(change, shard);
    return NULL;
}

void meta_jobs_step(struct meta_change *change, const struct meta_order *order)
{
    char text[JOB_FAULT_SIZE];
    struct cluster_job *job = job_of(change, order->id);
    if (job == NULL) {
        return;
    }
    const char *fault = NULL;
    bool begins = job->state == JOB_QUEUED && job->step == 0 && order->what == 0;
    bool moves = job->state == JOB_RUNNING && job->step == 1 && order->what == 1 &&
                 job->spec.kind == JOB_MOVE;
    if (begins) {
        fault = check_start(change, job, text);
        if (fault == NULL) {
            start(change, job);
        }
    } else if (moves) {
        fault = finish_move(change, job);
    } else if (job->step <= order->what) {
        fault = "CONFLICT the job has no such step now";
    }
    if (fault != NULL) {
        resp_write_error(change->reply, fault);
        return;
    }
    if (begins || moves) {
        job->state = JOB_RUNNING;
        job->step++;
        meta_change_put_job(change, job);
    }
    resp_write_ok(change->reply);
}

/* ---- ends ---- */

static void drop_new(struct meta_change *change, const struct cluster_job *job)
{
    struct shard_desc *shard = meta_change_shard(change, job->spec.shard);
    for (unsigned i = 0; shard != NULL && i < shard->replica_count; i++) {
        if (shard->replicas[i].id != job->new_replica) {
            continue;
        }
        for (unsigned j = i; j + 1 < shard->replica_count; j++) {
            shard->replicas[j] = shard->replicas[j + 1];
        }
        shard->replica_count--;
        shard->replicas[shard->replica_count] = (struct replica_desc){0};
        shard->conf_ver++;
        meta_change_put_shard(change, shard);
        return;
    }
}

/* What it began is taken back, as far as that is in the map. */
static void take_back(struct meta_change *change, const struct cluster_job *job)
{
    if (job->step == 0) {
        return;
    }
    if (job->spec.kind == JOB_MOVE) {
        drop_new(change, job);
    } else if (job->spec.kind == JOB_TRANSFER) {
        struct shard_desc *shard = meta_change_shard(change, job->spec.shard);
        if (shard != NULL && shard_map_replica_on(shard, job->child) != NULL) {
            prefer(change, shard, job->child);
        }
    }
}

/* True if the job cannot be stopped any more, only finished. */
static bool beyond(const struct cluster_job *job)
{
    return job->spec.kind == JOB_MOVE && job->step > 1;
}

static void set_node_state(struct meta_change *change, uint64_t node, enum node_state state)
{
    struct shard_map *map = &change->rows.map;
    size_t index = meta_change_node_index(map, node);
    if (index == map->node_count || map->nodes[index].state == state) {
        return;
    }
    map->nodes[index].state = state;
    if (state == NODE_GONE) {
        memset(map->nodes[index].address, 0, sizeof(map->nodes[index].address));
    }
    meta_change_put_node(change, index);
}

static void end_one(struct meta_change *change,
                    struct cluster_job *job,
                    enum job_state state,
                    const char *result)
{
    assert(cluster_job_active(job) && state >= JOB_DONE);
    if (state != JOB_DONE) {
        take_back(change, job);
    }
    job->state = state;
    job->ended_ms = change->now_ms;
    cluster_job_text_copy(job->result, sizeof(job->result), result);
    meta_change_put_job(change, job);
    note_job(change, job, result[0] == '\0' ? cluster_job_state_text(state) : result);
}

static bool holds_replicas(const struct shard_map *map, uint64_t node)
{
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = i < map->shard_count ? &map->shards[i] : &map->meta;
        if (shard_map_replica_on(shard, node) != NULL) {
            return true;
        }
    }
    return false;
}

/* A job that held others together has ended: those that can be stopped are. */
static void end_parent(struct meta_change *change, const struct cluster_job *job)
{
    struct job_list *jobs = &change->rows.jobs;
    for (size_t i = 0; i < jobs->count; i++) {
        struct cluster_job *child = &jobs->jobs[i];
        if (child->parent == job->id && cluster_job_active(child) && !beyond(child)) {
            end_one(change, child, JOB_CANCELLED, "the job that it belongs to has ended");
        }
    }
    bool empty = !holds_replicas(&change->rows.map, job->spec.from);
    if (job->spec.kind == JOB_REPLACE && job->state == JOB_DONE && empty) {
        set_node_state(change, job->spec.from, NODE_GONE);
    }
    bool back =
        (job->spec.kind == JOB_DRAIN || job->spec.kind == JOB_REPLACE) && job->state != JOB_DONE;
    if (back) {
        set_node_state(change, job->spec.from, NODE_UP);
    }
}

static void end(struct meta_change *change,
                struct cluster_job *job,
                enum job_state state,
                const char *result)
{
    end_one(change, job, state, result);
    if (cluster_job_has_children(job->spec.kind)) {
        end_parent(change, job);
    }
    forget_old(change);
}

void meta_jobs_end(struct meta_change *change, const struct meta_order *order)
{
    struct cluster_job *job = job_of(change, order->id);
    if (job == NULL) {
        return;
    }
    bool done = order->what == JOB_DONE;
    if (cluster_job_active(job) && job->spec.kind == JOB_MOVE && done != beyond(job)) {
        resp_write_error(change->reply, done ? "CONFLICT the old replica is still there"
                                             : "CONFLICT the move is nearly done: undo it"
                                               " afterwards");
        return;
    }
    if (cluster_job_active(job)) {
        job->bytes = order->value;
        end(change, job, (enum job_state)order->what, order->text);
    }
    resp_write_ok(change->reply);
}

/* ---- what users want of jobs and nodes ---- */

void meta_jobs_set(struct meta_change *change, const struct meta_order *order)
{
    struct cluster_job *job = job_of(change, order->id);
    if (job == NULL) {
        return;
    }
    if (!cluster_job_active(job)) {
        resp_write_errorf(change->reply, "CONFLICT job %" PRIu64 " has ended: it is %s", job->id,
                          cluster_job_state_text(job->state));
        return;
    }
    switch ((enum meta_set)order->what) {
    case META_PAUSE: job->state = JOB_PAUSED; break;
    case META_RESUME: job->state = job->step == 0 ? JOB_QUEUED : JOB_RUNNING; break;
    case META_THROTTLE: job->throttle = order->value; break;
    case META_CANCEL:
        if (beyond(job)) {
            resp_write_errorf(change->reply,
                              "CONFLICT job %" PRIu64 " is nearly done: undo it afterwards",
                              job->id);
            return;
        }
        end(change, job, JOB_CANCELLED, "cancelled by hand");
        resp_write_ok(change->reply);
        return;
    case META_SETS: break;
    }
    meta_change_put_job(change, job);
    resp_write_ok(change->reply);
}

/* NULL, or why the node cannot be taken out of the cluster. */
static const char *check_remove(const struct meta_change *change,
                                const struct node_desc *node,
                                bool down,
                                char *text)
{
    if (holds_replicas(&change->rows.map, node->id)) {
        (void)snprintf(text, JOB_FAULT_SIZE,
                       "UNSAFE node %" PRIu64 " holds replicas: drain it first", node->id);
        return text;
    }
    if (node->state != NODE_DRAINING && !down) {
        (void)snprintf(text, JOB_FAULT_SIZE,
                       "UNSAFE node %" PRIu64 " is up and takes replicas: drain it first",
                       node->id);
        return text;
    }
    const struct job_list *jobs = &change->rows.jobs;
    for (size_t i = 0; i < jobs->count; i++) {
        const struct cluster_job *job = &jobs->jobs[i];
        bool about = job->spec.from == node->id || job->spec.to == node->id;
        if (cluster_job_active(job) && about && job->state != JOB_QUEUED) {
            (void)snprintf(text, JOB_FAULT_SIZE,
                           "CONFLICT job %" PRIu64 " is about node %" PRIu64 ": wait for its end",
                           job->id, node->id);
            return text;
        }
    }
    return NULL;
}

static void remove_node(struct meta_change *change, struct node_desc *node, bool down)
{
    char text[JOB_FAULT_SIZE];
    const char *fault = check_remove(change, node, down, text);
    if (fault != NULL) {
        resp_write_error(change->reply, fault);
        return;
    }
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof(line), "remove node %" PRIu64, node->id);
    set_node_state(change, node->id, NODE_GONE);
    meta_change_note(change, 0, line, "", "it is no longer part of the cluster");
    resp_write_ok(change->reply);
}

static void undrain(struct meta_change *change, struct node_desc *node)
{
    struct cluster_job *job = node_job(change, node->id);
    char line[LINE_SIZE];
    if (job != NULL && job->spec.kind != JOB_REBUILD) {
        end(change, job, JOB_CANCELLED, "the node is to stay");
    }
    if (node->state == NODE_DRAINING) {
        set_node_state(change, node->id, NODE_UP);
        (void)snprintf(line, sizeof(line), "undrain node %" PRIu64, node->id);
        meta_change_note(change, 0, line, "", "it takes replicas again");
    }
    resp_write_ok(change->reply);
}

void meta_jobs_node(struct meta_change *change, const struct meta_order *order)
{
    struct shard_map *map = &change->rows.map;
    size_t index = meta_change_node_index(map, order->id);
    if (index == map->node_count) {
        resp_write_errorf(change->reply, "GONE there is no node %" PRIu64, order->id);
        return;
    }
    struct node_desc *node = &map->nodes[index];
    if (node->state == NODE_GONE) {
        if (order->what == META_REMOVE || order->what == META_REMOVE_DOWN ||
            order->what == META_LOST) {
            resp_write_ok(change->reply);
        } else {
            resp_write_errorf(change->reply, "CONFLICT node %" PRIu64 " is gone", node->id);
        }
        return;
    }
    switch ((enum meta_node_verb)order->what) {
    case META_REMOVE: remove_node(change, node, false); break;
    case META_REMOVE_DOWN: remove_node(change, node, true); break;
    case META_UNDRAIN: undrain(change, node); break;
    case META_LOST: meta_recover_lost(change, index); break;
    case META_DRAIN: /* Is a job. */
    case META_NODE_VERBS: resp_write_error(change->reply, "ERR not a verb for nodes"); break;
    }
}

void meta_jobs_mode(struct meta_change *change, const struct meta_order *order)
{
    static const char *const lines[BALANCER_MODES] = {"balancer on", "balancer advises only",
                                                      "balancer off"};
    if (order->value >= BALANCER_MODES) {
        resp_write_error(change->reply, "ERR not a mode of the balancer");
        return;
    }
    if (change->rows.cluster.balancer != order->value) {
        change->rows.cluster.balancer = (uint8_t)order->value;
        meta_change_note(change, 0, lines[order->value], order->why, "");
    }
    resp_write_ok(change->reply);
}

void meta_jobs_lost(struct meta_change *change, uint64_t node)
{
    struct job_list *jobs = &change->rows.jobs;
    for (size_t i = 0; i < jobs->count; i++) {
        struct cluster_job *job = &jobs->jobs[i];
        bool about = job->spec.from == node || job->spec.to == node;
        if (cluster_job_active(job) && job->spec.kind == JOB_MOVE && about && !beyond(job)) {
            end_one(change, job, JOB_FAILED, "the disk of a node was lost");
        }
    }
}

void meta_jobs_drop(struct meta_change *change, uint64_t node, uint64_t shard, const char *why)
{
    struct job_list *jobs = &change->rows.jobs;
    for (size_t i = 0; i < jobs->count; i++) {
        struct cluster_job *job = &jobs->jobs[i];
        const struct job_spec *spec = &job->spec;
        bool about = (node != 0 && (spec->from == node || spec->to == node)) ||
                     (shard != 0 && (spec->shard == shard || spec->other == shard));
        if (cluster_job_active(job) && about) {
            end_one(change, job, beyond(job) ? JOB_DONE : JOB_FAILED, why);
        }
    }
}
