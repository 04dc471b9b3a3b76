#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/shard/bulk.h"

/* The job of a taking: what came goes to the files and to the disk, and a file that is whole is
 * compared with the manifest. Synced in small parts: the log's syncs share the disk. */

static const char id_file[] = "id";

static void path_of(const struct taking *taking, size_t file, struct buf *path)
{
    buf_init(path, 8192);
    bulk_file(taking->dir, file, path);
}

static void close_out(struct taking *taking)
{
    if (taking->work.out != NULL) {
        disk_close(taking->work.out);
        taking->work.out = NULL;
    }
}

/* OK, or CORRUPT. */
static enum status verify(const struct taking *taking, size_t file)
{
    struct buf path;
    uint64_t size = 0;
    uint64_t sum = 0;
    path_of(taking, file, &path);
    enum status status = manifest_measure((const char *)path.data, &size, &sum);
    buf_deinit(&path);
    const struct manifest_file *want = &taking->manifest->files[file];
    bool same = size == want->size && sum == want->sum;
    return status == STATUS_OK && !same ? STATUS_CORRUPT : status;
}

static enum status write_block(struct taking *taking, const struct arrived_block *block)
{
    if (taking->work.out == NULL) {
        struct buf path;
        path_of(taking, block->file, &path);
        const char *name = (const char *)path.data;
        bool fresh = block->offset == 0;
        if (fresh && disk_exists(name)) {
            /* The engine may have another name for what is there: it is not written over. */
            enum status gone = disk_unlink(name);
            (void)gone;
        }
        enum status status = disk_open(name, fresh ? DISK_CREATE : DISK_WRITE, &taking->work.out);
        buf_deinit(&path);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return disk_write(taking->work.out, block->offset, block->bytes, block->len);
}

/* The file is whole: is it what it should be, and will it stay? */
static enum status end_file(struct taking *taking, size_t file)
{
    enum status status = disk_sync(taking->work.out);
    close_out(taking);
    status = status == STATUS_OK ? verify(taking, file) : status;
    if (status == STATUS_CORRUPT) {
        taking->work.bad = true;
        return STATUS_OK;
    }
    status = status == STATUS_OK ? disk_sync_folder(taking->dir) : status;
    taking->work.taken += status == STATUS_OK;
    return status;
}

static void free_blocks(struct list *blocks)
{
    for (struct list *at; (at = list_pop_front(blocks)) != NULL;) {
        free(list_entry(at, struct arrived_block, link));
    }
}

static void run_write(struct job *job)
{
    struct taking *taking = list_entry(job, struct taking, job);
    enum status status = STATUS_OK;
    struct list *at = NULL;
    while (status == STATUS_OK && !taking->work.bad &&
           (at = list_pop_front(&taking->work.blocks)) != NULL) {
        struct arrived_block *block = list_entry(at, struct arrived_block, link);
        status = write_block(taking, block);
        if (status == STATUS_OK &&
            block->offset + block->len == taking->manifest->files[block->file].size) {
            status = end_file(taking, block->file);
        }
        free(block);
    }
    if (status == STATUS_OK && taking->work.out != NULL) {
        status = disk_sync(taking->work.out);
    }
    free_blocks(&taking->work.blocks);
    taking->work.status = status;
}

/* The id is kept beside the files, so that a restarted node knows what they belong to. */
static enum status keep_id(const struct taking *taking, bool *kept)
{
    struct buf path;
    struct buf id;
    struct buf found;
    buf_init(&path, 8192);
    buf_init(&id, 8);
    buf_init(&found, 4096);
    buf_append_format(&path, "%s/%s", taking->dir, id_file);
    buf_append_u8(&path, 0);
    buf_append_u64(&id, taking->manifest->id);
    enum status status = disk_read_file((const char *)path.data, &found);
    *kept = status == STATUS_OK && slice_equal(buf_slice(&id), buf_slice(&found));
    status = STATUS_OK;
    if (!*kept) {
        bulk_clear(taking->dir);
        status = disk_replace_file((const char *)path.data, buf_slice(&id));
    }
    buf_deinit(&found);
    buf_deinit(&id);
    buf_deinit(&path);
    return status;
}

/* Bytes of the file that are there; blocks were written in order, so that is how far it came. */
static enum status length_of(const struct taking *taking, size_t file, uint64_t *length)
{
    struct buf path;
    struct disk_file *opened = NULL;
    path_of(taking, file, &path);
    *length = 0;
    enum status status = STATUS_OK;
    if (disk_exists((const char *)path.data)) {
        status = disk_open((const char *)path.data, DISK_READ, &opened);
        status = status == STATUS_OK ? disk_size(opened, length) : status;
    }
    if (opened != NULL) {
        disk_close(opened);
    }
    buf_deinit(&path);
    return status;
}

static void run_look(struct job *job)
{
    struct taking *taking = list_entry(job, struct taking, job);
    bool kept = false;
    enum status status = disk_make_folder(taking->dir);
    status = status == STATUS_OK ? keep_id(taking, &kept) : status;
    size_t file = 0;
    uint64_t length = 0;
    for (; kept && status == STATUS_OK && file < taking->work.count; file++) {
        uint64_t want = taking->manifest->files[file].size;
        status = length_of(taking, file, &length);
        length = length > want ? 0 : length;
        if (status != STATUS_OK || length < want) {
            break;
        }
        status = verify(taking, file);
        if (status == STATUS_CORRUPT) {
            status = STATUS_OK;
            length = 0;
            break;
        }
    }
    bool partial = kept && file < taking->work.count;
    taking->work.taken = file;
    taking->work.have = (struct place){.file = file, .offset = partial ? length : 0};
    taking->work.status = status;
}

static void on_worked(struct job *job)
{
    struct taking *taking = list_entry(job, struct taking, job);
    assert(taking->working);
    taking->working = false;
    taking->transfer->jobs--;
    taking->queue_size -= taking->work.size;
    taking->work.size = 0;
    taking_worked(taking);
}

static void start(struct taking *taking, void (*run)(struct job *job))
{
    taking->working = true;
    taking->work.bad = false;
    taking->work.taken = taking->taken;
    taking->job = (struct job){.run = run, .done = on_worked};
    bulk_run(taking->transfer, &taking->job);
}

void taking_look(struct taking *taking)
{
    assert(!taking->working);
    taking->work.look = true;
    taking->work.count = taking->manifest->file_count;
    start(taking, run_look);
}

void taking_write(struct taking *taking)
{
    if (taking->working || list_empty(&taking->queue)) {
        return;
    }
    taking->work.look = false;
    taking->work.size = taking->queue_size;
    while (!list_empty(&taking->queue)) {
        list_push_back(&taking->work.blocks, list_pop_front(&taking->queue));
    }
    start(taking, run_write);
}

void taking_release(struct taking *taking)
{
    assert(!taking->working);
    close_out(taking);
    free_blocks(&taking->queue);
    free_blocks(&taking->work.blocks);
}
