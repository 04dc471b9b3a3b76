#ifndef COMMON_BASE_DISK_H
#define COMMON_BASE_DISK_H

#include "common/base/buf.h"
#include "common/base/status.h"

/* Files, as far as durability is our own business (the shared log, identity, the saved map). The
 * simulator links tests/support/disk_sim.c in place of disk.c: there, what was not synced is lost
 * or torn at a crash. Statuses: NOT_FOUND, IO (the detail is logged), DISK_FULL. Any thread; a
 * file has one owner. */

struct disk_file;

enum { DISK_PAGE_SIZE = 4096 };

enum disk_mode {
    DISK_READ,   /* The file exists; read only. */
    DISK_WRITE,  /* The file exists; read and write. */
    DISK_CREATE, /* Made or emptied; read and write. */
};

MUST_USE enum status disk_open(const char *path, enum disk_mode mode, struct disk_file **file);
void disk_close(struct disk_file *file);
MUST_USE enum status disk_size(struct disk_file *file, uint64_t *size);
/* Reads exactly len bytes or fails with IO; NOT_FOUND if the file ends before. */
MUST_USE enum status disk_read(struct disk_file *file, uint64_t offset, void *data, size_t len);
MUST_USE enum status disk_write(struct disk_file *file,
                                uint64_t offset,
                                const void *data,
                                size_t len);
/* From now on whole pages (offset, length and address are multiples of DISK_PAGE_SIZE) are written
 * past the page cache, if the file system can do that; everything else goes through it as before.
 */
void disk_set_direct(struct disk_file *file);
/* fdatasync. After a failure the file's contents are unknown: never call it again
 * (facts: fsync is not retried), end the process. */
MUST_USE enum status disk_sync(struct disk_file *file);
/* Writes zeros up to size and syncs, so that later writes change no metadata. */
MUST_USE enum status disk_fill(struct disk_file *file, uint64_t size);

MUST_USE enum status disk_rename(const char *from, const char *to);
MUST_USE enum status disk_unlink(const char *path);
/* The folder is empty. */
MUST_USE enum status disk_remove_folder(const char *path);
MUST_USE enum status disk_sync_folder(const char *path);
/* Makes the folder and its parents; OK if it exists. */
MUST_USE enum status disk_make_folder(const char *path);
bool disk_exists(const char *path);
/* Calls visit for every name in the folder but . and .. */
MUST_USE enum status disk_list(const char *path,
                               void (*visit)(void *arg, const char *name),
                               void *arg);
/* Bytes that an ordinary user may still write on the folder's file system. */
MUST_USE enum status disk_free(const char *path, uint64_t *bytes);

/* Appends the whole file to *out; TOO_BIG if it is longer than out has room for. */
MUST_USE enum status disk_read_file(const char *path, struct buf *out);
/* The file holds either the old or the new bytes, also after a power cut: temporary file, sync,
 * rename, sync of the folder. */
MUST_USE enum status disk_replace_file(const char *path, struct slice bytes);

#endif
