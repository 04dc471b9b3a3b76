#include "common/cluster/cluster_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { JOB_FORMAT = 1, EVENT_FORMAT = 1 };

static const char *const kind_texts[JOB_KINDS] = {
    [JOB_SPLIT] = "split",       [JOB_MERGE] = "merge",         [JOB_MOVE] = "move",
    [JOB_TRANSFER] = "transfer", [JOB_DRAIN] = "drain",         [JOB_REPLACE] = "replace",
    [JOB_REBUILD] = "rebuild",   [JOB_REBALANCE] = "rebalance",
};

static const char *const state_texts[JOB_STATES] = {
    [JOB_QUEUED] = "queued", [JOB_RUNNING] = "running", [JOB_PAUSED] = "paused",
    [JOB_DONE] = "done",     [JOB_FAILED] = "failed",   [JOB_CANCELLED] = "cancelled",
};

bool cluster_job_active(const struct cluster_job *job)
{
    return job->state == JOB_QUEUED || job->state == JOB_RUNNING || job->state == JOB_PAUSED;
}

bool cluster_job_has_children(enum job_kind kind)
{
    return kind == JOB_DRAIN || kind == JOB_REPLACE || kind == JOB_REBUILD || kind == JOB_REBALANCE;
}

const char *cluster_job_kind_text(enum job_kind kind)
{
    assert(kind >= JOB_SPLIT && kind < JOB_KINDS);
    return kind_texts[kind];
}

const char *cluster_job_state_text(enum job_state state)
{
    assert(state >= JOB_QUEUED && state < JOB_STATES);
    return state_texts[state];
}

const char *job_spec_describe(const struct job_spec *spec, char *text, size_t size)
{
    assert(size > 0);
    text[0] = '\0';
    switch (spec->kind) {
    case JOB_SPLIT:
        (void)snprintf(text, size, "split shard %" PRIu64 " at token %016" PRIx64, spec->shard,
                       spec->token);
        break;
    case JOB_MERGE:
        (void)snprintf(text, size, "merge shard %" PRIu64 " into shard %" PRIu64, spec->shard,
                       spec->other);
        break;
    case JOB_MOVE:
        (void)snprintf(text, size,
                       "move a replica of shard %" PRIu64 " from node %" PRIu64 " to node %" PRIu64,
                       spec->shard, spec->from, spec->to);
        break;
    case JOB_TRANSFER:
        (void)snprintf(text, size, "let node %" PRIu64 " lead shard %" PRIu64, spec->to,
                       spec->shard);
        break;
    case JOB_DRAIN: (void)snprintf(text, size, "drain node %" PRIu64, spec->from); break;
    case JOB_REPLACE:
        (void)snprintf(text, size, "replace node %" PRIu64 " by node %" PRIu64, spec->from,
                       spec->to);
        break;
    case JOB_REBUILD:
        (void)snprintf(text, size, "rebuild the replicas of node %" PRIu64 " elsewhere",
                       spec->from);
        break;
    case JOB_REBALANCE: (void)snprintf(text, size, "rebalance"); break;
    case JOB_KINDS: break;
    }
    return text;
}

void cluster_job_text_copy(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);
    assert(size > 0);
    memset(to, 0, size);
    for (size_t i = 0; i < len; i++) {
        to[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
    }
}

bool cluster_job_text_decode(struct reader *in, char *to, size_t size)
{
    struct slice text = reader_bytes(in, size - 1);
    memset(to, 0, size);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] >= 0x7f) {
            in->failed = true;
            return false;
        }
        to[i] = (char)text.data[i];
    }
    return !in->failed;
}

/* u8 kind | u64 shard | u64 other | u64 token | u64 from | u64 to | u64 ver | u64 conf_ver |
 * reason. Texts are u32 length, bytes. */
void job_spec_encode(const struct job_spec *spec, struct buf *out)
{
    assert(spec->kind >= JOB_SPLIT && spec->kind < JOB_KINDS);
    buf_append_u8(out, (uint8_t)spec->kind);
    buf_append_u64(out, spec->shard);
    buf_append_u64(out, spec->other);
    buf_append_u64(out, spec->token);
    buf_append_u64(out, spec->from);
    buf_append_u64(out, spec->to);
    buf_append_u64(out, spec->ver);
    buf_append_u64(out, spec->conf_ver);
    buf_append_bytes(out, slice_str(spec->reason));
}

bool job_spec_decode(struct reader *in, struct job_spec *spec)
{
    *spec = (struct job_spec){0};
    unsigned kind = reader_u8(in);
    spec->shard = reader_u64(in);
    spec->other = reader_u64(in);
    spec->token = reader_u64(in);
    spec->from = reader_u64(in);
    spec->to = reader_u64(in);
    spec->ver = reader_u64(in);
    spec->conf_ver = reader_u64(in);
    if (kind < JOB_SPLIT || kind >= JOB_KINDS) {
        in->failed = true;
    }
    spec->kind = (enum job_kind)kind;
    return cluster_job_text_decode(in, spec->reason, sizeof(spec->reason));
}

