#include <stdlib.h>

#include "common/base/assert.h"
#include "server/shard/bulk.h"

/* The jobs of a sending: rows to files, a few megabytes at a time, lest slow reads of users wait
 * for the pool's threads; and parts of the files to memory. */

enum { FILES_WANTED = 256 }; /* Of a large shard: far from MANIFEST_FILES_MAX, if it grows. */

/* Begins the export of work.family. */
static void begin_family(struct sending *sending)
{
    const struct shard_desc *desc = &sending->manifest->state.desc;
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    buf_clear(&sending->work.from);
    buf_clear(&sending->work.to);
    machine_range(scope, sending->work.family, &sending->work.from, &sending->work.to);
    struct store_range range = {.family = sending->work.family,
                                .from = buf_slice(&sending->work.from),
                                .to = buf_slice(&sending->work.to)};
    uint64_t size = store_size(sending->transfer->store, range.family, range.from, range.to);
    sending->work.estimate += size;
    uint64_t least = sending->transfer->file_size;
    uint64_t file_size = size / FILES_WANTED < least ? least : size / FILES_WANTED;
    sending->work.export = store_export_begin(sending->work.view, &range, file_size);
}

static enum status begin(struct sending *sending)
{
    enum status status = disk_make_folder(sending->dir);
    bool meta = sending->manifest->state.desc.id == SHARD_META;
    sending->work.family = meta ? STORE_LOCAL : STORE_DATA;
    if (status == STATUS_OK) {
        begin_family(sending);
    }
    return status;
}

static void end_family(struct sending *sending)
{
    store_export_end(sending->work.export);
    sending->work.export = NULL;
    if (sending->work.family == STORE_DATA) {
        sending->work.family = STORE_LOCAL;
        begin_family(sending);
        return;
    }
    sending->work.all_ended = true;
    txn_free(sending->work.view);
    sending->work.view = NULL;
}

static void remove_useless(struct sending *sending)
{
    for (; sending->work.removed < sending->work.useless; sending->work.removed++) {
        struct buf path;
        buf_init(&path, 8192);
        bulk_file(sending->dir, sending->work.removed, &path);
        enum status status = disk_unlink((const char *)path.data);
        (void)status; /* The folder is removed at the end, with all that is in it. */
        buf_deinit(&path);
    }
}

static void run_export(struct job *job)
{
    struct sending *sending = list_entry(job, struct sending, export_job);
    remove_useless(sending);
    sending->work.status = sending->work.export == NULL ? begin(sending) : STATUS_OK;
    if (sending->work.status != STATUS_OK) {
        return;
    }
    struct buf path;
    buf_init(&path, 8192);
    bulk_file(sending->dir, sending->work.number, &path);
    const char *name = (const char *)path.data;
    enum export_progress progress = EXPORT_GOES_ON;
    enum status status = store_export_step(sending->work.export, name, EXPORT_STEP_SIZE, &progress);
    if (status == STATUS_OK && (progress == EXPORT_FILE_ENDED || progress == EXPORT_ENDED)) {
        sending->work.file_ended = true;
        sending->work.made.family = sending->work.family;
        status = manifest_measure(name, &sending->work.made.size, &sending->work.made.sum);
    }
    if (status == STATUS_OK && (progress == EXPORT_ENDED || progress == EXPORT_NOTHING)) {
        end_family(sending);
    }
    sending->work.status = status;
    buf_deinit(&path);
}

static void on_exported(struct job *job)
{
    struct sending *sending = list_entry(job, struct sending, export_job);
    assert(sending->exporting);
    sending->exporting = false;
    sending->transfer->jobs--;
    sending_exported(sending);
}

void sending_export(struct sending *sending)
{
    if (sending->exporting || sending->complete ||
        sending->manifest->file_count >= sending->taken + EXPORT_AHEAD) {
        return;
    }
    sending->exporting = true;
    sending->work.number = sending->manifest->file_count;
    sending->work.useless = sending->taken;
    sending->work.file_ended = false;
    sending->export_job = (struct job){.run = run_export, .done = on_exported};
    bulk_run(sending->transfer, &sending->export_job);
}

static void run_read(struct job *job)
{
    struct sending *sending = list_entry(job, struct sending, read_job);
    struct buf path;
    buf_init(&path, 8192);
    bulk_file(sending->dir, sending->chunk_file, &path);
    struct disk_file *file = NULL;
    sending->read_status = disk_open((const char *)path.data, DISK_READ, &file);
    if (sending->read_status == STATUS_OK) {
        sending->read_status =
            disk_read(file, sending->chunk_offset, sending->chunk.data, sending->chunk.len);
        disk_close(file);
    }
    buf_deinit(&path);
}

static void on_read(struct job *job)
{
    struct sending *sending = list_entry(job, struct sending, read_job);
    assert(sending->reading);
    sending->reading = false;
    sending->transfer->jobs--;
    sending_read(sending);
}

void sending_load(struct sending *sending, uint16_t file, uint64_t offset)
{
    assert(!sending->reading && file < sending->manifest->file_count);
    uint64_t left = sending->manifest->files[file].size - offset;
    sending->reading = true;
    sending->chunk_file = file;
    sending->chunk_offset = offset;
    size_t len = left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE;
    buf_clear(&sending->chunk);
    (void)buf_reserve(&sending->chunk, len);
    sending->chunk.len = len;
    sending->read_job = (struct job){.run = run_read, .done = on_read};
    bulk_run(sending->transfer, &sending->read_job);
}

void sending_release(struct sending *sending)
{
    assert(!sending->exporting && !sending->reading);
    if (sending->work.export != NULL) {
        store_export_end(sending->work.export);
    }
    if (sending->work.view != NULL) {
        txn_free(sending->work.view);
    }
    buf_deinit(&sending->chunk);
    buf_deinit(&sending->work.from);
    buf_deinit(&sending->work.to);
}
