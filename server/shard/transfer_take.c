#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "common/proto/frame.h"
#include "server/shard/bulk.h"

void taking_free(struct taking *taking)
{
    if (taking->out != NULL) {
        disk_close(taking->out);
    }
    free(taking->dir);
    free(taking->manifest);
    free(taking);
}

static void drop(struct taking *taking)
{
    if (taking->verifying) {
        taking->forgotten = true;
        return;
    }
    list_remove(&taking->link);
    taking->transfer->stats.receiving -= !taking->ready;
    bulk_remove(taking->dir);
    taking_free(taking);
}

static struct bulk_head head_of(const struct taking *taking, uint8_t kind)
{
    return (struct bulk_head){.kind = kind,
                              .shard = taking->shard,
                              .replica = taking->replica,
                              .id = taking->manifest->id};
}

static void send_done(struct taking *taking)
{
    struct bulk_head head = head_of(taking, BULK_DONE);
    size_t offset = 0;
    struct buf *out = bulk_begin(taking->transfer, taking->from, &head, &offset);
    if (out != NULL) {
        frame_end(out, offset);
    }
}

static void run_verify(struct job *job)
{
    struct taking *taking = list_entry(job, struct taking, job);
    taking->status = STATUS_OK;
    for (size_t i = 0; taking->status == STATUS_OK && i < taking->manifest->file_count; i++) {
        struct buf path;
        buf_init(&path, 8192);
        bulk_file(taking->dir, i, &path);
        uint64_t size = 0;
        uint64_t sum = 0;
        taking->status = manifest_measure((const char *)path.data, &size, &sum);
        const struct manifest_file *want = &taking->manifest->files[i];
        if (taking->status == STATUS_OK && (size != want->size || sum != want->sum)) {
            taking->status = STATUS_CORRUPT;
        }
        struct disk_file *file = NULL;
        if (taking->status == STATUS_OK) {
            taking->status = disk_open((const char *)path.data, DISK_WRITE, &file);
        }
        if (taking->status == STATUS_OK) {
            taking->status = disk_sync(file);
            disk_close(file);
        }
        buf_deinit(&path);
    }
    if (taking->status == STATUS_OK) {
        taking->status = disk_sync_folder(taking->dir);
    }
}

static void on_verified(struct job *job)
{
    struct taking *taking = list_entry(job, struct taking, job);
    assert(taking->verifying);
    taking->verifying = false;
    taking->transfer->jobs--;
    if (taking->forgotten) {
        drop(taking);
        return;
    }
    if (taking->status != STATUS_OK) {
        log_warn("snapshot.bad", "shard=%llu replica=%llu reason=\"%s\" action=\"fetched again\"",
                 (unsigned long long)taking->shard, (unsigned long long)taking->replica,
                 status_text(taking->status));
        drop(taking); /* The next offer begins anew. */
        return;
    }
    taking->ready = true;
    taking->transfer->stats.receiving--;
    log_info("snapshot.arrived", "shard=%llu replica=%llu from=%llu files=%zu",
             (unsigned long long)taking->shard, (unsigned long long)taking->replica,
             (unsigned long long)taking->from, taking->manifest->file_count);
    send_done(taking);
}

/* Opens the file to be fetched next, past what an earlier attempt left of it; verifies when there
 * is none. */
static void open_next(struct taking *taking)
{
    for (; taking->file < taking->manifest->file_count; taking->file++) {
        struct buf path;
        buf_init(&path, 8192);
        bulk_file(taking->dir, taking->file, &path);
        const char *name = (const char *)path.data;
        enum disk_mode mode = disk_exists(name) ? DISK_WRITE : DISK_CREATE;
        taking->status = disk_open(name, mode, &taking->out);
        uint64_t size = 0;
        if (taking->status == STATUS_OK) {
            taking->status = disk_size(taking->out, &size);
        }
        buf_deinit(&path);
        uint64_t want = taking->manifest->files[taking->file].size;
        if (taking->status != STATUS_OK) {
            return;
        }
        /* Blocks are written in order, so a file's length is how far it came. */
        taking->have = size < want ? size : want;
        taking->next = taking->have;
        if (taking->have < want) {
            return;
        }
        disk_close(taking->out);
        taking->out = NULL;
    }
    taking->verifying = true;
    taking->transfer->jobs++;
    taking->job = (struct job){.run = run_verify, .done = on_verified};
    taking->transfer->env.run(taking->transfer->env.ctx, &taking->job);
}

