#include "tests/raft/wal_fake.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/map.h"

struct kept {
    uint64_t term;
    uint8_t type;
    uint8_t *data;
    size_t len;
};

struct kept_group {
    uint64_t id, term, vote, base_index, base_term;
    uint8_t *base;
    size_t base_len;
    uint64_t first; /* Index of entries[0]. */
    struct kept *entries;
    size_t count, size;
};

enum record_kind { RECORD_APPEND, RECORD_TRUNCATE, RECORD_VOTE, RECORD_RESET, RECORD_DROP };

struct record {
    enum record_kind kind;
    uint64_t group, index, term, vote;
    uint8_t type;
    uint8_t *data;
    size_t len;
    uint64_t lsn;
    struct record *next;
};

struct batch {
    struct record *first, **end;
    uint64_t lsn;
    struct batch *next;
};

struct wal_port {
    struct wal *wal;
    bool dead;
    uint64_t lsn, durable;
    struct batch *open;
    struct batch *waiting, **waiting_end;
    size_t waiting_count;
};

struct wal {
    struct map groups;
    struct wal_port *port;
    struct wal_stats stats;
};

struct wal *wal_fake_new(void)
{
    struct wal *wal = calloc(1, sizeof *wal);
    assert(wal != NULL);
    map_init(&wal->groups);
    return wal;
}

static uint8_t *copy_of(struct slice data)
{
    uint8_t *copy = malloc(data.len + 1);
    assert(copy != NULL);
    if (data.len > 0) {
        memcpy(copy, data.data, data.len);
    }
    return copy;
}

static void cut_entries(struct kept_group *group, uint64_t index)
{
    while (group->count > 0 && group->first + group->count > index) {
        free(group->entries[--group->count].data);
    }
}

static void drop_group(struct wal *wal, uint64_t id)
{
    struct kept_group *group = map_remove(&wal->groups, id);
    if (group != NULL) {
        cut_entries(group, 0);
        free(group->entries);
        free(group->base);
        free(group);
    }
}

static struct kept_group *group_for(struct wal *wal, uint64_t id)
{
    struct kept_group *group = map_get(&wal->groups, id);
    if (group == NULL) {
        group = calloc(1, sizeof *group);
        assert(group != NULL);
        group->id = id;
        group->first = 1;
        map_put(&wal->groups, id, group);
    }
    return group;
}

static void keep_entry(struct kept_group *group, const struct record *record)
{
    cut_entries(group, record->index);
    if (group->count == 0) {
        group->first = record->index;
    }
    assert(record->index == group->first + group->count);
    if (group->count == group->size) {
        group->size = group->size == 0 ? 64 : 2 * group->size;
        group->entries = realloc(group->entries, group->size * sizeof *group->entries);
        assert(group->entries != NULL);
    }
    group->entries[group->count++] = (struct kept){
        .term = record->term,
        .type = record->type,
        .data = copy_of(slice_of(record->data, record->len)),
        .len = record->len,
    };
}

static void keep_reset(struct kept_group *group, const struct record *record)
{
    cut_entries(group, 0);
    free(group->base);
    group->base_index = record->index;
    group->base_term = record->term;
    group->base = copy_of(slice_of(record->data, record->len));
    group->base_len = record->len;
    group->first = record->index + 1;
}

static void keep(struct wal *wal, const struct record *record)
{
    if (record->kind == RECORD_DROP) {
        drop_group(wal, record->group);
        return;
    }
    struct kept_group *group = group_for(wal, record->group);
    switch (record->kind) {
    case RECORD_APPEND: keep_entry(group, record); return;
    case RECORD_TRUNCATE: cut_entries(group, record->index); return;
    case RECORD_VOTE:
        assert(record->term >= group->term);
        group->term = record->term;
        group->vote = record->vote;
        return;
    case RECORD_RESET: keep_reset(group, record); return;
    case RECORD_DROP: return;
    }
}

static void free_batch(struct batch *batch)
{
    while (batch->first != NULL) {
        struct record *record = batch->first;
        batch->first = record->next;
        free(record->data);
        free(record);
    }
    free(batch);
}

size_t wal_fake_waiting(const struct wal *wal)
{
    return wal->port == NULL ? 0 : wal->port->waiting_count;
}

void wal_fake_sync(struct wal *wal, size_t count)
{
    struct wal_port *port = wal->port;
    for (size_t i = 0; i < count && port->waiting != NULL; i++) {
        struct batch *batch = port->waiting;
        port->waiting = batch->next;
        port->waiting_count--;
        if (port->waiting == NULL) {
            port->waiting_end = &port->waiting;
        }
        for (struct record *record = batch->first; record != NULL; record = record->next) {
            keep(wal, record);
        }
        port->durable = batch->lsn;
        wal->stats.syncs++;
        free_batch(batch);
    }
}

static void drop_waiting(struct wal_port *port)
{
    while (port->waiting != NULL) {
        struct batch *batch = port->waiting;
        port->waiting = batch->next;
        free_batch(batch);
    }
    port->waiting_end = &port->waiting;
    port->waiting_count = 0;
    if (port->open != NULL) {
        free_batch(port->open);
        port->open = NULL;
    }
}

void wal_fake_crash(struct wal *wal)
{
    drop_waiting(wal->port);
    wal->port->dead = true;
}

struct wal_port *wal_fake_reopen(struct wal *wal)
{
    if (wal->port != NULL) {
        drop_waiting(wal->port);
        free(wal->port);
    }
    wal->port = calloc(1, sizeof *wal->port);
    assert(wal->port != NULL);
    wal->port->wal = wal;
    wal->port->waiting_end = &wal->port->waiting;
    return wal->port;
}

