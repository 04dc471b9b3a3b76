#include <inttypes.h>
#include <stdio.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "server/control/steward_state.h"

/* Jobs about one shard: what is looked at, and what follows from it. */

enum {
    LOOK_MS = 200,      /* Between looks at a group that changes. */
    LAG_MAX = 1000,     /* Entries that a replica which counts may be behind. */
    LEAD_MS = 60000,    /* A transfer that does not come about in that time is given up. */
    DIVIDE_MS = 120000, /* The same of a split or merge. */
    NUMBER_SIZE = 24,
    MEMBERS_ARGC_MAX = 5 + 2 * SHARD_REPLICAS_MAX,
};

static struct slice number_arg(char *storage, uint64_t number)
{
    int len = snprintf(storage, NUMBER_SIZE, "%" PRIu64, number);
    assert(len > 0 && len < NUMBER_SIZE);
    return slice_of(storage, (size_t)len);
}

static bool is_up(const struct steward *steward, uint64_t node)
{
    return steward->env.is_up(steward->env.ctx, node);
}

static void ask_report(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    struct slice name = slice_str("GROUP.INFO");
    steward_ask(steward, care, job->spec.shard, (struct args){.argv = &name, .argc = 1},
                STEWARD_REPORT);
}

/* True if the node has not answered for so long that the job is given up. */
static bool is_lost(struct steward *steward, struct care *care, uint64_t node)
{
    const struct node_desc *desc = shard_map_node(&steward->map, node);
    bool takes = desc != NULL && desc->state == NODE_UP;
    if (takes && is_up(steward, node)) {
        care->gone_ms = 0;
        return false;
    }
    if (care->gone_ms == 0) {
        care->gone_ms = steward->now_ms;
    }
    return !takes || steward->now_ms - care->gone_ms > STEWARD_GONE_MS;
}

static void drive_queued(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    const struct job_list *jobs = &steward->jobs;
    const struct cluster_job *holder = job_list_holder(jobs, job->spec.shard);
    if (holder == NULL && job->spec.kind == JOB_MERGE) {
        holder = job_list_holder(jobs, job->spec.other);
    }
    if (holder != NULL) {
        char text[JOB_TEXT_SIZE_MAX];
        (void)snprintf(text, sizeof(text), "waits for job %" PRIu64, holder->id);
        steward_wait(steward, care, STEWARD_TICK_MS, text);
        return;
    }
    const char *full =
        job->spec.kind != JOB_MOVE ? NULL : steward_budget(steward, job->spec.from, job->spec.to);
    if (full != NULL) {
        steward_wait(steward, care, STEWARD_TICK_MS, full);
        return;
    }
    if (job->spec.kind == JOB_MOVE && !is_up(steward, job->spec.to)) {
        if (is_lost(steward, care, job->spec.to)) {
            steward_end(steward, job, JOB_FAILED, "the node that it should go to does not answer");
        } else {
            steward_wait(steward, care, LOOK_MS, "waits for the node that it goes to");
        }
        return;
    }
    steward_step(steward, job);
}

static void drive_move(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    if (job->step == 1 && is_lost(steward, care, job->spec.to)) {
        steward_end(
            steward, job, JOB_FAILED,
            "the node that it was moved to does not answer, or drains; nothing has changed");
        return;
    }
    ask_report(steward, job, care);
}

static void drive_transfer(struct steward *steward,
                           const struct cluster_job *job,
                           struct care *care)
{
    struct leader_hint hint = {0};
    const struct shard_desc *shard = shard_map_shard(&steward->map, job->spec.shard);
    const struct replica_desc *replica =
        shard == NULL ? NULL : shard_map_replica_on(shard, job->spec.to);
    if (replica == NULL) {
        steward_end(steward, job, JOB_FAILED, "the shard has no replica there any more");
        return;
    }
    bool known = steward->env.leader(steward->env.ctx, job->spec.shard, &hint);
    if (known && hint.node == job->spec.to) {
        steward_end(steward, job, JOB_DONE, "");
        return;
    }
    if (steward->now_ms - care->begun_ms > LEAD_MS) {
        steward_end(steward, job, JOB_FAILED,
                    "the node did not become ready to lead within a minute");
        return;
    }
    char text[NUMBER_SIZE];
    struct slice argv[] = {slice_str("GROUP.LEAD"), number_arg(text, replica->id)};
    steward_ask(steward, care, job->spec.shard, (struct args){.argv = argv, .argc = 2},
                STEWARD_LEAD);
}

