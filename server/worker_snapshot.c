#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/worker_private.h"

/* Snapshots as the worker sees them: when to export, and how an arrived one becomes the state of a
 * replica: ingest the files, write the state row, flush, tell the group. The log's reset record is
 * durable before the first of these and names the manifest, so a crash anywhere repeats them. */

struct want {
    struct list link;
    uint64_t shard;
    struct group_member to;
    uint64_t token;
};

struct install {
    struct list link;
    struct job job;
    struct worker *worker;
    uint64_t shard;
    struct shard_state state; /* What the replica will be. */
    struct manifest *manifest;
    bool ingested;
    enum status status;
};

void snapshot_wanted(void *ctx, struct shard *shard, const struct group_member *to, uint64_t token)
{
    struct worker *worker = ctx;
    struct want *want = calloc(1, sizeof(*want));
    assert(want != NULL);
    *want = (struct want){.shard = shard_id(shard), .to = *to, .token = token};
    list_push_back(&worker->wanted, &want->link);
    worker->env.again(worker->env.ctx);
}

static void send_wanted(struct worker *worker)
{
    for (struct list *at; (at = list_pop_front(&worker->wanted)) != NULL;) {
        struct want *want = list_entry(at, struct want, link);
        struct slot *slot = worker_slot(worker, want->shard);
        if (slot != NULL && !slot->removing) {
            /* Everything applied is committed now, so the view is exactly the state's index. */
            transfer_send(worker->transfer, &want->to, want->token, shard_state(slot->shard),
                          txn_view(worker->options.store));
        }
        free(want);
    }
}

void snapshot_sent(
    void *ctx, uint64_t shard, uint64_t token, enum status status, const struct manifest *manifest)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot(worker, shard);
    if (slot == NULL) {
        return;
    }
    struct buf bytes;
    buf_init(&bytes, MANIFEST_SIZE_MAX);
    manifest_encode(manifest, &bytes);
    group_snapshot_made(shard_group(slot->shard), token, status, &manifest->state.group,
                        buf_slice(&bytes));
    buf_deinit(&bytes);
}

bool snapshot_is_current(void *ctx, const struct shard_desc *desc)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot(worker, desc->id);
    return slot != NULL && shard_state(slot->shard)->desc.ver == desc->ver;
}

static struct manifest *decode(struct slice bytes)
{
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    assert(manifest != NULL);
    if (manifest_decode(bytes, manifest) == STATUS_OK) {
        return manifest;
    }
    free(manifest);
    return NULL;
}

bool snapshot_ready(void *ctx,
                    struct shard *shard,
                    const struct group_state *state,
                    struct slice bytes)
{
    struct worker *worker = ctx;
    struct manifest *manifest = decode(bytes);
    bool ready = manifest != NULL && manifest->state.desc.id == shard_id(shard) &&
                 manifest->state.group.index == state->index &&
                 transfer_ready(worker->transfer, manifest) && merge_may_fill(worker, shard) &&
                 change_may_fill(worker, &manifest->state.desc);
    free(manifest);
    return ready;
}

static enum status ingest_family(struct worker *worker,
                                 const struct install *install,
                                 enum store_family family)
{
    const struct manifest *manifest = install->manifest;
    char **paths = calloc(manifest->file_count + 1, sizeof(*paths));
    assert(paths != NULL);
    size_t count = 0;
    for (size_t i = 0; i < manifest->file_count; i++) {
        if (manifest->files[i].family == family) {
            struct buf path;
            buf_init(&path, 8192);
            transfer_path(worker->transfer, install->shard, install->state.replica, i, &path);
            size_t len = 0;
            paths[count++] = (char *)buf_take(&path, &len);
        }
    }
    const struct shard_desc *desc = &manifest->state.desc;
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, family, &from, &to);
    struct store_range range = {.family = family, .from = buf_slice(&from), .to = buf_slice(&to)};
    enum status status =
        store_ingest(worker->options.store, &range, (const char *const *)paths, count);
    buf_deinit(&from);
    buf_deinit(&to);
    for (size_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    free(paths);
    return status;
}

static enum status ingest(struct worker *worker, const struct install *install)
{
    enum status status =
        install->shard == SHARD_META ? STATUS_OK : ingest_family(worker, install, STORE_DATA);
    return status == STATUS_OK ? ingest_family(worker, install, STORE_LOCAL) : status;
}

static void run_install(struct job *job)
{
    struct install *install = list_entry(job, struct install, job);
    install->status = install->ingested ? store_flush(install->worker->options.store)
                                        : ingest(install->worker, install);
}

static void put_row(struct worker *worker, const struct shard_state *state)
{
    struct buf key;
    struct buf value;
    buf_init(&key, 16);
    buf_init(&value, 4096);
    shard_state_key(state->desc.id, &key);
    shard_state_encode(state, &value);
    txn_put(worker->txn, STORE_LOCAL, buf_slice(&key), buf_slice(&value));
    buf_deinit(&key);
    buf_deinit(&value);
}

static void fail_install(const struct install *install)
{
    log_error("snapshot.unusable",
              "shard=%llu index=%llu reason=\"%s\" action=\"this node stops; start it again to "
              "repeat, or replace its disk\"",
              (unsigned long long)install->shard, (unsigned long long)install->state.group.index,
              status_text(install->status));
    abort();
}

