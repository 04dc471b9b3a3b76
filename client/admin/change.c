#include "client/admin/change.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/clock.h"

enum { LOOK_MS = 200, BAR_WIDTH = 20, LINE_SIZE = 512, SECOND_MS = 1000, MINUTE_S = 60 };

const char *change_bytes(int64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    snprintf(text, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

const char *change_span(int64_t ms, char *text, size_t size)
{
    int64_t seconds = (ms + SECOND_MS - 1) / SECOND_MS;
    int64_t minutes = seconds / MINUTE_S;
    if (minutes >= MINUTE_S) {
        snprintf(text, size, "%" PRId64 " h %" PRId64 " min", minutes / MINUTE_S,
                 minutes % MINUTE_S);
    } else if (minutes > 0) {
        snprintf(text, size, "%" PRId64 " min %" PRId64 " s", minutes, seconds % MINUTE_S);
    } else {
        snprintf(text, size, "%" PRId64 " s", seconds);
    }
    return text;
}

enum verb_exit change_number(const struct verb_call *call, size_t operand, const char *what)
{
    const char *text = call->operands[operand];
    size_t len = strspn(text, "0123456789");
    if (len == 0 || text[len] != '\0' || len > 18) {
        fprintf(stderr, "sherd-admin: '%.64s' is no number of a %s; see sherd-admin %s list\n",
                text, what, what);
        return VERB_USAGE;
    }
    return VERB_DONE;
}

enum verb_exit change_confirm(const struct verb_call *call, const char *question)
{
    char answer[16] = "";
    if (verb_given(call, "yes")) {
        return VERB_DONE;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        fprintf(stderr, "sherd-admin: %s Nobody can be asked here: give --yes\n", question);
        return VERB_USAGE;
    }
    fprintf(stderr, "%s Go on? [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y')) {
        fprintf(stderr, "sherd-admin: nothing was changed\n");
        return VERB_FAILED;
    }
    return VERB_DONE;
}

void change_print_plan(const struct sherd_reply *plan)
{
    const struct sherd_reply *steps = sherd_reply_field(plan, "steps");
    char text[ASK_TEXT_SIZE];
    size_t count = steps == NULL ? 0 : steps->count;
    for (size_t i = 0; i < count; i++) {
        printf("%4zu  %s\n", i + 1, ask_text(&steps->elements[i], text, sizeof text));
    }
    int64_t bytes = ask_number(plan, "bytes");
    printf("%s%zu steps, %" PRId64 " moves", count == 0 ? "Nothing to do: " : "", count,
           ask_number(plan, "moves"));
    if (bytes > 0) {
        printf(", about %s", change_bytes(bytes, text, sizeof text));
    }
    printf("; plan %s\n", ask_field(plan, "hash", text, sizeof text));
}

static enum verb_exit ask_plan(const struct change *change)
{
    struct sherd_reply *plan = NULL;
    const char *words[CHANGE_WORDS_MAX + 1];
    size_t count = change->count;
    assert(count <= CHANGE_WORDS_MAX);
    memcpy(words, change->words, count * sizeof words[0]);
    words[count++] = "DRYRUN";
    enum verb_exit code = ask_command(change->call, words, count, false, &plan);
    if (code == VERB_DONE && verb_given(change->call, "json")) {
        ask_print(plan);
    } else if (code == VERB_DONE) {
        change_print_plan(plan);
    }
    sherd_reply_free(plan);
    return code;
}

enum verb_exit change_send(const struct change *change)
{
    struct sherd_reply *reply = NULL;
    enum verb_exit code =
        change->question == NULL ? VERB_DONE : change_confirm(change->call, change->question);
    if (code == VERB_DONE) {
        code = ask_command(change->call, change->words, change->count, false, &reply);
    }
    if (code == VERB_DONE && verb_given(change->call, "json")) {
        ask_print(reply);
    } else if (code == VERB_DONE) {
        printf("done\n");
    }
    sherd_reply_free(reply);
    return code;
}

/* One line of 79 columns at most. */
static void draw(const struct sherd_reply *job)
{
    char line[LINE_SIZE];
    char done[24];
    char size[24];
    char span[24];
    char bar[BAR_WIDTH + 1];
    char doing[ASK_TEXT_SIZE];
    int64_t percent = ask_number(job, "percent");
    percent = percent > 100 ? 100 : percent < 0 ? 0 : percent;
    for (int64_t i = 0; i < BAR_WIDTH; i++) {
        bar[i] = i * 100 < percent * BAR_WIDTH ? '#' : '.';
    }
    bar[BAR_WIDTH] = '\0';
    int at = snprintf(line, sizeof line, "[%s] %3" PRId64 " %%", bar, percent);
    if (ask_number(job, "size") > 0) {
        at += snprintf(line + at, sizeof line - (size_t)at, "  %s of %s",
                       change_bytes(ask_number(job, "bytes"), done, sizeof done),
                       change_bytes(ask_number(job, "size"), size, sizeof size));
    }
    if (ask_number(job, "rate") > 0) {
        at += snprintf(line + at, sizeof line - (size_t)at, ", %s/s",
                       change_bytes(ask_number(job, "rate"), done, sizeof done));
    }
    if (ask_number(job, "eta_ms") >= 0) {
        at += snprintf(line + at, sizeof line - (size_t)at, ", %s left",
                       change_span(ask_number(job, "eta_ms"), span, sizeof span));
    }
    ask_field(job, "doing", doing, sizeof doing);
    if (strcmp(doing, "-") != 0 && (size_t)at < sizeof line) {
        snprintf(line + at, sizeof line - (size_t)at, "  %s", doing);
    }
    fprintf(stderr, "\r%-79.79s", line);
    fflush(stderr);
}

static enum verb_exit tell_end(const struct verb_call *call, const struct sherd_reply *job)
{
    char state[ASK_TEXT_SIZE];
    char what[ASK_TEXT_SIZE];
    char result[ASK_TEXT_SIZE];
    char span[32];
    ask_field(job, "state", state, sizeof state);
    ask_field(job, "what", what, sizeof what);
    ask_field(job, "result", result, sizeof result);
    bool done = strcmp(state, "done") == 0;
    if (verb_given(call, "json")) {
        ask_print(job);
    } else {
        change_span(ask_number(job, "ended_ms") - ask_number(job, "created_ms"), span, sizeof span);
        printf("job %" PRId64 ": %s: %s after %s%s%s\n", ask_number(job, "id"), what, state, span,
               strcmp(result, "-") == 0 ? "" : ": ", strcmp(result, "-") == 0 ? "" : result);
    }
    bool partly = done && strcmp(result, "-") != 0;
    return partly ? VERB_PARTLY : done ? VERB_DONE : VERB_FAILED;
}

static bool has_ended(const struct sherd_reply *job)
{
    return ask_number(job, "ended_ms") != 0;
}

static enum verb_exit tell_left(const struct verb_call *call,
                                const struct sherd_reply *job,
                                int64_t id)
{
    if (verb_given(call, "json")) {
        ask_print(job);
    }
    fprintf(stderr, "sherd-admin: job %" PRId64 " goes on; sherd-admin job watch %" PRId64 "\n", id,
            id);
    return VERB_TIMED_OUT;
}

/* interrupts: readable once Ctrl-C was pressed. */
static enum verb_exit watch(const struct verb_call *call,
                            int64_t id,
                            uint64_t end_ms,
                            int interrupts)
{
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, id);
    const char *words[] = {"SHERD", "JOB", "GET", number};
    struct pollfd key = {.fd = interrupts, .events = POLLIN};
    bool live = isatty(STDERR_FILENO) != 0 && !verb_given(call, "json");
    for (;;) {
        struct sherd_reply *job = NULL;
        enum verb_exit code = ask_command(call, words, 4, false, &job);
        if (code != VERB_DONE) {
            fprintf(stderr, "sherd-admin: job %" PRId64 " goes on if the cluster does\n", id);
            return code;
        }
        bool ended = has_ended(job);
        bool left = key.revents != 0 || clock_now_ms() >= end_ms;
        if (live) {
            draw(job);
        }
        if (ended || left) {
            if (live) {
                fputc('\n', stderr);
            }
            code = ended ? tell_end(call, job) : tell_left(call, job, id);
            sherd_reply_free(job);
            return code;
        }
        sherd_reply_free(job);
        (void)poll(&key, 1, LOOK_MS);
    }
}

enum verb_exit change_watch(const struct verb_call *call, int64_t job)
{
    long seconds = 0;
    uint64_t end_ms = UINT64_MAX;
    if (verb_given(call, "wait-max")) {
        if (verb_number(call, "wait-max", 0, 1 << 24, &seconds) != STATUS_OK) {
            return VERB_USAGE;
        }
        end_ms = clock_now_ms() + (uint64_t)seconds * SECOND_MS;
    }
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int interrupts = signalfd(-1, &mask, SFD_CLOEXEC);
    assert(interrupts >= 0);
    enum verb_exit code = watch(call, job, end_ms, interrupts);
    close(interrupts);
    return code; /* The process ends; a key that was pressed late is to end nothing. */
}

enum verb_exit change_run(const struct change *change)
{
    const struct verb_call *call = change->call;
    if (verb_given(call, "dry-run")) {
        return ask_plan(change);
    }
    struct sherd_reply *reply = NULL;
    enum verb_exit code =
        change->question == NULL ? VERB_DONE : change_confirm(call, change->question);
    if (code == VERB_DONE) {
        code = ask_command(call, change->words, change->count, false, &reply);
    }
    if (code != VERB_DONE) {
        return code;
    }
    int64_t job = ask_number(reply, "job");
    if (verb_given(call, "detach") && verb_given(call, "json")) {
        ask_print(reply);
    } else if (verb_given(call, "detach")) {
        printf("job %" PRId64 "; sherd-admin job watch %" PRId64 "\n", job, job);
    }
    sherd_reply_free(reply);
    return verb_given(call, "detach") ? VERB_DONE : change_watch(call, job);
}