static void ask(struct taking *taking, uint64_t now_ms)
{
    if (taking->out == NULL) {
        return;
    }
    uint64_t size = taking->manifest->files[taking->file].size;
    while (taking->next < size &&
           taking->next < taking->have + (uint64_t)TRANSFER_WINDOW * TRANSFER_BLOCK_SIZE) {
        uint64_t left = size - taking->next;
        uint32_t len = left < TRANSFER_BLOCK_SIZE ? (uint32_t)left : TRANSFER_BLOCK_SIZE;
        struct bulk_head head = head_of(taking, BULK_GET);
        size_t offset = 0;
        struct buf *out = bulk_begin(taking->transfer, taking->from, &head, &offset);
        if (out == NULL) {
            return;
        }
        buf_append_u16(out, (uint16_t)taking->file);
        buf_append_u64(out, taking->next);
        buf_append_u32(out, len);
        frame_end(out, offset);
        taking->next += len;
        taking->asked_ms = now_ms;
    }
}

static struct taking *find(const struct transfer *transfer, uint64_t shard, uint64_t replica)
{
    for (struct list *at = transfer->takings.next; at != &transfer->takings; at = at->next) {
        struct taking *taking = list_entry(at, struct taking, link);
        if (taking->shard == shard && taking->replica == replica) {
            return taking;
        }
    }
    return NULL;
}

/* The manifest is kept beside the files, so that a restarted node knows what they belong to. */
static bool same_as_kept(const char *dir, struct slice manifest)
{
    struct buf path;
    struct buf kept;
    buf_init(&path, 8192);
    buf_init(&kept, MANIFEST_SIZE_MAX);
    buf_append_format(&path, "%s/manifest", dir);
    buf_append_u8(&path, 0);
    bool same = disk_read_file((const char *)path.data, &kept) == STATUS_OK &&
                slice_equal(buf_slice(&kept), manifest);
    buf_deinit(&kept);
    buf_deinit(&path);
    return same;
}

static enum status keep(const char *dir, struct slice manifest)
{
    struct buf path;
    buf_init(&path, 8192);
    buf_append_format(&path, "%s/manifest", dir);
    buf_append_u8(&path, 0);
    enum status status = disk_replace_file((const char *)path.data, manifest);
    buf_deinit(&path);
    return status;
}

static void begin(struct transfer *transfer,
                  uint64_t from,
                  const struct bulk_head *head,
                  struct slice bytes,
                  struct manifest *manifest)
{
    struct taking *taking = calloc(1, sizeof(*taking));
    assert(taking != NULL);
    taking->transfer = transfer;
    taking->shard = head->shard;
    taking->replica = head->replica;
    taking->from = from;
    taking->manifest = manifest;
    taking->dir = bulk_folder(transfer, "in", head->shard, head->replica);
    list_push_back(&transfer->takings, &taking->link);
    transfer->stats.receiving++;
    taking->status = disk_make_folder(taking->dir);
    if (taking->status == STATUS_OK && !same_as_kept(taking->dir, bytes)) {
        bulk_clear(taking->dir);
        taking->status = keep(taking->dir, bytes);
    }
    if (taking->status == STATUS_OK) {
        open_next(taking);
    }
    if (taking->status != STATUS_OK) {
        log_error("snapshot.failed", "shard=%llu replica=%llu reason=\"%s\" action=\"make room\"",
                  (unsigned long long)taking->shard, (unsigned long long)taking->replica,
                  status_text(taking->status));
        drop(taking);
        return;
    }
    ask(taking, clock_now_ms());
}

