#ifndef CLIENT_ADMIN_IMPORT_RESUME_H
#define CLIENT_ADMIN_IMPORT_RESUME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/rdb/rdb_file.h"

/* Where an import stands, in a small file of text: written anew and renamed over the old one, so
 * that there is always a whole one. Thread: one. */

enum { IMPORT_SOURCE_SIZE = 512 };

struct import_place {
    char source[IMPORT_SOURCE_SIZE]; /* What is imported: another source begins anew. */
    bool finished;
    uint64_t done; /* Keys, for people. */
    /* Of a file: all before this mark is written, and nothing behind `sent` was sent. */
    struct rdb_mark mark;
    uint64_t sent;
    /* Of a server: the database that is walked, and its cursor. */
    uint64_t db;
    uint64_t cursor;
};

/* NOT_FOUND: there is no such file. BAD_ARGUMENT: it is no place. */
MUST_USE enum status import_resume_load(const char *path, struct import_place *place);
/* IO: errno says why. */
MUST_USE enum status import_resume_save(const char *path, const struct import_place *place);

#endif