/* u8 format | u64 id | u64 parent | u64 undo_of | spec | u8 state | u8 step | u64 old_replica |
 * u64 new_replica | u64 child | u64 edge | u64 throttle | u64 bytes | u64 created_ms |
 * u64 started_ms | u64 ended_ms | u8 births | births * (u64 id, u64 node) | who | result */
void cluster_job_encode(const struct cluster_job *job, struct buf *out)
{
    assert(job->id != 0 && job->state >= JOB_QUEUED && job->state < JOB_STATES);
    buf_append_u8(out, JOB_FORMAT);
    buf_append_u64(out, job->id);
    buf_append_u64(out, job->parent);
    buf_append_u64(out, job->undo_of);
    job_spec_encode(&job->spec, out);
    buf_append_u8(out, (uint8_t)job->state);
    buf_append_u8(out, job->step);
    const uint64_t numbers[] = {job->old_replica, job->new_replica, job->child,
                                job->edge,        job->throttle,    job->bytes,
                                job->created_ms,  job->started_ms,  job->ended_ms};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        buf_append_u64(out, numbers[i]);
    }
    buf_append_u8(out, (uint8_t)job->birth_count);
    for (unsigned i = 0; i < job->birth_count; i++) {
        buf_append_u64(out, job->births[i].id);
        buf_append_u64(out, job->births[i].node);
    }
    buf_append_bytes(out, slice_str(job->who));
    buf_append_bytes(out, slice_str(job->result));
}

bool cluster_job_decode(struct reader *in, struct cluster_job *job)
{
    *job = (struct cluster_job){0};
    uint8_t format = reader_u8(in);
    job->id = reader_u64(in);
    job->parent = reader_u64(in);
    job->undo_of = reader_u64(in);
    (void)job_spec_decode(in, &job->spec);
    unsigned state = reader_u8(in);
    job->step = reader_u8(in);
    uint64_t *const numbers[] = {&job->old_replica, &job->new_replica, &job->child,
                                 &job->edge,        &job->throttle,    &job->bytes,
                                 &job->created_ms,  &job->started_ms,  &job->ended_ms};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        *numbers[i] = reader_u64(in);
    }
    job->birth_count = reader_u8(in);
    if (format != JOB_FORMAT || state < JOB_QUEUED || state >= JOB_STATES || job->id == 0 ||
        job->birth_count > SHARD_REPLICAS_MAX) {
        in->failed = true;
    }
    job->state = (enum job_state)state;
    for (unsigned i = 0; !in->failed && i < job->birth_count; i++) {
        job->births[i].id = reader_u64(in);
        job->births[i].node = reader_u64(in);
    }
    return cluster_job_text_decode(in, job->who, sizeof(job->who)) &&
           cluster_job_text_decode(in, job->result, sizeof(job->result));
}

/* u8 format | u64 number | u64 time_ms | u64 job | what | why | effect */
void job_event_encode(const struct job_event *event, struct buf *out)
{
    buf_append_u8(out, EVENT_FORMAT);
    buf_append_u64(out, event->number);
    buf_append_u64(out, event->time_ms);
    buf_append_u64(out, event->job);
    buf_append_bytes(out, slice_str(event->what));
    buf_append_bytes(out, slice_str(event->why));
    buf_append_bytes(out, slice_str(event->effect));
}

bool job_event_decode(struct reader *in, struct job_event *event)
{
    *event = (struct job_event){0};
    if (reader_u8(in) != EVENT_FORMAT) {
        in->failed = true;
    }
    event->number = reader_u64(in);
    event->time_ms = reader_u64(in);
    event->job = reader_u64(in);
    return cluster_job_text_decode(in, event->what, sizeof(event->what)) &&
           cluster_job_text_decode(in, event->why, sizeof(event->why)) &&
           cluster_job_text_decode(in, event->effect, sizeof(event->effect));
}

void job_list_deinit(struct job_list *list)
{
    free(list->jobs);
    *list = (struct job_list){0};
}

void job_list_add(struct job_list *list, const struct cluster_job *job)
{
    assert(list->count == 0 || list->jobs[list->count - 1].id < job->id);
    if ((list->count & (list->count - 1)) == 0) { /* Grows at 0 and at powers of two only. */
        size_t room = list->count == 0 ? 1 : list->count * 2;
        list->jobs = realloc(list->jobs, room * sizeof(*list->jobs));
        assert(list->jobs != NULL);
    }
    list->jobs[list->count++] = *job;
}

struct cluster_job *job_list_get(const struct job_list *list, uint64_t id)
{
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->jobs[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < list->count && list->jobs[low].id == id ? &list->jobs[low] : NULL;
}

bool cluster_job_holds(const struct cluster_job *job, uint64_t shard)
{
    if (!cluster_job_active(job) || job->step == 0 || cluster_job_has_children(job->spec.kind)) {
        return false;
    }
    return job->spec.shard == shard || (job->spec.kind == JOB_MERGE && job->spec.other == shard) ||
           (job->spec.kind == JOB_SPLIT && job->child == shard);
}

const struct cluster_job *job_list_holder(const struct job_list *list, uint64_t shard)
{
    for (size_t i = 0; i < list->count; i++) {
        if (cluster_job_holds(&list->jobs[i], shard)) {
            return &list->jobs[i];
        }
    }
    return NULL;
}
