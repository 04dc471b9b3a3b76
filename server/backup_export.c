#include "server/backup_export.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "server/shard/manifest.h"

enum {
    FILE_SIZE = 32 << 20,
    STEP_SIZE = 4 << 20,    /* Between two steps others have the pool's thread. */
    SPARE_SIZE = 256 << 20, /* What is left of the disk for others. */
    PATH_SIZE_MAX = 8192,
    BOUND_SIZE_MAX = 64,
};

struct backup_export {
    struct txn *view;
    struct shard_desc desc;
    char *folder;
    enum store_family family;
    struct buf from;
    struct buf to;
    struct store_export *rows; /* Of the family; NULL: not begun. */
    size_t number;             /* Of the file that is made next. */
    bool ended;
    struct disk_file *file; /* The current one. */
    uint64_t size;
};

struct backup_export *backup_export_new(struct txn *view,
                                        const struct shard_desc *desc,
                                        const char *folder)
{
    struct backup_export *export = calloc(1, sizeof(*export));
    assert(export != NULL);
    export->view = view;
    export->desc = *desc;
    export->folder = strdup(folder);
    assert(export->folder != NULL);
    export->family = STORE_DATA;
    buf_init(&export->from, BOUND_SIZE_MAX);
    buf_init(&export->to, BOUND_SIZE_MAX);
    return export;
}

static void path_of(const struct backup_export *export, size_t number, struct buf *path)
{
    buf_append_format(path, "%s/%zu.sst", export->folder, number);
    buf_append_u8(path, 0);
}

static void drop_current(struct backup_export *export)
{
    if (export->file == NULL) {
        return;
    }
    struct buf path;
    buf_init(&path, PATH_SIZE_MAX);
    path_of(export, export->number - 1, &path);
    disk_close(export->file);
    export->file = NULL;
    enum status status = disk_unlink((const char *)path.data);
    (void)status; /* The folder is emptied in the end. */
    buf_deinit(&path);
}

static void unlink_in(void *arg, const char *name)
{
    struct buf path;
    buf_init(&path, PATH_SIZE_MAX);
    buf_append_format(&path, "%s/%s", (const char *)arg, name);
    buf_append_u8(&path, 0);
    enum status status = disk_unlink((const char *)path.data);
    (void)status;
    buf_deinit(&path);
}

static void clear_folder(char *folder)
{
    enum status status = disk_list(folder, unlink_in, folder);
    (void)status; /* Not there is as good as empty. */
}

void backup_export_free(struct backup_export *export)
{
    drop_current(export);
    clear_folder(export->folder);
    enum status status = disk_remove_folder(export->folder);
    (void)status;
    if (export->rows != NULL) {
        store_export_end(export->rows);
    }
    txn_free(export->view);
    buf_deinit(&export->from);
    buf_deinit(&export->to);
    free(export->folder);
    free(export);
}

static enum status begin_family(struct backup_export *export)
{
    struct machine_scope scope = {
        .shard = export->desc.id, .start = export->desc.start, .last = export->desc.last};
    buf_clear(&export->from);
    buf_clear(&export->to);
    machine_range(scope, export->family, &export->from, &export->to);
    struct store_range range = {
        .family = export->family, .from = buf_slice(&export->from), .to = buf_slice(&export->to)};
    export->rows = store_export_begin(export->view, &range, FILE_SIZE);
    if (export->family != STORE_DATA) {
        return STATUS_OK;
    }
    clear_folder(export->folder);
    return disk_make_folder(export->folder);
}

static enum status check_room(const struct backup_export *export)
{
    uint64_t room = 0;
    enum status status = disk_free(export->folder, &room);
    bool full = room < SPARE_SIZE + (uint64_t)FILE_SIZE;
    return status == STATUS_OK && full ? STATUS_DISK_FULL : status;
}

static enum status open_made(struct backup_export *export,
                             const char *path,
                             struct backup_file *file)
{
    file->family = export->family;
    enum status status = manifest_measure(path, &file->size, &file->sum);
    if (status == STATUS_OK) {
        status = disk_open(path, DISK_READ, &export->file);
    }
    export->size = file->size;
    export->number++;
    return status;
}

/* The rows of a family are over. */
static void end_family(struct backup_export *export)
{
    store_export_end(export->rows);
    export->rows = NULL;
    export->ended = export->family == STORE_LOCAL;
    export->family = STORE_LOCAL;
}

static enum status step(struct backup_export *export, const char *path, struct backup_file *file)
{
    enum export_progress progress = EXPORT_GOES_ON;
    enum status status = export->rows == NULL ? begin_family(export) : STATUS_OK;
    status = status == STATUS_OK ? check_room(export) : status;
    if (status == STATUS_OK) {
        status = store_export_step(export->rows, path, STEP_SIZE, &progress);
    }
    if (status != STATUS_OK) {
        return status;
    }
    switch (progress) {
    case EXPORT_GOES_ON: return STATUS_AGAIN;
    case EXPORT_FILE_ENDED: return open_made(export, path, file);
    case EXPORT_ENDED:
        status = open_made(export, path, file);
        end_family(export);
        return status;
    case EXPORT_NOTHING:
        end_family(export);
        *file = (struct backup_file){.family = export->family};
        return export->ended ? STATUS_OK : STATUS_AGAIN;
    }
    return STATUS_IO;
}

enum status backup_export_next(struct backup_export *export, struct backup_file *file)
{
    struct buf path;
    drop_current(export);
    if (export->ended) {
        return STATUS_BAD_ARGUMENT;
    }
    buf_init(&path, PATH_SIZE_MAX);
    path_of(export, export->number, &path);
    enum status status = step(export, (const char *)path.data, file);
    file->last = export->ended;
    buf_deinit(&path);
    return status;
}

enum status backup_export_read(struct backup_export *export,
                               uint64_t offset,
                               uint32_t len,
                               struct buf *out)
{
    if (export->file == NULL || offset > export->size || len > export->size - offset) {
        return STATUS_BAD_ARGUMENT;
    }
    enum status status = disk_read(export->file, offset, buf_reserve(out, len), len);
    out->len += status == STATUS_OK ? len : 0;
    return status;
}
