/* Intervals of sorted sets: ZRANGE and its older forms, ZRANGESTORE, ZCOUNT, ZLEXCOUNT,
 * ZREMRANGEBY*. Semantics: Redis 7.0 t_zset.c. */

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"
#include "server/machine/zset_query.h"

/* Elements into out, *count of them. */
static enum status show(struct zset *zset,
                        const struct zset_query *query,
                        struct buf *out,
                        uint64_t *count)
{
    struct zset_part part;
    zset_query_part(zset, query, &part);
    *count = 0;
    if (part.count == 0) {
        return STATUS_OK;
    }
    struct zset_cursor cursor;
    struct slice sub_key;
    size_t start = out->len;
    enum status status = STATUS_OK;
    zset_cursor_open(&cursor, zset, part.range, query->reverse, part.skip);
    while (*count < part.count && status == STATUS_OK && zset_cursor_next(&cursor, &sub_key)) {
        zset_reply(sub_key, query->with_scores, out);
        status = zset_may_reply(zset->call, out->len - start);
        (*count)++;
    }
    enum status walked = zset_cursor_close(&cursor);
    return status == STATUS_OK ? walked : status;
}

static enum status read_range(struct call *call, const struct zset_query_form *form)
{
    struct args args = {.argv = call->args.argv + 2, .argc = call->args.argc - 2};
    struct zset_query query;
    const char *error = zset_query_parse(args, form, &query);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    struct buf *shown = txn_scratch(call->txn, SCRATCH_RESULT);
    uint64_t count = 0;
    if (status == STATUS_OK) {
        status = show(&zset, &query, shown, &count);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (query.with_scores && zset.row.found) {
        resp_write_pairs(call->reply, count);
    } else {
        resp_write_array(call->reply, count);
    }
    buf_append_slice(call->reply, buf_slice(shown));
    return STATUS_OK;
}

enum status cmd_zrange_read(struct call *call)
{
    static const struct zset_query_form form = {.by = ZSET_BY_ANY, .options = true};
    return read_range(call, &form);
}

enum status cmd_zrevrange_read(struct call *call)
{
    static const struct zset_query_form form = {
        .by = ZSET_BY_RANK, .reverse = true, .options = true};
    return read_range(call, &form);
}

enum status cmd_zrangebyscore_read(struct call *call)
{
    static const struct zset_query_form form = {.by = ZSET_BY_SCORE, .options = true};
    return read_range(call, &form);
}

enum status cmd_zrevrangebyscore_read(struct call *call)
{
    static const struct zset_query_form form = {
        .by = ZSET_BY_SCORE, .reverse = true, .options = true};
    return read_range(call, &form);
}

enum status cmd_zrangebylex_read(struct call *call)
{
    static const struct zset_query_form form = {.by = ZSET_BY_LEX, .options = true};
    return read_range(call, &form);
}

enum status cmd_zrevrangebylex_read(struct call *call)
{
    static const struct zset_query_form form = {
        .by = ZSET_BY_LEX, .reverse = true, .options = true};
    return read_range(call, &form);
}

static enum status read_count(struct call *call, enum zset_query_by by)
{
    struct args args = {.argv = call->args.argv + 2, .argc = 2};
    const struct zset_query_form form = {.by = by};
    struct zset_query query;
    const char *error = zset_query_parse(args, &form, &query);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct zset zset;
    uint64_t count = 0;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    if (status == STATUS_OK) {
        status = zset_query_count(&zset, &query, &count);
    }
    if (status == STATUS_OK) {
        resp_write_int(call->reply, (int64_t)count);
    }
    return status;
}

enum status cmd_zcount_read(struct call *call)
{
    return read_count(call, ZSET_BY_SCORE);
}

enum status cmd_zlexcount_read(struct call *call)
{
    return read_count(call, ZSET_BY_LEX);
}

/* Planned ZRANGESTORE: destination, source, then as it was given. */
static const struct zset_query_form store_form = {
    .by = ZSET_BY_ANY, .options = true, .no_scores = true};

enum { STORE_TO, STORE_FROM, STORE_QUERY };

enum status cmd_zrangestore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = {.argv = input->args.argv + 3, .argc = input->args.argc - 3};
    struct zset_query query;
    const char *error = zset_query_parse(args, &store_form, &query);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_zrangestore, input->db, 2, input->args.argc - 1);
    for (size_t i = 1; i < input->args.argc; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

/* The sub-keys that the query names, each with its length, in the order of the set. */
static enum status gather(struct zset *zset,
                          const struct zset_query *query,
                          struct buf *sub_keys,
                          uint64_t *count)
{
    struct zset_part part;
    zset_query_part(zset, query, &part);
    *count = 0;
    if (part.count == 0) {
        return STATUS_OK;
    }
    struct zset_cursor cursor;
    struct slice sub_key;
    zset_cursor_open(&cursor, zset, part.range, query->reverse, part.skip);
    while (*count < part.count && zset_cursor_next(&cursor, &sub_key)) {
        buf_append_bytes(sub_keys, sub_key);
        (*count)++;
    }
    return zset_cursor_close(&cursor);
}

enum status cmd_zrangestore_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    struct args args = {.argv = argv + STORE_QUERY, .argc = call->args.argc - STORE_QUERY};
    struct zset_query query;
    if (call->args.argc < STORE_QUERY + 2 || call->key_count != 2 ||
        zset_query_parse(args, &store_form, &query) != NULL) {
        return STATUS_CORRUPT;
    }
    struct zset from;
    struct buf *bytes = txn_scratch(call->txn, SCRATCH_WORK);
    uint64_t count = 0;
    enum status status = zset_load(call, SLOT_B, argv[STORE_FROM], &from);
    if (status == STATUS_OK) {
        status = gather(&from, &query, bytes, &count);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct buf *room = txn_scratch(call->txn, SCRATCH_RESULT);
    struct slice *sub_keys =
        (struct slice *)(void *)buf_reserve(room, (count + 1) * sizeof(*sub_keys));
    struct reader in = reader_of(buf_slice(bytes));
    for (uint64_t n = 0; n < count; n++) {
        sub_keys[query.reverse ? count - 1 - n : n] = reader_bytes(&in, UINT32_MAX);
    }
    return zset_store(call, argv[STORE_TO], sub_keys, count, "zrangestore");
}

/* Planned ZREMRANGEBY*: as it was given. */
static enum status plan_removal(const struct machine_plan_input *input,
                                struct plan *plan,
                                enum zset_query_by by)
{
    struct args args = {.argv = input->args.argv + 2, .argc = 2};
    const struct zset_query_form form = {.by = by};
    struct zset_query query;
    const char *error = zset_query_parse(args, &form, &query);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, input->command->id, input->db, 1, 3);
    for (size_t i = 1; i <= 3; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

/* Where an interval of ranks begins. */
static enum status first_of(struct zset *zset, struct zset_part *part)
{
    struct zset_cursor cursor;
    struct slice sub_key;
    zset_cursor_open(&cursor, zset, part->range, false, part->skip);
    bool found = zset_cursor_next(&cursor, &sub_key);
    if (found) {
        struct buf *from = txn_scratch(zset->call->txn, SCRATCH_ZSET_FROM);
        buf_append_slice(from, sub_key);
        part->range.from = buf_slice(from);
    }
    enum status status = zset_cursor_close(&cursor);
    return status == STATUS_OK && !found ? STATUS_CORRUPT : status;
}

static enum status apply_removal(struct call *call, enum zset_query_by by, const char *event)
{
    const struct slice *argv = call->args.argv;
    const struct zset_query_form form = {.by = by};
    struct zset_query query;
    if (call->args.argc != 3 || call->key_count != 1 ||
        zset_query_parse((struct args){.argv = argv + 1, .argc = 2}, &form, &query) != NULL) {
        return STATUS_CORRUPT;
    }
    struct zset zset;
    struct zset_part part = {0};
    struct zset_removal removal = {0};
    enum status status = zset_load(call, SLOT_A, argv[0], &zset);
    if (status == STATUS_OK && zset.size > 0) {
        zset_query_part(&zset, &query, &part);
    }
    if (part.count > 0 && part.skip > 0) {
        status = first_of(&zset, &part);
    }
    if (status == STATUS_OK && part.count > 0) {
        removal.range = part.range;
        removal.limit = part.count;
        status = zset_remove_range(&zset, &removal);
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, (int64_t)removal.count);
    if (removal.count > 0) {
        zset_finish(&zset, event, argv[0]);
    }
    return STATUS_OK;
}

enum status cmd_zremrangebyrank_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_removal(input, plan, ZSET_BY_RANK);
}

enum status cmd_zremrangebyrank_apply(struct call *call)
{
    return apply_removal(call, ZSET_BY_RANK, "zremrangebyrank");
}

enum status cmd_zremrangebyscore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_removal(input, plan, ZSET_BY_SCORE);
}

enum status cmd_zremrangebyscore_apply(struct call *call)
{
    return apply_removal(call, ZSET_BY_SCORE, "zremrangebyscore");
}

enum status cmd_zremrangebylex_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_removal(input, plan, ZSET_BY_LEX);
}

enum status cmd_zremrangebylex_apply(struct call *call)
{
    return apply_removal(call, ZSET_BY_LEX, "zremrangebylex");
}
