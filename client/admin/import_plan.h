#ifndef CLIENT_ADMIN_IMPORT_PLAN_H
#define CLIENT_ADMIN_IMPORT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

/* What `import` is told on its command line: where from, and which database goes where. Pure. */

enum {
    IMPORT_DATABASES = 16,         /* Of the target. */
    IMPORT_SOURCE_DATABASES = 256, /* That can be named. */
    IMPORT_WORD_SIZE = 256,
};

struct import_plan {
    bool from_server; /* Else a file. */
    const char *path; /* Of the file. */
    char address[IMPORT_WORD_SIZE];
    char user[IMPORT_WORD_SIZE]; /* "": none. */
    char password[IMPORT_WORD_SIZE];
    int only;                             /* The one database to take; -1: all. */
    int16_t map[IMPORT_SOURCE_DATABASES]; /* -1: is left out. */
    bool mapped;                          /* Databases that are not in the map are left out. */
};

/* from: a path, or redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]; map: "0:0,5:1" or NULL.
 * BAD_ARGUMENT: one line for the user is in error, of IMPORT_WORD_SIZE bytes. */
MUST_USE enum status import_plan_parse(const char *from,
                                       const char *map,
                                       struct import_plan *plan,
                                       char *error);

/* Where a database goes; -1: nowhere. */
int import_plan_target(const struct import_plan *plan, uint64_t db);

#endif
