/* XADD, XTRIM, XDEL, XSETID, XLEN. Semantics: Redis 7.0 t_stream.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/event.h"
#include "server/machine/stream.h"
#include "server/machine/stream_args.h"
#include "server/machine/stream_range.h"

enum { FIELDS_SIZE_MAX = 1 << 30 }; /* Of an entry; t_stream.c STREAM_LISTPACK_MAX_SIZE */

enum add_flag {
    ADD_NO_STREAM = 1 << 0,
    ADD_ID = 1 << 1,
    ADD_ANY_SEQ = 1 << 2,
    ADD_TRIM = 1 << 3,
    ADD_BY_ID = 1 << 4,
    ADD_WHOLE = 1 << 5,
    ADD_FLAGS = (1 << 6) - 1,
};

static uint64_t flags_of(const struct stream_args_add *add)
{
    return (add->no_stream ? ADD_NO_STREAM : 0U) | (add->id_given ? ADD_ID : 0U) |
           (add->seq_given ? 0U : ADD_ANY_SEQ) | (add->trims ? ADD_TRIM : 0U) |
           (add->trim.by_id ? ADD_BY_ID : 0U) | (add->trim.whole ? ADD_WHOLE : 0U);
}

/* u64 flags, the id if there is one, and if it trims: the least id or the length in the place of
 * one's ms, and u64 limit. Returns how many arguments these are. */
static size_t count_options(const struct stream_args_add *add)
{
    return 1U + (add->id_given ? 1U : 0U) + (add->trims ? 2U : 0U);
}

static void plan_options(struct plan *plan, const struct stream_args_add *add)
{
    planned_u64(plan, flags_of(add));
    if (add->id_given) {
        stream_args_put_id(plan, add->id);
    }
    if (add->trims) {
        struct stream_id length = {.ms = add->trim.length_max};
        stream_args_put_id(plan, add->trim.by_id ? add->trim.id_min : length);
        planned_u64(plan, add->trim.limit);
    }
}

/* add->fields is the index of what follows; false: they are none. */
static bool take_options(const struct call *call, struct stream_args_add *add)
{
    *add = (struct stream_args_add){0};
    if (call->args.argc < 2 || call->key_count != 1) {
        return false;
    }
    uint64_t flags = planned_number(call->args.argv[1]);
    add->no_stream = (flags & ADD_NO_STREAM) != 0;
    add->id_given = (flags & ADD_ID) != 0;
    add->seq_given = (flags & ADD_ANY_SEQ) == 0;
    add->trims = (flags & ADD_TRIM) != 0;
    add->trim.by_id = (flags & ADD_BY_ID) != 0;
    add->trim.whole = (flags & ADD_WHOLE) != 0;
    add->fields = 1 + count_options(add);
    if (call->args.argc < add->fields || (flags & ~(uint64_t)ADD_FLAGS) != 0) {
        return false;
    }
    const struct slice *argv = call->args.argv + 2;
    if (add->id_given && !stream_args_take_id(*argv++, &add->id)) {
        return false;
    }
    if (!add->trims) {
        return true;
    }
    if (!stream_args_take_id(argv[0], &add->trim.id_min)) {
        return false;
    }
    add->trim.length_max = add->trim.id_min.ms;
    add->trim.limit = planned_number(argv[1]);
    return add->trim.whole || add->trim.limit == 0;
}

