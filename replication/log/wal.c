#include "replication/log/wal.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "replication/log/wal_gc.h"
#include "replication/log/wal_reader.h"
#include "replication/log/wal_recovery.h"

enum {
    PORT_FREE_COUNT_MAX = 8,
    PORT_FREE_SIZE_MAX = 1 << 20,   /* Larger chunks are given back to the system. */
    PORT_RECORD_SIZE_MAX = 1 << 20, /* More entries go into another record. */
};

struct wal_port {
    struct wal *wal;
    void (*wake)(void *arg);
    void *arg;
    struct list node;
    struct wal_chunk *fill; /* The loop's. */
    uint64_t lsn;           /* The loop's: of the last record. */
    _Atomic uint64_t durable;
    bool touched;                  /* The writer's: to be woken. */
    struct wal_chunk_queue queued; /* Guarded by ports_lock. */
    struct wal_chunk_queue free;   /* Guarded by ports_lock. */
};

struct wal {
    struct wal_pool pool;
    struct wal_index index;
    struct wal_stats stats;
    struct mutex index_lock; /* index, pool's list, pins, stats. */
    struct wal_writer writer;
    struct wal_gc gc;
    struct wal_chunk *moved; /* What gc writes again. */

    struct mutex ports_lock; /* All below, for a few instructions. */
    struct cond submitted;   /* To the writer. */
    struct cond stepped;     /* To wal_port_close(). */
    struct list ports;
    struct wal_chunk_queue orphans; /* Submitted by ports that were closed since. */
    size_t queued_count;
    uint64_t steps;
    bool stepping;
    bool stopping;

    bool started;
    struct thread thread;
};

static enum status begin_segment(struct wal *wal, uint64_t batch_last)
{
    struct wal_segment *segment;
    enum status status = wal_pool_make(&wal->pool, 0, batch_last + 1, &segment);
    if (status == STATUS_OK) {
        wal_pool_push(&wal->pool, segment);
    }
    return status;
}

enum status wal_open(const char *dir, const struct wal_options *options, struct wal **opened)
{
    struct wal *wal = calloc(1, sizeof(*wal));
    assert(wal != NULL);
    enum status status = wal_pool_open(&wal->pool, dir, options);
    if (status != STATUS_OK) {
        free(wal);
        return status;
    }
    uint64_t batch_last = 0;
    wal_index_init(&wal->index);
    status = wal_recovery_run(&wal->pool, &wal->index, &batch_last);
    if (status == STATUS_OK) {
        status = begin_segment(wal, batch_last);
    }
    if (status != STATUS_OK) {
        wal_index_deinit(&wal->index);
        wal_pool_close(&wal->pool);
        free(wal);
        return status;
    }
    mutex_init(&wal->index_lock);
    mutex_init(&wal->ports_lock);
    cond_init(&wal->submitted);
    cond_init(&wal->stepped);
    list_init(&wal->ports);
    wal->writer = (struct wal_writer){
        .pool = &wal->pool, .index = &wal->index, .lock = &wal->index_lock, .stats = &wal->stats};
    wal_writer_init(&wal->writer, batch_last);
    wal_gc_init(&wal->gc, &wal->writer);
    wal->moved = wal_chunk_new();
    *opened = wal;
    return STATUS_OK;
}

static void chunks_free(struct wal_chunk_queue *queue)
{
    for (struct wal_chunk *chunk; (chunk = wal_chunk_pop(queue)) != NULL;) {
        wal_chunk_free(chunk);
    }
}

static void wal_free(struct wal *wal)
{
    chunks_free(&wal->orphans);
    wal_chunk_free(wal->moved);
    wal_gc_deinit(&wal->gc);
    wal_writer_deinit(&wal->writer);
    wal_index_deinit(&wal->index);
    wal_pool_close(&wal->pool);
    cond_deinit(&wal->submitted);
    cond_deinit(&wal->stepped);
    mutex_deinit(&wal->index_lock);
    mutex_deinit(&wal->ports_lock);
    free(wal);
}

void wal_close(struct wal *wal)
{
    assert(list_empty(&wal->ports));
    if (wal->started) {
        mutex_lock(&wal->ports_lock);
        wal->stopping = true;
        cond_signal(&wal->submitted);
        mutex_unlock(&wal->ports_lock);
        thread_join(&wal->thread);
    }
    while (wal->orphans.count > 0) {
        bool stepped = wal_step(wal);
        assert(stepped);
    }
    wal_writer_seal(&wal->writer);
    wal_free(wal);
}

void wal_abandon(struct wal *wal)
{
    assert(!wal->started);
    assert(list_empty(&wal->ports));
    wal_free(wal);
}

