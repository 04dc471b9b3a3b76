/* HSET, HMSET, HSETNX, HDEL, HINCRBY, HINCRBYFLOAT, HGET, HMGET, HGETALL, HKEYS, HVALS, HLEN,
 * HEXISTS, HSTRLEN. Semantics: Redis 7.0 t_hash.c. */

#include <math.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/collection.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"

static enum status open_hash(struct call *call, struct slice key, struct collection *hash)
{
    return collection_open(call, SLOT_A, key, KEYSPACE_HASH, hash);
}

/* A planned HSET: key, u64 flags, then fields and values. */
enum { HSET_KEY, HSET_FLAGS, HSET_FIELDS, HSET_ARGC_MIN = 4 };
enum { HSET_REPLIES_OK = 1 };

static enum status plan_set(const struct machine_plan_input *input,
                            struct plan *plan,
                            uint64_t flags)
{
    struct args args = input->args;
    if (args.argc % 2 == 1) {
        resp_write_errorf(plan->reply, "ERR wrong number of arguments for '%s' command",
                          input->command->name);
        return STATUS_BAD_ARGUMENT;
    }
    for (size_t i = 2; i < args.argc; i += 2) {
        const char *error = collection_refuse_size(args.argv[i], args.argv[i + 1]);
        if (error != NULL) {
            return planned_refuse(plan, error);
        }
    }
    planned_begin(plan, CMD_hset, input->db, 1, args.argc);
    planned_bytes(plan, args.argv[1]);
    planned_u64(plan, flags);
    for (size_t i = 2; i < args.argc; i++) {
        planned_bytes(plan, args.argv[i]);
    }
    return STATUS_OK;
}

enum status cmd_hset_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_set(input, plan, 0);
}

enum status cmd_hmset_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_set(input, plan, HSET_REPLIES_OK);
}

enum status cmd_hset_apply(struct call *call)
{
    struct args args = call->args;
    if (args.argc < HSET_ARGC_MIN || args.argc % 2 == 1 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct collection hash;
    int64_t count = 0;
    enum status status = open_hash(call, args.argv[HSET_KEY], &hash);
    for (size_t i = HSET_FIELDS; i < args.argc && status == STATUS_OK; i += 2) {
        bool added = false;
        status = collection_put(&hash, args.argv[i], args.argv[i + 1], &added);
        count += added ? 1 : 0;
    }
    if (status != STATUS_OK) {
        return status;
    }
    collection_close(&hash);
    event_note(call, EVENT_HASH, "hset", args.argv[HSET_KEY]);
    if ((planned_number(args.argv[HSET_FLAGS]) & HSET_REPLIES_OK) != 0) {
        resp_write_ok(call->reply);
    } else {
        resp_write_int(call->reply, count);
    }
    return STATUS_OK;
}

enum status cmd_hmset_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as HSET. */
}

/* As it came: the key is first, and no more is known of the rest than how many there are. */
static enum status plan_as_is(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, input->command->id, input->db, 1, input->args.argc - 1);
    for (size_t i = 1; i < input->args.argc; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

enum status cmd_hsetnx_plan(const struct machine_plan_input *input, struct plan *plan)
{
    const char *error = collection_refuse_size(input->args.argv[2], input->args.argv[3]);
    return error != NULL ? planned_refuse(plan, error) : plan_as_is(input, plan);
}

/* A planned HSETNX: key, field, value. */
enum status cmd_hsetnx_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != 3 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct collection hash;
    struct slice value;
    bool found = false;
    bool added = false;
    enum status status = open_hash(call, argv[0], &hash);
    if (status == STATUS_OK) {
        status = collection_get(&hash, argv[1], &value, &found);
    }
    if (status == STATUS_OK && !found) {
        status = collection_put(&hash, argv[1], argv[2], &added);
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, added ? 1 : 0);
    if (added) {
        collection_close(&hash);
        event_note(call, EVENT_HASH, "hset", argv[0]);
    }
    return STATUS_OK;
}

