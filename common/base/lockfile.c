#include "common/base/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/log.h"

struct lockfile {
    int fd;
};

enum status lockfile_open(const char *path, struct lockfile **lock)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        log_error("lockfile.open", "path=\"%s\" errno=%d", path, errno);
        return STATUS_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        close(fd);
        if (error == EWOULDBLOCK) {
            return STATUS_CONFLICT;
        }
        log_error("lockfile.lock", "path=\"%s\" errno=%d", path, error);
        return STATUS_IO;
    }
    struct lockfile *made = malloc(sizeof(*made));
    assert(made != NULL);
    made->fd = fd;
    *lock = made;
    return STATUS_OK;
}

void lockfile_close(struct lockfile *lock)
{
    assert(lock != NULL);
    assert(lock->fd >= 0);
    close(lock->fd); /* Releases the lock. */
    free(lock);
}
