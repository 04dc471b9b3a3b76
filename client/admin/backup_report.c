#include "client/admin/backup_report.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { SHOW_MS = 200, SHOW_PLAIN_MS = 5000, PAUSE_MS_MAX = 200, MEGA = 1000 * 1000 };

void backup_report_init(struct backup_report *report, const char *verb, bool json, uint64_t rate)
{
    *report = (struct backup_report){.verb = verb,
                                     .json = json,
                                     .terminal = !json && isatty(STDERR_FILENO) == 1,
                                     .rate = rate,
                                     .started_ms = clock_now_ms(),
                                     .shown_ms = clock_now_ms()};
}

void backup_report_guard(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

bool backup_report_stopped(struct backup_report *report)
{
    sigset_t pending;
    if (!report->interrupted && sigpending(&pending) == 0 &&
        (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1)) {
        report->interrupted = true;
    }
    return report->interrupted;
}

void backup_report_pass(struct backup_report *report, uint64_t bytes)
{
    report->bytes += bytes;
    if (report->rate == 0) {
        return;
    }
    uint64_t due_ms = report->started_ms + report->bytes * 1000 / report->rate;
    for (uint64_t now_ms = clock_now_ms(); now_ms < due_ms && !backup_report_stopped(report);
         now_ms = clock_now_ms()) {
        uint64_t left_ms = due_ms - now_ms;
        (void)poll(NULL, 0, left_ms < PAUSE_MS_MAX ? (int)left_ms : PAUSE_MS_MAX);
        backup_report_show(report);
    }
}

double backup_report_speed(const struct backup_report *report)
{
    uint64_t spent_ms = clock_now_ms() - report->started_ms;
    return (double)report->bytes / 1000.0 / (double)(spent_ms == 0 ? 1 : spent_ms);
}

static void clear_line(const struct backup_report *report)
{
    if (report->terminal) {
        fputs("\r\033[K", stderr);
    }
}

void backup_report_say(struct backup_report *report, const char *format, ...)
{
    va_list args;
    clear_line(report);
    fputs("sherd-admin: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void backup_report_show(struct backup_report *report)
{
    uint64_t now_ms = clock_now_ms();
    if (now_ms - report->shown_ms < (report->terminal ? SHOW_MS : SHOW_PLAIN_MS) || report->json) {
        return;
    }
    report->shown_ms = now_ms;
    clear_line(report);
    fprintf(stderr, "%s: %.1f MB, %.1f MB/s", report->verb, (double)report->bytes / MEGA,
            backup_report_speed(report));
    if (report->total > 0 && report->done > report->start && report->done <= report->total) {
        double part = (double)report->done / (double)report->total;
        double left_ms = (double)(now_ms - report->started_ms) *
                         (double)(report->total - report->done) /
                         (double)(report->done - report->start);
        fprintf(stderr, ", %.0f %%, about %.0f s left", part * 100, left_ms / 1000);
    }
    if (report->terminal) {
        fflush(stderr);
    } else {
        fputc('\n', stderr);
    }
}
