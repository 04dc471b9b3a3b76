#include "server/control/steward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/control/steward_state.h"

enum {
    RETRY_MS = 500,
    LOOK_MS = 1000,
    TAG_QUESTION_BITS = 8,
    QUEUED_MAX = 64, /* That are looked at in one tick: more could not begin anyway. */
};

struct steward *steward_new(const struct steward_env *env)
{
    struct steward *steward = calloc(1, sizeof(*steward));
    assert(steward != NULL);
    steward->env = *env;
    shard_map_init(&steward->map);
    map_init(&steward->cares);
    map_init(&steward->downs);
    return steward;
}

static void free_values(struct map *map)
{
    size_t at = 0;
    for (void *value; (value = map_next(map, &at)) != NULL;) {
        free(value);
    }
    map_deinit(map);
    map_init(map);
}

void steward_free(struct steward *steward)
{
    free_values(&steward->cares);
    free_values(&steward->downs);
    shard_map_deinit(&steward->map);
    job_list_deinit(&steward->jobs);
    free(steward);
}

void steward_set_rebuild(struct steward *steward, uint64_t after_ms)
{
    steward->rebuild_after_ms = after_ms;
}

/* Ends that came since the last rows. */
static void count_ends(struct steward *steward, const struct job_list *fresh)
{
    for (size_t i = 0; i < fresh->count; i++) {
        const struct cluster_job *now = &fresh->jobs[i];
        const struct cluster_job *then = job_list_get(&steward->jobs, now->id);
        if (then == NULL || !cluster_job_active(then) || cluster_job_active(now)) {
            continue;
        }
        steward->counts.done += now->state == JOB_DONE;
        steward->counts.failed += now->state == JOB_FAILED;
        steward->counts.bytes += now->bytes;
        log_info("job.ended", "job=%" PRIu64 " kind=%s state=%s result=\"%s\"", now->id,
                 cluster_job_kind_text(now->spec.kind), cluster_job_state_text(now->state),
                 now->result);
    }
}

void steward_take(struct steward *steward, struct shard_map *map, struct job_list *jobs)
{
    struct shard_map old_map = steward->map;
    count_ends(steward, jobs);
    struct job_list old_jobs = steward->jobs;
    steward->map = *map;
    steward->jobs = *jobs;
    *map = old_map;
    *jobs = old_jobs;
    shard_map_deinit(map);
    job_list_deinit(jobs);
}

struct care *steward_care(struct steward *steward, uint64_t job)
{
    struct care *care = map_get(&steward->cares, job);
    if (care == NULL) {
        care = calloc(1, sizeof(*care));
        assert(care != NULL);
        care->job = job;
        care->begun_ms = steward->now_ms;
        (void)map_put(&steward->cares, job, care);
    }
    return care;
}

void steward_wait(struct steward *steward, struct care *care, uint64_t ms, const char *text)
{
    care->next_ms = steward->now_ms + ms;
    if (text != care->text) {
        cluster_job_text_copy(care->text, sizeof(care->text), text);
    }
}

struct job_plan_view steward_view(const struct steward *steward)
{
    return (struct job_plan_view){.map = &steward->map,
                                  .jobs = &steward->jobs,
                                  .is_up = steward->env.is_up,
                                  .ctx = steward->env.ctx};
}

static const char *reply_text(struct slice reply, char *text, size_t size)
{
    (void)snprintf(text, size, "%.*s", (int)(reply.len < 1 ? 0 : reply.len - 1),
                   (const char *)reply.data + 1);
    text[strcspn(text, "\r\n")] = '\0';
    return text;
}

/* The answer to an order that was refused: the rows may be newer by now, so it is looked at anew.
 */
static void refused(struct steward *steward,
                    const struct cluster_job *job,
                    struct care *care,
                    struct slice reply)
{
    char text[JOB_TEXT_SIZE_MAX];
    reply_text(reply, text, sizeof(text));
    bool later = strncmp(text, "CONFLICT job ", 13) == 0 || strncmp(text, "TRYAGAIN", 8) == 0;
    bool first = job->state == JOB_QUEUED && job->step == 0;
    steward_wait(steward, care, RETRY_MS, text);
    if (first && !later) {
        steward_end(steward, job, JOB_FAILED, text);
    }
}

