#ifndef SERVER_BACKUP_EXPORT_H
#define SERVER_BACKUP_EXPORT_H

#include "server/shard/shard.h"

/* The rows of one shard, as a view sees them, as sorted files for a backup, one after the other:
 * those of DATA, then those of LOCAL. Each is removed when the next one is asked for. Thread: one
 * owner at a time; blocks but for new. */

struct backup_export;

/* Takes the view. folder is this export's alone; copied. */
struct backup_export *backup_export_new(struct txn *view,
                                        const struct shard_desc *desc,
                                        const char *folder);
/* Removes what is on the disk. */
void backup_export_free(struct backup_export *export);

struct backup_file {
    enum store_family family;
    uint64_t size; /* 0: there is no file, as there are no rows. */
    uint64_t sum;  /* As manifest_measure() has it. */
    bool last;     /* Of the shard. */
};

/* Writes some megabytes. AGAIN: the file is not ready, call again. IO, CORRUPT; DISK_FULL: there is
 * no room. BAD_ARGUMENT: the last one is there already. */
MUST_USE enum status backup_export_next(struct backup_export *export, struct backup_file *file);
/* Appends a part of the file that was made last. BAD_ARGUMENT: it has no such part. */
MUST_USE enum status backup_export_read(struct backup_export *export,
                                        uint64_t offset,
                                        uint32_t len,
                                        struct buf *out);

#endif