/* A planned HDEL: key, fields. */
enum status cmd_hdel_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_as_is(input, plan);
}

enum status cmd_hdel_apply(struct call *call)
{
    struct args args = call->args;
    if (args.argc < 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct collection hash;
    int64_t count = 0;
    enum status status = open_hash(call, args.argv[0], &hash);
    for (size_t i = 1; i < args.argc && status == STATUS_OK; i++) {
        bool removed = false;
        status = collection_remove(&hash, args.argv[i], &removed);
        count += removed ? 1 : 0;
    }
    if (status == STATUS_OK) {
        status = collection_renew(&hash);
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, count);
    if (count == 0) {
        return STATUS_OK;
    }
    collection_close(&hash);
    event_note(call, EVENT_HASH, "hdel", args.argv[0]);
    if (!hash.there) {
        event_note(call, EVENT_GENERIC, "del", args.argv[0]);
    }
    return STATUS_OK;
}

/* A planned HINCRBY: key, field, i64 to add. */
enum status cmd_hincrby_plan(const struct machine_plan_input *input, struct plan *plan)
{
    const struct slice *argv = input->args.argv;
    int64_t delta = 0;
    const char *error = collection_refuse_size(argv[2], slice_of(NULL, 0));
    error = number_parse_i64(argv[3], &delta) ? error : ERR_NOT_INTEGER;
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_hincrby, input->db, 1, 3);
    planned_bytes(plan, argv[1]);
    planned_bytes(plan, argv[2]);
    planned_u64(plan, (uint64_t)delta);
    return STATUS_OK;
}

/* The end of a command that computed a field. */
static enum status put_number(struct collection *hash, struct slice number, const char *event)
{
    struct call *call = hash->call;
    bool added = false;
    enum status status = collection_put(hash, call->args.argv[1], number, &added);
    if (status == STATUS_OK) {
        collection_close(hash);
        event_note(call, EVENT_HASH, event, call->args.argv[0]);
    }
    return status;
}

enum status cmd_hincrby_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != 3 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct collection hash;
    struct slice old;
    bool found = false;
    enum status status = open_hash(call, argv[0], &hash);
    if (status == STATUS_OK) {
        status = collection_get(&hash, argv[1], &old, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    int64_t value = 0;
    if (found && !number_parse_i64(old, &value)) {
        resp_write_error(call->reply, "ERR hash value is not an integer");
        return STATUS_OK;
    }
    if (number_add_overflows(value, (int64_t)planned_number(argv[2]), &value)) {
        resp_write_error(call->reply, "ERR increment or decrement would overflow");
        return STATUS_OK;
    }
    resp_write_int(call->reply, value);
    char text[NUMBER_I64_SIZE_MAX];
    size_t len = number_format_i64(value, text);
    return put_number(&hash, slice_of(text, len), "hincrby");
}

/* A planned HINCRBYFLOAT: key, field, the text of the number to add. long double is that of x86-64
 * on every replica. */
enum status cmd_hincrbyfloat_plan(const struct machine_plan_input *input, struct plan *plan)
{
    const struct slice *argv = input->args.argv;
    long double delta = 0;
    const char *error = collection_refuse_size(argv[2], slice_of(NULL, 0));
    if (!number_parse_float(argv[3], &delta)) {
        error = "ERR value is not a valid float";
    } else if (isinf(delta)) {
        error = "ERR value is NaN or Infinity";
    }
    return error != NULL ? planned_refuse(plan, error) : plan_as_is(input, plan);
}

enum status cmd_hincrbyfloat_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    long double delta = 0;
    if (call->args.argc != 3 || call->key_count != 1 || !number_parse_float(argv[2], &delta)) {
        return STATUS_CORRUPT;
    }
    struct collection hash;
    struct slice old;
    bool found = false;
    enum status status = open_hash(call, argv[0], &hash);
    if (status == STATUS_OK) {
        status = collection_get(&hash, argv[1], &old, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    long double value = 0;
    if (found && !number_parse_float(old, &value)) {
        resp_write_error(call->reply, "ERR hash value is not a float");
        return STATUS_OK;
    }
    value += delta;
    if (isnan(value) || isinf(value)) {
        resp_write_error(call->reply, "ERR increment would produce NaN or Infinity");
        return STATUS_OK;
    }
    char text[NUMBER_FLOAT_SIZE_MAX];
    size_t len = number_format_float(value, text);
    assert(len > 0);
    resp_write_bulk(call->reply, slice_of(text, len));
    return put_number(&hash, slice_of(text, len), "hincrbyfloat");
}

/* Looks argv[2] up in the hash argv[1]. */
static enum status read_field(struct call *call, struct slice *value, bool *found)
{
    struct collection hash;
    enum status status = open_hash(call, call->args.argv[1], &hash);
    *found = false;
    return status == STATUS_OK ? collection_get(&hash, call->args.argv[2], value, found) : status;
}

enum status cmd_hget_read(struct call *call)
{
    struct slice value;
    bool found = false;
    enum status status = read_field(call, &value, &found);
    if (status == STATUS_OK && found) {
        resp_write_bulk(call->reply, value);
    } else if (status == STATUS_OK) {
        resp_write_null(call->reply);
    }
    return status;
}

enum status cmd_hexists_read(struct call *call)
{
    struct slice value;
    bool found = false;
    enum status status = read_field(call, &value, &found);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, found ? 1 : 0);
    }
    return status;
}

