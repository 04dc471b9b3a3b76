#ifndef COMMON_BASE_LOCKFILE_H
#define COMMON_BASE_LOCKFILE_H

#include "common/base/status.h"

/* A file that one process at a time holds (flock): the operating system lets go of it when the
 * process ends, however it ends. The file itself stays. Any thread. */

struct lockfile;

/* Makes the file if it is not there. CONFLICT: another process (or another lockfile of this one)
 * holds it. IO: errno says why, the detail is logged. On OK *lock is the caller's. */
MUST_USE enum status lockfile_open(const char *path, struct lockfile **lock);
void lockfile_close(struct lockfile *lock);

#endif