static void on_installed(struct job *job)
{
    struct install *install = list_entry(job, struct install, job);
    struct worker *worker = install->worker;
    worker->jobs--;
    if (install->status != STATUS_OK) {
        fail_install(install);
    }
    struct slot *slot = worker_slot(worker, install->shard);
    assert(slot != NULL && slot->installing);
    if (!install->ingested) {
        install->ingested = true;
        change_shrink(worker, shard_state(slot->shard), &install->state.desc);
        merge_installed(worker, &install->state.desc);
        put_row(worker, &install->state);
        list_push_back(&worker->installs, &install->link);
        worker->env.again(worker->env.ctx);
        return;
    }
    slot->installing = false;
    log_info("snapshot.installed", "shard=%llu replica=%llu index=%llu",
             (unsigned long long)install->shard, (unsigned long long)install->state.replica,
             (unsigned long long)install->state.group.index);
    shard_installed(slot->shard, &install->state);
    transfer_forget(worker->transfer, install->shard, install->state.replica);
    free(install->manifest);
    free(install);
    worker->env.again(worker->env.ctx);
}

static struct install *install_new(struct worker *worker,
                                   uint64_t replica,
                                   const struct group_state *state,
                                   struct manifest *manifest)
{
    struct install *install = calloc(1, sizeof(*install));
    assert(install != NULL);
    install->worker = worker;
    install->shard = manifest->state.desc.id;
    install->manifest = manifest;
    install->state = manifest->state;
    install->state.replica = replica;
    install->state.group = *state;
    install->job = (struct job){.run = run_install, .done = on_installed};
    return install;
}

void snapshot_install(void *ctx,
                      struct shard *shard,
                      const struct group_state *state,
                      struct slice bytes)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot_of(worker, shard);
    struct manifest *manifest = decode(bytes);
    assert(manifest != NULL); /* snapshot_ready() has read it. */
    assert(!slot->installing);
    slot->installing = true;
    struct install *install = install_new(worker, shard_state(shard)->replica, state, manifest);
    list_push_back(&worker->installs, &install->link);
    worker->env.again(worker->env.ctx);
}

void snapshot_after_commit(struct worker *worker)
{
    send_wanted(worker);
    for (struct list *at; (at = list_pop_front(&worker->installs)) != NULL;) {
        struct install *install = list_entry(at, struct install, link);
        worker->jobs++;
        worker->env.run(worker->env.ctx, &install->job);
    }
}

void snapshot_free_waiting(struct worker *worker)
{
    for (struct list *at; (at = list_pop_front(&worker->wanted)) != NULL;) {
        free(list_entry(at, struct want, link));
    }
    for (struct list *at; (at = list_pop_front(&worker->installs)) != NULL;) {
        struct install *install = list_entry(at, struct install, link);
        free(install->manifest);
        free(install);
    }
}

/* Are the files those of the manifest? */
static enum status verify(struct worker *worker, const struct install *install)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < install->manifest->file_count; i++) {
        const struct manifest_file *want = &install->manifest->files[i];
        struct buf path;
        uint64_t size = 0;
        uint64_t sum = 0;
        buf_init(&path, 8192);
        transfer_path(worker->transfer, install->shard, install->state.replica, i, &path);
        status = manifest_measure((const char *)path.data, &size, &sum);
        if (status == STATUS_OK && (size != want->size || sum != want->sum)) {
            status = STATUS_CORRUPT;
        }
        buf_deinit(&path);
    }
    return status;
}

/* Repeats the installation of *bytes; what the store then holds goes to *state. */
static enum status repeat(struct worker *worker,
                          const struct group_state *pending,
                          struct slice bytes,
                          struct shard_state *state)
{
    struct manifest *manifest = decode(bytes);
    if (manifest == NULL) {
        return STATUS_CORRUPT;
    }
    struct install *install = install_new(worker, state->replica, pending, manifest);
    enum status status = verify(worker, install);
    status = status == STATUS_OK ? ingest(worker, install) : status;
    if (status == STATUS_OK) {
        change_shrink(worker, state, &install->state.desc);
        merge_installed(worker, &install->state.desc);
    }
    *state = install->state;
    free(install->manifest);
    free(install);
    return status;
}

enum status snapshot_resume(struct worker *worker, struct shard_state *state)
{
    struct group_state pending;
    struct slice bytes;
    if (!group_pending_install(worker->host, state->desc.id, state->group.index, &pending,
                               &bytes)) {
        return STATUS_OK;
    }
    log_info("snapshot.resume", "shard=%llu index=%llu", (unsigned long long)state->desc.id,
             (unsigned long long)pending.index);
    enum status status = STATUS_OK;
    if (bytes.len > 0) {
        status = repeat(worker, &pending, bytes, state);
    } else {
        state->group = pending; /* The group's birth: there are no rows yet. */
    }
    if (status == STATUS_OK) {
        put_row(worker, state);
        status = txn_commit(worker->txn);
    }
    status = status == STATUS_OK ? store_flush(worker->options.store) : status;
    if (status == STATUS_OK && bytes.len > 0) {
        transfer_forget(worker->transfer, state->desc.id, state->replica);
    }
    return status;
}
