#include "server/control/admin_desk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"
#include "server/control/job_check.h"
#include "server/control/meta_rows.h"
#include "server/control/steward_state.h"

enum { ENDED_SHOWN = 20, EVENTS_SHOWN = 50, JOB_FIELDS = 21, TOKEN_DIGITS = 16 };

/* One command at the desk. */
struct call {
    const struct steward *steward;
    struct args args;
    uint64_t wall_ms;
    struct meta_order *order;
    struct buf *items;
    struct buf *reply;
    bool dry;
};

static bool number_of(struct slice text, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return text.len > 0 && text.len < 19;
}

static bool token_of_text(struct slice text, uint64_t *token)
{
    *token = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)c - '0'
                         : c >= 'a' && c <= 'f' ? (unsigned)c - 'a' + 10U
                         : c >= 'A' && c <= 'F' ? (unsigned)c - 'A' + 10U
                                                : 16U;
        if (digit > 15) {
            return false;
        }
        *token = *token << 4 | digit;
    }
    return text.len == TOKEN_DIGITS;
}

static enum desk_answer fail(struct call *call, const char *text)
{
    resp_write_error(call->reply, text);
    return DESK_ANSWERED;
}

static bool is_word(const struct call *call, size_t at, const char *word)
{
    return at < call->args.argc && command_word(call->args.argv[at], word);
}

/* ---- showing ---- */

static void field_int(struct buf *out, const char *name, uint64_t value)
{
    resp_write_text(out, name);
    resp_write_int(out, (int64_t)value);
}

static void field_text(struct buf *out, const char *name, const char *value)
{
    resp_write_text(out, name);
    resp_write_text(out, value);
}

static void write_job(const struct call *call, const struct cluster_job *job)
{
    struct buf *out = call->reply;
    struct steward_progress progress;
    char what[JOB_TEXT_SIZE_MAX];
    steward_progress(call->steward, job, &progress);
    resp_write_map(out, JOB_FIELDS);
    field_int(out, "id", job->id);
    field_int(out, "parent", job->parent);
    field_text(out, "kind", cluster_job_kind_text(job->spec.kind));
    field_text(out, "what", job_spec_describe(&job->spec, what, sizeof(what)));
    field_text(out, "state", cluster_job_state_text(job->state));
    field_int(out, "step", job->step);
    field_int(out, "percent", progress.percent);
    field_int(out, "bytes", progress.bytes);
    field_int(out, "size", progress.size);
    field_int(out, "rate", progress.rate);
    field_int(out, "eta_ms", progress.eta_ms);
    field_text(out, "doing", progress.text);
    field_text(out, "reason", job->spec.reason);
    field_text(out, "result", job->result);
    field_text(out, "who", job->who);
    field_int(out, "undo_of", job->undo_of);
    field_int(out, "throttle", job->throttle);
    field_int(out, "created_ms", job->created_ms);
    field_int(out, "started_ms", job->started_ms);
    field_int(out, "ended_ms", job->ended_ms);
    field_int(out, "now_ms", call->wall_ms);
}

static enum desk_answer list_jobs(struct call *call)
{
    const struct job_list *jobs = steward_jobs(call->steward);
    bool all = is_word(call, 3, "ALL");
    if (call->args.argc > 3 + (size_t)all) {
        return fail(call, "ERR usage: SHERD JOB LIST [ALL]");
    }
    size_t shown = 0;
    size_t ended = 0;
    for (size_t i = 0; i < jobs->count; i++) {
        ended += !cluster_job_active(&jobs->jobs[i]);
    }
    size_t at = call->reply->len;
    for (size_t i = 0; i < jobs->count; i++) {
        bool active = cluster_job_active(&jobs->jobs[i]);
        if (active || all || ended <= ENDED_SHOWN) {
            write_job(call, &jobs->jobs[i]);
            shown++;
        }
        ended -= !active;
    }
    resp_insert_array(call->reply, at, shown);
    return DESK_ANSWERED;
}

/* The job of argument 3; NULL: answered. */
static const struct cluster_job *job_of(struct call *call)
{
    uint64_t id = 0;
    const struct cluster_job *job = NULL;
    if (call->args.argc < 4 || !number_of(call->args.argv[3], &id)) {
        (void)fail(call, "ERR give the number of a job; SHERD JOB LIST shows them");
        return NULL;
    }
    job = job_list_get(steward_jobs(call->steward), id);
    if (job == NULL) {
        resp_write_errorf(call->reply, "GONE there is no job %" PRIu64, id);
    }
    return job;
}

