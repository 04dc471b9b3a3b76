#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "common/proto/frame.h"
#include "server/shard/bulk.h"

void taking_free(struct taking *taking)
{
    taking_release(taking);
    list_remove(&taking->link);
    free(taking->dir);
    free(taking->manifest);
    free(taking);
}

static void drop(struct taking *taking)
{
    if (taking->forgotten) {
        return;
    }
    taking->transfer->stats.receiving -= !taking->ready;
    taking->forgotten = true;
    if (!taking->working) {
        bulk_remove_later(taking->transfer, strdup(taking->dir));
        taking_free(taking);
    }
}

static struct bulk_head head_of(const struct taking *taking, uint8_t kind)
{
    return (struct bulk_head){.kind = kind,
                              .shard = taking->shard,
                              .replica = taking->replica,
                              .id = taking->manifest->id};
}

static void tell(struct taking *taking)
{
    struct bulk_head head = head_of(taking, taking->ready ? BULK_DONE : BULK_TAKEN);
    size_t offset = 0;
    struct buf *out = bulk_begin(taking->transfer, taking->from, &head, &offset);
    if (out == NULL) {
        return; /* Offered again in a moment. */
    }
    if (!taking->ready) {
        buf_append_u16(out, (uint16_t)taking->taken);
    }
    frame_end(out, offset);
}

static bool ask_block(struct taking *taking, uint32_t len)
{
    struct bulk_head head = head_of(taking, BULK_GET);
    size_t offset = 0;
    struct buf *out = bulk_begin(taking->transfer, taking->from, &head, &offset);
    if (out == NULL) {
        return false;
    }
    buf_append_u16(out, (uint16_t)taking->next.file);
    buf_append_u64(out, taking->next.offset);
    buf_append_u32(out, len);
    frame_end(out, offset);
    return true;
}

/* The place behind len bytes from there: the next file begins when one ends. */
static void advance(const struct taking *taking, struct place *place, uint64_t len)
{
    place->offset += len;
    if (place->offset == taking->manifest->files[place->file].size) {
        *place = (struct place){.file = place->file + 1};
    }
}

/* Bytes between two places that are at most a window apart. */
static uint64_t distance(const struct taking *taking, struct place from, struct place to)
{
    uint64_t bytes = 0;
    for (; from.file < to.file; from = (struct place){.file = from.file + 1}) {
        bytes += taking->manifest->files[from.file].size - from.offset;
    }
    return bytes + to.offset - from.offset;
}

static void ask(struct taking *taking, uint64_t now_ms)
{
    if (taking->forgotten || taking->ready || (taking->working && taking->work.look)) {
        return;
    }
    uint64_t flying = distance(taking, taking->have, taking->next);
    const uint64_t window = (uint64_t)TRANSFER_WINDOW * TRANSFER_BLOCK_SIZE;
    while (taking->next.file < taking->manifest->file_count && flying < window &&
           flying + taking->queue_size < QUEUE_SIZE) {
        uint64_t left = taking->manifest->files[taking->next.file].size - taking->next.offset;
        uint32_t len = left < TRANSFER_BLOCK_SIZE ? (uint32_t)left : TRANSFER_BLOCK_SIZE;
        if (!ask_block(taking, len)) {
            return;
        }
        advance(taking, &taking->next, len);
        flying += len;
        taking->asked_ms = now_ms;
    }
}

static void arrive(struct taking *taking)
{
    taking->ready = true;
    taking->transfer->stats.receiving--;
    log_info("snapshot.arrived", "shard=%llu replica=%llu from=%llu files=%zu",
             (unsigned long long)taking->shard, (unsigned long long)taking->replica,
             (unsigned long long)taking->from, taking->manifest->file_count);
}