void wal_fake_free(struct wal *wal)
{
    size_t at = 0;
    struct kept_group *group;
    while ((group = map_next(&wal->groups, &at)) != NULL) {
        drop_group(wal, group->id);
    }
    if (wal->port != NULL) {
        drop_waiting(wal->port);
        free(wal->port);
    }
    map_deinit(&wal->groups);
    free(wal);
}

void wal_fake_put_vote(struct wal *wal, uint64_t group, uint64_t term, uint64_t vote)
{
    struct record record = {.kind = RECORD_VOTE, .group = group, .term = term, .vote = vote};
    keep(wal, &record);
}

void wal_fake_put_reset(
    struct wal *wal, uint64_t group, uint64_t index, uint64_t term, struct slice data)
{
    struct record record = {.kind = RECORD_RESET, .group = group, .index = index, .term = term};
    record.data = copy_of(data);
    record.len = data.len;
    keep(wal, &record);
    free(record.data);
}

void wal_fake_put_entry(struct wal *wal,
                        uint64_t group,
                        uint64_t index,
                        const struct wal_entry *entry)
{
    struct record record = {.kind = RECORD_APPEND, .group = group, .index = index};
    record.term = entry->term;
    record.type = entry->type;
    record.data = copy_of(entry->data);
    record.len = entry->data.len;
    keep(wal, &record);
    free(record.data);
}

bool wal_find_group(struct wal *wal, uint64_t id, struct wal_group *found)
{
    const struct kept_group *group = map_get(&wal->groups, id);
    if (group == NULL) {
        return false;
    }
    *found = (struct wal_group){
        .id = id,
        .term = group->term,
        .vote = group->vote,
        .base_index = group->base_index,
        .base_term = group->base_term,
        .base_data = slice_of(group->base, group->base_len),
        .first_index = group->first,
        .last_index = group->count == 0 ? group->base_index : group->first + group->count - 1,
    };
    if (group->count == 0) {
        found->first_index = found->last_index + 1;
    }
    return true;
}

enum status wal_load(struct wal *wal,
                     uint64_t id,
                     uint64_t index,
                     void (*visit)(void *arg, uint64_t index, const struct wal_entry *),
                     void *arg)
{
    const struct kept_group *group = map_get(&wal->groups, id);
    assert(group != NULL && index >= group->first);
    for (size_t i = (size_t)(index - group->first); i < group->count; i++) {
        const struct kept *kept = &group->entries[i];
        struct wal_entry entry = {.term = kept->term, .type = kept->type};
        entry.data = slice_of(kept->data, kept->len);
        visit(arg, group->first + i, &entry);
    }
    return STATUS_OK;
}

static struct record *add(struct wal_port *port, enum record_kind kind, uint64_t group)
{
    static struct record nowhere;
    if (port->dead) {
        port->lsn++;
        nowhere = (struct record){.lsn = port->lsn};
        return &nowhere;
    }
    if (port->open == NULL) {
        port->open = calloc(1, sizeof *port->open);
        assert(port->open != NULL);
        port->open->end = &port->open->first;
    }
    struct record *record = calloc(1, sizeof *record);
    assert(record != NULL);
    record->kind = kind;
    record->group = group;
    record->lsn = ++port->lsn;
    port->open->lsn = record->lsn;
    *port->open->end = record;
    port->open->end = &record->next;
    port->wal->stats.records++;
    return record;
}

uint64_t wal_port_append(struct wal_port *port,
                         uint64_t group,
                         uint64_t first_index,
                         const struct wal_entry *entries,
                         size_t count)
{
    assert(count > 0);
    for (size_t i = 0; i < count && !port->dead; i++) {
        struct record *record = add(port, RECORD_APPEND, group);
        record->index = first_index + i;
        record->term = entries[i].term;
        record->type = entries[i].type;
        record->data = copy_of(entries[i].data);
        record->len = entries[i].data.len;
    }
    return port->dead ? ++port->lsn : port->lsn;
}

uint64_t wal_port_truncate(struct wal_port *port, uint64_t group, uint64_t index)
{
    struct record *record = add(port, RECORD_TRUNCATE, group);
    record->index = index;
    return record->lsn;
}

uint64_t wal_port_vote(struct wal_port *port, uint64_t group, uint64_t term, uint64_t vote)
{
    struct record *record = add(port, RECORD_VOTE, group);
    record->term = term;
    record->vote = vote;
    return record->lsn;
}

uint64_t wal_port_reset(
    struct wal_port *port, uint64_t group, uint64_t index, uint64_t term, struct slice data)
{
    struct record *record = add(port, RECORD_RESET, group);
    record->index = index;
    record->term = term;
    if (!port->dead) {
        record->data = copy_of(data);
        record->len = data.len;
    }
    return record->lsn;
}

uint64_t wal_port_drop(struct wal_port *port, uint64_t group)
{
    return add(port, RECORD_DROP, group)->lsn;
}

/* Forgets at once: what was flushed is never read again. */
void wal_port_compact(struct wal_port *port, uint64_t id, uint64_t index)
{
    struct kept_group *group = map_get(&port->wal->groups, id);
    if (port->dead || group == NULL || group->count == 0 || index < group->first) {
        return;
    }
    size_t gone = (size_t)(index - group->first + 1);
    gone = gone > group->count ? group->count : gone;
    for (size_t i = 0; i < gone; i++) {
        free(group->entries[i].data);
    }
    memmove(group->entries, group->entries + gone, (group->count - gone) * sizeof *group->entries);
    group->count -= gone;
    group->first += gone;
}

void wal_port_submit(struct wal_port *port)
{
    if (port->open == NULL) {
        return;
    }
    *port->waiting_end = port->open;
    port->waiting_end = &port->open->next;
    port->waiting_count++;
    port->open = NULL;
}

uint64_t wal_port_durable(const struct wal_port *port)
{
    return port->durable;
}