static void drive_split(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    const struct shard_desc *shard = shard_map_shard(&steward->map, job->spec.shard);
    if (shard_map_shard(&steward->map, job->child) != NULL) {
        steward_end(steward, job, JOB_DONE, "");
        return;
    }
    if (shard == NULL || steward->now_ms - care->begun_ms > DIVIDE_MS) {
        steward_end(
            steward, job, JOB_FAILED,
            shard == NULL ? "the shard was merged into another" : "it did not come about in time");
        return;
    }
    char texts[4][NUMBER_SIZE];
    char members[2 * SHARD_REPLICAS_MAX][NUMBER_SIZE];
    struct slice argv[MEMBERS_ARGC_MAX] = {
        slice_str("shard_split"), number_arg(texts[0], job->spec.ver),
        number_arg(texts[1], job->spec.token), number_arg(texts[2], job->child),
        number_arg(texts[3], job->id)};
    size_t argc = 5;
    for (unsigned i = 0; i < job->birth_count; i++) {
        argv[argc] = number_arg(members[2 * i], job->births[i].node);
        argv[argc + 1] = number_arg(members[2 * i + 1], job->births[i].id);
        argc += 2;
    }
    steward_ask(steward, care, job->spec.shard, (struct args){.argv = argv, .argc = argc},
                STEWARD_DIVIDE);
}

static void drive_merge(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    const struct shard_desc *source = shard_map_shard(&steward->map, job->spec.shard);
    const struct shard_desc *target = shard_map_shard(&steward->map, job->spec.other);
    if (source == NULL) {
        steward_end(steward, job, JOB_DONE, "");
        return;
    }
    if (target == NULL || steward->now_ms - care->begun_ms > DIVIDE_MS) {
        steward_end(steward, job, JOB_FAILED,
                    target == NULL ? "the other shard is gone" : "it did not come about in time");
        return;
    }
    char texts[4][NUMBER_SIZE];
    struct slice argv[] = {slice_str("shard_merge"), number_arg(texts[0], target->ver),
                           number_arg(texts[1], source->ver), number_arg(texts[2], target->id),
                           number_arg(texts[3], job->id)};
    steward_ask(steward, care, job->spec.shard, (struct args){.argv = argv, .argc = 5},
                STEWARD_DIVIDE);
}

void steward_leaf_drive(struct steward *steward, const struct cluster_job *job, struct care *care)
{
    if (job->step == 0) {
        drive_queued(steward, job, care);
        return;
    }
    switch (job->spec.kind) {
    case JOB_MOVE: drive_move(steward, job, care); break;
    case JOB_TRANSFER: drive_transfer(steward, job, care); break;
    case JOB_SPLIT: drive_split(steward, job, care); break;
    case JOB_MERGE: drive_merge(steward, job, care); break;
    case JOB_DRAIN:
    case JOB_REPLACE:
    case JOB_REBUILD:
    case JOB_REBALANCE:
    case JOB_KINDS: assert(false);
    }
}

/* Index in the report, count if it is not a member. */
static unsigned member_of(const struct group_report *report, uint64_t replica)
{
    unsigned i = 0;
    while (i < report->count && report->members[i].replica != replica) {
        i++;
    }
    return i;
}

static bool votes(const struct group_report *report, unsigned i)
{
    return i < report->count && report->members[i].role == MEMBER_VOTER &&
           report->members[i].connected &&
           report->members[i].match + LAG_MAX >= report->commit_index;
}

static void rate(struct steward *steward, struct care *care, uint64_t sent)
{
    enum { SPAN_MS = 1000 };
    uint64_t span_ms = steward->now_ms - care->rated_ms;
    if (care->rated_ms == 0 || sent < care->sent) {
        care->rated_ms = steward->now_ms;
    } else if (span_ms >= SPAN_MS) {
        uint64_t now = (sent - care->sent) * 1000 / span_ms;
        care->rate = care->rate == 0 ? now : (care->rate + now) / 2;
        care->rated_ms = steward->now_ms;
    } else {
        return; /* Too soon to tell. */
    }
    care->sent = sent;
}