enum status cmd_hstrlen_read(struct call *call)
{
    struct slice value;
    bool found = false;
    enum status status = read_field(call, &value, &found);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, found ? (int64_t)value.len : 0);
    }
    return status;
}

enum status cmd_hmget_read(struct call *call)
{
    struct args args = call->args;
    struct collection hash;
    enum status status = open_hash(call, args.argv[1], &hash);
    if (status != STATUS_OK) {
        return status;
    }
    size_t start = call->reply->len;
    resp_write_array(call->reply, args.argc - 2);
    for (size_t i = 2; i < args.argc && status == STATUS_OK; i++) {
        struct slice value;
        bool found = false;
        status = collection_get(&hash, args.argv[i], &value, &found);
        if (status == STATUS_OK && found) {
            resp_write_bulk(call->reply, value);
            status = collection_may_reply(call, call->reply->len - start);
        } else if (status == STATUS_OK) {
            resp_write_null(call->reply);
        }
    }
    return status;
}

enum status cmd_hlen_read(struct call *call)
{
    struct collection hash;
    enum status status = open_hash(call, call->args.argv[1], &hash);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, (int64_t)collection_count(&hash));
    }
    return status;
}

/* What of all elements goes into the reply. */
struct dump {
    struct call *call;
    size_t start; /* Of the reply. */
    bool fields;
    bool values;
};

static enum status dump_one(void *ctx, const struct collection_entry *entry)
{
    struct dump *dump = ctx;
    struct buf *reply = dump->call->reply;
    if (dump->fields) {
        resp_write_bulk(reply, entry->field);
    }
    if (dump->values) {
        resp_write_bulk(reply, entry->value);
    }
    return collection_may_reply(dump->call, reply->len - dump->start);
}

static enum status dump_all(struct call *call, bool fields, bool values)
{
    struct dump dump = {
        .call = call, .start = call->reply->len, .fields = fields, .values = values};
    struct collection hash;
    enum status status = open_hash(call, call->args.argv[1], &hash);
    if (status != STATUS_OK) {
        return status;
    }
    if (fields && values) {
        resp_write_map(call->reply, collection_count(&hash));
    } else {
        resp_write_array(call->reply, collection_count(&hash));
    }
    return collection_each(&hash, dump_one, &dump);
}

enum status cmd_hgetall_read(struct call *call)
{
    return dump_all(call, true, true);
}

enum status cmd_hkeys_read(struct call *call)
{
    return dump_all(call, true, false);
}

enum status cmd_hvals_read(struct call *call)
{
    return dump_all(call, false, true);
}
