#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/control/job_check.h"
#include "server/control/steward_state.h"

/* Jobs that hold others together: a move for every replica of a node, or the list of a plan. */

enum { WAIT_MS = 1000, ROWS_MS = 2000 };

static const struct shard_desc *shard_at(const struct shard_map *map, size_t i)
{
    return i < map->shard_count ? &map->shards[i] : &map->meta;
}

static bool is_under_way(const struct steward *steward, uint64_t shard)
{
    for (size_t i = 0; i < steward->jobs.count; i++) {
        const struct cluster_job *job = &steward->jobs.jobs[i];
        bool about =
            job->spec.shard == shard || (job->spec.kind == JOB_MERGE && job->spec.other == shard);
        if (cluster_job_active(job) && about && !cluster_job_has_children(job->spec.kind)) {
            return true;
        }
    }
    return false;
}

/* What has become of the job's children, and what is left. Returns how many have not ended. */
static size_t count_children(struct steward *steward,
                             const struct cluster_job *job,
                             struct care *care)
{
    size_t active = 0;
    care->ended = 0;
    care->failed = 0;
    care->sent = 0;
    for (size_t i = 0; i < steward->jobs.count; i++) {
        const struct cluster_job *child = &steward->jobs.jobs[i];
        if (child->parent != job->id) {
            continue;
        }
        active += cluster_job_active(child);
        care->ended += child->state == JOB_DONE;
        care->failed += child->state == JOB_FAILED;
        care->sent += child->bytes;
    }
    care->size = care->sent;
    return active;
}

static size_t replicas_on(const struct shard_map *map, uint64_t node)
{
    size_t count = 0;
    for (size_t i = 0; i <= map->shard_count; i++) {
        count += shard_map_replica_on(shard_at(map, i), node) != NULL;
    }
    return count;
}

static void add_child(struct steward *steward,
                      const struct cluster_job *job,
                      struct care *care,
                      const struct job_spec *spec)
{
    struct buf items;
    buf_init(&items, JOB_SIZE_MAX);
    job_spec_encode(spec, &items);
    struct meta_order order = {
        .op = META_JOB_ADD, .parent = job->id, .count = 1, .items = buf_slice(&items)};
    cluster_job_text_copy(order.who, sizeof(order.who), job->who);
    steward_order(steward, care, &order);
    /* Not before its row is here: it would be made twice. */
    care->made = steward->jobs.count == 0 ? 0 : steward->jobs.jobs[steward->jobs.count - 1].id;
    care->made_ms = steward->now_ms;
    buf_deinit(&items);
}

/* Where the shard's replica on the node goes; 0: nowhere now. */
static uint64_t place_for(struct steward *steward,
                          const struct cluster_job *job,
                          const struct shard_desc *shard,
                          char *text)
{
    struct job_plan_view view = steward_view(steward);
    uint64_t to = job->spec.to;
    if (job->spec.kind != JOB_REPLACE) {
        to = job_plan_target(&view, shard, job->spec.from, text);
    } else if (shard_map_replica_on(shard, to) != NULL) {
        to = job_plan_target(&view, shard, job->spec.from, text); /* It has one already. */
    }
    const char *full = to == 0 ? NULL : steward_budget(steward, job->spec.from, to);
    if (full != NULL) {
        (void)snprintf(text, JOB_PLAN_TEXT_SIZE, "%s", full);
    }
    return full != NULL ? 0 : to;
}

/* One more move off the node. */
static void empty_node(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    char text[JOB_PLAN_TEXT_SIZE] = "moves its replicas to other nodes";
    const struct shard_map *map = &steward->map;
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = shard_at(map, i);
        if (shard_map_replica_on(shard, job->spec.from) == NULL ||
            is_under_way(steward, shard->id)) {
            continue;
        }
        uint64_t to = place_for(steward, job, shard, text);
        if (to == 0) {
            continue;
        }
        struct job_spec spec = {
            .kind = JOB_MOVE, .shard = shard->id, .from = job->spec.from, .to = to};
        add_child(steward, job, care, &spec);
        return;
    }
    steward_wait(steward, care, STEWARD_TICK_MS, text);
}

static void drive_node(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    size_t active = count_children(steward, job, care);
    care->left = replicas_on(&steward->map, job->spec.from) + active;
    bool back =
        job->spec.kind == JOB_REBUILD && steward->env.is_up(steward->env.ctx, job->spec.from);
    if (back) {
        steward_end(steward, job, JOB_CANCELLED, "the node is back");
    } else if (care->left == 0) {
        steward_end(steward, job, JOB_DONE, "");
    } else {
        empty_node(steward, job, care);
    }
}

