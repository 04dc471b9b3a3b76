#ifndef CLIENT_ADMIN_IMPORT_REPORT_H
#define CLIENT_ADMIN_IMPORT_REPORT_H

#include <stdbool.h>

#include "client/admin/verb.h"
#include "client/sherd.h"
#include "common/base/buf.h"

/* How an import goes: counts, a line of progress on a terminal, the keys that failed, and the last
 * word. Thread: one. */

enum { IMPORT_FAILURES_KEPT = 100, IMPORT_FAILURES_PRINTED = 1000 };

struct import_failure {
    uint64_t db; /* Of the source. */
    struct buf key;
    struct buf error;
};

struct import_report {
    bool json;
    bool terminal;
    bool interrupted;
    uint64_t started_ms;
    uint64_t shown_ms;
    uint64_t shown_done;
    uint64_t place; /* Of the source, in bytes or keys; */
    uint64_t start; /* where this run began, */
    uint64_t total; /* and how much there is; 0: not known. */
    uint64_t done;
    uint64_t existing; /* Keys that the cluster has already, and that were left as they are. */
    uint64_t again;    /* Keys that an interrupted run, or a lost connection, had written. */
    uint64_t expired;
    uint64_t skipped; /* Of databases that nobody wants. */
    uint64_t gone;    /* Removed while the source was read. */
    uint64_t failed;
    uint64_t bytes;
    struct import_failure failures[IMPORT_FAILURES_KEPT];
    size_t kept;
};

void import_report_init(struct import_report *report, bool json);
void import_report_deinit(struct import_report *report);
/* A key failed. */
void import_report_fail(struct import_report *report,
                        uint64_t db,
                        struct slice key,
                        const char *error);
/* A line for people about something else. */
void import_report_say(struct import_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Now and then. */
void import_report_show(struct import_report *report);
/* The end: prints what happened; code is what the run came to without the keys that failed. */
enum verb_exit import_report_end(struct import_report *report, enum verb_exit code);

#endif