/* The sender is told how fast it may send, if it was told something else before. */
static void pace(struct steward *steward,
                 const struct cluster_job *job,
                 struct care *care,
                 uint64_t rate)
{
    if (care->paced == rate) {
        return;
    }
    char texts[2][NUMBER_SIZE];
    struct slice argv[] = {slice_str("GROUP.PACE"), number_arg(texts[0], job->new_replica),
                           number_arg(texts[1], rate)};
    care->paced = rate;
    steward_ask(steward, care, job->spec.shard, (struct args){.argv = argv, .argc = 3},
                STEWARD_LEAD);
}

/* The new replica is on its way. */
static void look_at_new(struct steward *steward,
                        const struct cluster_job *job,
                        struct care *care,
                        const struct group_report *report)
{
    unsigned i = member_of(report, job->new_replica);
    if (votes(report, i)) {
        care->votes = true;
        care->size = care->size == 0 ? report->size : care->size; /* It went faster than looks. */
        care->sent = care->size;
        steward_step(steward, job);
        return;
    }
    if (i == report->count) {
        steward_wait(steward, care, LOOK_MS, "waits for the shard's leader to add the replica");
    } else if (report->members[i].size > 0) {
        care->size = report->members[i].size;
        rate(steward, care, report->members[i].sent);
        steward_wait(steward, care, LOOK_MS, "sends the data");
    } else if (!report->members[i].connected) {
        steward_wait(steward, care, LOOK_MS, "the shard's leader does not reach the new replica");
    } else {
        steward_wait(steward, care, LOOK_MS,
                     report->members[i].match == 0 ? "prepares the data" : "catches up");
    }
    if (i < report->count && report->members[i].size > 0) {
        const struct cluster_job *parent = job_list_get(&steward->jobs, job->parent);
        bool own = job->throttle != 0 || parent == NULL;
        pace(steward, job, care, own ? job->throttle : parent->throttle);
    }
}

/* The old replica is let go by the group. */
static void look_at_old(struct steward *steward,
                        const struct cluster_job *job,
                        struct care *care,
                        const struct group_report *report)
{
    unsigned new = member_of(report, job->new_replica);
    bool member = new < report->count && report->members[new].role == MEMBER_VOTER;
    if (care->paced != 0) { /* It is the shard's, and would outlive the job. */
        pace(steward, job, care, 0);
        return;
    }
    if (member && member_of(report, job->old_replica) == report->count) {
        steward_end(steward, job, JOB_DONE, "");
        return;
    }
    steward_wait(steward, care, LOOK_MS, "lets the old replica go");
}

static void on_report(struct steward *steward,
                      const struct cluster_job *job,
                      struct care *care,
                      struct slice reply)
{
    struct group_report report;
    if (!group_ask_read_report(reply, &report)) {
        steward_wait(steward, care, LOOK_MS, "the shard's leader answered nonsense");
    } else if (job->step == 1) {
        look_at_new(steward, job, care, &report);
    } else {
        look_at_old(steward, job, care, &report);
    }
}

static void on_divided(struct steward *steward,
                       const struct cluster_job *job,
                       struct care *care,
                       struct slice reply)
{
    struct resp_value value;
    char text[JOB_TEXT_SIZE_MAX] = "waits for the shard to say that it is done";
    bool error = resp_value_read(reply, &value) == STATUS_OK && value.type == '-';
    if (error) {
        (void)snprintf(text, sizeof(text), "%.*s", (int)value.bytes.len,
                       (const char *)value.bytes.data);
    }
    bool later = strncmp(text, "RETRY", 5) == 0 || strncmp(text, "STALE", 5) == 0;
    if (error && !later) {
        steward_end(steward, job, JOB_FAILED, text);
        return;
    }
    steward_wait(steward, care, LOOK_MS, text);
}

void steward_leaf_answer(struct steward *steward,
                         const struct cluster_job *job,
                         struct care *care,
                         enum steward_question question,
                         struct slice reply)
{
    if (question == STEWARD_REPORT && job->spec.kind == JOB_MOVE && job->step > 0) {
        on_report(steward, job, care, reply);
    } else if (question == STEWARD_DIVIDE) {
        on_divided(steward, job, care, reply);
    } else {
        steward_wait(steward, care, LOOK_MS, care->text);
    }
}
