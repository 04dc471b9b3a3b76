#include "server/worker_backup.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "server/backup_export.h"
#include "server/worker_private.h"

enum { IDLE_MS = 60 * 1000, NUMBER_SIZE = 24, PATH_SIZE_MAX = 8192 };

enum phase {
    PHASE_BEGUN,
    PHASE_FENCING, /* The fences are up; what was proposed before is being applied. */
    PHASE_HELD,    /* The views are taken, the fences still up. */
    PHASE_CUT,     /* The fences are lifted. */
    PHASE_VOID,
};

struct backup {
    uint64_t id;
    uint64_t until_ms;
    enum phase phase;
    struct list items;
    struct backup_ask *asker; /* A fence or a release that is not done. */
    size_t confirming;
    enum status confirmed; /* OK as long as no group denied. */
    uint64_t fenced_ns;
    uint64_t held_us;
    uint64_t lift_ms;
};

/* One shard of it. */
struct item {
    struct list link;
    struct worker *worker;
    uint64_t shard;
    uint64_t replica;
    uint64_t term;
    bool lost;       /* The replica went; nothing holds on to its rows. */
    bool dropped;    /* Free it when nothing uses it any more. */
    bool confirming; /* read is under way. */
    struct group_read read;
    struct backup_export *export;
    struct job job;
    struct backup_ask *ask; /* Whom the job serves; NULL: it does not run. */
    struct list waiting;    /* Those behind it. */
    struct backup_file file;
    enum status status;
};

static void run_done(struct worker *origin, struct worker_mail *mail)
{
    (void)origin;
    struct backup_ask *ask = list_entry(mail, struct backup_ask, mail);
    ask->done(ask);
}

static void finish(struct worker *worker, struct backup_ask *ask, enum status status)
{
    ask->status = status;
    ask->mail.run = run_done;
    worker->env.post(worker->env.ctx, ask->origin->options.loop, &ask->mail);
}

static void put_name(struct buf *out, const char *name, uint64_t value)
{
    char text[NUMBER_SIZE];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    resp_write_text(out, name);
    resp_write_text(out, text);
}

static void put_shard(const struct shard_state *state, bool whole, struct buf *out)
{
    uint64_t keys = 0;
    for (size_t db = 0; db < MACHINE_DATABASES; db++) {
        keys += state->machine.keys[db];
    }
    resp_write_map(out, whole ? 9 : 8);
    put_name(out, "shard", state->desc.id);
    put_name(out, "start", state->desc.start);
    put_name(out, "last", state->desc.last);
    put_name(out, "ver", state->desc.ver);
    put_name(out, "keys", keys);
    put_name(out, "version", state->machine.version);
    put_name(out, "index", state->group.index);
    put_name(out, "term", state->group.term);
    if (whole) {
        struct buf bytes;
        buf_init(&bytes, 1 << 16);
        shard_state_encode(state, &bytes);
        resp_write_text(out, "state");
        resp_write_bulk(out, buf_slice(&bytes));
        buf_deinit(&bytes);
    }
}

static bool counts(const struct slot *slot)
{
    return shard_id(slot->shard) != SHARD_META && !slot->removing && shard_leads(slot->shard);
}

static void list_shards(struct worker *worker, struct backup_ask *ask)
{
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        if (counts(slot)) {
            put_shard(shard_state(slot->shard), false, &ask->reply);
            ask->count++;
        }
    }
    finish(worker, ask, STATUS_OK);
}

/* NULL: the replica is not here any more. */
static struct shard *shard_of(const struct item *item)
{
    struct slot *slot = worker_slot(item->worker, item->shard);
    bool same = slot != NULL && shard_state(slot->shard)->replica == item->replica;
    return same && !item->lost ? slot->shard : NULL;
}

static bool still_leads(const struct item *item)
{
    const struct shard *shard = shard_of(item);
    return shard != NULL && shard_leads(shard) && shard_leader(shard).term == item->term;
}

static void release_item(struct item *item)
{
    if (!item->dropped || item->ask != NULL || item->confirming) {
        return;
    }
    if (item->export != NULL) {
        backup_export_free(item->export);
    }
    free(item);
}

