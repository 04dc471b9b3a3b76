#include "server/shard/transfer.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/reader.h"
#include "common/proto/frame.h"
#include "server/shard/bulk.h"

struct transfer *transfer_new(const struct transfer_options *options,
                              const struct transfer_env *env)
{
    assert(options->throttle != NULL && options->store != NULL);
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    assert(transfer != NULL);
    transfer->env = *env;
    transfer->dir = strdup(options->dir);
    assert(transfer->dir != NULL);
    transfer->store = options->store;
    transfer->throttle = options->throttle;
    transfer->file_size = options->file_size == 0 ? EXPORT_FILE_SIZE : options->file_size;
    rand_init(&transfer->rand, options->seed);
    map_init(&transfer->rates);
    list_init(&transfer->sendings);
    list_init(&transfer->takings);
    list_init(&transfer->leftovers);
    return transfer;
}

void transfer_free(struct transfer *transfer)
{
    assert(transfer->jobs == 0);
    transfer->closing = true;
    while (!list_empty(&transfer->sendings)) {
        sending_free(list_entry(transfer->sendings.next, struct sending, link));
    }
    while (!list_empty(&transfer->takings)) {
        taking_free(list_entry(transfer->takings.next, struct taking, link));
    }
    size_t at = 0;
    for (struct rate_rule *rule; (rule = map_next(&transfer->rates, &at)) != NULL;) {
        free(rule);
    }
    map_deinit(&transfer->rates);
    free(transfer->dir);
    free(transfer);
}

bool transfer_busy(const struct transfer *transfer)
{
    return transfer->jobs > 0;
}

char *bulk_folder(const struct transfer *transfer,
                  const char *direction,
                  uint64_t shard,
                  uint64_t replica)
{
    struct buf path;
    buf_init(&path, 8192);
    buf_append_format(&path, "%s/%s-%llu-%llu", transfer->dir, direction, (unsigned long long)shard,
                      (unsigned long long)replica);
    buf_append_u8(&path, 0);
    size_t len = 0;
    return (char *)buf_take(&path, &len);
}

void bulk_file(const char *folder, size_t n, struct buf *out)
{
    buf_append_format(out, "%s/%zu.sst", folder, n);
    buf_append_u8(out, 0);
}

static void remove_file(void *arg, const char *name)
{
    struct buf path;
    buf_init(&path, 8192);
    buf_append_format(&path, "%s/%s", (const char *)arg, name);
    buf_append_u8(&path, 0);
    /* What stays costs room only; the next transfer clears the folder again. */
    enum status status = disk_unlink((const char *)path.data);
    (void)status;
    buf_deinit(&path);
}

void bulk_clear(const char *folder)
{
    char *copy = strdup(folder);
    assert(copy != NULL);
    enum status status = disk_list(folder, remove_file, copy);
    (void)status; /* NOT_FOUND: nothing to clear. */
    free(copy);
}

void bulk_remove(const char *folder)
{
    if (!disk_exists(folder)) {
        return;
    }
    bulk_clear(folder);
    enum status status = disk_remove_folder(folder);
    (void)status; /* An empty folder that stays harms nobody. */
}

void bulk_run(struct transfer *transfer, struct job *job)
{
    transfer->jobs++;
    transfer->env.run(transfer->env.ctx, job);
}

static void run_remove(struct job *job)
{
    bulk_remove(list_entry(job, struct leftover, job)->dir);
}

static void on_removed(struct job *job)
{
    struct leftover *leftover = list_entry(job, struct leftover, job);
    leftover->transfer->jobs--;
    list_remove(&leftover->link);
    free(leftover->dir);
    free(leftover);
}

void bulk_remove_later(struct transfer *transfer, char *folder)
{
    assert(folder != NULL);
    if (transfer->closing) {
        bulk_remove(folder);
        free(folder);
        return;
    }
    struct leftover *leftover = calloc(1, sizeof(*leftover));
    assert(leftover != NULL);
    leftover->transfer = transfer;
    leftover->dir = folder;
    leftover->job = (struct job){.run = run_remove, .done = on_removed};
    list_push_back(&transfer->leftovers, &leftover->link);
    bulk_run(transfer, &leftover->job);
}

static void sweep(void *arg, const char *name)
{
    const struct transfer *transfer = arg;
    if (strncmp(name, "out-", 4) != 0) {
        return;
    }
    struct buf path;
    buf_init(&path, 8192);
    buf_append_format(&path, "%s/%s", transfer->dir, name);
    buf_append_u8(&path, 0);
    bulk_remove((const char *)path.data);
    buf_deinit(&path);
}

void transfer_sweep(struct transfer *transfer)
{
    enum status status = disk_list(transfer->dir, sweep, transfer);
    (void)status; /* NOT_FOUND: nothing was ever sent from here. */
}

struct buf *bulk_begin(struct transfer *transfer,
                       uint64_t node,
                       const struct bulk_head *head,
                       size_t *offset)
{
    struct buf *out = transfer->env.out(transfer->env.ctx, node);
    if (out == NULL) {
        return NULL;
    }
    *offset = frame_begin(out, FRAME_BULK, 0);
    buf_append_u8(out, head->kind);
    buf_append_u64(out, head->shard);
    buf_append_u64(out, head->replica);
    buf_append_u64(out, head->id);
    return out;
}

enum status transfer_receive(struct transfer *transfer,
                             uint64_t from,
                             struct slice body,
                             bool takes)
{
    struct reader in = reader_of(body);
    struct bulk_head head = {0};
    head.kind = reader_u8(&in);
    head.shard = reader_u64(&in);
    head.replica = reader_u64(&in);
    head.id = reader_u64(&in);
    if (in.failed) {
        return STATUS_PROTOCOL;
    }
    switch (head.kind) {
    case BULK_OFFER: return takes ? taking_offer(transfer, from, &head, in.rest) : STATUS_OK;
    case BULK_GET: return sending_get(transfer, &head, &in);
    case BULK_BLOCK: return taking_block(transfer, &head, &in);
    case BULK_TAKEN: return sending_taken(transfer, &head, &in);
    case BULK_DONE: sending_done(transfer, &head); return STATUS_OK;
    case BULK_GONE:
        taking_gone(transfer, &head);
        sending_gone(transfer, &head);
        return STATUS_OK;
    default: return STATUS_PROTOCOL;
    }
}

/* Those that were served first are served last in the next tick: a throttle would else let nobody
 * else get anything. */
static void tick_sendings(struct transfer *transfer, uint64_t now_ms)
{
    size_t count = 0;
    for (struct list *at = transfer->sendings.next; at != &transfer->sendings; at = at->next) {
        count++;
    }
    transfer->stats.bytes_left = 0;
    struct list *next = NULL;
    for (struct list *at = transfer->sendings.next; count > 0; at = next, count--) {
        next = at->next;
        sending_tick(transfer, list_entry(at, struct sending, link), now_ms);
    }
    if (!list_empty(&transfer->sendings)) {
        struct list *first = list_pop_front(&transfer->sendings);
        list_push_back(&transfer->sendings, first);
    }
}

void transfer_tick(struct transfer *transfer)
{
    uint64_t now_ms = clock_now_ms();
    tick_sendings(transfer, now_ms);
    struct list *next = NULL;
    for (struct list *at = transfer->takings.next; at != &transfer->takings; at = next) {
        next = at->next;
        taking_tick(list_entry(at, struct taking, link), now_ms);
    }
}

const struct transfer_stats *transfer_stats(const struct transfer *transfer)
{
    return &transfer->stats;
}
