#include "server/machine/divide.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "server/machine/dedup.h"
#include "server/machine/recount.h"
#include "server/machine/stage.h"
#include "server/machine/survey.h"
#include "server/machine/transplant.h"

/* Of rows whose key goes on with a token. */
static bool is_within(const struct transplant *transplant, struct slice rest, struct slice value)
{
    (void)value;
    struct reader in = reader_of(rest);
    uint64_t token = reader_u64_be(&in);
    return !in.failed && token >= transplant->scope.start && token <= transplant->scope.last;
}

enum status divide_check(struct txn *txn,
                         const struct machine_state *state,
                         struct machine_scope scope,
                         const char **why)
{
    *why = NULL;
    if (recount_active(state)) {
        *why = "its keys are still being counted since the last split";
        return STATUS_OK;
    }
    if (state->garbage > DIVIDE_GARBAGE_MAX) {
        *why = "many collections were removed lately and are still being swept";
        return STATUS_OK;
    }
    uint64_t count = 0;
    enum status status =
        transplant_count(txn, scope.shard, LOCAL_STAGE, DIVIDE_STAGED_MAX + 1, &count);
    if (status == STATUS_OK && count > DIVIDE_STAGED_MAX) {
        *why = "many large values are being uploaded";
    }
    return status;
}

static enum status divide_rows(struct txn *txn,
                               struct machine_state *state,
                               struct machine_scope scope,
                               struct machine_scope child,
                               struct machine_state *born)
{
    struct transplant scripts = {
        .txn = txn, .from = scope.shard, .to = child.shard, .kind = LOCAL_SCRIPT, .copy = true};
    struct transplant garbage = {.txn = txn,
                                 .from = scope.shard,
                                 .to = child.shard,
                                 .kind = LOCAL_GARBAGE,
                                 .wanted = is_within,
                                 .scope = child};
    enum status status = transplant_run(&scripts);
    status = status == STATUS_OK ? transplant_run(&garbage) : status;
    status = status == STATUS_OK ? dedup_hand_on(txn, scope.shard, child.shard, born) : status;
    if (status != STATUS_OK) {
        return status;
    }
    /* After a flush the counter may be too high until the sweep has seen that nothing is left. */
    born->garbage = garbage.count;
    state->garbage -= garbage.count < state->garbage ? garbage.count : state->garbage;
    return stage_drop_scope(txn, scope.shard, &child);
}

/* Databases 1 to 15 lie at one token each. */
static void divide_databases(struct machine_state *state,
                             const struct machine_scope *child,
                             struct machine_state *born)
{
    for (uint8_t db = 1; db < MACHINE_DATABASES; db++) {
        uint64_t token = token_of(db, slice_of(NULL, 0));
        if (token >= child->start && token <= child->last) {
            born->keys[db] = state->keys[db];
            born->expires[db] = state->expires[db];
            state->keys[db] = 0;
            state->expires[db] = 0;
        }
    }
}

/* What of database 0 lies in the scope, if that is not much: *whole. */
static enum status survey_scope(struct txn *txn,
                                const struct machine_scope *scope,
                                struct survey *survey,
                                bool *whole)
{
    struct buf from;
    struct buf to;
    struct buf next;
    buf_init(&from, 64);
    buf_init(&to, 64);
    buf_init(&next, SIZE_MAX / 2);
    machine_range(*scope, STORE_DATA, &from, &to);
    survey->rows_left = DIVIDE_ROWS;
    survey->size_left = DIVIDE_SIZE;
    survey->next = &next;
    enum status status = survey_walk(txn, buf_slice(&from), buf_slice(&to), survey);
    *whole = next.len == 0;
    buf_deinit(&from);
    buf_deinit(&to);
    buf_deinit(&next);
    survey->next = NULL;
    return status;
}

/* The child's part of a counter, if keys are spread evenly. */
static uint64_t share(uint64_t count, const struct machine_scope *scope, uint64_t at)
{
    enum { PARTS = 1024 };
    uint64_t part = (scope->last - at) / ((scope->last - scope->start) / PARTS + 1);
    assert(part <= PARTS);
    return count / PARTS * part + count % PARTS * part / PARTS;
}

static void take_share(struct machine_state *state,
                       uint64_t keys,
                       uint64_t expires,
                       struct machine_state *born)
{
    born->keys[0] = keys < state->keys[0] ? keys : state->keys[0];
    born->expires[0] = expires < state->expires[0] ? expires : state->expires[0];
    state->keys[0] -= born->keys[0];
    state->expires[0] -= born->expires[0];
}

