#ifndef CLIENT_ADMIN_BACKUP_REPORT_H
#define CLIENT_ADMIN_BACKUP_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* How a backup or a restore goes: a line of progress, a limit of bytes per second, and whether the
 * user wants it to end. Thread: one. */

struct backup_report {
    const char *verb; /* "backup", ... */
    bool json;
    bool terminal;
    bool interrupted;
    uint64_t rate; /* Bytes per second; 0: no limit. */
    uint64_t started_ms;
    uint64_t shown_ms;
    uint64_t start; /* done, when it was started. */
    uint64_t done;  /* Of total: keys, or bytes. */
    uint64_t total;
    uint64_t bytes;
};

void backup_report_init(struct backup_report *report, const char *verb, bool json, uint64_t rate);
/* From here on Ctrl-C only makes it end in good order. */
void backup_report_guard(void);
/* True once the user wants it to end. */
bool backup_report_stopped(struct backup_report *report);
/* So many bytes more; waits if they were too many too soon. */
void backup_report_pass(struct backup_report *report, uint64_t bytes);
/* Now and then. */
void backup_report_show(struct backup_report *report);
/* A line for people. */
void backup_report_say(struct backup_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Megabytes per second so far. */
double backup_report_speed(const struct backup_report *report);

#endif