static void on_answer(const struct errand_order *order, enum status status, struct slice reply)
{
    struct steward *steward = order->ctx;
    uint64_t asked = order->tag >> TAG_QUESTION_BITS;
    enum steward_question question =
        (enum steward_question)(order->tag & ((1U << TAG_QUESTION_BITS) - 1));
    struct care *care = NULL;
    size_t at = 0;
    while ((care = map_next(&steward->cares, &at)) != NULL && care->asked != asked) {
    }
    if (care == NULL || !care->waits) {
        return; /* Of an earlier leadership. */
    }
    care->waits = false;
    const struct cluster_job *job = job_list_get(&steward->jobs, care->job);
    if (job == NULL || !cluster_job_active(job)) {
        return;
    }
    if (question == STEWARD_DIVIDE && status_class(status) == STATUS_CLASS_CALLER_FAULT) {
        steward_end(steward, job, JOB_FAILED,
                    "the shard's node runs a version that cannot do that");
    } else if (status != STATUS_OK) {
        char text[JOB_TEXT_SIZE_MAX];
        (void)snprintf(text, sizeof(text), "no answer yet: %s", status_text(status));
        steward_wait(steward, care, RETRY_MS, text);
    } else if (question != STEWARD_ORDER) {
        steward_leaf_answer(steward, job, care, question, reply);
    } else if (reply.len > 0 && reply.data[0] == '-') {
        refused(steward, job, care, reply);
    } else {
        /* The rows that it made may still be on their way. */
        steward_wait(steward, care, STEWARD_TICK_MS, care->text);
    }
}

void steward_ask(struct steward *steward,
                 struct care *care,
                 uint64_t shard,
                 struct args args,
                 enum steward_question question)
{
    assert(!care->waits);
    care->waits = true;
    care->asked = ++steward->asks;
    struct errand_order order = {.shard = shard,
                                 .args = args,
                                 .term = shard == SHARD_META ? 0 : steward->term,
                                 .ctx = steward,
                                 .tag = care->asked << TAG_QUESTION_BITS | (uint64_t)question,
                                 .done = on_answer};
    steward->env.ask(steward->env.ctx, &order);
}

void steward_order(struct steward *steward, struct care *care, const struct meta_order *order)
{
    struct buf bytes;
    buf_init(&bytes, META_ORDER_SIZE_MAX);
    meta_order_encode(order, &bytes);
    struct slice argv[] = {slice_str("META.ORDER"), buf_slice(&bytes)};
    steward_ask(steward, care, SHARD_META, (struct args){.argv = argv, .argc = 2}, STEWARD_ORDER);
    buf_deinit(&bytes);
}

void steward_step(struct steward *steward, const struct cluster_job *job)
{
    struct meta_order order = {.op = META_JOB_STEP, .id = job->id, .what = job->step};
    steward_order(steward, steward_care(steward, job->id), &order);
}

void steward_end(struct steward *steward,
                 const struct cluster_job *job,
                 enum job_state state,
                 const char *why)
{
    struct care *care = steward_care(steward, job->id);
    struct meta_order order = {.op = META_JOB_END, .id = job->id, .what = (uint8_t)state};
    order.value = care->size;
    cluster_job_text_copy(order.text, sizeof(order.text), why);
    steward_order(steward, care, &order);
}

const char *steward_budget(const struct steward *steward, uint64_t from, uint64_t to)
{
    unsigned in = 0;
    unsigned out = 0;
    for (size_t i = 0; i < steward->jobs.count; i++) {
        const struct cluster_job *job = &steward->jobs.jobs[i];
        if (!cluster_job_active(job) || job->spec.kind != JOB_MOVE || job->step == 0) {
            continue;
        }
        in += job->spec.to == to;
        out += job->spec.from == from;
    }
    bool up = steward->env.is_up(steward->env.ctx, from);
    unsigned out_max = up ? STEWARD_MOVES_OUT_MAX : STEWARD_MOVES_LOST_MAX;
    if (in >= STEWARD_MOVES_IN_MAX) {
        return "waits until fewer replicas are on their way to that node";
    }
    return out >= out_max ? "waits until fewer replicas are on their way from that node" : NULL;
}

static bool is_paused(const struct steward *steward, const struct cluster_job *job)
{
    const struct cluster_job *parent = job_list_get(&steward->jobs, job->parent);
    return job->state == JOB_PAUSED || (parent != NULL && parent->state == JOB_PAUSED);
}

