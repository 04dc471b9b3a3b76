#ifndef SERVER_ARCHIVE_ARCHIVE_ROWS_H
#define SERVER_ARCHIVE_ARCHIVE_ROWS_H

#include "server/archive/archive.h"
#include "server/shard/shard.h"

/* The rows of one shard of a backup. Its files are checked against their sums, ingested into a
 * store of their own in a scratch folder, and walked there: so an engine reads every block of them.
 * What is left of removed collections and of values that were never finished is passed over.
 * Thread: one; blocks. */

struct archive_rows;

/* CORRUPT: a file is missing or is not what it was; the file's name is in name, of
 * ARCHIVE_NAME_SIZE bytes. IO: as well, or no room in scratch, which is made and is removed by
 * close. */
MUST_USE enum status archive_rows_check(const char *folder,
                                        const struct archive *archive,
                                        const struct archive_shard *shard,
                                        char *name);
/* Does that first. On OK the caller closes *rows. */
MUST_USE enum status archive_rows_open(const char *folder,
                                       const struct archive *archive,
                                       const struct archive_shard *shard,
                                       const char *scratch,
                                       struct archive_rows **rows);
void archive_rows_close(struct archive_rows *rows);

const struct shard_state *archive_rows_state(const struct archive_rows *rows);

struct archive_row {
    struct slice key;
    struct slice value;
    uint64_t token;
    bool is_key; /* A metadata row: */
    uint8_t db;
    uint64_t expire_ms;
};
/* Rows of DATA in order; false at the end, or when it fails: see archive_rows_end(). Valid until
 * the next call. */
bool archive_rows_next(struct archive_rows *rows, struct archive_row *row);
/* After the last one. CORRUPT: a row is malformed, or lies outside the shard; IO. */
MUST_USE enum status archive_rows_end(struct archive_rows *rows);

/* The sources of scripts that the shard keeps. */
MUST_USE enum status archive_rows_scripts(struct archive_rows *rows,
                                          void (*visit)(void *arg, struct slice source),
                                          void *arg);

#endif
