/* Ends of sorted sets: ZPOPMIN, ZPOPMAX, ZMPOP, and those that wait: BZPOPMIN, BZPOPMAX, BZMPOP.
 * Semantics: Redis 7.0 t_zset.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "common/proto/block.h"
#include "server/machine/planned.h"
#include "server/machine/zset.h"

enum pop_form {
    POP_ONE,   /* Member and score. */
    POP_PAIRS, /* Pairs that RESP2 has flat: a count was given. */
    POP_KEYED, /* Key, then an array of pairs: ZMPOP. */
    POP_FLAT,  /* Key, member and score: BZPOPMIN. */
};

/* All are planned as ZPOPMIN or ZMPOP: keys, u64 whether it is the maximum, u64 count, u64 form,
 * u64 how it waits. */
enum { POP_REVERSE, POP_COUNT, POP_FORM, POP_WAIT, POP_ARGC };

static void plan_pop(const struct machine_plan_input *input,
                     struct plan *plan,
                     bool reverse,
                     int64_t count,
                     enum pop_form form)
{
    planned_u64(plan, reverse);
    planned_u64(plan, (uint64_t)count);
    planned_u64(plan, form);
    planned_u64(plan, input->wait);
}

static enum status plan_end(const struct machine_plan_input *input, struct plan *plan, bool reverse)
{
    struct args args = input->args;
    int64_t count = 1;
    if (args.argc > 3) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    if (args.argc == 3 && (!number_parse_i64(args.argv[2], &count) || count < 0)) {
        return planned_refuse(plan, "ERR value is out of range, must be positive");
    }
    planned_begin(plan, CMD_zpopmin, input->db, 1, 1 + POP_ARGC);
    planned_bytes(plan, args.argv[1]);
    plan_pop(input, plan, reverse, count, args.argc == 3 ? POP_PAIRS : POP_ONE);
    return STATUS_OK;
}

static void reply_popped(struct call *call,
                         const struct zset_removal *removal,
                         enum pop_form form,
                         struct slice key)
{
    if (form == POP_KEYED) {
        resp_write_array(call->reply, 2);
        resp_write_bulk(call->reply, key);
        resp_write_array(call->reply, removal->count);
    } else if (form == POP_FLAT) {
        resp_write_array(call->reply, 1 + 2 * removal->count);
        resp_write_bulk(call->reply, key);
    } else if (form == POP_PAIRS) {
        resp_write_pairs(call->reply, removal->count);
    } else {
        resp_write_array(call->reply, 2 * removal->count);
    }
    struct reader in = reader_of(buf_slice(removal->removed));
    while (in.rest.len > 0) {
        struct slice sub_key = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        if (form == POP_KEYED) {
            resp_write_array(call->reply, 2);
        } else if (form == POP_PAIRS) {
            resp_write_pair(call->reply);
        }
        resp_write_bulk(call->reply, zset_packed_member(sub_key));
        resp_write_double(call->reply, zset_packed_score(sub_key));
    }
}

static enum status pop(struct zset *zset, struct slice key)
{
    struct call *call = zset->call;
    const struct slice *options = call->args.argv + call->key_count;
    uint64_t form = planned_number(options[POP_FORM]);
    struct zset_removal removal = {.range = zset_range_all(),
                                   .limit = planned_number(options[POP_COUNT]),
                                   .reverse = planned_number(options[POP_REVERSE]) != 0,
                                   .removed = txn_scratch(call->txn, SCRATCH_WORK)};
    if (removal.limit == 0) {
        resp_write_array(call->reply, 0);
        return STATUS_OK;
    }
    enum status status = zset_remove_range(zset, &removal);
    if (status != STATUS_OK) {
        return status;
    }
    reply_popped(call, &removal, (enum pop_form)form, key);
    zset_finish(zset, removal.reverse ? "zpopmax" : "zpopmin", key);
    return STATUS_OK;
}