/* ---- plans and orders ---- */

static void write_plan(struct call *call, const struct job_spec *specs, size_t count)
{
    struct buf *out = call->reply;
    char text[JOB_TEXT_SIZE_MAX];
    size_t moves = 0;
    if (count > 0 && specs[0].kind == JOB_REBALANCE) { /* It only holds the others together. */
        specs++;
        count--;
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct steward_env *env = &call->steward->env;
        bool move = specs[i].kind == JOB_MOVE;
        moves += move;
        bytes += move && env->size != NULL ? env->size(env->ctx, specs[i].shard) : 0;
    }
    resp_write_map(out, 4);
    (void)snprintf(text, sizeof(text), "%016" PRIx64, job_plan_hash(specs, count));
    field_text(out, "hash", text);
    resp_write_text(out, "steps");
    resp_write_array(out, count);
    for (size_t i = 0; i < count; i++) {
        resp_write_text(out, job_spec_describe(&specs[i], text, sizeof(text)));
    }
    field_int(out, "moves", moves);
    field_int(out, "bytes", bytes);
}

/* The jobs become an order, or are shown. The first may hold the others together. */
static enum desk_answer propose(struct call *call, const struct job_spec *specs, size_t count)
{
    char fault[JOB_FAULT_SIZE];
    for (size_t i = 0; i < count; i++) {
        struct job_spec spec = specs[i];
        const char *text = job_check(steward_map(call->steward), &spec, fault);
        if (text != NULL) {
            return fail(call, text);
        }
        job_spec_encode(&spec, call->items);
    }
    if (call->dry) {
        write_plan(call, specs, count);
        return DESK_ANSWERED;
    }
    call->order->op = META_JOB_ADD;
    call->order->count = (uint32_t)count;
    call->order->items = buf_slice(call->items);
    return DESK_ORDER;
}

/* The moves that emptying the node would take today; the job that does it looks anew each time. */
static enum desk_answer show_drain(struct call *call, const struct job_spec *whole)
{
    const struct shard_map *map = steward_map(call->steward);
    struct job_plan_view view = steward_view(call->steward);
    struct job_spec *specs = calloc(map->shard_count + 2, sizeof(*specs));
    char text[JOB_PLAN_TEXT_SIZE];
    size_t count = 0;
    assert(specs != NULL);
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = i < map->shard_count ? &map->shards[i] : &map->meta;
        if (shard_map_replica_on(shard, whole->from) == NULL) {
            continue;
        }
        uint64_t to = whole->to;
        if (whole->kind != JOB_REPLACE || shard_map_replica_on(shard, to) != NULL) {
            to = job_plan_target(&view, shard, whole->from, text);
        }
        specs[count++] = (struct job_spec){.kind = JOB_MOVE,
                                           .shard = shard->id,
                                           .from = whole->from,
                                           .to = to,
                                           .ver = shard->ver,
                                           .conf_ver = shard->conf_ver};
    }
    write_plan(call, specs, count);
    free(specs);
    return DESK_ANSWERED;
}

static enum desk_answer whole_node(struct call *call, struct job_spec spec)
{
    char fault[JOB_FAULT_SIZE];
    const char *text = job_check(steward_map(call->steward), &spec, fault);
    if (text != NULL) {
        return fail(call, text);
    }
    return call->dry ? show_drain(call, &spec) : propose(call, &spec, 1);
}

