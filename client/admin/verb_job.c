/* `job ...`: what changes the cluster. */

#include <inttypes.h>
#include <stdlib.h>

#include "client/admin/change.h"
#include "client/admin/grid.h"

static const char *const heads[] = {"JOB", "KIND", "STATE", "DONE", "LEFT", "WHAT"};
enum { HEAD_COUNT = sizeof heads / sizeof heads[0], WHAT_SIZE = 46 };

static void add_job(struct grid *grid, const struct sherd_reply *job)
{
    char text[ASK_TEXT_SIZE];
    char what[WHAT_SIZE];
    grid_add(grid, ask_field(job, "id", text, sizeof text));
    grid_add(grid, ask_field(job, "kind", text, sizeof text));
    grid_add(grid, ask_field(job, "state", text, sizeof text));
    snprintf(text, sizeof text, "%" PRId64 "%%", ask_number(job, "percent"));
    grid_add(grid, text);
    bool known = ask_number(job, "ended_ms") == 0 && ask_number(job, "eta_ms") >= 0;
    grid_add(grid, known ? change_span(ask_number(job, "eta_ms"), text, sizeof text) : "-");
    ask_field(job, "what", text, sizeof text);
    snprintf(what, sizeof what, "%.*s", (int)sizeof what - 1, text);
    grid_add(grid, what);
}

enum verb_exit verb_run_job_list(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    const char *words[] = {"SHERD", "JOB", "LIST", "ALL"};
    enum verb_exit code = ask_shown(call, words, verb_given(call, "all") ? 4 : 3, &reply);
    if (reply == NULL) {
        return code;
    }
    struct grid grid;
    grid_init(&grid, heads, HEAD_COUNT);
    for (size_t i = 0; i < reply->count; i++) {
        add_job(&grid, &reply->elements[i]);
    }
    grid_print(&grid);
    grid_deinit(&grid);
    sherd_reply_free(reply);
    return VERB_DONE;
}

static void print_line(const struct sherd_reply *job, const char *label, const char *field)
{
    char text[ASK_TEXT_SIZE];
    ask_field(job, field, text, sizeof text);
    if (text[0] != '\0' && strcmp(text, "-") != 0 && strcmp(text, "0") != 0) {
        printf("%-9s %s\n", label, text);
    }
}

static void print_job(const struct sherd_reply *job)
{
    char text[64];
    char other[64];
    print_line(job, "job", "id");
    print_line(job, "what", "what");
    print_line(job, "state", "state");
    printf("%-9s %" PRId64 " %%\n", "progress", ask_number(job, "percent"));
    print_line(job, "doing", "doing");
    if (ask_number(job, "size") > 0) {
        printf("%-9s %s of %s\n", "bytes",
               change_bytes(ask_number(job, "bytes"), text, sizeof text),
               change_bytes(ask_number(job, "size"), other, sizeof other));
    }
    if (ask_number(job, "rate") > 0) {
        printf("%-9s %s/s\n", "rate", change_bytes(ask_number(job, "rate"), text, sizeof text));
    }
    int64_t ended = ask_number(job, "ended_ms");
    int64_t created = ask_number(job, "created_ms");
    if (ended != 0) {
        printf("%-9s %s\n", "took", change_span(ended - created, text, sizeof text));
    } else {
        printf("%-9s %s ago\n", "asked for",
               change_span(ask_number(job, "now_ms") - created, text, sizeof text));
        if (ask_number(job, "eta_ms") >= 0) {
            printf("%-9s %s\n", "left", change_span(ask_number(job, "eta_ms"), text, sizeof text));
        }
    }
    print_line(job, "limit", "throttle");
    print_line(job, "reason", "reason");
    print_line(job, "result", "result");
    print_line(job, "by", "who");
    print_line(job, "part of", "parent");
    print_line(job, "undoes", "undo_of");
}

enum verb_exit verb_run_job_show(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    enum verb_exit code = change_number(call, 0, "job");
    if (code != VERB_DONE) {
        return code;
    }
    const char *words[] = {"SHERD", "JOB", "GET", call->operands[0]};
    code = ask_shown(call, words, 4, &reply);
    if (reply != NULL) {
        print_job(reply);
    }
    sherd_reply_free(reply);
    return code;
}

enum verb_exit verb_run_job_watch(const struct verb_call *call)
{
    enum verb_exit code = change_number(call, 0, "job");
    return code != VERB_DONE ? code : change_watch(call, strtoll(call->operands[0], NULL, 10));
}

static enum verb_exit set(const struct verb_call *call, const char *what, const char *question)
{
    struct change change = {.call = call, .question = question, .count = 4};
    enum verb_exit code = change_number(call, 0, "job");
    change.words[0] = "SHERD";
    change.words[1] = "JOB";
    change.words[2] = what;
    change.words[3] = call->operands[0];
    return code != VERB_DONE ? code : change_send(&change);
}

enum verb_exit verb_run_job_pause(const struct verb_call *call)
{
    return set(call, "PAUSE", NULL);
}

enum verb_exit verb_run_job_resume(const struct verb_call *call)
{
    return set(call, "RESUME", NULL);
}

enum verb_exit verb_run_job_cancel(const struct verb_call *call)
{
    return set(call, "CANCEL", "The job ends, and what it began is taken back.");
}

/* "20m" in bytes; -1: it is no such thing. */
static int64_t read_rate(const char *text)
{
    static const char units[] = "kmg";
    char *end = NULL;
    long long value = strtoll(text, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end | 0x20);
    if (end == text || value < 0 || value > (1LL << 40) ||
        (*end != '\0' && (unit == NULL || end[1] != '\0'))) {
        return -1;
    }
    for (const char *at = units; unit != NULL && at <= unit; at++) {
        value *= 1000;
    }
    return value;
}

enum verb_exit verb_run_job_throttle(const struct verb_call *call)
{
    char rate[24];
    int64_t bytes = read_rate(call->operands[1]);
    enum verb_exit code = change_number(call, 0, "job");
    if (code == VERB_DONE && bytes < 0) {
        fprintf(stderr, "sherd-admin: '%.64s' is no rate; write 500k, 20m or 1g\n",
                call->operands[1]);
        code = VERB_USAGE;
    }
    if (code != VERB_DONE) {
        return code;
    }
    snprintf(rate, sizeof rate, "%" PRId64, bytes);
    struct change change = {.call = call, .count = 5};
    const char *words[] = {"SHERD", "JOB", "THROTTLE", call->operands[0], rate};
    memcpy(change.words, words, sizeof words);
    return change_send(&change);
}

enum verb_exit verb_run_job_undo(const struct verb_call *call)
{
    struct change change = {.call = call, .count = 4};
    enum verb_exit code = change_number(call, 0, "job");
    const char *words[] = {"SHERD", "JOB", "UNDO", call->operands[0]};
    memcpy(change.words, words, sizeof words);
    change.question = "What the job has done is taken back.";
    return code != VERB_DONE ? code : change_run(&change);
}