static void lift(struct worker *worker)
{
    struct backup *backup = worker->backup;
    if (backup->phase != PHASE_FENCING && backup->phase != PHASE_HELD) {
        return;
    }
    for (struct list *at = backup->items.next; at != &backup->items; at = at->next) {
        struct shard *shard = shard_of(list_entry(at, struct item, link));
        if (shard != NULL) {
            shard_unfence(shard);
        }
    }
    backup->held_us = (clock_now_ns() - backup->fenced_ns) / 1000;
}

static void drop_items(struct worker *worker)
{
    struct backup *backup = worker->backup;
    lift(worker);
    backup->confirming = 0;
    for (struct list *at; (at = list_pop_front(&backup->items)) != NULL;) {
        struct item *item = list_entry(at, struct item, link);
        item->dropped = true;
        release_item(item);
    }
}

/* The fence or the release that is under way ends. */
static void answer(struct worker *worker, enum status status)
{
    struct backup *backup = worker->backup;
    struct backup_ask *ask = backup->asker;
    backup->asker = NULL;
    if (ask != NULL) {
        ask->held_us = backup->held_us;
        finish(worker, ask, status);
    }
}

static void make_void(struct worker *worker, enum status status)
{
    struct backup *backup = worker->backup;
    lift(worker);
    worker->stats.backup_voids += backup->phase == PHASE_FENCING || backup->phase == PHASE_HELD;
    backup->phase = PHASE_VOID;
    answer(worker, status);
}

static void end_backup(struct worker *worker)
{
    struct backup *backup = worker->backup;
    if (backup == NULL) {
        return;
    }
    make_void(worker, STATUS_CLOSED);
    drop_items(worker);
    worker->backup = NULL;
    free(backup);
}

static void begin(struct worker *worker, struct backup_ask *ask)
{
    if (worker->backup != NULL && worker->backup->id != ask->id) {
        finish(worker, ask, STATUS_CONFLICT);
        return;
    }
    if (worker->backup == NULL) {
        worker->backup = calloc(1, sizeof(*worker->backup));
        assert(worker->backup != NULL);
        worker->backup->id = ask->id;
        worker->backup->until_ms = clock_now_ms() + IDLE_MS;
        list_init(&worker->backup->items);
    }
    finish(worker, ask, STATUS_OK);
}

static void fence(struct worker *worker, struct backup_ask *ask)
{
    struct backup *backup = worker->backup;
    if (backup->asker != NULL) {
        finish(worker, ask, STATUS_BUSY);
        return;
    }
    drop_items(worker);
    worker->stats.backup_fences++;
    backup->asker = ask;
    backup->phase = PHASE_FENCING;
    backup->fenced_ns = clock_now_ns();
    backup->lift_ms = clock_now_ms() + ask->hold_ms;
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        if (!counts(slot)) {
            continue;
        }
        struct item *item = calloc(1, sizeof(*item));
        assert(item != NULL);
        item->worker = worker;
        item->shard = shard_id(slot->shard);
        item->replica = shard_state(slot->shard)->replica;
        item->term = shard_leader(slot->shard).term;
        list_init(&item->waiting);
        list_push_back(&backup->items, &item->link);
        shard_fence(slot->shard);
    }
    worker->env.again(worker->env.ctx);
}

static bool settled(struct worker *worker)
{
    struct backup *backup = worker->backup;
    for (struct list *at = backup->items.next; at != &backup->items; at = at->next) {
        const struct item *item = list_entry(at, struct item, link);
        if (!still_leads(item)) {
            make_void(worker, STATUS_NOT_LEADER);
            return false;
        }
        if (!shard_settled(shard_of(item))) {
            return false;
        }
    }
    return true;
}

static bool awaits_commit(struct worker *worker)
{
    return worker->backup != NULL && worker->backup->phase == PHASE_FENCING && settled(worker);
}

void backup_turn(struct worker *worker)
{
    if (awaits_commit(worker)) {
        worker->commit_due = true;
    }
}

static void take_view(struct worker *worker, struct item *item, struct backup_ask *ask)
{
    const struct shard_state *state = shard_state(shard_of(item));
    struct buf folder;
    buf_init(&folder, PATH_SIZE_MAX);
    /* What is called so is swept at the next start. */
    buf_append_format(&folder, "%s/out-%llu-backup", worker->snap_dir,
                      (unsigned long long)item->shard);
    buf_append_u8(&folder, 0);
    item->export =
        backup_export_new(txn_view(worker->options.store), &state->desc, (const char *)folder.data);
    buf_deinit(&folder);
    put_shard(state, true, &ask->reply);
    ask->count++;
}