/* A planned XADD: key, options, fields and values. */
enum status cmd_xadd_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct stream_args_add add;
    const char *error = stream_args_parse_add(input->args, true, &add);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    size_t argc = input->args.argc;
    if (argc < add.fields + 2 || (argc - add.fields) % 2 != 0) {
        return planned_refuse(plan, "ERR wrong number of arguments for 'xadd' command");
    }
    if (add.id_given && add.seq_given && stream_id_zero(add.id)) {
        return planned_refuse(plan, "ERR The ID specified in XADD must be greater than 0-0");
    }
    size_t size = 0;
    for (size_t i = add.fields; i < argc; i++) {
        size += input->args.argv[i].len;
    }
    if (size > FIELDS_SIZE_MAX) {
        return planned_refuse(plan, "ERR Elements are too large to be stored");
    }
    planned_begin(plan, CMD_xadd, input->db, 1, 1 + count_options(&add) + argc - add.fields);
    planned_bytes(plan, input->args.argv[1]);
    plan_options(plan, &add);
    for (size_t i = add.fields; i < argc; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

/* NULL or an error. */
static const char *choose_id(const struct stream *stream,
                             const struct stream_args_add *add,
                             uint64_t now_ms,
                             struct stream_id *id)
{
    if (stream_id_compare(stream->last, STREAM_ID_MAX) == 0) {
        return "ERR The stream has exhausted the last possible ID, unable to add more items";
    }
    bool fits = true;
    if (!add->id_given) {
        fits = stream_next_id(stream, now_ms, id);
    } else {
        *id = add->id;
        if (!add->seq_given && id->ms == stream->last.ms) {
            *id = stream->last;
            fits = id->seq < UINT64_MAX && stream_id_next(id);
        }
    }
    return fits && stream_id_compare(*id, stream->last) > 0
               ? NULL
               : "ERR The ID specified in XADD is equal or smaller than the target stream top item";
}

/* Trims as an option of XADD or as XTRIM. */
static enum status trim(struct call *call,
                        struct stream *stream,
                        const struct stream_trim *trim,
                        uint64_t *removed)
{
    enum status status = stream_trim(call, stream, trim, removed);
    if (status == STATUS_OK && *removed > 0) {
        event_note(call, EVENT_STREAM, "xtrim", call->args.argv[0]);
    }
    return status;
}

enum status cmd_xadd_apply(struct call *call)
{
    struct stream_args_add add;
    if (!take_options(call, &add) || call->args.argc < add.fields + 2 ||
        (call->args.argc - add.fields) % 2 != 0) {
        return STATUS_CORRUPT;
    }
    struct stream stream;
    enum status status = stream_load(call, call->args.argv[0], &stream);
    if (status != STATUS_OK) {
        return status;
    }
    if (!stream.row.found && add.no_stream) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    struct stream_id id = {0};
    const char *error = choose_id(&stream, &add, call->now_ms, &id);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    if (!stream.row.found) {
        stream_begin(call, &stream);
    }
    const struct slice *fields = call->args.argv + add.fields;
    stream_append(call, &stream, id, fields, call->args.argc - add.fields);
    stream_id_reply(call->reply, id);
    event_note(call, EVENT_STREAM, "xadd", call->args.argv[0]);
    uint64_t removed = 0;
    status = add.trims ? trim(call, &stream, &add.trim, &removed) : STATUS_OK;
    if (status == STATUS_OK) {
        stream_put(call, &stream);
    }
    return status;
}

/* A planned XTRIM: key, options as in XADD. */
enum status cmd_xtrim_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct stream_args_add add;
    const char *error = stream_args_parse_add(input->args, false, &add);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_xtrim, input->db, 1, 1 + count_options(&add));
    planned_bytes(plan, input->args.argv[1]);
    plan_options(plan, &add);
    return STATUS_OK;
}

enum status cmd_xtrim_apply(struct call *call)
{
    struct stream_args_add add;
    if (!take_options(call, &add) || call->args.argc != add.fields || !add.trims) {
        return STATUS_CORRUPT;
    }
    struct stream stream;
    enum status status = stream_load(call, call->args.argv[0], &stream);
    uint64_t removed = 0;
    if (status == STATUS_OK && stream.row.found) {
        status = trim(call, &stream, &add.trim, &removed);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (removed > 0) {
        stream_put(call, &stream);
    }
    resp_write_int(call->reply, (int64_t)removed);
    return STATUS_OK;
}

/* A planned XDEL: key, ids; no ids: one of them was none. */
enum status cmd_xdel_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    struct stream_id id;
    size_t valid = 2;
    while (valid < args.argc && stream_id_parse_strict(args.argv[valid], &id)) {
        valid++;
    }
    bool all = valid == args.argc;
    planned_begin(plan, CMD_xdel, input->db, 1, all ? args.argc - 1 : 1);
    planned_bytes(plan, args.argv[1]);
    for (size_t i = 2; all && i < args.argc; i++) {
        bool parsed = stream_id_parse_strict(args.argv[i], &id);
        assert(parsed);
        stream_args_put_id(plan, id);
    }
    return STATUS_OK;
}

