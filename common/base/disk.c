#include "common/base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/log.h"

enum { ZEROS_SIZE = 256 << 10, PATH_SIZE_MAX = 4096, FILE_MODE = 0600, FOLDER_MODE = 0700 };

struct disk_file {
    int fd;
    int direct_fd; /* -1: none. */
    char *path;
};

static const uint8_t zeros[ZEROS_SIZE];

static enum status failed(const char *step, const char *path)
{
    int error = errno;
    if (error == ENOENT) {
        return STATUS_NOT_FOUND;
    }
    log_error("disk.failed", "step=%s path=%s errno=%d reason=\"%s\"", step, path, error,
              strerror(error));
    return error == ENOSPC || error == EDQUOT ? STATUS_DISK_FULL : STATUS_IO;
}

enum status disk_open(const char *path, enum disk_mode mode, struct disk_file **file)
{
    int flags = O_CLOEXEC;
    switch (mode) {
    case DISK_READ: flags |= O_RDONLY; break;
    case DISK_WRITE: flags |= O_RDWR; break;
    case DISK_CREATE: flags |= O_RDWR | O_CREAT | O_TRUNC; break;
    }
    int fd = open(path, flags, FILE_MODE);
    if (fd < 0) {
        return failed("open", path);
    }
    struct disk_file *opened = malloc(sizeof(*opened));
    assert(opened != NULL);
    opened->fd = fd;
    opened->direct_fd = -1;
    opened->path = strdup(path);
    assert(opened->path != NULL);
    *file = opened;
    return STATUS_OK;
}

void disk_set_direct(struct disk_file *file)
{
    assert(file->direct_fd < 0);
    /* A file system that knows no such thing refuses: -1. */
    file->direct_fd = open(file->path, O_WRONLY | O_DIRECT | O_CLOEXEC);
}

static void drop_direct(struct disk_file *file)
{
    if (file->direct_fd >= 0) {
        (void)close(file->direct_fd);
        file->direct_fd = -1;
    }
}

void disk_close(struct disk_file *file)
{
    /* What was synced is on disk; an error of close says nothing about it. */
    drop_direct(file);
    (void)close(file->fd);
    free(file->path);
    free(file);
}

enum status disk_size(struct disk_file *file, uint64_t *size)
{
    struct stat stat;
    if (fstat(file->fd, &stat) != 0) {
        return failed("stat", file->path);
    }
    *size = (uint64_t)stat.st_size;
    return STATUS_OK;
}

enum status disk_read(struct disk_file *file, uint64_t offset, void *data, size_t len)
{
    uint8_t *at = data;
    while (len > 0) {
        ssize_t n = pread(file->fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failed("read", file->path);
        }
        if (n == 0) {
            return STATUS_NOT_FOUND;
        }
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return STATUS_OK;
}

/* Both kinds of writing see each other's bytes: the kernel writes dirty pages out before, and drops
 * what it has cached after, a write past them. disk_sync() is for both. */
static int fd_for(const struct disk_file *file, uint64_t offset, const uint8_t *data, size_t len)
{
    bool whole = offset % DISK_PAGE_SIZE == 0 && len % DISK_PAGE_SIZE == 0 &&
                 (uintptr_t)data % DISK_PAGE_SIZE == 0;
    return whole && file->direct_fd >= 0 ? file->direct_fd : file->fd;
}

enum status disk_write(struct disk_file *file, uint64_t offset, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        int fd = fd_for(file, offset, at, len);
        ssize_t n = pwrite(fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EINVAL && fd == file->direct_fd) {
            drop_direct(file); /* It wants larger units than pages. */
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return failed("write", file->path);
        }
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return STATUS_OK;
}

enum status disk_sync(struct disk_file *file)
{
    /* Not repeated, not even after EINTR: the kernel reports a lost page once. */
    return fdatasync(file->fd) == 0 ? STATUS_OK : failed("sync", file->path);
}

enum status disk_fill(struct disk_file *file, uint64_t size)
{
    uint64_t at;
    enum status status = disk_size(file, &at);
    if (status != STATUS_OK || at >= size) {
        return status;
    }
    while (at < size && status == STATUS_OK) {
        size_t len = size - at < ZEROS_SIZE ? (size_t)(size - at) : ZEROS_SIZE;
        status = disk_write(file, at, zeros, len);
        at += len;
    }
    return status == STATUS_OK ? disk_sync(file) : status;
}

enum status disk_rename(const char *from, const char *to)
{
    return rename(from, to) == 0 ? STATUS_OK : failed("rename", from);
}

enum status disk_unlink(const char *path)
{
    return unlink(path) == 0 ? STATUS_OK : failed("unlink", path);
}

enum status disk_remove_folder(const char *path)
{
    return rmdir(path) == 0 ? STATUS_OK : failed("rmdir", path);
}

enum status disk_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return failed("open-folder", path);
    }
    enum status status = fsync(fd) == 0 ? STATUS_OK : failed("sync-folder", path);
    (void)close(fd);
    return status;
}

