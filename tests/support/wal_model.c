#include "tests/support/wal_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"

enum { APPEND_COUNT_MAX = 8, BASE_SIZE_MAX = 200 };

enum kind { APPEND, TRUNCATE, VOTE, RESET, DROP, COMPACT };

struct op {
    enum kind kind;
    uint64_t lsn; /* Of the record, or of the one before a COMPACT. */
    uint64_t group;
    uint64_t index;
    uint64_t term;
    uint64_t vote;
    uint64_t seed; /* Of the data. */
    uint32_t count;
    size_t data_size_max;
};

struct item {
    uint64_t term;
    uint64_t sum; /* Of type and data. */
};

/* State of one group; items are those behind base. */
struct state {
    bool exists;
    uint64_t term;
    uint64_t vote;
    uint64_t base_index;
    uint64_t base_term;
    uint64_t base_sum;
    uint64_t compacted;
    uint64_t first; /* Of items. */
    struct item *items;
    size_t count;
    size_t size;
};

struct wal_model {
    uint64_t first_group;
    uint64_t groups_count;
    struct state *start; /* At the beginning of the history. */
    struct state *now;
    struct op *ops;
    size_t ops_count;
    size_t ops_size;
    uint64_t lsn;
};

static struct state *states_new(uint64_t count)
{
    struct state *states = calloc(count, sizeof(*states));
    assert(states != NULL);
    return states;
}

static void states_copy(struct state *to, const struct state *from, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        free(to[i].items);
        to[i] = from[i];
        to[i].items = malloc((from[i].size + 1) * sizeof(struct item));
        assert(to[i].items != NULL);
        if (from[i].count > 0) {
            memcpy(to[i].items, from[i].items, from[i].count * sizeof(struct item));
        }
    }
}

static void states_free(struct state *states, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        free(states[i].items);
    }
    free(states);
}

struct wal_model *wal_model_new(uint64_t first_group, uint64_t groups_count)
{
    struct wal_model *model = calloc(1, sizeof(*model));
    assert(model != NULL);
    model->first_group = first_group;
    model->groups_count = groups_count;
    model->start = states_new(groups_count);
    model->now = states_new(groups_count);
    return model;
}

void wal_model_free(struct wal_model *model)
{
    states_free(model->start, model->groups_count);
    states_free(model->now, model->groups_count);
    free(model->ops);
    free(model);
}

/* Data of any size that depends on the seed only. */
static struct slice make_data(uint64_t seed, size_t size_max, uint8_t **memory)
{
    struct rand rand;
    rand_init(&rand, seed);
    size_t size = (size_t)rand_below(&rand, size_max + 1);
    *memory = malloc(size + 8);
    assert(*memory != NULL);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t bits = rand_u64(&rand);
        memcpy(*memory + i, &bits, 8);
    }
    return slice_of(*memory, size);
}

static uint8_t make_type(uint64_t seed)
{
    return (uint8_t)(seed % 3 + 1);
}

static uint64_t sum_of(uint8_t type, struct slice data)
{
    return hash_bytes_seeded(data, type);
}

static uint64_t sum_of_seed(uint64_t seed, size_t size_max)
{
    uint8_t *memory;
    struct slice data = make_data(seed, size_max, &memory);
    uint64_t sum = sum_of(make_type(seed), data);
    free(memory);
    return sum;
}

static uint64_t last_of(const struct state *state)
{
    return state->first + state->count - 1;
}

static void push(struct state *state, struct item item)
{
    if (state->count == state->size) {
        state->size = state->size * 2 + 16;
        state->items = realloc(state->items, state->size * sizeof(item));
        assert(state->items != NULL);
    }
    state->items[state->count++] = item;
}

static void apply(struct state *state, const struct op *op)
{
    switch (op->kind) {
    case APPEND:
        state->count = (size_t)(op->index - state->first);
        for (uint32_t i = 0; i < op->count; i++) {
            push(state, (struct item){.term = op->term,
                                      .sum = sum_of_seed(op->seed + i, op->data_size_max)});
        }
        break;
    case TRUNCATE: state->count = (size_t)(op->index - state->first); break;
    case VOTE:
        state->exists = true;
        state->term = op->term;
        state->vote = op->vote;
        break;
    case RESET:
        state->exists = true;
        state->base_index = op->index;
        state->base_term = op->term;
        state->base_sum = sum_of_seed(op->seed, BASE_SIZE_MAX);
        state->compacted = op->index;
        state->first = op->index + 1;
        state->count = 0;
        break;
    case DROP:
        free(state->items);
        *state = (struct state){0};
        break;
    case COMPACT: state->compacted = op->index; break;
    }
}