static void run_writer(void *arg)
{
    struct wal *wal = arg;
    bool go_on = true;
    while (go_on) {
        while (wal_step(wal)) {
        }
        mutex_lock(&wal->ports_lock);
        while (wal->queued_count == 0 && !wal->stopping) {
            cond_wait(&wal->submitted, &wal->ports_lock);
        }
        go_on = wal->queued_count > 0 || !wal->stopping;
        mutex_unlock(&wal->ports_lock);
    }
}

void wal_start(struct wal *wal)
{
    assert(!wal->started);
    wal->started = true;
    thread_start(&wal->thread, "log-writer", run_writer, wal);
}

/* Everything that was submitted, of all ports. */
static struct wal_chunk_queue take_submitted(struct wal *wal)
{
    struct wal_chunk_queue taken = {0};
    mutex_lock(&wal->ports_lock);
    wal->stepping = true;
    wal_chunk_move(&taken, &wal->orphans);
    for (struct list *at = wal->ports.next; at != &wal->ports; at = at->next) {
        wal_chunk_move(&taken, &list_entry(at, struct wal_port, node)->queued);
    }
    assert(taken.count == wal->queued_count);
    wal->queued_count = 0;
    mutex_unlock(&wal->ports_lock);
    return taken;
}

static void publish(const struct wal_chunk_queue *taken)
{
    for (struct wal_chunk *chunk = taken->first; chunk != NULL; chunk = chunk->next) {
        if (chunk->port != NULL && chunk->lsn_last > 0) {
            atomic_store_explicit(&chunk->port->durable, chunk->lsn_last, memory_order_release);
            chunk->port->touched = true;
        }
    }
    for (struct wal_chunk *chunk = taken->first; chunk != NULL; chunk = chunk->next) {
        if (chunk->port != NULL && chunk->port->touched) {
            chunk->port->touched = false;
            chunk->port->wake(chunk->port->arg);
        }
    }
}

/* Gives the chunks back to their ports, and ends the step: from here on the ports may be freed. */
static void give_back(struct wal *wal, struct wal_chunk_queue *taken)
{
    struct wal_chunk_queue surplus = {0};
    mutex_lock(&wal->ports_lock);
    for (struct wal_chunk *chunk; (chunk = wal_chunk_pop(taken)) != NULL;) {
        struct wal_port *port = chunk->port;
        bool keep = port != NULL && port->free.count < PORT_FREE_COUNT_MAX &&
                    chunk->bytes.size <= PORT_FREE_SIZE_MAX;
        wal_chunk_push(keep ? &port->free : &surplus, chunk);
    }
    wal->stepping = false;
    wal->steps++;
    cond_broadcast(&wal->stepped);
    mutex_unlock(&wal->ports_lock);
    chunks_free(&surplus);
}

bool wal_step(struct wal *wal)
{
    struct wal_chunk_queue taken = take_submitted(wal);
    buf_clear(&wal->moved->bytes);
    bool moved = wal_gc_plan(&wal->gc, &wal->moved->bytes);
    if (moved || taken.count > 0) {
        uint64_t moved_bytes = wal->moved->bytes.len;
        wal->moved->next = taken.first;
        wal_writer_write(&wal->writer, wal->moved);
        wal->moved->next = NULL;
        mutex_lock(&wal->index_lock);
        wal->stats.rewritten += moved_bytes;
        mutex_unlock(&wal->index_lock);
    }
    bool worked = moved || taken.count > 0;
    publish(&taken);
    give_back(wal, &taken);
    bool collected = wal_gc_collect(&wal->gc);
    if (wal->moved->bytes.size > (size_t)4 * WAL_GC_PIECE_SIZE) {
        wal_chunk_free(wal->moved);
        wal->moved = wal_chunk_new();
    }
    return worked || collected;
}

static void describe(const struct wal_index_group *from, struct wal_group *group)
{
    *group = (struct wal_group){.id = from->id,
                                .term = from->term,
                                .vote = from->vote,
                                .base_index = from->base_index,
                                .base_term = from->base_term,
                                .base_data = slice_of(from->base_data, from->base_len),
                                .last_index = wal_index_last(from)};
    group->first_index = from->count == 0 ? group->last_index + 1 : wal_index_run(from, 0)->first;
}

bool wal_next_group(struct wal *wal, size_t *at, struct wal_group *group)
{
    bool found = false;
    mutex_lock(&wal->index_lock);
    while (!found && *at < wal->index.slots_count) {
        const struct wal_index_group *next = wal->index.slots[(*at)++];
        if (next != NULL) {
            describe(next, group);
            found = true;
        }
    }
    mutex_unlock(&wal->index_lock);
    return found;
}

bool wal_find_group(struct wal *wal, uint64_t group, struct wal_group *found)
{
    mutex_lock(&wal->index_lock);
    const struct wal_index_group *got = wal_index_find(&wal->index, group);
    if (got != NULL) {
        describe(got, found);
    }
    mutex_unlock(&wal->index_lock);
    return got != NULL;
}