/* The folder that holds path: "." if path has no slash. */
static void parent_of(const char *path, char parent[PATH_SIZE_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (slash == NULL) {
        (void)snprintf(parent, PATH_SIZE_MAX, ".");
    } else {
        (void)snprintf(parent, PATH_SIZE_MAX, "%.*s", len == 0 ? 1 : (int)len, path);
    }
}

static enum status make_one(const char *path)
{
    if (mkdir(path, FOLDER_MODE) != 0) {
        struct stat stat_now;
        bool there = errno == EEXIST && stat(path, &stat_now) == 0 && S_ISDIR(stat_now.st_mode);
        return there ? STATUS_OK : failed("make-folder", path);
    }
    char parent[PATH_SIZE_MAX];
    parent_of(path, parent);
    return disk_sync_folder(parent);
}

enum status disk_make_folder(const char *path)
{
    char part[PATH_SIZE_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return failed("make-folder", path);
    }
    enum status status = STATUS_OK;
    for (size_t i = 1; i <= len && status == STATUS_OK; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(part, path, i);
            part[i] = '\0';
            status = make_one(part);
        }
    }
    return status;
}

bool disk_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

enum status disk_list(const char *path, void (*visit)(void *arg, const char *name), void *arg)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return failed("list", path);
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            visit(arg, entry->d_name);
        }
    }
    enum status status = errno == 0 ? STATUS_OK : failed("list", path);
    (void)closedir(folder);
    return status;
}

enum status disk_free(const char *path, uint64_t *bytes)
{
    struct statvfs stat;
    if (statvfs(path, &stat) != 0) {
        return failed("free", path);
    }
    *bytes = (uint64_t)stat.f_bavail * (uint64_t)stat.f_frsize;
    return STATUS_OK;
}

enum status disk_read_file(const char *path, struct buf *out)
{
    struct disk_file *file;
    uint64_t size = 0;
    enum status status = disk_open(path, DISK_READ, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = disk_size(file, &size);
    if (status == STATUS_OK && size > out->size_max - out->len) {
        status = STATUS_TOO_BIG;
    }
    if (status == STATUS_OK && size > 0) {
        status = disk_read(file, 0, buf_reserve(out, (size_t)size), (size_t)size);
        out->len += status == STATUS_OK ? (size_t)size : 0;
    }
    disk_close(file);
    return status;
}

static enum status write_new(const char *path, struct slice bytes)
{
    struct disk_file *file;
    enum status status = disk_open(path, DISK_CREATE, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = disk_write(file, 0, bytes.data, bytes.len);
    if (status == STATUS_OK) {
        status = disk_sync(file);
    }
    disk_close(file);
    return status;
}

enum status disk_replace_file(const char *path, struct slice bytes)
{
    char temporary[PATH_SIZE_MAX];
    char parent[PATH_SIZE_MAX];
    int len = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof(temporary)) {
        errno = ENAMETOOLONG;
        return failed("replace", path);
    }
    parent_of(path, parent);
    enum status status = write_new(temporary, bytes);
    if (status == STATUS_OK) {
        status = disk_rename(temporary, path);
    }
    return status == STATUS_OK ? disk_sync_folder(parent) : status;
}
