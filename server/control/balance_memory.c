#include "server/control/balance_memory.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum {
    REST_MS = 20 * 1000,          /* Before it is led elsewhere again: doubles each time */
    REST_MS_MAX = 16 * 60 * 1000, /* to this, */
    FORGIVE_MS = 30 * 60 * 1000,  /* until it was left alone for so long. */
    REST_SPLIT_MS = 3 * 1000,     /* Before it is split, after anything. */
    REST_SPLITS_MS = 60 * 1000,   /* The same, after BALANCE_SPLITS_MAX splits. */
};

void balance_memory_init(struct balance_memory *memory, unsigned haste)
{
    assert(haste > 0);
    map_init(&memory->pasts);
    memory->haste = haste;
}

void balance_memory_deinit(struct balance_memory *memory)
{
    size_t at = 0;
    for (void *past; (past = map_next(&memory->pasts, &at)) != NULL;) {
        free(past);
    }
    map_deinit(&memory->pasts);
}

struct balance_past *balance_memory_find(const struct balance_memory *memory, uint64_t start)
{
    return map_get(&memory->pasts, start);
}

static uint64_t last_of(const struct balance_past *past)
{
    uint64_t last = past->change_ms > past->useless_ms ? past->change_ms : past->useless_ms;
    return last > past->advised_ms ? last : past->advised_ms;
}

static void forget_oldest(struct balance_memory *memory)
{
    struct balance_past *oldest = NULL;
    size_t at = 0;
    for (struct balance_past *past; (past = map_next(&memory->pasts, &at)) != NULL;) {
        oldest = oldest == NULL || last_of(past) < last_of(oldest) ? past : oldest;
    }
    assert(oldest != NULL);
    free(map_remove(&memory->pasts, oldest->start));
}

struct balance_past *balance_memory_of(struct balance_memory *memory, uint64_t start)
{
    struct balance_past *past = map_get(&memory->pasts, start);
    if (past == NULL) {
        if (memory->pasts.count >= BALANCE_PASTS_MAX) {
            forget_oldest(memory);
        }
        past = calloc(1, sizeof(*past));
        assert(past != NULL);
        past->start = start;
        (void)map_put(&memory->pasts, start, past);
    }
    return past;
}

static uint64_t scaled(const struct balance_memory *memory, uint64_t ms)
{
    return ms / memory->haste;
}

void balance_memory_note(struct balance_memory *memory,
                         uint64_t start,
                         const struct job_spec *spec,
                         uint64_t now_ms)
{
    struct balance_past *past = balance_memory_of(memory, start);
    if (now_ms - past->change_ms > scaled(memory, FORGIVE_MS)) {
        past->given = 0;
        past->splits = 0;
    }
    past->change_ms = now_ms;
    if (spec->kind == JOB_MOVE || spec->kind == JOB_TRANSFER) {
        past->given++;
        past->given_ms = now_ms;
    }
    if (spec->kind != JOB_SPLIT) {
        return;
    }
    past->splits++;
    past->given = 0; /* That a part of it may go elsewhere is what it is split for. */
    if (spec->token != 0) {
        struct balance_past parent = *past;
        struct balance_past *child = balance_memory_of(memory, spec->token);
        *child = parent; /* It is new, but not without a past. */
        child->start = spec->token;
    }
}

uint64_t balance_memory_ready_ms(const struct balance_memory *memory,
                                 const struct balance_past *past,
                                 enum job_kind kind)
{
    if (kind == JOB_SPLIT || kind == JOB_MERGE) {
        bool often = past->splits >= BALANCE_SPLITS_MAX;
        return past->change_ms + scaled(memory, often ? REST_SPLITS_MS : REST_SPLIT_MS);
    }
    uint64_t rest_ms = past->given == 0 ? 0 : REST_MS;
    for (unsigned i = 1; i < past->given && rest_ms < REST_MS_MAX; i++) {
        rest_ms *= 2;
    }
    return past->given_ms + scaled(memory, rest_ms > REST_MS_MAX ? REST_MS_MAX : rest_ms);
}