enum status wal_load(struct wal *wal,
                     uint64_t group,
                     uint64_t index,
                     void (*visit)(void *arg, uint64_t index, const struct wal_entry *),
                     void *arg)
{
    struct wal_reader reader = {.pool = &wal->pool,
                                .index = &wal->index,
                                .lock = &wal->index_lock,
                                .visit = visit,
                                .arg = arg};
    return wal_reader_load(&reader, group, index);
}

void wal_stats(struct wal *wal, struct wal_stats *stats)
{
    mutex_lock(&wal->index_lock);
    *stats = wal->stats;
    stats->segments = wal->pool.count;
    mutex_unlock(&wal->index_lock);
}

struct wal_port *wal_port_open(struct wal *wal, void (*wake)(void *arg), void *arg)
{
    struct wal_port *port = calloc(1, sizeof(*port));
    assert(port != NULL);
    port->wal = wal;
    port->wake = wake;
    port->arg = arg;
    port->fill = wal_chunk_new();
    port->fill->port = port;
    mutex_lock(&wal->ports_lock);
    list_push_back(&wal->ports, &port->node);
    mutex_unlock(&wal->ports_lock);
    return port;
}

void wal_port_close(struct wal_port *port)
{
    struct wal *wal = port->wal;
    mutex_lock(&wal->ports_lock);
    list_remove(&port->node);
    for (struct wal_chunk *chunk = port->queued.first; chunk != NULL; chunk = chunk->next) {
        chunk->port = NULL;
    }
    wal_chunk_move(&wal->orphans, &port->queued);
    uint64_t step = wal->steps;
    while (wal->stepping && wal->steps == step) {
        cond_wait(&wal->stepped, &wal->ports_lock);
    }
    mutex_unlock(&wal->ports_lock);
    chunks_free(&port->free);
    wal_chunk_free(port->fill);
    free(port);
}

static uint64_t put_record(struct wal_port *port, const struct wal_record *record)
{
    wal_record_append(&port->fill->bytes, record);
    port->fill->lsn_last = ++port->lsn;
    return port->lsn;
}

uint64_t wal_port_append(struct wal_port *port,
                         uint64_t group,
                         uint64_t first_index,
                         const struct wal_entry *entries,
                         size_t count)
{
    assert(count > 0 && first_index > 0);
    struct buf *bytes = &port->fill->bytes;
    size_t i = 0;
    while (i < count) {
        size_t from = i;
        size_t begin = wal_record_begin(bytes, WAL_ENTRIES, group, first_index + from);
        do {
            wal_record_pack(bytes, &entries[i++]);
        } while (i < count && bytes->len - begin + entries[i].data.len < PORT_RECORD_SIZE_MAX);
        wal_record_end(bytes, begin, (uint32_t)(i - from));
    }
    port->fill->lsn_last = ++port->lsn;
    return port->lsn;
}

uint64_t wal_port_truncate(struct wal_port *port, uint64_t group, uint64_t index)
{
    struct wal_record record = {.type = WAL_TRUNCATE, .group = group, .index = index};
    return put_record(port, &record);
}

uint64_t wal_port_vote(struct wal_port *port, uint64_t group, uint64_t term, uint64_t vote)
{
    struct wal_record record = {.type = WAL_VOTE, .group = group, .term = term, .vote = vote};
    return put_record(port, &record);
}

uint64_t wal_port_reset(
    struct wal_port *port, uint64_t group, uint64_t index, uint64_t term, struct slice data)
{
    assert(index < UINT64_MAX);
    struct wal_record record = {
        .type = WAL_RESET, .group = group, .index = index, .base_term = term, .data = data};
    return put_record(port, &record);
}

uint64_t wal_port_drop(struct wal_port *port, uint64_t group)
{
    struct wal_record record = {.type = WAL_DROP, .group = group};
    return put_record(port, &record);
}

void wal_port_compact(struct wal_port *port, uint64_t group, uint64_t index)
{
    struct wal_record record = {.type = WAL_COMPACT, .group = group, .index = index};
    wal_record_append(&port->fill->bytes, &record);
}

void wal_port_submit(struct wal_port *port)
{
    struct wal *wal = port->wal;
    struct wal_chunk *chunk = port->fill;
    if (chunk->bytes.len == 0) {
        return;
    }
    mutex_lock(&wal->ports_lock);
    wal_chunk_push(&port->queued, chunk);
    port->fill = wal_chunk_pop(&port->free);
    if (wal->queued_count++ == 0) {
        cond_signal(&wal->submitted);
    }
    mutex_unlock(&wal->ports_lock);
    if (port->fill == NULL) {
        port->fill = wal_chunk_new();
    }
    buf_clear(&port->fill->bytes);
    port->fill->port = port;
    port->fill->lsn_last = 0;
}

uint64_t wal_port_durable(const struct wal_port *port)
{
    return atomic_load_explicit(&port->durable, memory_order_acquire);
}