static void drive_list(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    care->left = count_children(steward, job, care);
    char text[JOB_TEXT_SIZE_MAX];
    (void)snprintf(text, sizeof(text), "%" PRIu64 " steps left", care->left);
    if (care->left > 0) {
        steward_wait(steward, care, STEWARD_TICK_MS, text);
        return;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64 " steps could not be done", care->failed);
    steward_end(steward, job, JOB_DONE, care->failed == 0 ? "" : text);
}

void steward_parent_drive(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    if (job->step == 0) {
        steward_step(steward, job);
        return;
    }
    const struct job_list *jobs = &steward->jobs;
    bool newer = jobs->count > 0 && jobs->jobs[jobs->count - 1].id > care->made;
    if (care->made != 0 && !newer && steward->now_ms - care->made_ms < ROWS_MS) {
        return;
    }
    care->made = 0;
    if (job->spec.kind == JOB_REBALANCE) {
        drive_list(steward, job, care);
    } else {
        drive_node(steward, job, care);
    }
}

/* ---- nodes that do not come back ---- */

/* Since when the node does not answer; 0: it does. */
static uint64_t down_since(struct steward *steward, uint64_t node)
{
    uint64_t *since = map_get(&steward->downs, node);
    if (steward->env.is_up(steward->env.ctx, node)) {
        free(map_remove(&steward->downs, node));
        return 0;
    }
    if (since == NULL) {
        since = malloc(sizeof(*since));
        assert(since != NULL);
        *since = steward->now_ms;
        (void)map_put(&steward->downs, node, since);
    }
    return *since;
}

static bool has_node_job(const struct steward *steward, uint64_t node)
{
    for (size_t i = 0; i < steward->jobs.count; i++) {
        const struct cluster_job *job = &steward->jobs.jobs[i];
        bool whole = job->spec.kind == JOB_DRAIN || job->spec.kind == JOB_REPLACE ||
                     job->spec.kind == JOB_REBUILD;
        if (cluster_job_active(job) && whole && job->spec.from == node) {
            return true;
        }
    }
    return false;
}

static void rebuild(struct steward *steward, uint64_t node, uint64_t down_ms)
{
    struct care *care = steward_care(steward, 0);
    if (care->waits || steward->now_ms < care->next_ms) {
        return;
    }
    struct job_spec spec = {.kind = JOB_REBUILD, .from = node};
    char fault[JOB_FAULT_SIZE];
    if (job_check(&steward->map, &spec, fault) != NULL) {
        return; /* Too few are left: it has to come back. */
    }
    (void)snprintf(spec.reason, sizeof(spec.reason), "it has not answered for %" PRIu64 " seconds",
                   down_ms / 1000);
    log_warn("node.rebuild", "node=%" PRIu64 " down_ms=%" PRIu64, node, down_ms);
    struct buf items;
    buf_init(&items, JOB_SIZE_MAX);
    job_spec_encode(&spec, &items);
    struct meta_order order = {
        .op = META_JOB_ADD, .who = "steward", .count = 1, .items = buf_slice(&items)};
    steward_order(steward, care, &order);
    care->next_ms = steward->now_ms + ROWS_MS;
    buf_deinit(&items);
}

void steward_parent_look(struct steward *steward)
{
    const struct shard_map *map = &steward->map;
    size_t members = 0;
    size_t up = 0;
    uint64_t longest_ms = 0;
    uint64_t lost = 0;
    for (size_t i = 0; i < map->node_count; i++) {
        const struct node_desc *node = &map->nodes[i];
        if (node->state == NODE_GONE) {
            continue;
        }
        uint64_t since_ms = down_since(steward, node->id);
        members++;
        up += since_ms == 0;
        bool rebuilt = since_ms == 0 || node->state != NODE_UP || replicas_on(map, node->id) == 0 ||
                       has_node_job(steward, node->id);
        uint64_t down_ms = rebuilt ? 0 : steward->now_ms - since_ms;
        if (down_ms > longest_ms) {
            longest_ms = down_ms;
            lost = node->id;
        }
    }
    /* Who sees less than most of the nodes is more likely lost itself. */
    bool sure = up > members / 2;
    if (sure && steward->rebuild_after_ms != 0 && lost != 0 &&
        longest_ms >= steward->rebuild_after_ms) {
        rebuild(steward, lost, longest_ms);
    }
}