static enum desk_answer rebalance(struct call *call)
{
    bool plan = is_word(call, 2, "PLAN") && call->args.argc == 3;
    bool apply = is_word(call, 2, "APPLY") && call->args.argc == 4;
    uint64_t hash = 0;
    if (!plan && !apply) {
        return fail(call, "ERR usage: SHERD REBALANCE PLAN, or SHERD REBALANCE APPLY hash");
    }
    if (apply && !token_of_text(call->args.argv[3], &hash)) {
        return fail(call, "ERR a plan has a hash of 16 hexadecimal digits: SHERD REBALANCE PLAN");
    }
    struct job_plan_view view = steward_view(call->steward);
    struct job_spec *specs = calloc(JOB_SPECS_MAX, sizeof(*specs));
    assert(specs != NULL);
    specs[0] = (struct job_spec){.kind = JOB_REBALANCE};
    size_t count = job_plan_rebalance(&view, specs + 1, JOB_SPECS_MAX - 1);
    enum desk_answer answer = DESK_ANSWERED;
    if (plan) {
        write_plan(call, specs + 1, count);
    } else if (job_plan_hash(specs + 1, count) != hash) {
        answer = fail(call,
                      "CONFLICT the cluster has changed since that plan was made: make a new"
                      " one");
    } else if (count == 0) {
        answer = fail(call, "CONFLICT there is nothing to do: the cluster is even");
    } else {
        answer = propose(call, specs, count + 1);
    }
    free(specs);
    return answer;
}

/* ---- undo ---- */

/* What takes the effect of a job back. False: nothing does. */
static bool invert(const struct cluster_job *job, struct job_spec *spec)
{
    *spec = (struct job_spec){.kind = job->spec.kind, .shard = job->spec.shard};
    switch (job->spec.kind) {
    case JOB_MOVE:
        spec->from = job->spec.to;
        spec->to = job->spec.from;
        return true;
    case JOB_TRANSFER: spec->to = job->child; return true;
    case JOB_SPLIT:
        *spec = (struct job_spec){.kind = JOB_MERGE, .shard = job->child, .other = job->spec.shard};
        return true;
    case JOB_MERGE:
        *spec = (struct job_spec){.kind = JOB_SPLIT, .shard = job->spec.other, .token = job->edge};
        return true;
    case JOB_DRAIN:
    case JOB_REPLACE:
    case JOB_REBUILD:
    case JOB_REBALANCE:
    case JOB_KINDS: break;
    }
    return false;
}

/* The inverses of a job's children, the last one first. */
static enum desk_answer undo_children(struct call *call, const struct cluster_job *job)
{
    const struct job_list *jobs = steward_jobs(call->steward);
    struct job_spec *specs = calloc(jobs->count + 1, sizeof(*specs));
    size_t count = 1;
    assert(specs != NULL);
    specs[0] = (struct job_spec){.kind = JOB_REBALANCE};
    (void)snprintf(specs[0].reason, sizeof(specs[0].reason), "undo of job %" PRIu64, job->id);
    for (size_t i = jobs->count; i > 0; i--) {
        const struct cluster_job *child = &jobs->jobs[i - 1];
        if (child->parent == job->id && child->state == JOB_DONE && count < JOB_SPECS_MAX &&
            invert(child, &specs[count])) {
            count++;
        }
    }
    enum desk_answer answer = count == 1
                                  ? fail(call, "CONFLICT it changed nothing that could be undone")
                                  : propose(call, specs, count);
    free(specs);
    return answer;
}

static enum desk_answer undo(struct call *call, const struct cluster_job *job)
{
    struct job_spec spec;
    if (job->state != JOB_DONE) {
        return fail(call, cluster_job_active(job)
                              ? "CONFLICT the job has not ended: cancel it instead"
                              : "CONFLICT the job took its changes back itself");
    }
    call->order->undo_of = job->id;
    if (job->spec.kind == JOB_REPLACE || job->spec.kind == JOB_REBUILD) {
        return fail(call, "CONFLICT what was on that node is gone: add a node and rebalance");
    }
    if (!cluster_job_has_children(job->spec.kind)) {
        (void)invert(job, &spec);
        (void)snprintf(spec.reason, sizeof(spec.reason), "undo of job %" PRIu64, job->id);
        return propose(call, &spec, 1);
    }
    const struct node_desc *node = shard_map_node(steward_map(call->steward), job->spec.from);
    if (node != NULL && node->state != NODE_UP) {
        return fail(call, "CONFLICT the node takes no replicas: undrain it first");
    }
    return undo_children(call, job);
}

/* ---- commands ---- */

static enum desk_answer set_job(struct call *call, enum meta_set what)
{
    uint64_t value = 0;
    bool throttle = what == META_THROTTLE;
    if (call->args.argc != 4 + (size_t)throttle ||
        (throttle && !number_of(call->args.argv[4], &value))) {
        return fail(call, throttle ? "ERR usage: SHERD JOB THROTTLE id bytes-per-second"
                                   : "ERR usage: SHERD JOB PAUSE|RESUME|CANCEL id");
    }
    const struct cluster_job *job = job_of(call);
    if (job == NULL) {
        return DESK_ANSWERED;
    }
    call->order->op = META_JOB_SET;
    call->order->id = job->id;
    call->order->what = (uint8_t)what;
    call->order->value = value;
    return DESK_ORDER;
}

