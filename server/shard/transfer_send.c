#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "common/proto/frame.h"
#include "server/shard/bulk.h"

enum { RATE_MS = 1000 }; /* How often the rate is measured. */

void sending_free(struct sending *sending)
{
    for (struct list *at; (at = list_pop_front(&sending->wanted)) != NULL;) {
        free(list_entry(at, struct wanted_block, link));
    }
    sending_release(sending);
    list_remove(&sending->link);
    bulk_remove_later(sending->transfer, sending->dir);
    free(sending->manifest);
    free(sending);
}

static bool busy(const struct sending *sending)
{
    return sending->exporting || sending->reading;
}

/* Nothing more is sent; what is still at work for it lets it go. */
static void leave(struct sending *sending)
{
    assert(!sending->ended);
    sending->ended = true;
    sending->transfer->stats.sending--;
    if (!busy(sending)) {
        sending_free(sending);
    }
}

static void end(struct sending *sending, enum status status)
{
    struct transfer *transfer = sending->transfer;
    transfer->stats.finished += status == STATUS_OK;
    transfer->stats.failed += status != STATUS_OK;
    log_info("snapshot.sent", "shard=%llu replica=%llu node=%llu result=\"%s\"",
             (unsigned long long)sending->manifest->state.desc.id,
             (unsigned long long)sending->to.replica, (unsigned long long)sending->to.node,
             status_text(status));
    transfer->env.on_sent(transfer->env.ctx, sending->manifest->state.desc.id, sending->token,
                          status, sending->manifest);
    leave(sending);
}

static bool is_for(const struct sending *sending, uint64_t shard)
{
    return !sending->ended && sending->manifest->state.desc.id == shard;
}

static uint64_t rate_of(const struct transfer *transfer, uint64_t shard)
{
    const struct rate_rule *rule = map_get(&transfer->rates, shard);
    return rule == NULL ? 0 : rule->rate;
}

void transfer_set_rate(struct transfer *transfer, uint64_t shard, uint64_t bytes_per_second)
{
    struct rate_rule *rule = map_remove(&transfer->rates, shard);
    free(rule);
    if (bytes_per_second > 0) {
        rule = calloc(1, sizeof(*rule));
        assert(rule != NULL);
        *rule = (struct rate_rule){.shard = shard, .rate = bytes_per_second};
        (void)map_put(&transfer->rates, shard, rule);
    }
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = at->next) {
        struct sending *sending = list_entry(at, struct sending, link);
        if (is_for(sending, shard)) {
            throttle_set(&sending->throttle, bytes_per_second);
        }
    }
}

static void replace_older(struct transfer *transfer, uint64_t shard, uint64_t replica)
{
    struct list *next = NULL;
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = next) {
        next = at->next;
        struct sending *other = list_entry(at, struct sending, link);
        if (is_for(other, shard) && other->to.replica == replica) {
            leave(other);
        }
    }
}

void transfer_send(struct transfer *transfer,
                   const struct group_member *to,
                   uint64_t token,
                   const struct shard_state *state,
                   struct txn *view)
{
    replace_older(transfer, state->desc.id, to->replica);
    struct sending *sending = calloc(1, sizeof(*sending));
    assert(sending != NULL);
    sending->manifest = calloc(1, sizeof(*sending->manifest));
    assert(sending->manifest != NULL);
    sending->transfer = transfer;
    sending->to = *to;
    sending->token = token;
    sending->work.view = view;
    sending->manifest->id = rand_u64(&transfer->rand) | 1;
    sending->manifest->state = *state;
    /* Each export has a folder of its own: one that was ended may still be writing. */
    sending->dir = bulk_folder(transfer, "out", state->desc.id, sending->manifest->id);
    sending->heard_ms = clock_now_ms();
    sending->rated_ms = sending->heard_ms;
    throttle_init(&sending->throttle, rate_of(transfer, state->desc.id));
    buf_init(&sending->chunk, CHUNK_SIZE);
    buf_init(&sending->work.from, 64);
    buf_init(&sending->work.to, 64);
    list_init(&sending->wanted);
    list_push_back(&transfer->sendings, &sending->link);
    transfer->stats.sending++;
    log_info("snapshot.send", "shard=%llu replica=%llu node=%llu index=%llu",
             (unsigned long long)state->desc.id, (unsigned long long)to->replica,
             (unsigned long long)to->node, (unsigned long long)state->group.index);
    sending_export(sending);
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
        if (sending->manifest->id == head->id && !sending->ended) {
            return sending;
        }
    }
    return NULL;
}

/* There is something to be said to the receiver. */
static bool has_news(const struct sending *sending)
{
    return sending->manifest->file_count > 0 || sending->complete;
}

