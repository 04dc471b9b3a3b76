/* ZUNION, ZINTER, ZDIFF, ZINTERCARD and those that store their result. Semantics: Redis 7.0
 * t_zset.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/planned.h"
#include "server/machine/zset_algebra.h"

/* args: the number of keys, keys, options. NULL, or the error; *options is what follows the keys.
 */
static const char *parse_keys(struct args args, struct zset_algebra *algebra, struct args *options)
{
    int64_t count = 0;
    if (!number_parse_i64(args.argv[0], &count)) {
        return ERR_NOT_INTEGER;
    }
    if (count < 1) {
        return "ERR at least 1 input key is needed for '%s' command";
    }
    if ((uint64_t)count > args.argc - 1) {
        return ERR_SYNTAX;
    }
    algebra->keys = (struct args){.argv = args.argv + 1, .argc = (size_t)count};
    *options =
        (struct args){.argv = args.argv + 1 + (size_t)count, .argc = args.argc - 1 - (size_t)count};
    return NULL;
}

static void write_refusal(struct buf *reply, const char *error, const struct command *command)
{
    if (strchr(error, '%') != NULL) {
        resp_write_errorf(reply, "ERR at least 1 input key is needed for '%s' command",
                          command->name);
    } else {
        resp_write_error(reply, error);
    }
}

static enum status reply_all(struct call *call,
                             const struct zset_algebra *algebra,
                             const struct zset_algebra_element *elements,
                             size_t count)
{
    size_t start = call->reply->len;
    enum status status = STATUS_OK;
    if (algebra->with_scores) {
        resp_write_pairs(call->reply, count);
    } else {
        resp_write_array(call->reply, count);
    }
    for (size_t n = 0; n < count && status == STATUS_OK; n++) {
        if (algebra->with_scores) {
            resp_write_pair(call->reply);
        }
        resp_write_bulk(call->reply, zset_packed_member(elements[n].sub_key));
        if (algebra->with_scores) {
            resp_write_double(call->reply, elements[n].score);
        }
        status = zset_may_reply(call, call->reply->len - start);
    }
    return status;
}

static enum status read_algebra(struct call *call, struct zset_algebra algebra)
{
    struct args args = {.argv = call->args.argv + 1, .argc = call->args.argc - 1};
    struct args options;
    const char *error = parse_keys(args, &algebra, &options);
    if (error == NULL) {
        /* Redis looks at the keys first. */
        enum status status = zset_algebra_check(call, &algebra);
        if (status != STATUS_OK) {
            return status;
        }
        error = zset_algebra_parse(options, &algebra);
    }
    if (error != NULL) {
        write_refusal(call->reply, error, call->command);
        return STATUS_OK;
    }
    struct zset_algebra_element *elements = NULL;
    size_t count = 0;
    enum status status = zset_algebra_run(call, &algebra, &elements, &count);
    if (status != STATUS_OK) {
        return status;
    }
    if (!algebra.only_count) {
        return reply_all(call, &algebra, elements, count);
    }
    bool cut = algebra.limit > 0 && count > algebra.limit;
    resp_write_int(call->reply, (int64_t)(cut ? algebra.limit : count));
    return STATUS_OK;
}

enum status cmd_zunion_read(struct call *call)
{
    return read_algebra(call, (struct zset_algebra){.kind = ZSET_UNION});
}

enum status cmd_zinter_read(struct call *call)
{
    return read_algebra(call, (struct zset_algebra){.kind = ZSET_INTER});
}

enum status cmd_zintercard_read(struct call *call)
{
    return read_algebra(call, (struct zset_algebra){.kind = ZSET_INTER, .only_count = true});
}

enum status cmd_zdiff_read(struct call *call)
{
    return read_algebra(call, (struct zset_algebra){.kind = ZSET_DIFF});
}

/* Planned: destination, keys of the inputs, options as they were given: what is wrong with them is
 * said only if no key is of another type. */
static enum status plan_store(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = {.argv = input->args.argv + 2, .argc = input->args.argc - 2};
    struct zset_algebra algebra = {.stores = true};
    struct args options;
    const char *error = parse_keys(args, &algebra, &options);
    if (error != NULL) {
        write_refusal(plan->reply, error, input->command);
        return STATUS_BAD_ARGUMENT;
    }
    size_t keys = 1 + algebra.keys.argc;
    planned_begin(plan, input->command->id, input->db, keys, keys + options.argc);
    planned_bytes(plan, input->args.argv[1]);
    for (size_t i = 0; i < algebra.keys.argc; i++) {
        planned_bytes(plan, algebra.keys.argv[i]);
    }
    for (size_t i = 0; i < options.argc; i++) {
        planned_bytes(plan, options.argv[i]);
    }
    return STATUS_OK;
}

static enum status apply_store(struct call *call, enum zset_algebra_kind kind, const char *event)
{
    const struct slice *argv = call->args.argv;
    if (call->key_count < 2) {
        return STATUS_CORRUPT;
    }
    struct zset_algebra algebra = {
        .kind = kind,
        .stores = true,
        .keys = {.argv = argv + 1, .argc = call->key_count - 1},
    };
    struct args options = {.argv = argv + call->key_count,
                           .argc = call->args.argc - call->key_count};
    enum status status = zset_algebra_check(call, &algebra);
    if (status != STATUS_OK) {
        return status;
    }
    const char *error = zset_algebra_parse(options, &algebra);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct zset_algebra_element *elements = NULL;
    size_t count = 0;
    status = zset_algebra_run(call, &algebra, &elements, &count);
    if (status != STATUS_OK) {
        return status;
    }
    /* In the place of the elements, which are larger. */
    struct slice *sub_keys = (struct slice *)(void *)elements;
    for (size_t n = 0; n < count; n++) {
        struct slice sub_key = elements[n].sub_key;
        memcpy(&sub_keys[n], &sub_key, sizeof(sub_key));
    }
    return zset_store(call, argv[0], sub_keys, count, event);
}

enum status cmd_zunionstore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_store(input, plan);
}

enum status cmd_zunionstore_apply(struct call *call)
{
    return apply_store(call, ZSET_UNION, "zunionstore");
}

enum status cmd_zinterstore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_store(input, plan);
}

enum status cmd_zinterstore_apply(struct call *call)
{
    return apply_store(call, ZSET_INTER, "zinterstore");
}

enum status cmd_zdiffstore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_store(input, plan);
}

enum status cmd_zdiffstore_apply(struct call *call)
{
    return apply_store(call, ZSET_DIFF, "zdiffstore");
}