static enum desk_answer job_command(struct call *call)
{
    static const struct {
        const char *word;
        enum meta_set what;
    } sets[] = {{"PAUSE", META_PAUSE},
                {"RESUME", META_RESUME},
                {"CANCEL", META_CANCEL},
                {"THROTTLE", META_THROTTLE}};
    if (is_word(call, 2, "LIST")) {
        return list_jobs(call);
    }
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if (is_word(call, 2, sets[i].word)) {
            return set_job(call, sets[i].what);
        }
    }
    bool get = is_word(call, 2, "GET");
    if ((!get && !is_word(call, 2, "UNDO")) || call->args.argc != 4) {
        return fail(call, "ERR usage: SHERD JOB LIST|GET|PAUSE|RESUME|CANCEL|THROTTLE|UNDO ...");
    }
    const struct cluster_job *job = job_of(call);
    if (job != NULL && get) {
        write_job(call, job);
    }
    return job == NULL || get ? DESK_ANSWERED : undo(call, job);
}

static enum desk_answer node_verb(struct call *call, uint64_t node, bool remove)
{
    const struct steward *steward = call->steward;
    bool up = steward->env.is_up(steward->env.ctx, node);
    call->order->op = META_NODE;
    call->order->id = node;
    call->order->what = !remove ? META_UNDRAIN : up ? META_REMOVE : META_REMOVE_DOWN;
    return DESK_ORDER;
}

static enum desk_answer lost_node(struct call *call, uint64_t node)
{
    if (call->steward->env.is_up(call->steward->env.ctx, node)) {
        return fail(call, "UNSAFE the node is up: it is not lost");
    }
    call->order->op = META_NODE;
    call->order->id = node;
    call->order->what = META_LOST;
    return DESK_ORDER;
}

static enum desk_answer recover_shard(struct call *call)
{
    uint64_t numbers[4] = {0};
    size_t argc = call->args.argc;
    bool good = argc == 6 || argc == 7;
    for (size_t i = 3; good && i < argc; i++) {
        good = number_of(call->args.argv[i], &numbers[i - 3]);
    }
    if (!good) {
        return fail(call, "ERR usage: SHERD SHARD RECOVER shard node replica [fresh]");
    }
    call->order->op = META_RECOVER;
    call->order->id = numbers[0];
    call->order->value = numbers[1];
    call->order->parent = numbers[2];
    call->order->undo_of = numbers[3];
    return DESK_ORDER;
}

static enum desk_answer node_command(struct call *call)
{
    uint64_t node = 0;
    uint64_t other = 0;
    size_t argc = call->args.argc;
    bool replace = is_word(call, 2, "REPLACE");
    if (argc != 4 + (size_t)replace || !number_of(call->args.argv[3], &node) ||
        (replace && !number_of(call->args.argv[4], &other))) {
        return fail(call,
                    "ERR usage: SHERD NODE DRAIN|UNDRAIN|REMOVE node, or"
                    " SHERD NODE REPLACE node by-node");
    }
    if (is_word(call, 2, "DRAIN")) {
        return whole_node(call, (struct job_spec){.kind = JOB_DRAIN, .from = node});
    }
    if (replace) {
        return whole_node(call, (struct job_spec){.kind = JOB_REPLACE, .from = node, .to = other});
    }
    if (is_word(call, 2, "LOST")) {
        return lost_node(call, node);
    }
    bool remove = is_word(call, 2, "REMOVE");
    return remove || is_word(call, 2, "UNDRAIN")
               ? node_verb(call, node, remove)
               : fail(call, "ERR usage: SHERD NODE DRAIN|UNDRAIN|REMOVE|REPLACE ...");
}

static enum desk_answer split_command(struct call *call, struct job_spec *spec)
{
    spec->kind = JOB_SPLIT;
    if (call->args.argc > 5 ||
        (call->args.argc == 5 && !token_of_text(call->args.argv[4], &spec->token))) {
        return fail(call, "ERR usage: SHERD SHARD SPLIT shard [token of 16 hexadecimal digits]");
    }
    return propose(call, spec, 1);
}