enum status cmd_xdel_apply(struct call *call)
{
    if (call->args.argc < 1 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct stream stream;
    enum status status = stream_load(call, call->args.argv[0], &stream);
    if (status == STATUS_OK && stream.row.found && call->args.argc == 1) {
        resp_write_error(call->reply, ERR_STREAM_ID);
        return STATUS_OK;
    }
    int64_t count = 0;
    for (size_t i = 1; status == STATUS_OK && stream.row.found && i < call->args.argc; i++) {
        struct stream_id id;
        bool removed = false;
        status = stream_args_take_id(call->args.argv[i], &id)
                     ? stream_remove(call, &stream, id, &removed)
                     : STATUS_CORRUPT;
        if (removed) {
            bool later = stream_id_compare(id, stream.deleted) > 0;
            stream.deleted = later ? id : stream.deleted;
            count++;
        }
    }
    status = status == STATUS_OK ? stream_settle(call, &stream) : status;
    if (status != STATUS_OK) {
        return status;
    }
    if (count > 0) {
        stream_put(call, &stream);
        event_note(call, EVENT_STREAM, "xdel", call->args.argv[0]);
    }
    resp_write_int(call->reply, count);
    return STATUS_OK;
}

/* A planned XSETID: key, id, greatest deleted id (0-0: as it is), u64 entries ever (2^64-1: as they
 * are). */
enum { SETID_KEY, SETID_LAST, SETID_DELETED, SETID_ADDED, SETID_ARGC };

enum status cmd_xsetid_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    struct stream_id last;
    struct stream_id deleted = {0};
    int64_t added = -1;
    if (!stream_id_parse_strict(args.argv[2], &last)) {
        return planned_refuse(plan, ERR_STREAM_ID);
    }
    for (size_t i = 3; i < args.argc; i += 2) {
        bool more = args.argc - i > 1;
        if (more && command_word(args.argv[i], "entriesadded")) {
            if (!number_parse_i64(args.argv[i + 1], &added)) {
                return planned_refuse(plan, ERR_NOT_INTEGER);
            }
            if (added < 0) {
                return planned_refuse(plan, "ERR entries_added must be positive");
            }
        } else if (more && command_word(args.argv[i], "maxdeletedid")) {
            if (!stream_id_parse_strict(args.argv[i + 1], &deleted)) {
                return planned_refuse(plan, ERR_STREAM_ID);
            }
            if (stream_id_compare(last, deleted) < 0) {
                return planned_refuse(plan,
                                      "ERR The ID specified in XSETID is smaller than the "
                                      "provided max_deleted_entry_id");
            }
        } else {
            return planned_refuse(plan, ERR_SYNTAX);
        }
    }
    planned_begin(plan, CMD_xsetid, input->db, 1, SETID_ARGC);
    planned_bytes(plan, args.argv[1]);
    stream_args_put_id(plan, last);
    stream_args_put_id(plan, deleted);
    planned_u64(plan, (uint64_t)added);
    return STATUS_OK;
}

/* The last entry's id. */
static enum status find_top(struct call *call, const struct stream *stream, struct stream_id *id)
{
    struct stream_range range;
    struct slice value;
    stream_range_open_back(call, stream, stream->first, STREAM_ID_MAX, &range);
    bool found = stream_range_next(&range, id, &value);
    enum status status = stream_range_close(&range);
    return status == STATUS_OK && !found ? STATUS_CORRUPT : status;
}

/* NULL or an error in *error. */
static enum status check_set_id(struct call *call,
                                const struct stream *stream,
                                struct stream_id last,
                                uint64_t added,
                                const char **error)
{
    *error = NULL;
    if (!stream->row.found) {
        *error = "ERR no such key";
        return STATUS_OK;
    }
    if (stream->length == 0) {
        return STATUS_OK;
    }
    struct stream_id top = stream->last;
    enum status status = STATUS_OK;
    if (stream_id_compare(last, top) < 0) {
        status = find_top(call, stream, &top);
    }
    if (stream_id_compare(last, top) < 0) {
        *error = "ERR The ID specified in XSETID is smaller than the target stream top item";
    } else if (added < stream->length) {
        *error =
            "ERR The entries_added specified in XSETID is smaller than the target stream length";
    }
    return status;
}

enum status cmd_xsetid_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    struct stream_id last;
    struct stream_id deleted;
    if (call->args.argc != SETID_ARGC || call->key_count != 1 ||
        !stream_args_take_id(argv[SETID_LAST], &last) ||
        !stream_args_take_id(argv[SETID_DELETED], &deleted)) {
        return STATUS_CORRUPT;
    }
    uint64_t added = planned_number(argv[SETID_ADDED]);
    struct stream stream;
    const char *error = NULL;
    enum status status = stream_load(call, argv[SETID_KEY], &stream);
    if (status == STATUS_OK) {
        status = check_set_id(call, &stream, last, added, &error);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    stream.last = last;
    stream.added = added == UINT64_MAX ? stream.added : added;
    stream.deleted = stream_id_zero(deleted) ? stream.deleted : deleted;
    stream_put(call, &stream);
    resp_write_ok(call->reply);
    event_note(call, EVENT_STREAM, "xsetid", argv[SETID_KEY]);
    return STATUS_OK;
}

enum status cmd_xlen_read(struct call *call)
{
    struct stream stream;
    enum status status = stream_load(call, call->args.argv[1], &stream);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, stream.row.found ? (int64_t)stream.length : 0);
    }
    return status;
}