static void drive(struct steward *steward, const struct cluster_job *job)
{
    struct care *care = steward_care(steward, job->id);
    if (care->waits || steward->now_ms < care->next_ms) {
        return;
    }
    if (is_paused(steward, job)) {
        steward_wait(steward, care, STEWARD_TICK_MS, "paused");
    } else if (cluster_job_has_children(job->spec.kind)) {
        steward_parent_drive(steward, job, care);
    } else {
        steward_leaf_drive(steward, job, care);
    }
}

/* Jobs that have ended are cared for no more. */
static void forget(struct steward *steward)
{
    size_t at = 0;
    for (struct care *care; (care = map_next(&steward->cares, &at)) != NULL;) {
        const struct cluster_job *job = job_list_get(&steward->jobs, care->job);
        if (job != NULL && !cluster_job_active(job) && !care->waits) {
            (void)map_remove(&steward->cares, care->job);
            free(care);
        }
    }
}

void steward_tick(struct steward *steward, uint64_t now_ms, uint64_t term)
{
    steward->now_ms = now_ms;
    if (term != steward->term) {
        steward->term = term;
        free_values(&steward->cares);
        free_values(&steward->downs);
    }
    if (term == 0 || steward->map.version == 0) {
        return;
    }
    unsigned queued = 0;
    for (size_t i = 0; i < steward->jobs.count; i++) {
        const struct cluster_job *job = &steward->jobs.jobs[i];
        queued += job->state == JOB_QUEUED && !cluster_job_has_children(job->spec.kind);
        bool later = job->state == JOB_QUEUED && queued > QUEUED_MAX;
        if (cluster_job_active(job) && !later) {
            drive(steward, job);
        }
    }
    if (now_ms >= steward->look_ms) {
        steward->look_ms = now_ms + LOOK_MS;
        forget(steward);
        steward_parent_look(steward);
    }
}

const struct shard_map *steward_map(const struct steward *steward)
{
    return &steward->map;
}

const struct job_list *steward_jobs(const struct steward *steward)
{
    return &steward->jobs;
}

bool steward_leads(const struct steward *steward)
{
    return steward->term != 0;
}

uint64_t steward_term(const struct steward *steward)
{
    return steward->term;
}

static unsigned leaf_percent(const struct cluster_job *job, const struct care *care)
{
    enum { PERCENT_BEGUN = 5, PERCENT_SENT = 90, PERCENT_LAST = 95 };
    if (job->step == 0) {
        return 0;
    }
    if (job->step > 1) {
        return PERCENT_LAST;
    }
    if (care == NULL || care->votes) {
        return care == NULL ? PERCENT_BEGUN : PERCENT_SENT;
    }
    uint64_t span = PERCENT_SENT - PERCENT_BEGUN;
    return PERCENT_BEGUN + (care->size == 0 ? 0 : (unsigned)(span * care->sent / care->size));
}

void steward_progress(const struct steward *steward,
                      const struct cluster_job *job,
                      struct steward_progress *progress)
{
    enum { WHOLE = 100 };
    const struct care *care = map_get(&steward->cares, job->id);
    *progress = (struct steward_progress){.eta_ms = UINT64_MAX};
    if (!cluster_job_active(job)) {
        progress->percent = job->state == JOB_DONE ? WHOLE : 0;
        progress->bytes = job->bytes;
        progress->size = job->bytes;
        return;
    }
    if (care != NULL) {
        (void)snprintf(progress->text, sizeof(progress->text), "%s", care->text);
        progress->bytes = care->sent;
        progress->size = care->size;
        progress->rate = care->rate;
    }
    if (!cluster_job_has_children(job->spec.kind)) {
        progress->percent = leaf_percent(job, care);
        if (care != NULL && care->rate > 0 && care->size >= care->sent) {
            progress->eta_ms = (care->size - care->sent) * 1000 / care->rate;
        }
        return;
    }
    uint64_t all = care == NULL ? 0 : care->left + care->ended;
    progress->percent = all == 0 ? 0 : (unsigned)(care->ended * WHOLE / all);
    if (care != NULL && care->ended > 0) {
        progress->eta_ms = (steward->now_ms - care->begun_ms) * care->left / care->ended;
    }
}

void steward_count(const struct steward *steward, struct steward_counts *counts)
{
    *counts = steward->counts;
    for (size_t i = 0; i < steward->jobs.count; i++) {
        counts->running += steward->jobs.jobs[i].state == JOB_RUNNING;
        counts->waiting += steward->jobs.jobs[i].state == JOB_QUEUED;
    }
}
