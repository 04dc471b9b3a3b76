/* RESTORE. Semantics: Redis 7.0 cluster.c restoreCommand(). */

#include "common/base/number.h"
#include "common/rdb/rdb_payload.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"
#include "server/machine/restore.h"

/* A planned RESTORE: key, u64 flags, u64 expiry in ms (0: none), u64 kind, u64 count, value. An
 * error that comes after that for a key which is there already: the text is the value. */
enum {
    RESTORE_KEY,
    RESTORE_FLAGS,
    RESTORE_EXPIRE,
    RESTORE_KIND,
    RESTORE_COUNT,
    RESTORE_VALUE,
    RESTORE_ARGC,
};
enum { RESTORE_REPLACE = 1 << 0, RESTORE_REFUSE = 1 << 1 };
enum {
    RESTORE_SIZE_MAX = 30 << 20, /* Of the value in a log entry. */
    FREQUENCY_MAX = 255,
};

struct options {
    bool replace;
    bool absolute;
    bool idle;
    bool frequency;
};

/* NULL or an error. Idle times and frequencies are not kept, only looked at. */
static const char *parse_options(struct args args, struct options *options)
{
    for (size_t i = 4; i < args.argc; i++) {
        bool more = i + 1 < args.argc;
        int64_t value = 0;
        if (command_word(args.argv[i], "replace")) {
            options->replace = true;
        } else if (command_word(args.argv[i], "absttl")) {
            options->absolute = true;
        } else if (command_word(args.argv[i], "idletime") && more && !options->frequency) {
            if (!number_parse_i64(args.argv[++i], &value)) {
                return ERR_NOT_INTEGER;
            }
            if (value < 0) {
                return "ERR Invalid IDLETIME value, must be >= 0";
            }
            options->idle = true;
        } else if (command_word(args.argv[i], "freq") && more && !options->idle) {
            if (!number_parse_i64(args.argv[++i], &value)) {
                return ERR_NOT_INTEGER;
            }
            if (value < 0 || value > FREQUENCY_MAX) {
                return "ERR Invalid FREQ value, must be >= 0 and <= 255";
            }
            options->frequency = true;
        } else {
            return ERR_SYNTAX;
        }
    }
    return NULL;
}

static const char *parse_expire(const struct machine_plan_input *input,
                                const struct options *options,
                                uint64_t *expire_ms)
{
    int64_t ttl = 0;
    if (!number_parse_i64(input->args.argv[2], &ttl)) {
        return ERR_NOT_INTEGER;
    }
    if (ttl < 0) {
        return "ERR Invalid TTL value, must be >= 0";
    }
    bool relative = ttl != 0 && !options->absolute;
    *expire_ms = (uint64_t)ttl + (relative ? input->now_ms : 0);
    return *expire_ms > INT64_MAX ? "ERR Invalid TTL value, must be >= 0" : NULL;
}

static const char *decode(struct slice payload, struct rdb_value *value)
{
    struct slice bytes;
    if (!rdb_payload_open(payload, &bytes)) {
        return "ERR DUMP payload version or checksum are wrong";
    }
    enum status status =
        bytes.len == 0
            ? STATUS_CORRUPT
            : rdb_value_decode(bytes.data[0], slice_of(bytes.data + 1, bytes.len - 1), value);
    if (status == STATUS_TOO_BIG) {
        return "ERR the value is longer than 30 MB: write it in parts, as sherd-admin import does";
    }
    return status != STATUS_OK ? "ERR Bad data format" : restore_refuse(value);
}

static void plan_value(const struct machine_plan_input *input,
                       struct plan *plan,
                       const struct rdb_value *value,
                       unsigned flags,
                       uint64_t expire_ms)
{
    struct buf bytes;
    buf_init(&bytes, SIZE_MAX / 2);
    restore_encode(value, &bytes);
    planned_begin(plan, CMD_restore, input->db, 1, RESTORE_ARGC);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, flags);
    planned_u64(plan, expire_ms);
    planned_u64(plan, (uint64_t)value->kind);
    planned_u64(plan, value->count);
    planned_bytes(plan, buf_slice(&bytes));
    buf_deinit(&bytes);
}

static void plan_error(const struct machine_plan_input *input, struct plan *plan, const char *error)
{
    planned_begin(plan, CMD_restore, input->db, 1, RESTORE_ARGC);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, RESTORE_REFUSE);
    planned_u64(plan, 0);
    planned_u64(plan, 0);
    planned_u64(plan, 0);
    planned_bytes(plan, slice_str(error));
}

enum status cmd_restore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct options options = {0};
    const char *error = parse_options(input->args, &options);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    struct rdb_value value;
    uint64_t expire_ms = 0;
    rdb_value_init(&value, RESTORE_SIZE_MAX);
    error = parse_expire(input, &options, &expire_ms);
    if (error == NULL) {
        error = decode(input->args.argv[3], &value);
    }
    if (error == NULL) {
        plan_value(input, plan, &value, options.replace ? RESTORE_REPLACE : 0, expire_ms);
    } else if (!options.replace) {
        plan_error(input, plan, error);
    }
    rdb_value_deinit(&value);
    return error != NULL && options.replace ? planned_refuse(plan, error) : STATUS_OK;
}

static enum status restore_expire(struct call *call, struct slice key, uint64_t expire_ms)
{
    struct row row;
    if (expire_ms == 0) {
        return STATUS_OK;
    }
    enum status status = keyspace_load(call, SLOT_A, call->db, key, &row);
    if (status != STATUS_OK || !row.found) {
        return status != STATUS_OK ? status : STATUS_CORRUPT;
    }
    return keyspace_set_expire(call, &row, expire_ms);
}

enum status cmd_restore_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != RESTORE_ARGC || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    uint64_t flags = planned_number(argv[RESTORE_FLAGS]);
    uint64_t expire_ms = planned_number(argv[RESTORE_EXPIRE]);
    uint64_t kind = planned_number(argv[RESTORE_KIND]);
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, argv[RESTORE_KEY], &row);
    if (status != STATUS_OK) {
        return status;
    }
    if (row.found && (flags & RESTORE_REPLACE) == 0) {
        resp_write_error(call->reply, "BUSYKEY Target key name already exists.");
        return STATUS_OK;
    }
    if ((flags & RESTORE_REFUSE) != 0) {
        char text[128];
        size_t len = argv[RESTORE_VALUE].len < sizeof(text) ? argv[RESTORE_VALUE].len : 0;
        memcpy(text, argv[RESTORE_VALUE].data, len);
        text[len] = '\0';
        resp_write_error(call->reply, text);
        return STATUS_OK;
    }
    if (kind == 0 || kind >= RDB_KIND_END) {
        return STATUS_CORRUPT;
    }
    resp_write_ok(call->reply);
    bool replaced = row.found;
    if (replaced) {
        keyspace_delete(call, &row);
    }
    if (expire_ms != 0 && expire_ms <= call->now_ms) {
        if (replaced) {
            event_note(call, EVENT_GENERIC, "del", argv[RESTORE_KEY]);
        }
        return STATUS_OK;
    }
    status = restore_value(call, argv[RESTORE_KEY], (enum rdb_kind)kind,
                           planned_number(argv[RESTORE_COUNT]), argv[RESTORE_VALUE]);
    if (status == STATUS_OK) {
        status = restore_expire(call, argv[RESTORE_KEY], expire_ms);
    }
    event_note(call, EVENT_GENERIC, "restore", argv[RESTORE_KEY]);
    return status;
}
