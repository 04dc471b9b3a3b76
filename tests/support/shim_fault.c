#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

/* A preloaded library (LD_PRELOAD) that makes the disk of one process fail on command.
 *
 * SHERD_SHIM names a directory; while a file of one of these names is in it
 *     sync_eio     fsync and fdatasync fail with EIO
 *     sync_slow    fsync and fdatasync take 300 ms longer
 *     write_eio    writes to regular files fail with EIO
 *     write_enospc writes to, and growing of, regular files fail with ENOSPC
 *     space_low    the file system says that it has no free space left (writes still work)
 * Sockets, pipes and terminals, and the log on stderr, are left alone. Thread: any. */

enum { PATH_SIZE = 512, SLOW_SYNC_US = 300 * 1000 };

int fsync(int fd);
int fdatasync(int fd);

static int is_on(const char *fault)
{
    const char *directory = getenv("SHERD_SHIM");
    char path[PATH_SIZE];
    if (directory == NULL ||
        snprintf(path, sizeof path, "%s/%s", directory, fault) >= (int)sizeof path) {
        return 0;
    }
    int saved = errno;
    int on = access(path, F_OK) == 0;
    errno = saved;
    return on;
}

static int is_file(int fd)
{
    struct stat stat;
    return fd > STDERR_FILENO && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
}

/* The error that a write to this file gets, or 0. */
static int write_fault(int fd)
{
    int fault = is_on("write_enospc") ? ENOSPC : is_on("write_eio") ? EIO : 0;
    return fault != 0 && is_file(fd) ? fault : 0;
}

/* The function that this library stands in front of; the first call of each looks it up. */
#define REAL(name)                             \
    static __typeof__(&name) real;             \
    if (real == NULL) {                        \
        void *found = dlsym(RTLD_NEXT, #name); \
        memcpy(&real, &found, sizeof real);    \
    }

#define FAIL_WRITE(fd)           \
    int fault = write_fault(fd); \
    if (fault != 0) {            \
        errno = fault;           \
        return -1;               \
    }

static int sync_fault(void)
{
    if (is_on("sync_slow")) {
        usleep(SLOW_SYNC_US);
    }
    return is_on("sync_eio");
}

int fsync(int fd)
{
    REAL(fsync)
    if (sync_fault()) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync)
    if (sync_fault()) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write)
    FAIL_WRITE(fd)
    return real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(pwrite)
    FAIL_WRITE(fd)
    return real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    REAL(pwrite64)
    FAIL_WRITE(fd)
    return real(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev)
    FAIL_WRITE(fd)
    return real(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    REAL(pwritev)
    FAIL_WRITE(fd)
    return real(fd, parts, count, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    REAL(fallocate)
    FAIL_WRITE(fd)
    return real(fd, mode, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    REAL(posix_fallocate)
    int fault = write_fault(fd);
    return fault != 0 ? fault : real(fd, offset, size);
}

/* Programs built for large files call these names instead. */
int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    REAL(fallocate64)
    FAIL_WRITE(fd)
    return real(fd, mode, offset, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    REAL(posix_fallocate64)
    int fault = write_fault(fd);
    return fault != 0 ? fault : real(fd, offset, size);
}

/* The four ways to ask for free space; the fields have the same names in both structs. */
#define HIDE_SPACE(out)                      \
    if (result == 0 && is_on("space_low")) { \
        (out)->f_bavail = 0;                 \
        (out)->f_bfree = 0;                  \
    }

int statvfs(const char *path, struct statvfs *out)
{
    REAL(statvfs)
    int result = real(path, out);
    HIDE_SPACE(out)
    return result;
}

int fstatvfs(int fd, struct statvfs *out)
{
    REAL(fstatvfs)
    int result = real(fd, out);
    HIDE_SPACE(out)
    return result;
}

int statvfs64(const char *path, struct statvfs64 *out)
{
    REAL(statvfs64)
    int result = real(path, out);
    HIDE_SPACE(out)
    return result;
}

int fstatvfs64(int fd, struct statvfs64 *out)
{
    REAL(fstatvfs64)
    int result = real(fd, out);
    HIDE_SPACE(out)
    return result;
}