static enum desk_answer shard_command(struct call *call)
{
    static const char usage[] =
        "ERR usage: SHERD SHARD MOVE shard from-node to-node, TRANSFER shard node,"
        " SPLIT shard [token], MERGE shard into-shard";
    struct job_spec spec = {0};
    uint64_t numbers[3] = {0};
    size_t argc = call->args.argc;
    bool split = is_word(call, 2, "SPLIT");
    if (is_word(call, 2, "RECOVER")) {
        return recover_shard(call);
    }
    for (size_t i = 3; i < argc && i < 6 && !(split && i > 3); i++) {
        if (!number_of(call->args.argv[i], &numbers[i - 3])) {
            return fail(call, usage);
        }
    }
    spec.shard = numbers[0];
    if (split && argc > 3) {
        return split_command(call, &spec);
    }
    if (is_word(call, 2, "MOVE") && argc == 6) {
        spec.kind = JOB_MOVE;
        spec.from = numbers[1];
        spec.to = numbers[2];
    } else if (is_word(call, 2, "TRANSFER") && argc == 5) {
        spec.kind = JOB_TRANSFER;
        spec.to = numbers[1];
    } else if (is_word(call, 2, "MERGE") && argc == 5) {
        spec.kind = JOB_MERGE;
        spec.other = numbers[1];
    } else {
        return fail(call, usage);
    }
    return propose(call, &spec, 1);
}

static enum desk_answer balancer_command(struct call *call)
{
    static const char *const words[BALANCER_MODES] = {"ON", "ADVISE", "OFF"};
    for (uint64_t i = 0; i < BALANCER_MODES && call->args.argc == 3; i++) {
        if (is_word(call, 2, words[i])) {
            call->order->op = META_MODE;
            call->order->value = i;
            return DESK_ORDER;
        }
    }
    return fail(call, "ERR usage: SHERD BALANCER ON|ADVISE|OFF");
}

static enum desk_answer events_command(struct call *call)
{
    call->order->value = EVENTS_SHOWN;
    if (call->args.argc > 3 ||
        (call->args.argc == 3 && !number_of(call->args.argv[2], &call->order->value))) {
        return fail(call, "ERR usage: SHERD EVENTS [count]");
    }
    return DESK_EVENTS;
}

static const struct {
    const char *word;
    enum desk_answer (*run)(struct call *call);
} nouns[] = {
    {"JOB", job_command},     {"NODE", node_command},         {"SHARD", shard_command},
    {"REBALANCE", rebalance}, {"BALANCER", balancer_command}, {"EVENTS", events_command},
};

enum desk_answer admin_desk_take(const struct steward *steward,
                                 struct args args,
                                 uint64_t wall_ms,
                                 struct meta_order *order,
                                 struct buf *items,
                                 struct buf *reply)
{
    struct call call = {.steward = steward,
                        .args = args,
                        .wall_ms = wall_ms,
                        .order = order,
                        .items = items,
                        .reply = reply};
    *order = (struct meta_order){.who = "admin"};
    if (args.argc > 2 && is_word(&call, args.argc - 1, "DRYRUN")) {
        call.dry = true;
        call.args.argc--;
    }
    if (!steward_leads(steward) || steward_map(steward)->version == 0) {
        return fail(&call, "TRYAGAIN this node has just begun to lead the meta group");
    }
    for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++) {
        if (is_word(&call, 1, nouns[i].word)) {
            return nouns[i].run(&call);
        }
    }
    return DESK_UNKNOWN;
}

void admin_desk_finish(const struct meta_order *order, struct slice answer, struct buf *reply)
{
    struct resp_value head;
    struct resp_value first;
    bool ids = order->op == META_JOB_ADD && resp_value_read(answer, &head) == STATUS_OK &&
               head.type == '*' && head.number > 0;
    if (!ids) {
        buf_append_slice(reply, answer);
        return;
    }
    struct slice rest = slice_of(answer.data + head.size_used, answer.len - head.size_used);
    bool read = resp_value_read(rest, &first) == STATUS_OK && first.type == ':';
    resp_write_map(reply, 1);
    field_int(reply, "job", read ? (uint64_t)first.number : 0);
}