void backup_after_commit(struct worker *worker)
{
    struct backup *backup = worker->backup;
    if (!awaits_commit(worker)) {
        return;
    }
    for (struct list *at = backup->items.next; at != &backup->items; at = at->next) {
        take_view(worker, list_entry(at, struct item, link), backup->asker);
    }
    backup->phase = PHASE_HELD;
    answer(worker, STATUS_OK);
}

static void confirmed(struct worker *worker, struct item *item, enum status status)
{
    struct backup *backup = worker->backup;
    if (status != STATUS_OK || !still_leads(item)) {
        backup->confirmed = STATUS_CONFLICT;
    }
    assert(backup->confirming > 0);
    backup->confirming--;
    if (backup->confirming == 0 && backup->asker != NULL) {
        bool good = backup->confirmed == STATUS_OK && backup->phase == PHASE_CUT;
        backup->phase = good ? PHASE_CUT : PHASE_VOID;
        worker->stats.backup_voids += good ? 0 : 1;
        answer(worker, good ? STATUS_OK : STATUS_CONFLICT);
    }
}

static void on_readable(struct group_read *read, enum status status)
{
    struct item *item = list_entry(read, struct item, read);
    item->confirming = false;
    if (item->dropped) {
        release_item(item);
    } else {
        confirmed(item->worker, item, status);
    }
}

static void confirm(struct worker *worker, struct item *item)
{
    item->read.on_readable = on_readable;
    struct shard *shard = shard_of(item);
    enum status status =
        shard == NULL ? STATUS_NOT_LEADER : group_read(shard_group(shard), &item->read);
    item->confirming = status == STATUS_AGAIN;
    if (!item->confirming) {
        confirmed(worker, item, status);
    }
}

/* Led here before and after a moment at which all fences of the cluster were up, and in the same
 * term: nobody else wrote anything before that moment that is not in the view. */
static void release(struct worker *worker, struct backup_ask *ask)
{
    struct backup *backup = worker->backup;
    if (backup->phase != PHASE_HELD || backup->asker != NULL) {
        finish(worker, ask, STATUS_CONFLICT);
        return;
    }
    lift(worker);
    backup->phase = PHASE_CUT;
    backup->asker = ask;
    backup->confirmed = STATUS_OK;
    backup->confirming = 1; /* Until all were asked. */
    for (struct list *at = backup->items.next; at != &backup->items; at = at->next) {
        backup->confirming++;
        confirm(worker, list_entry(at, struct item, link));
    }
    backup->confirming--;
    if (backup->confirming == 0) {
        backup->phase = backup->confirmed == STATUS_OK ? PHASE_CUT : PHASE_VOID;
        worker->stats.backup_voids += backup->phase == PHASE_VOID;
        answer(worker, backup->confirmed);
    }
}

static struct item *find(struct backup *backup, uint64_t shard)
{
    for (struct list *at = backup->items.next; at != &backup->items; at = at->next) {
        struct item *item = list_entry(at, struct item, link);
        if (item->shard == shard) {
            return item;
        }
    }
    return NULL;
}

static void run_next(struct job *job)
{
    struct item *item = list_entry(job, struct item, job);
    item->status = backup_export_next(item->export, &item->file);
}

static void run_read(struct job *job)
{
    struct item *item = list_entry(job, struct item, job);
    struct buf bytes;
    buf_init(&bytes, BACKUP_READ_SIZE_MAX);
    item->status = backup_export_read(item->export, item->ask->offset, item->ask->len, &bytes);
    resp_write_bulk(&item->ask->reply, buf_slice(&bytes));
    buf_deinit(&bytes);
}

static void on_worked(struct job *job);

static void serve(struct item *item, struct backup_ask *ask)
{
    struct worker *worker = item->worker;
    item->ask = ask;
    item->job =
        (struct job){.run = ask->verb == BACKUP_NEXT ? run_next : run_read, .done = on_worked};
    worker->jobs++;
    worker->env.run(worker->env.ctx, &item->job);
}

/* What a job may be begun for. */
static enum status check(const struct item *item)
{
    if (item->dropped) {
        return STATUS_CLOSED;
    }
    /* What is cleaned up behind a replica goes from under the views too. */
    return shard_of(item) == NULL ? STATUS_NO_SHARD : STATUS_OK;
}