static uint64_t give_entries(const struct op *op, struct wal_port *port)
{
    struct wal_entry entries[APPEND_COUNT_MAX];
    uint8_t *memory[APPEND_COUNT_MAX];
    assert(op->count <= APPEND_COUNT_MAX);
    for (uint32_t i = 0; i < op->count; i++) {
        entries[i] = (struct wal_entry){.term = op->term, .type = make_type(op->seed + i)};
        entries[i].data = make_data(op->seed + i, op->data_size_max, &memory[i]);
    }
    uint64_t lsn = wal_port_append(port, op->group, op->index, entries, op->count);
    for (uint32_t i = 0; i < op->count; i++) {
        free(memory[i]);
    }
    return lsn;
}

static void give(struct wal_model *model, struct op *op, struct wal_port *port)
{
    uint8_t *memory = NULL;
    struct slice data;
    uint64_t lsn = model->lsn;
    switch (op->kind) {
    case APPEND: lsn = give_entries(op, port); break;
    case TRUNCATE: lsn = wal_port_truncate(port, op->group, op->index); break;
    case VOTE: lsn = wal_port_vote(port, op->group, op->term, op->vote); break;
    case RESET:
        data = make_data(op->seed, BASE_SIZE_MAX, &memory);
        lsn = wal_port_reset(port, op->group, op->index, op->term, data);
        free(memory);
        break;
    case DROP: lsn = wal_port_drop(port, op->group); break;
    case COMPACT: wal_port_compact(port, op->group, op->index); break;
    }
    assert(lsn == model->lsn + (op->kind == COMPACT ? 0 : 1));
    model->lsn = lsn;
    op->lsn = lsn;
    if (model->ops_count == model->ops_size) {
        model->ops_size = model->ops_size * 2 + 64;
        model->ops = realloc(model->ops, model->ops_size * sizeof(*op));
        assert(model->ops != NULL);
    }
    model->ops[model->ops_count++] = *op;
    apply(&model->now[op->group - model->first_group], op);
}

/* What to do with a group that exists. */
static void choose(const struct state *state, struct op *op, struct rand *rand)
{
    uint64_t last = last_of(state);
    uint64_t draw = rand_below(rand, 200);
    op->term = rand_below(rand, 1000);
    op->count = 1 + (uint32_t)rand_below(rand, APPEND_COUNT_MAX);
    op->index = last + 1;
    op->kind = APPEND;
    if (draw >= 120 && draw < 132 && last > state->compacted) { /* Over what is there. */
        op->index = state->compacted + 1 + rand_below(rand, last - state->compacted);
    } else if (draw >= 132 && draw < 144) {
        op->kind = TRUNCATE;
        op->index = state->compacted + 1 + rand_below(rand, last - state->compacted + 1);
    } else if (draw >= 144 && draw < 164) {
        op->kind = VOTE;
        op->vote = rand_below(rand, 5);
    } else if (draw >= 164 && draw < 197 && last > state->compacted) {
        op->kind = COMPACT;
        op->index = state->compacted + 1 + rand_below(rand, last - state->compacted);
    } else if (draw == 198) {
        op->kind = RESET;
        op->index = last + rand_below(rand, 20);
    } else if (draw == 199) {
        op->kind = DROP;
    }
}

void wal_model_step(struct wal_model *model,
                    struct wal_port *port,
                    size_t data_size_max,
                    struct rand *rand)
{
    /* Some groups are busy, others hardly ever. */
    uint64_t pick = rand_below(rand, model->groups_count);
    pick = rand_below(rand, 10) > 0 ? rand_below(rand, pick + 1) : pick;
    const struct state *state = &model->now[pick];
    struct op op = {.group = model->first_group + pick,
                    .seed = rand_u64(rand) >> 8,
                    .data_size_max = data_size_max};
    if (state->exists && state->first > 0) {
        choose(state, &op, rand);
    } else {
        op.kind = RESET;
        op.index = rand_below(rand, 100);
        op.term = 1 + rand_below(rand, 5);
    }
    give(model, &op, port);
}