enum status taking_offer(struct transfer *transfer,
                         uint64_t from,
                         const struct bulk_head *head,
                         struct slice bytes)
{
    if (bytes.len > MANIFEST_SIZE_MAX) {
        return STATUS_PROTOCOL;
    }
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    assert(manifest != NULL);
    if (manifest_decode(bytes, manifest) != STATUS_OK || manifest->id != head->id) {
        free(manifest);
        return STATUS_PROTOCOL;
    }
    struct taking *taking = find(transfer, head->shard, head->replica);
    if (taking != NULL && taking->manifest->id == head->id) {
        free(manifest);
        taking->from = from;
        if (taking->ready) {
            send_done(taking);
        }
        return STATUS_OK;
    }
    if (taking != NULL && taking->verifying) {
        free(manifest);
        return STATUS_OK; /* Offered again in a moment. */
    }
    if (taking != NULL) {
        drop(taking);
    }
    begin(transfer, from, head, bytes, manifest);
    return STATUS_OK;
}

enum status taking_block(struct transfer *transfer, const struct bulk_head *head, struct reader *in)
{
    uint16_t file = reader_u16(in);
    uint64_t offset = reader_u64(in);
    struct slice bytes = in->rest;
    struct taking *taking = find(transfer, head->shard, head->replica);
    if (in->failed || bytes.len == 0 || bytes.len > TRANSFER_BLOCK_SIZE) {
        return STATUS_PROTOCOL;
    }
    if (taking == NULL || taking->manifest->id != head->id || taking->out == NULL ||
        file != taking->file || offset != taking->have) {
        return STATUS_OK; /* Late, or out of order after a lost connection: asked for again. */
    }
    uint64_t size = taking->manifest->files[file].size;
    if (bytes.len > size - offset) {
        return STATUS_PROTOCOL;
    }
    taking->status = disk_write(taking->out, offset, bytes.data, bytes.len);
    if (taking->status != STATUS_OK) {
        drop(taking);
        return STATUS_OK;
    }
    transfer->stats.bytes_received += bytes.len;
    taking->have += bytes.len;
    uint64_t now_ms = clock_now_ms();
    taking->asked_ms = now_ms;
    if (taking->have == size) {
        disk_close(taking->out);
        taking->out = NULL;
        taking->file++;
        open_next(taking);
    }
    ask(taking, now_ms);
    return STATUS_OK;
}

void taking_gone(struct transfer *transfer, const struct bulk_head *head)
{
    struct taking *taking = find(transfer, head->shard, head->replica);
    if (taking != NULL && taking->manifest->id == head->id && !taking->ready) {
        drop(taking);
    }
}

void taking_tick(struct taking *taking, uint64_t now_ms)
{
    if (taking->out == NULL || now_ms - taking->asked_ms < BULK_REPEAT_MS) {
        return;
    }
    taking->next = taking->have;
    ask(taking, now_ms);
}

bool transfer_ready(const struct transfer *transfer, const struct manifest *manifest)
{
    for (struct list *at = transfer->takings.next; at != &transfer->takings; at = at->next) {
        struct taking *taking = list_entry(at, struct taking, link);
        if (taking->ready && taking->manifest->id == manifest->id) {
            return true;
        }
    }
    return false;
}

void transfer_path(
    const struct transfer *transfer, uint64_t shard, uint64_t replica, size_t file, struct buf *out)
{
    char *dir = bulk_folder(transfer, "in", shard, replica);
    bulk_file(dir, file, out);
    free(dir);
}

void transfer_forget(struct transfer *transfer, uint64_t shard, uint64_t replica)
{
    struct taking *taking = find(transfer, shard, replica);
    if (taking != NULL) {
        drop(taking);
        return;
    }
    /* What arrived before this process started, and was installed by it. */
    char *dir = bulk_folder(transfer, "in", shard, replica);
    bulk_remove(dir);
    free(dir);
}