static void offer(struct sending *sending, uint64_t now_ms)
{
    if (!has_news(sending)) {
        return;
    }
    struct bulk_head head = head_of(sending, BULK_OFFER);
    size_t offset = 0;
    struct buf *out = bulk_begin(sending->transfer, sending->to.node, &head, &offset);
    if (out != NULL) {
        buf_append_u8(out, sending->complete);
        manifest_encode(sending->manifest, out);
        frame_end(out, offset);
    }
    sending->offered_ms = now_ms;
}

void sending_exported(struct sending *sending)
{
    if (sending->ended) {
        if (!busy(sending)) {
            sending_free(sending);
        }
        return;
    }
    struct manifest *manifest = sending->manifest;
    enum status status = sending->work.status;
    sending->estimate = sending->work.estimate;
    if (status == STATUS_OK && sending->work.file_ended &&
        manifest->file_count == MANIFEST_FILES_MAX) {
        status = STATUS_TOO_BIG;
    }
    if (status != STATUS_OK) {
        end(sending, status);
        return;
    }
    uint64_t now_ms = clock_now_ms();
    if (!has_news(sending)) {
        sending->heard_ms = now_ms;
    }
    if (sending->work.file_ended) {
        manifest->files[manifest->file_count++] = sending->work.made;
        sending->bytes_made += sending->work.made.size;
    }
    sending->complete = sending->work.all_ended;
    if (sending->work.file_ended || sending->complete) {
        offer(sending, now_ms);
    }
    sending_export(sending);
}

/* The block, if it is in memory. */
static bool in_chunk(const struct sending *sending, const struct wanted_block *block)
{
    return !sending->reading && sending->chunk.len > 0 && block->file == sending->chunk_file &&
           block->offset >= sending->chunk_offset &&
           block->offset + block->len <= sending->chunk_offset + sending->chunk.len;
}

static void note_reached(struct sending *sending, const struct wanted_block *block)
{
    struct place *reached = &sending->reached;
    for (; reached->file < block->file; reached->file++, reached->offset = 0) {
        sending->bytes_reached += sending->manifest->files[reached->file].size;
    }
    uint64_t end = block->offset + block->len;
    if (reached->file == block->file && end > reached->offset) {
        reached->offset = end;
    }
}

/* False: not now. */
static bool send_block(struct sending *sending, const struct wanted_block *block)
{
    struct transfer *transfer = sending->transfer;
    uint64_t now_ns = clock_now_ns();
    struct bulk_head head = head_of(sending, BULK_BLOCK);
    size_t offset = 0;
    if (!throttle_open(&sending->throttle, now_ns) || !throttle_open(transfer->throttle, now_ns)) {
        return false;
    }
    struct buf *out = bulk_begin(transfer, sending->to.node, &head, &offset);
    if (out == NULL) {
        return false;
    }
    buf_append_u16(out, block->file);
    buf_append_u64(out, block->offset);
    buf_append(out, sending->chunk.data + (block->offset - sending->chunk_offset), block->len);
    frame_end(out, offset);
    /* Another loop may have been quicker: then this block is early, and the next one waits. */
    (void)throttle_take(transfer->throttle, block->len, now_ns);
    (void)throttle_take(&sending->throttle, block->len, now_ns);
    transfer->stats.bytes_sent += block->len;
    sending->sent += block->len;
    note_reached(sending, block);
    return true;
}

/* Sends what is read and what the throttles let through; reads what comes next. */
static void pump(struct sending *sending)
{
    while (!list_empty(&sending->wanted) && !sending->reading) {
        struct wanted_block *block = list_entry(sending->wanted.next, struct wanted_block, link);
        if (!in_chunk(sending, block)) {
            sending_load(sending, block->file, block->offset);
            return;
        }
        if (!send_block(sending, block)) {
            return;
        }
        list_remove(&block->link);
        sending->wanted_count--;
        free(block);
    }
}

void sending_read(struct sending *sending)
{
    if (sending->ended) {
        if (!busy(sending)) {
            sending_free(sending);
        }
    } else if (sending->read_status != STATUS_OK) {
        end(sending, sending->read_status);
    } else {
        pump(sending);
    }
}

static bool is_wanted(const struct sending *sending, uint16_t file, uint64_t offset)
{
    for (struct list *at = sending->wanted.next; at != &sending->wanted; at = at->next) {
        const struct wanted_block *block = list_entry(at, struct wanted_block, link);
        if (block->file == file && block->offset == offset) {
            return true;
        }
    }
    return false;
}