void wal_model_compact_all(struct wal_model *model, struct wal_port *port)
{
    for (uint64_t i = 0; i < model->groups_count; i++) {
        const struct state *state = &model->now[i];
        if (state->exists && state->first > 0 && last_of(state) > state->compacted) {
            struct op op = {.kind = COMPACT, .group = model->first_group + i};
            op.index = last_of(state);
            give(model, &op, port);
        }
    }
}

/* What the log holds of one group. */
struct found {
    bool exists;
    struct wal_group group;
    uint64_t base_sum;
    uint64_t next;
    bool in_order;
    struct state entries;
};

static void on_entry(void *arg, uint64_t index, const struct wal_entry *entry)
{
    struct found *found = arg;
    found->in_order &= index == found->next;
    found->next = index + 1;
    push(&found->entries,
         (struct item){.term = entry->term, .sum = sum_of(entry->type, entry->data)});
}

static bool load(struct wal *wal, uint64_t id, struct found *found)
{
    *found = (struct found){.in_order = true};
    found->exists = wal_find_group(wal, id, &found->group);
    if (!found->exists) {
        return true;
    }
    found->next = found->group.first_index;
    enum status status = wal_load(wal, id, 0, on_entry, found);
    return status == STATUS_OK && found->in_order && found->next == found->group.last_index + 1;
}

static bool base_matches(const struct found *found, const struct state *state)
{
    struct slice data = found->group.base_data;
    bool sum = state->first == 0 && data.len == 0;
    for (uint8_t type = 1; type <= 3; type++) {
        sum |= sum_of(type, data) == state->base_sum;
    }
    return sum && found->group.base_index == state->base_index &&
           found->group.base_term == state->base_term;
}

static bool matches(const struct found *found, const struct state *state)
{
    if (found->exists != state->exists) {
        return false;
    }
    if (!state->exists) {
        return true;
    }
    if (found->group.term != state->term || found->group.vote != state->vote ||
        !base_matches(found, state)) {
        return false;
    }
    uint64_t last = last_of(state);
    bool empty = found->entries.count == 0;
    uint64_t needed = state->compacted + 1;
    if (last >= needed &&
        (empty || found->group.last_index != last || found->group.first_index > needed)) {
        return false;
    }
    if (!empty && (found->group.last_index > last || found->group.first_index < state->first)) {
        return false;
    }
    for (size_t i = 0; i < found->entries.count; i++) {
        const struct item *want = &state->items[found->group.first_index + i - state->first];
        const struct item *got = &found->entries.items[i];
        if (got->term != want->term || got->sum != want->sum) {
            return false;
        }
    }
    return true;
}

/* Moves `states` on from op `at` until it equals what was found, not before lsn durable. */
static bool search(struct wal_model *model,
                   struct state *states,
                   const struct found *found,
                   uint64_t durable)
{
    size_t at = 0;
    uint64_t lsn = 0;
    for (;;) {
        while (at < model->ops_count &&
               (model->ops[at].lsn <= durable || model->ops[at].lsn == lsn)) {
            const struct op *op = &model->ops[at++];
            lsn = op->lsn;
            apply(&states[op->group - model->first_group], op);
        }
        uint64_t equal = 0;
        while (equal < model->groups_count && matches(&found[equal], &states[equal])) {
            equal++;
        }
        if (equal == model->groups_count) {
            return true;
        }
        if (at == model->ops_count) {
            return false;
        }
        lsn = model->ops[at].lsn;
    }
}

bool wal_model_match(struct wal_model *model, struct wal *wal, uint64_t durable)
{
    struct found *found = calloc(model->groups_count, sizeof(*found));
    assert(found != NULL);
    bool loaded = true;
    for (uint64_t i = 0; i < model->groups_count; i++) {
        loaded &= load(wal, model->first_group + i, &found[i]);
    }
    struct state *states = states_new(model->groups_count);
    states_copy(states, model->start, model->groups_count);
    bool same = loaded && search(model, states, found, durable);
    if (same) {
        states_copy(model->start, states, model->groups_count);
        states_copy(model->now, states, model->groups_count);
        model->ops_count = 0;
        model->lsn = 0;
    }
    for (uint64_t i = 0; i < model->groups_count; i++) {
        free(found[i].entries.items);
    }
    free(found);
    states_free(states, model->groups_count);
    return same;
}