/* A file is not what was sent: it is fetched again, with all behind it. */
static void fetch_again(struct taking *taking)
{
    log_warn("snapshot.bad", "shard=%llu replica=%llu file=%zu action=\"fetched again\"",
             (unsigned long long)taking->shard, (unsigned long long)taking->replica, taking->taken);
    for (struct list *at; (at = list_pop_front(&taking->queue)) != NULL;) {
        free(list_entry(at, struct arrived_block, link));
    }
    taking->queue_size = 0;
    taking->have = (struct place){.file = taking->taken};
    taking->next = taking->have;
}

static void give_up(struct taking *taking)
{
    struct bulk_head head = head_of(taking, BULK_GONE);
    size_t offset = 0;
    struct buf *out = bulk_begin(taking->transfer, taking->from, &head, &offset);
    if (out != NULL) {
        frame_end(out, offset);
    }
    log_warn("snapshot.bad", "shard=%llu replica=%llu file=%zu action=\"another one is made\"",
             (unsigned long long)taking->shard, (unsigned long long)taking->replica, taking->taken);
    drop(taking);
}

static void check_ready(struct taking *taking)
{
    if (!taking->ready && taking->complete && taking->taken == taking->manifest->file_count) {
        arrive(taking);
    }
}

void taking_worked(struct taking *taking)
{
    if (taking->forgotten) {
        bulk_remove_later(taking->transfer, strdup(taking->dir));
        taking_free(taking);
        return;
    }
    if (taking->work.status != STATUS_OK) {
        log_error("snapshot.failed", "shard=%llu replica=%llu reason=\"%s\" action=\"make room\"",
                  (unsigned long long)taking->shard, (unsigned long long)taking->replica,
                  status_text(taking->work.status));
        drop(taking); /* The next offer begins anew. */
        return;
    }
    bool news = taking->work.taken > taking->taken;
    taking->taken = taking->work.taken;
    if (taking->work.look) {
        taking->have = taking->work.have;
        taking->next = taking->have;
    }
    taking->bad = news ? 0 : taking->bad;
    if (taking->work.bad && ++taking->bad >= BAD_MAX) {
        give_up(taking);
        return;
    }
    if (taking->work.bad) {
        fetch_again(taking);
    }
    check_ready(taking);
    if (news || taking->ready) {
        tell(taking);
    }
    taking_write(taking);
    ask(taking, clock_now_ms());
}

static struct taking *find(const struct transfer *transfer, uint64_t shard, uint64_t replica)
{
    for (struct list *at = transfer->takings.next; at != &transfer->takings; at = at->next) {
        struct taking *taking = list_entry(at, struct taking, link);
        if (taking->shard == shard && taking->replica == replica && !taking->forgotten) {
            return taking;
        }
    }
    return NULL;
}

/* Something of an earlier one is still being written there, or removed. */
static bool folder_is_busy(const struct transfer *transfer, const char *dir)
{
    for (struct list *at = transfer->takings.next; at != &transfer->takings; at = at->next) {
        if (strcmp(list_entry(at, struct taking, link)->dir, dir) == 0) {
            return true;
        }
    }
    for (struct list *at = transfer->leftovers.next; at != &transfer->leftovers; at = at->next) {
        if (strcmp(list_entry(at, struct leftover, link)->dir, dir) == 0) {
            return true;
        }
    }
    return false;
}

static void begin(struct transfer *transfer,
                  uint64_t from,
                  const struct bulk_head *head,
                  struct manifest *manifest,
                  bool complete)
{
    char *dir = bulk_folder(transfer, "in", head->shard, head->replica);
    if (folder_is_busy(transfer, dir)) {
        free(dir);
        free(manifest);
        return; /* Offered again in a moment. */
    }
    struct taking *taking = calloc(1, sizeof(*taking));
    assert(taking != NULL);
    taking->transfer = transfer;
    taking->shard = head->shard;
    taking->replica = head->replica;
    taking->from = from;
    taking->manifest = manifest;
    taking->complete = complete;
    taking->dir = dir;
    list_init(&taking->queue);
    list_init(&taking->work.blocks);
    list_push_back(&transfer->takings, &taking->link);
    transfer->stats.receiving++;
    taking_look(taking);
}