/* The child's part of the expiry index. */
static void move_index(
    struct txn *txn, struct slice expiring, uint64_t from, uint64_t to, struct machine_state *born)
{
    struct reader in = reader_of(expiring);
    born->expiry_ms = 0;
    while (in.rest.len > 0) {
        uint64_t expire_ms = reader_u64(&in);
        struct slice row_key = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        keyspace_unindex_expiry(txn, from, expire_ms, row_key);
        keyspace_index_expiry(txn, to, expire_ms, row_key);
        if (born->expiry_ms == 0 || expire_ms < born->expiry_ms) {
            born->expiry_ms = expire_ms;
        }
    }
}

static enum status divide_keys(struct txn *txn,
                               struct machine_state *state,
                               struct machine_scope scope,
                               struct machine_scope child,
                               struct machine_state *born)
{
    struct buf expiring;
    buf_init(&expiring, SIZE_MAX / 2);
    struct survey survey = {.expiring = &expiring};
    bool whole = false;
    enum status status = survey_scope(txn, &child, &survey, &whole);
    if (status == STATUS_OK && whole) {
        take_share(state, survey.keys, survey.expires, born);
        move_index(txn, buf_slice(&expiring), scope.shard, child.shard, born);
        buf_deinit(&expiring);
        return STATUS_OK;
    }
    struct machine_scope rest = {
        .shard = scope.shard, .start = scope.start, .last = child.start - 1};
    survey = (struct survey){.expiring = &expiring};
    if (status == STATUS_OK) {
        status = survey_scope(txn, &rest, &survey, &whole);
    }
    buf_deinit(&expiring);
    if (status != STATUS_OK) {
        return status;
    }
    recount_begin(txn, born, &child);
    if (whole) {
        uint64_t keys = state->keys[0] > survey.keys ? state->keys[0] - survey.keys : 0;
        uint64_t expires =
            state->expires[0] > survey.expires ? state->expires[0] - survey.expires : 0;
        take_share(state, keys, expires, born);
        return STATUS_OK;
    }
    take_share(state, share(state->keys[0], &scope, child.start),
               share(state->expires[0], &scope, child.start), born);
    recount_begin(txn, state, &rest);
    return STATUS_OK;
}

enum status divide_split(struct txn *txn,
                         struct machine_state *state,
                         struct machine_scope scope,
                         struct machine_scope child,
                         struct machine_state *born)
{
    assert(scope.start < child.start && child.start <= child.last && child.last == scope.last);
    assert(!recount_active(state));
    *born = (struct machine_state){.time_ms = state->time_ms,
                                   .version = state->version,
                                   .expiry_ms = state->expiry_ms,
                                   .notify = state->notify};
    enum status status = divide_rows(txn, state, scope, child, born);
    if (status != STATUS_OK) {
        return status;
    }
    divide_databases(state, &child, born);
    return divide_keys(txn, state, scope, child, born);
}

enum status divide_check_join(struct txn *txn,
                              const struct machine_state *state,
                              uint64_t shard,
                              const char **why)
{
    static const enum keyspace_local kinds[] = {LOCAL_EXPIRY, LOCAL_SESSION, LOCAL_REPLY,
                                                LOCAL_GARBAGE, LOCAL_SCRIPT};
    *why = NULL;
    if (recount_active(state)) {
        *why = "its keys are still being counted since the last split";
        return STATUS_OK;
    }
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint64_t count = 0;
        enum status status =
            transplant_count(txn, shard, kinds[i], DIVIDE_JOIN_ROWS_MAX + 1 - total, &count);
        if (status != STATUS_OK) {
            return status;
        }
        total += count;
        if (total > DIVIDE_JOIN_ROWS_MAX) {
            *why = "it has too many keys with a time to live, or sessions";
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) {
        return a + b;
    }
    return a < b ? a : b;
}

enum status divide_join(struct txn *txn,
                        uint64_t shard,
                        struct machine_state *state,
                        struct machine_scope source,
                        const struct machine_state *source_state)
{
    static const enum keyspace_local moved[] = {LOCAL_EXPIRY, LOCAL_GARBAGE, LOCAL_SCRIPT};
    assert(!recount_active(state) && !recount_active(source_state));
    state->time_ms =
        state->time_ms > source_state->time_ms ? state->time_ms : source_state->time_ms;
    state->version =
        state->version > source_state->version ? state->version : source_state->version;
    for (size_t db = 0; db < MACHINE_DATABASES; db++) {
        state->keys[db] += source_state->keys[db];
        state->expires[db] += source_state->expires[db];
    }
    state->expiry_ms = sooner(state->expiry_ms, source_state->expiry_ms);
    state->garbage += source_state->garbage;
    state->notify |= source_state->notify;
    for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
        struct transplant rows = {.txn = txn, .from = source.shard, .to = shard, .kind = moved[i]};
        enum status status = transplant_run(&rows);
        if (status != STATUS_OK) {
            return status;
        }
    }
    enum status status = dedup_hand_on(txn, source.shard, shard, state);
    return status == STATUS_OK ? stage_drop_scope(txn, source.shard, &source) : status;
}
