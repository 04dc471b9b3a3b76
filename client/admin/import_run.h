#ifndef CLIENT_ADMIN_IMPORT_RUN_H
#define CLIENT_ADMIN_IMPORT_RUN_H

#include "client/admin/import_plan.h"
#include "client/admin/import_resume.h"
#include "client/admin/import_target.h"

/* An import at work, and its two sources: import_file.c, import_server.c. Thread: one. */

struct import_run {
    struct import_plan plan;
    struct import_target target;
    struct import_report report;
    struct import_place place;
    const char *resume; /* NULL: nothing is kept. */
    int timeout_ms;
    bool dry_run;
    uint64_t saved_ms;
};

/* Takes over the place in the resume file if it is of this source; before anything is read. */
MUST_USE enum verb_exit import_run_load(struct import_run *run, const char *source);
/* Waits for all that was put, and keeps the place. */
MUST_USE enum verb_exit import_run_save(struct import_run *run);
/* True now and then: it is time to save. */
bool import_run_due(const struct import_run *run);
/* True once the user wants it to end; the report knows. */
bool import_run_stopped(struct import_run *run);

enum verb_exit import_run_file(struct import_run *run);
enum verb_exit import_run_server(struct import_run *run);

#endif