/* More files of the same; what is known does not change, so a job may read it meanwhile. False: it
 * does. */
static bool grow(struct taking *taking, const struct manifest *manifest)
{
    struct manifest *known = taking->manifest;
    for (size_t i = 0; i < known->file_count && i < manifest->file_count; i++) {
        if (known->files[i].size != manifest->files[i].size ||
            known->files[i].sum != manifest->files[i].sum) {
            return false;
        }
    }
    for (; known->file_count < manifest->file_count; known->file_count++) {
        known->files[known->file_count] = manifest->files[known->file_count];
    }
    return true;
}

static enum status offered_again(struct taking *taking,
                                 uint64_t from,
                                 const struct manifest *manifest,
                                 bool complete)
{
    if (!grow(taking, manifest)) {
        return STATUS_PROTOCOL;
    }
    taking->from = from;
    taking->complete = taking->complete || complete;
    if (taking->working && taking->work.look) {
        return STATUS_OK;
    }
    check_ready(taking);
    tell(taking);
    ask(taking, clock_now_ms());
    return STATUS_OK;
}

static bool proper(const struct manifest *manifest, const struct bulk_head *head)
{
    bool good = manifest->id == head->id && manifest->state.desc.id == head->shard;
    for (size_t i = 0; good && i < manifest->file_count; i++) {
        good = manifest->files[i].size > 0;
    }
    return good;
}

enum status taking_offer(struct transfer *transfer,
                         uint64_t from,
                         const struct bulk_head *head,
                         struct slice body)
{
    struct reader in = reader_of(body);
    bool complete = reader_u8(&in) != 0;
    if (in.failed || in.rest.len > MANIFEST_SIZE_MAX) {
        return STATUS_PROTOCOL;
    }
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    assert(manifest != NULL);
    if (manifest_decode(in.rest, manifest) != STATUS_OK || !proper(manifest, head)) {
        free(manifest);
        return STATUS_PROTOCOL;
    }
    struct taking *taking = find(transfer, head->shard, head->replica);
    if (taking != NULL && taking->manifest->id == head->id) {
        enum status status = offered_again(taking, from, manifest, complete);
        free(manifest);
        return status;
    }
    if (taking != NULL) {
        drop(taking);
    }
    begin(transfer, from, head, manifest, complete);
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
    bool looking = taking != NULL && taking->working && taking->work.look;
    if (taking == NULL || taking->manifest->id != head->id || taking->ready || looking ||
        file != taking->have.file || offset != taking->have.offset ||
        file >= taking->manifest->file_count) {
        return STATUS_OK; /* Late, or out of order after a lost connection: asked for again. */
    }
    if (bytes.len > taking->manifest->files[file].size - offset) {
        return STATUS_PROTOCOL;
    }
    struct arrived_block *block = malloc(sizeof(*block) + bytes.len);
    assert(block != NULL);
    block->file = file;
    block->offset = offset;
    block->len = bytes.len;
    memcpy(block->bytes, bytes.data, bytes.len);
    list_push_back(&taking->queue, &block->link);
    taking->queue_size += bytes.len;
    transfer->stats.bytes_received += bytes.len;
    advance(taking, &taking->have, bytes.len);
    uint64_t now_ms = clock_now_ms();
    taking->asked_ms = now_ms;
    taking_write(taking);
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
    if (taking->forgotten || now_ms - taking->asked_ms < BULK_REPEAT_MS) {
        return;
    }
    if (!(taking->working && taking->work.look)) {
        taking->next = taking->have;
    }
    ask(taking, now_ms);
}

bool transfer_ready(const struct transfer *transfer, const struct manifest *manifest)
{
    for (struct list *at = transfer->takings.next; at != &transfer->takings; at = at->next) {
        const struct taking *taking = list_entry(at, struct taking, link);
        if (taking->ready && !taking->forgotten && taking->manifest->id == manifest->id) {
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
    if (!folder_is_busy(transfer, dir)) {
        bulk_remove(dir);
    }
    free(dir);
}
