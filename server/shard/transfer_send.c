#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "common/proto/frame.h"
#include "server/shard/bulk.h"

void sending_free(struct sending *sending)
{
    for (struct list *at; (at = list_pop_front(&sending->wanted)) != NULL;) {
        free(list_entry(at, struct wanted_block, link));
    }
    bulk_remove(sending->dir);
    free(sending->dir);
    free(sending->manifest);
    free(sending);
}

static void end(struct sending *sending, enum status status)
{
    struct transfer *transfer = sending->transfer;
    list_remove(&sending->link);
    transfer->stats.sending--;
    if (!sending->cancelled) {
        transfer->stats.finished += status == STATUS_OK;
        transfer->stats.failed += status != STATUS_OK;
        log_info("snapshot.sent", "shard=%llu replica=%llu node=%llu result=\"%s\"",
                 (unsigned long long)sending->manifest->state.desc.id,
                 (unsigned long long)sending->to.replica, (unsigned long long)sending->to.node,
                 status_text(status));
        transfer->env.on_sent(transfer->env.ctx, sending->manifest->state.desc.id, sending->token,
                              status, sending->manifest);
    }
    sending_free(sending);
}

static enum status export_family(struct sending *sending, enum store_family family)
{
    struct manifest *manifest = sending->manifest;
    const struct shard_desc *desc = &manifest->state.desc;
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, family, &from, &to);
    size_t count = 0;
    const char *name = family == STORE_DATA ? "data" : "local";
    struct store_range_files range = {.family = family,
                                      .from = buf_slice(&from),
                                      .to = buf_slice(&to),
                                      .dir = sending->dir,
                                      .name = name,
                                      .file_size = EXPORT_FILE_SIZE};
    enum status status = store_export(sending->view, &range, &count);
    buf_deinit(&from);
    buf_deinit(&to);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        if (manifest->file_count == MANIFEST_FILES_MAX) {
            return STATUS_TOO_BIG;
        }
        struct manifest_file *file = &manifest->files[manifest->file_count];
        struct buf made;
        struct buf path;
        buf_init(&made, 8192);
        buf_init(&path, 8192);
        buf_append_format(&made, "%s/%s-%zu.sst", sending->dir, name, i);
        buf_append_u8(&made, 0);
        bulk_file(sending->dir, manifest->file_count, &path);
        file->family = family;
        status = disk_rename((const char *)made.data, (const char *)path.data);
        if (status == STATUS_OK) {
            status = manifest_measure((const char *)path.data, &file->size, &file->sum);
        }
        manifest->file_count++;
        buf_deinit(&made);
        buf_deinit(&path);
    }
    return status;
}

static void run_export(struct job *job)
{
    struct sending *sending = list_entry(job, struct sending, job);
    sending->status = disk_make_folder(sending->dir);
    bulk_clear(sending->dir);
    if (sending->status == STATUS_OK && sending->manifest->state.desc.id != SHARD_META) {
        sending->status = export_family(sending, STORE_DATA);
    }
    if (sending->status == STATUS_OK) {
        sending->status = export_family(sending, STORE_LOCAL);
    }
    txn_free(sending->view);
    sending->view = NULL;
}

static void on_exported(struct job *job)
{
    struct sending *sending = list_entry(job, struct sending, job);
    assert(sending->exporting);
    sending->exporting = false;
    sending->transfer->jobs--;
    sending->heard_ms = clock_now_ms();
    if (sending->cancelled || sending->status != STATUS_OK) {
        end(sending, sending->status);
        return;
    }
    sending_tick(sending->transfer, sending, sending->heard_ms);
}

static void cancel(struct sending *sending)
{
    sending->cancelled = true;
    if (!sending->exporting) {
        end(sending, STATUS_CLOSED);
    }
}

void transfer_send(struct transfer *transfer,
                   const struct group_member *to,
                   uint64_t token,
                   const struct shard_state *state,
                   struct txn *view)
{
    struct list *next = NULL;
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = next) {
        next = at->next;
        struct sending *other = list_entry(at, struct sending, link);
        if (other->manifest->state.desc.id == state->desc.id && other->to.replica == to->replica) {
            cancel(other);
        }
    }
    struct sending *sending = calloc(1, sizeof(*sending));
    assert(sending != NULL);
    sending->manifest = calloc(1, sizeof(*sending->manifest));
    assert(sending->manifest != NULL);
    sending->transfer = transfer;
    sending->to = *to;
    sending->token = token;
    sending->view = view;
    sending->manifest->id = rand_u64(&transfer->rand) | 1;
    sending->manifest->state = *state;
    /* Each export has a folder of its own: one that was cancelled may still be writing. */
    sending->dir = bulk_folder(transfer, "out", state->desc.id, sending->manifest->id);
    sending->exporting = true;
    list_init(&sending->wanted);
    list_push_back(&transfer->sendings, &sending->link);
    transfer->stats.sending++;
    transfer->jobs++;
    sending->job = (struct job){.run = run_export, .done = on_exported};
    log_info("snapshot.send", "shard=%llu replica=%llu node=%llu index=%llu",
             (unsigned long long)state->desc.id, (unsigned long long)to->replica,
             (unsigned long long)to->node, (unsigned long long)state->group.index);
    transfer->env.run(transfer->env.ctx, &sending->job);
}