/* From the first key that has something. */
static enum status apply_pop(struct call *call)
{
    if (call->key_count < 1 || call->args.argc != call->key_count + POP_ARGC ||
        planned_number(call->args.argv[call->key_count + POP_FORM]) > POP_FLAT) {
        return STATUS_CORRUPT;
    }
    uint64_t wait = planned_number(call->args.argv[call->key_count + POP_WAIT]);
    for (size_t i = 0; i < call->key_count; i++) {
        struct zset zset;
        enum status status = zset_load(call, SLOT_A, call->args.argv[i], &zset);
        if (status == STATUS_WRONG_TYPE && machine_wait_passes(wait)) {
            continue; /* It waits already. */
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (zset.row.found) {
            return pop(&zset, call->args.argv[i]);
        }
    }
    call->nothing = machine_wait_goes_on(wait);
    if (planned_number(call->args.argv[call->key_count + POP_FORM]) >= POP_KEYED) {
        resp_write_null_array(call->reply);
    } else {
        resp_write_array(call->reply, 0);
    }
    return STATUS_OK;
}

enum status cmd_zpopmin_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_end(input, plan, false);
}

enum status cmd_zpopmin_apply(struct call *call)
{
    return apply_pop(call);
}

enum status cmd_zpopmax_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_end(input, plan, true);
}

enum status cmd_zpopmax_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as ZPOPMIN. */
}

/* first: where the number of keys stands. */
static enum status plan_multi(const struct machine_plan_input *input,
                              struct plan *plan,
                              size_t first)
{
    struct args args = input->args;
    int64_t keys = 0;
    int64_t count = 1;
    if (!number_parse_i64(args.argv[first], &keys) || keys < 1) {
        return planned_refuse(plan, "ERR numkeys should be greater than 0");
    }
    if ((uint64_t)keys >= args.argc - first - 1) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    size_t at = first + 1 + (size_t)keys;
    bool reverse = command_word(args.argv[at], "max");
    bool counted = at + 2 < args.argc && command_word(args.argv[at + 1], "count");
    if ((!reverse && !command_word(args.argv[at], "min")) || (at + 1 < args.argc && !counted)) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    if (counted && (!number_parse_i64(args.argv[at + 2], &count) || count < 1)) {
        return planned_refuse(plan, "ERR count should be greater than 0");
    }
    if (at + 3 < args.argc) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    uint64_t timeout_ms = 0;
    const char *error = first == 2 ? block_seconds(args.argv[1], &timeout_ms) : NULL;
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_zmpop, input->db, (size_t)keys, (size_t)keys + POP_ARGC);
    for (size_t i = first + 1; i < at; i++) {
        planned_bytes(plan, args.argv[i]);
    }
    plan_pop(input, plan, reverse, count, POP_KEYED);
    return STATUS_OK;
}

enum status cmd_zmpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_multi(input, plan, 1);
}

enum status cmd_bzmpop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_multi(input, plan, 2);
}

enum status cmd_bzmpop_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as ZMPOP. */
}

static enum status plan_waiting(const struct machine_plan_input *input,
                                struct plan *plan,
                                bool reverse)
{
    size_t keys = input->args.argc - 2;
    uint64_t timeout_ms = 0;
    const char *error = block_seconds(input->args.argv[keys + 1], &timeout_ms);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_zmpop, input->db, keys, keys + POP_ARGC);
    for (size_t i = 1; i <= keys; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    plan_pop(input, plan, reverse, 1, POP_FLAT);
    return STATUS_OK;
}

enum status cmd_bzpopmin_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_waiting(input, plan, false);
}

enum status cmd_bzpopmin_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as ZMPOP. */
}

enum status cmd_bzpopmax_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_waiting(input, plan, true);
}

enum status cmd_bzpopmax_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as ZMPOP. */
}

enum status cmd_zmpop_apply(struct call *call)
{
    return apply_pop(call);
}
