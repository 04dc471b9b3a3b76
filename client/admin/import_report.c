#include "client/admin/import_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/admin/print.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

enum {
    SHOW_MS = 500,
    SHOW_PLAIN_MS = 10000, /* Where lines stay, fewer of them. */
    SHOWN_SIZE_MAX = 200,
    ERROR_SIZE_MAX = 300,
    FIELDS_MAX = 24,
    TEXT_SIZE_MAX = 8192,
};

void import_report_init(struct import_report *report, bool json)
{
    *report = (struct import_report){.json = json, .terminal = isatty(STDERR_FILENO) == 1};
    report->started_ms = clock_now_ms();
    report->shown_ms = report->started_ms;
}

void import_report_deinit(struct import_report *report)
{
    for (size_t i = 0; i < report->kept; i++) {
        buf_deinit(&report->failures[i].key);
        buf_deinit(&report->failures[i].error);
    }
}

/* Takes the line of progress away, so that another one can stand there. */
static void clear_line(const struct import_report *report)
{
    if (report->terminal) {
        fprintf(stderr, "\r\033[K");
    }
}

void import_report_say(struct import_report *report, const char *format, ...)
{
    va_list arguments;
    clear_line(report);
    fprintf(stderr, "sherd-admin: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void import_report_fail(struct import_report *report,
                        uint64_t db,
                        struct slice key,
                        const char *error)
{
    struct buf shown;
    buf_init(&shown, TEXT_SIZE_MAX);
    buf_append_shown(&shown, key, SHOWN_SIZE_MAX);
    report->failed++;
    if (report->failed <= IMPORT_FAILURES_PRINTED) {
        import_report_say(report, "database %" PRIu64 ", key %.*s: %.*s", db, (int)shown.len,
                          (const char *)shown.data, ERROR_SIZE_MAX, error);
    } else if (report->failed == IMPORT_FAILURES_PRINTED + 1) {
        import_report_say(report, "more keys failed; they are counted from here on");
    }
    if (report->kept < IMPORT_FAILURES_KEPT) {
        struct import_failure *failure = &report->failures[report->kept++];
        failure->db = db;
        failure->key = shown;
        buf_init(&failure->error, TEXT_SIZE_MAX);
        buf_append(&failure->error, error, strnlen(error, ERROR_SIZE_MAX));
        return;
    }
    buf_deinit(&shown);
}

static uint64_t per_second(uint64_t count, uint64_t ms)
{
    return ms == 0 ? 0 : count * 1000 / ms;
}

void import_report_show(struct import_report *report)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t wait_ms = report->terminal ? SHOW_MS : SHOW_PLAIN_MS;
    if (now_ms - report->shown_ms < wait_ms) {
        return;
    }
    uint64_t rate = per_second(report->done - report->shown_done, now_ms - report->shown_ms);
    report->shown_ms = now_ms;
    report->shown_done = report->done;
    clear_line(report);
    fprintf(stderr, "%" PRIu64 " keys, %" PRIu64 "/s", report->done, rate);
    if (report->failed > 0) {
        fprintf(stderr, ", %" PRIu64 " failed", report->failed);
    }
    uint64_t spent_ms = now_ms - report->started_ms;
    if (report->total > 0 && report->place > report->start && report->place <= report->total) {
        double part = (double)report->place / (double)report->total;
        double left_ms = (double)spent_ms * (double)(report->total - report->place) /
                         (double)(report->place - report->start);
        fprintf(stderr, ", %.0f %%, about %.0f s left", part * 100, left_ms / 1000);
    }
    if (report->terminal) {
        fflush(stderr);
    } else {
        fputc('\n', stderr);
    }
}

/* A reply that was never sent, for print_json(). */
struct tree {
    struct sherd_reply fields[FIELDS_MAX];
    size_t count;
};

static char *unconst(const char *text)
{
    char *plain = NULL;
    memcpy(&plain, &text, sizeof(plain)); /* print_json() only reads. */
    return plain;
}

static struct sherd_reply text_of(const char *text, size_t len)
{
    return (struct sherd_reply){.type = SHERD_STRING, .text = unconst(text), .len = len};
}

static void add(struct tree *tree, const char *name, struct sherd_reply value)
{
    assert(tree->count + 2 <= FIELDS_MAX);
    tree->fields[tree->count++] = text_of(name, strlen(name));
    tree->fields[tree->count++] = value;
}

static void add_number(struct tree *tree, const char *name, uint64_t number)
{
    add(tree, name, (struct sherd_reply){.type = SHERD_INTEGER, .integer = (int64_t)number});
}

static struct sherd_reply map_of(struct tree *tree)
{
    return (struct sherd_reply){.type = SHERD_MAP, .elements = tree->fields, .count = tree->count};
}

static void print_report(const struct import_report *report, uint64_t ms)
{
    struct tree rows[IMPORT_FAILURES_KEPT];
    struct sherd_reply failures[IMPORT_FAILURES_KEPT];
    struct tree tree = {.count = 0};
    for (size_t i = 0; i < report->kept; i++) {
        const struct import_failure *failure = &report->failures[i];
        rows[i].count = 0;
        add_number(&rows[i], "db", failure->db);
        add(&rows[i], "key", text_of((const char *)failure->key.data, failure->key.len));
        add(&rows[i], "error", text_of((const char *)failure->error.data, failure->error.len));
        failures[i] = map_of(&rows[i]);
    }
    add_number(&tree, "done", report->done);
    add_number(&tree, "existing", report->existing);
    add_number(&tree, "again", report->again);
    add_number(&tree, "expired", report->expired);
    add_number(&tree, "skipped", report->skipped);
    add_number(&tree, "gone", report->gone);
    add_number(&tree, "failed", report->failed);
    add_number(&tree, "bytes", report->bytes);
    add_number(&tree, "ms", ms);
    add(&tree, "interrupted",
        (struct sherd_reply){.type = SHERD_BOOLEAN, .integer = report->interrupted});
    add(&tree, "failures",
        (struct sherd_reply){.type = SHERD_ARRAY, .elements = failures, .count = report->kept});
    struct sherd_reply all = map_of(&tree);
    print_json(&all, stdout);
    putchar('\n');
}

static void print_count(const char *text, uint64_t count)
{
    if (count > 0) {
        printf("%12" PRIu64 "  %s\n", count, text);
    }
}

enum verb_exit import_report_end(struct import_report *report, enum verb_exit code)
{
    uint64_t ms = clock_now_ms() - report->started_ms;
    clear_line(report);
    if (report->json) {
        print_report(report, ms);
    } else {
        printf("%12" PRIu64 "  keys written, %.1f MB, in %.1f s\n", report->done,
               (double)report->bytes / 1e6, (double)ms / 1e3);
        print_count("were written before the interruption", report->again);
        print_count("exist already and were left as they are (--replace overwrites)",
                    report->existing);
        print_count("have expired", report->expired);
        print_count("in databases that were not asked for", report->skipped);
        print_count("were removed meanwhile", report->gone);
        print_count("failed", report->failed);
    }
    bool part = report->interrupted || report->failed > 0 || report->existing > 0;
    return code == VERB_DONE && part ? VERB_PARTLY : code;
}