static void want(struct sending *sending, uint16_t file, uint64_t offset, uint32_t len)
{
    if (sending->wanted_count >= 2 * TRANSFER_WINDOW || is_wanted(sending, file, offset)) {
        return; /* Repeats of what waits already. */
    }
    struct wanted_block *block = malloc(sizeof(*block));
    assert(block != NULL);
    *block = (struct wanted_block){.file = file, .offset = offset, .len = len};
    list_push_back(&sending->wanted, &block->link);
    sending->wanted_count++;
    pump(sending);
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
    if (file < sending->taken) {
        /* The receiver lost what it had said to be safe. */
        struct bulk_head gone = head_of(sending, BULK_GONE);
        size_t at = 0;
        struct buf *out = bulk_begin(transfer, sending->to.node, &gone, &at);
        if (out != NULL) {
            frame_end(out, at);
        }
        end(sending, STATUS_CORRUPT);
        return STATUS_OK;
    }
    want(sending, file, offset, len);
    return STATUS_OK;
}

/* Forgets wanted blocks of files before the taken ones: they came twice. */
static void forget_wanted(struct sending *sending)
{
    struct list *next = NULL;
    for (struct list *at = sending->wanted.next; at != &sending->wanted; at = next) {
        next = at->next;
        struct wanted_block *block = list_entry(at, struct wanted_block, link);
        if (block->file < sending->taken) {
            list_remove(&block->link);
            sending->wanted_count--;
            free(block);
        }
    }
}

enum status sending_taken(struct transfer *transfer,
                          const struct bulk_head *head,
                          struct reader *in)
{
    uint16_t files = reader_u16(in);
    if (!reader_done(in)) {
        return STATUS_PROTOCOL;
    }
    struct sending *sending = find(transfer, head);
    if (sending == NULL) {
        return STATUS_OK;
    }
    if (files > sending->manifest->file_count) {
        return STATUS_PROTOCOL;
    }
    sending->heard_ms = clock_now_ms();
    for (; sending->taken < files; sending->taken++) {
        sending->bytes_taken += sending->manifest->files[sending->taken].size;
    }
    forget_wanted(sending);
    sending_export(sending);
    return STATUS_OK;
}

void sending_done(struct transfer *transfer, const struct bulk_head *head)
{
    struct sending *sending = find(transfer, head);
    if (sending != NULL && sending->complete) {
        end(sending, STATUS_OK);
    }
}

void sending_gone(struct transfer *transfer, const struct bulk_head *head)
{
    struct sending *sending = find(transfer, head);
    if (sending != NULL) {
        end(sending, STATUS_CORRUPT);
    }
}

static uint64_t total_of(const struct sending *sending)
{
    bool exact = sending->complete || sending->bytes_made > sending->estimate;
    return exact ? sending->bytes_made : sending->estimate;
}

static void measure(struct sending *sending, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - sending->rated_ms;
    if (passed_ms < RATE_MS) {
        return;
    }
    uint64_t rate = (sending->sent - sending->sent_before) * 1000 / passed_ms;
    sending->rate = sending->sent_before == 0 ? rate : (sending->rate * 3 + rate) / 4;
    sending->sent_before = sending->sent;
    sending->rated_ms = now_ms;
}

void sending_tick(struct transfer *transfer, struct sending *sending, uint64_t now_ms)
{
    if (sending->ended) {
        return;
    }
    if (transfer->env.is_current != NULL &&
        !transfer->env.is_current(transfer->env.ctx, &sending->manifest->state.desc)) {
        end(sending, STATUS_CLOSED);
        return;
    }
    if (has_news(sending) && now_ms - sending->heard_ms > SEND_SILENCE_MS) {
        end(sending, STATUS_TIMEOUT);
        return;
    }
    if (now_ms - sending->heard_ms >= BULK_REPEAT_MS &&
        now_ms - sending->offered_ms >= BULK_REPEAT_MS) {
        offer(sending, now_ms);
    }
    measure(sending, now_ms);
    transfer->stats.bytes_left += total_of(sending) - sending->bytes_taken;
    pump(sending);
}

void transfer_cancel(struct transfer *transfer, uint64_t shard)
{
    struct list *next = NULL;
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = next) {
        next = at->next;
        struct sending *sending = list_entry(at, struct sending, link);
        if (is_for(sending, shard)) {
            leave(sending);
        }
    }
}

bool transfer_progress(const struct transfer *transfer,
                       size_t nth,
                       struct transfer_progress *progress)
{
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = at->next) {
        const struct sending *sending = list_entry(at, struct sending, link);
        if (sending->ended || nth-- > 0) {
            continue;
        }
        uint64_t done = sending->bytes_reached + sending->reached.offset;
        uint64_t total = total_of(sending);
        *progress = (struct transfer_progress){.shard = sending->manifest->state.desc.id,
                                               .to = sending->to,
                                               .done = done,
                                               .total = total > done ? total : done,
                                               .rate = sending->rate,
                                               .limit = throttle_rate(&sending->throttle)};
        return true;
    }
    return false;
}
