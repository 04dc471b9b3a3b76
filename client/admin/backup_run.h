#ifndef CLIENT_ADMIN_BACKUP_RUN_H
#define CLIENT_ADMIN_BACKUP_RUN_H

#include "client/admin/backup_report.h"
#include "client/admin/verb.h"
#include "server/archive/archive.h"

/* The three parts of `backup`, each in a file of its own. folder: of the backup. */

enum { BACKUP_PATH_SIZE = 4096 };

struct backup_run {
    const struct verb_call *call;
    const char *folder;
    struct backup_report report;
    long pause_ms;
    const char *resume;
    bool empty; /* The cluster first. */
    char scratch[BACKUP_PATH_SIZE];
};

/* The table of contents; a line was printed if it is not VERB_DONE. */
enum verb_exit backup_run_open(struct backup_run *run, struct archive *archive);

enum verb_exit backup_run_create(struct backup_run *run);
enum verb_exit backup_run_verify(struct backup_run *run);
enum verb_exit backup_run_restore(struct backup_run *run);

#endif