static struct bulk_head head_of(const struct sending *sending, uint8_t kind)
{
    return (struct bulk_head){.kind = kind,
                              .shard = sending->manifest->state.desc.id,
                              .replica = sending->to.replica,
                              .id = sending->manifest->id};
}

static struct sending *find(struct transfer *transfer, const struct bulk_head *head)
{
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = at->next) {
        struct sending *sending = list_entry(at, struct sending, link);
        if (sending->manifest->id == head->id && !sending->exporting) {
            return sending;
        }
    }
    return NULL;
}

static enum status send_block(struct sending *sending, const struct wanted_block *block)
{
    struct transfer *transfer = sending->transfer;
    struct buf path;
    buf_init(&path, 8192);
    bulk_file(sending->dir, block->file, &path);
    struct disk_file *file = NULL;
    uint8_t *bytes = malloc(block->len + 1);
    assert(bytes != NULL);
    enum status status = disk_open((const char *)path.data, DISK_READ, &file);
    if (status == STATUS_OK) {
        status = disk_read(file, block->offset, bytes, block->len);
        disk_close(file);
    }
    struct bulk_head head = head_of(sending, BULK_BLOCK);
    size_t offset = 0;
    struct buf *out =
        status == STATUS_OK ? bulk_begin(transfer, sending->to.node, &head, &offset) : NULL;
    if (out != NULL) {
        buf_append_u16(out, block->file);
        buf_append_u64(out, block->offset);
        buf_append(out, bytes, block->len);
        frame_end(out, offset);
        transfer->stats.bytes_sent += block->len;
        transfer->tokens -= block->len;
    }
    free(bytes);
    buf_deinit(&path);
    return status;
}

/* Sends what the throttle lets through. */
static void pump(struct sending *sending)
{
    struct transfer *transfer = sending->transfer;
    while (!list_empty(&sending->wanted) &&
           (transfer->bytes_per_second == 0 || transfer->tokens > 0)) {
        struct wanted_block *block =
            list_entry(list_pop_front(&sending->wanted), struct wanted_block, link);
        sending->wanted_count--;
        enum status status = send_block(sending, block);
        free(block);
        if (status != STATUS_OK) {
            end(sending, status);
            return;
        }
    }
}

enum status sending_get(struct transfer *transfer, const struct bulk_head *head, struct reader *in)
{
    uint16_t file = reader_u16(in);
    uint64_t offset = reader_u64(in);
    uint32_t len = reader_u32(in);
    if (!reader_done(in) || len == 0 || len > TRANSFER_BLOCK_SIZE) {
        return STATUS_PROTOCOL;
    }
    struct sending *sending = find(transfer, head);
    if (sending == NULL) {
        return STATUS_OK; /* The receiver is offered a newer one, or gives up by itself. */
    }
    const struct manifest *manifest = sending->manifest;
    if (file >= manifest->file_count || offset > manifest->files[file].size ||
        len > manifest->files[file].size - offset) {
        return STATUS_PROTOCOL;
    }
    sending->heard_ms = clock_now_ms();
    if (sending->wanted_count >= 2 * TRANSFER_WINDOW) {
        return STATUS_OK; /* Repeats of what waits already. */
    }
    struct wanted_block *block = malloc(sizeof(*block));
    assert(block != NULL);
    *block = (struct wanted_block){.file = file, .offset = offset, .len = len};
    list_push_back(&sending->wanted, &block->link);
    sending->wanted_count++;
    pump(sending);
    return STATUS_OK;
}

void sending_done(struct transfer *transfer, const struct bulk_head *head)
{
    struct sending *sending = find(transfer, head);
    if (sending != NULL) {
        end(sending, STATUS_OK);
    }
}

void sending_tick(struct transfer *transfer, struct sending *sending, uint64_t now_ms)
{
    if (sending->exporting) {
        return;
    }
    if (now_ms - sending->heard_ms > SEND_SILENCE_MS) {
        end(sending, STATUS_TIMEOUT);
        return;
    }
    if (now_ms - sending->heard_ms >= BULK_REPEAT_MS || sending->offered_ms == 0) {
        if (now_ms - sending->offered_ms >= BULK_REPEAT_MS) {
            struct bulk_head head = head_of(sending, BULK_OFFER);
            size_t offset = 0;
            struct buf *out = bulk_begin(transfer, sending->to.node, &head, &offset);
            if (out != NULL) {
                manifest_encode(sending->manifest, out);
                frame_end(out, offset);
            }
            sending->offered_ms = now_ms;
        }
    }
    pump(sending);
}

void transfer_cancel(struct transfer *transfer, uint64_t shard)
{
    struct list *next = NULL;
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = next) {
        next = at->next;
        struct sending *sending = list_entry(at, struct sending, link);
        if (sending->manifest->state.desc.id == shard) {
            cancel(sending);
        }
    }
}