static void on_worked(struct job *job)
{
    struct item *item = list_entry(job, struct item, job);
    struct worker *worker = item->worker;
    struct backup_ask *ask = item->ask;
    item->ask = NULL;
    worker->jobs--;
    enum status status = check(item);
    status = status == STATUS_OK ? item->status : status;
    if (status == STATUS_AGAIN) {
        worker->backup->until_ms = clock_now_ms() + IDLE_MS;
        serve(item, ask);
        return;
    }
    if (status == STATUS_OK && ask->verb == BACKUP_NEXT) {
        resp_write_map(&ask->reply, 4);
        put_name(&ask->reply, "family", item->file.family);
        put_name(&ask->reply, "size", item->file.size);
        put_name(&ask->reply, "sum", item->file.sum);
        put_name(&ask->reply, "last", item->file.last);
    }
    finish(worker, ask, status);
    while (item->ask == NULL && !list_empty(&item->waiting)) {
        ask = list_entry(list_pop_front(&item->waiting), struct backup_ask, link);
        status = check(item);
        if (status == STATUS_OK) {
            serve(item, ask);
        } else {
            finish(worker, ask, status);
        }
    }
    release_item(item);
}

static void work(struct worker *worker, struct backup_ask *ask)
{
    struct item *item = find(worker->backup, ask->shard);
    enum status status = STATUS_NOT_FOUND;
    if (item != NULL && item->export != NULL && worker->backup->phase == PHASE_CUT) {
        status = check(item);
    }
    if (status != STATUS_OK) {
        finish(worker, ask, status);
    } else if (item->ask != NULL) {
        list_push_back(&item->waiting, &ask->link);
    } else {
        serve(item, ask);
    }
}

static void run_ask(struct worker *worker, struct worker_mail *mail)
{
    struct backup_ask *ask = list_entry(mail, struct backup_ask, mail);
    bool known = worker->backup != NULL && worker->backup->id == ask->id;
    if (known) {
        worker->backup->until_ms = clock_now_ms() + IDLE_MS;
    } else if (ask->verb != BACKUP_SHARDS && ask->verb != BACKUP_BEGIN && ask->verb != BACKUP_END) {
        finish(worker, ask, STATUS_NOT_FOUND);
        return;
    }
    switch (ask->verb) {
    case BACKUP_SHARDS: list_shards(worker, ask); return;
    case BACKUP_BEGIN: begin(worker, ask); return;
    case BACKUP_FENCE: fence(worker, ask); return;
    case BACKUP_RELEASE: release(worker, ask); return;
    case BACKUP_KEEP: finish(worker, ask, STATUS_OK); return;
    case BACKUP_NEXT:
    case BACKUP_READ: work(worker, ask); return;
    case BACKUP_END:
        if (known) {
            end_backup(worker);
        }
        finish(worker, ask, STATUS_OK);
        return;
    }
}

void worker_backup_ask(struct worker *origin, unsigned loop, struct backup_ask *ask)
{
    assert(ask->id != 0 && ask->done != NULL);
    ask->origin = origin;
    ask->mail.run = run_ask;
    origin->env.post(origin->env.ctx, loop, &ask->mail);
}

void backup_forget(struct worker *worker, uint64_t shard)
{
    struct item *item = worker->backup == NULL ? NULL : find(worker->backup, shard);
    if (item == NULL) {
        return;
    }
    if (worker->backup->phase == PHASE_FENCING || worker->backup->phase == PHASE_HELD) {
        make_void(worker, STATUS_NOT_LEADER);
    }
    item->lost = true;
}

void backup_tick(struct worker *worker, uint64_t now_ms)
{
    struct backup *backup = worker->backup;
    if (backup == NULL) {
        return;
    }
    bool up = backup->phase == PHASE_FENCING || backup->phase == PHASE_HELD;
    if (up && now_ms >= backup->lift_ms) {
        log_warn("backup.void", "held_ms=%llu reason=\"nobody lifted the fence in time\"",
                 (unsigned long long)((clock_now_ns() - backup->fenced_ns) / 1000000));
        make_void(worker, STATUS_TIMEOUT);
    }
    if (now_ms >= backup->until_ms) {
        log_warn("backup.idle", "reason=\"nobody asked for it in a minute\"");
        end_backup(worker);
    }
}

void backup_close(struct worker *worker)
{
    end_backup(worker);
}
