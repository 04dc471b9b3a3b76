#include "server/machine/stream_args.h"

#include "common/base/assert.h"
#include "common/base/number.h"

enum {
    LIMIT_DEFAULT = 100 * STREAM_SEGMENT_COUNT, /* Of entries that "~" removes at once. */
    SHOWN_SIZE_MAX = 128,                       /* Of a sub-command in an error. */
};

#define ERR_TRIM_TWICE \
    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"

static bool is_byte(struct slice text, char byte)
{
    return text.len == 1 && text.data[0] == (uint8_t)byte;
}

static const char *parse_trim_value(struct slice value, struct stream_trim *trim)
{
    if (trim->by_id) {
        return stream_id_parse_strict(value, &trim->id_min) ? NULL : ERR_STREAM_ID;
    }
    int64_t length = 0;
    if (!number_parse_i64(value, &length)) {
        return ERR_NOT_INTEGER;
    }
    trim->length_max = (uint64_t)length;
    return length < 0 ? "ERR The MAXLEN argument must be >= 0." : NULL;
}

/* MAXLEN or MINID at *at, which has at least one argument more; *at is then the last of them. */
static const char *parse_trim(struct args args, size_t *at, struct stream_args_add *add)
{
    if (add->trims) {
        return ERR_TRIM_TWICE;
    }
    add->trims = true;
    add->trim.by_id = command_word(args.argv[*at], "minid");
    ++*at;
    if (args.argc - *at > 1 && (is_byte(args.argv[*at], '~') || is_byte(args.argv[*at], '='))) {
        add->trim.whole = is_byte(args.argv[*at], '~');
        ++*at;
    }
    return parse_trim_value(args.argv[*at], &add->trim);
}

static const char *parse_limit(struct slice value, uint64_t *limit)
{
    int64_t number = 0;
    if (!number_parse_i64(value, &number)) {
        return ERR_NOT_INTEGER;
    }
    *limit = (uint64_t)number;
    return number < 0 ? "ERR The LIMIT argument must be >= 0." : NULL;
}

static const char *check_trim(struct stream_args_add *add, bool is_add, bool limit_given)
{
    if (add->trim.limit != 0 && !add->trims) {
        return "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    }
    if (!is_add && !add->trims) {
        return "ERR syntax error, XTRIM must be called with a trimming strategy";
    }
    if (limit_given && !add->trim.whole) {
        return "ERR syntax error, LIMIT cannot be used without the special ~ option";
    }
    if (!limit_given && add->trim.whole) {
        add->trim.limit = LIMIT_DEFAULT;
    }
    return NULL;
}

const char *stream_args_parse_add(struct args args, bool is_add, struct stream_args_add *add)
{
    *add = (struct stream_args_add){.seq_given = true};
    bool limit_given = false;
    size_t i = 2;
    for (; i < args.argc; i++) {
        struct slice word = args.argv[i];
        bool more = args.argc - i > 1;
        const char *error = NULL;
        if (is_add && is_byte(word, '*')) {
            break;
        }
        if (more && (command_word(word, "maxlen") || command_word(word, "minid"))) {
            error = parse_trim(args, &i, add);
        } else if (more && command_word(word, "limit")) {
            error = parse_limit(args.argv[++i], &add->trim.limit);
            limit_given = true;
        } else if (is_add && command_word(word, "nomkstream")) {
            add->no_stream = true;
        } else if (is_add && stream_id_parse_new(word, &add->id, &add->seq_given)) {
            add->id_given = true;
            break;
        } else {
            error = is_add ? ERR_STREAM_ID : ERR_SYNTAX;
        }
        if (error != NULL) {
            return error;
        }
    }
    add->fields = i + 1;
    return check_trim(add, is_add, limit_given);
}

/* One option other than STREAMS at *at, which is then its last argument. */
static const char *parse_option(struct args args,
                                bool is_group,
                                size_t *at,
                                struct stream_args_read *read)
{
    struct slice word = args.argv[*at];
    size_t more = args.argc - *at - 1;
    int64_t number = 0;
    if (command_word(word, "block") && more > 0) {
        if (!number_parse_i64(args.argv[++*at], &read->block_ms)) {
            return "ERR timeout is not an integer or out of range";
        }
        return read->block_ms < 0 ? "ERR timeout is negative" : NULL;
    }
    if (command_word(word, "count") && more > 0) {
        if (!number_parse_i64(args.argv[++*at], &number)) {
            return ERR_NOT_INTEGER;
        }
        read->count = number < 0 ? 0 : (uint64_t)number;
        return NULL;
    }
    if (command_word(word, "group") && more > 1) {
        read->group_given = true;
        read->group = args.argv[*at + 1];
        read->consumer = args.argv[*at + 2];
        *at += 2;
        return is_group ? NULL
                        : "ERR The GROUP option is only supported by XREADGROUP. You called XREAD "
                          "instead.";
    }
    if (command_word(word, "noack")) {
        read->no_ack = true;
        return is_group ? NULL
                        : "ERR The NOACK option is only supported by XREADGROUP. You called XREAD "
                          "instead.";
    }
    return ERR_SYNTAX;
}

const char *stream_args_parse_read(struct args args, bool is_group, struct stream_args_read *read)
{
    *read = (struct stream_args_read){.block_ms = -1};
    size_t i = 1;
    while (i < args.argc && !(command_word(args.argv[i], "streams") && args.argc - i > 1)) {
        const char *error = parse_option(args, is_group, &i, read);
        if (error != NULL) {
            return error;
        }
        i++;
    }
    if (i >= args.argc) {
        return ERR_SYNTAX;
    }
    read->first = i + 1;
    read->keys = (args.argc - read->first) / 2;
    if ((args.argc - read->first) % 2 != 0) {
        return "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be "
               "specified.";
    }
    bool lacks = is_group && !read->group_given;
    return lacks ? "ERR Missing GROUP option for XREADGROUP" : NULL;
}

bool stream_args_may_block(const struct command *command, struct args args)
{
    bool is_group = command->id == CMD_xreadgroup;
    if (!is_group && command->id != CMD_xread) {
        return false;
    }
    struct stream_args_read read;
    for (size_t i = 1; i + 1 < args.argc && !command_word(args.argv[i], "streams"); i++) {
        if (command_word(args.argv[i], "block")) {
            return true;
        }
        if (parse_option(args, is_group, &i, &read) != NULL) {
            return false;
        }
    }
    return false;
}

void stream_args_put_id(struct plan *plan, struct stream_id id)
{
    buf_append_u32(plan->planned, STREAM_ID_SIZE);
    stream_id_append(plan->planned, id);
}

bool stream_args_take_id(struct slice arg, struct stream_id *id)
{
    struct reader in = reader_of(arg);
    *id = stream_id_read(&in);
    return reader_done(&in);
}

void stream_args_refuse(struct buf *reply, const struct slice *pieces, size_t count)
{
    buf_append_u8(reply, '-');
    for (size_t n = 0; n < count; n++) {
        for (size_t i = 0; i < pieces[n].len && pieces[n].data[i] != '\0'; i++) {
            uint8_t byte = pieces[n].data[i];
            buf_append_u8(reply, byte == '\r' || byte == '\n' ? ' ' : byte);
        }
    }
    buf_append(reply, "\r\n", 2);
}

void stream_args_refuse_group(struct buf *reply,
                              struct slice key,
                              struct slice group,
                              const char *end)
{
    const struct slice pieces[] = {slice_str("NOGROUP No such key '"),
                                   key,
                                   slice_str("' or consumer group '"),
                                   group,
                                   slice_str("'"),
                                   slice_str(end)};
    stream_args_refuse(reply, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

static struct slice shown(struct slice text)
{
    return slice_of(text.data, text.len < SHOWN_SIZE_MAX ? text.len : SHOWN_SIZE_MAX);
}

static void refuse_unknown(struct args args, struct buf *reply)
{
    bool info = command_word(args.argv[0], "xinfo");
    const struct slice pieces[] = {slice_str("ERR unknown subcommand '"), shown(args.argv[1]),
                                   slice_str("'. Try "), slice_str(info ? "XINFO" : "XGROUP"),
                                   slice_str(" HELP.")};
    stream_args_refuse(reply, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

size_t stream_args_find_sub(struct args args,
                            const struct stream_args_sub *subs,
                            size_t count,
                            struct buf *reply)
{
    assert(args.argc >= 2);
    size_t which = 0;
    while (which < count && !command_word(args.argv[1], subs[which].name)) {
        which++;
    }
    if (which == count) {
        refuse_unknown(args, reply);
        return count;
    }
    int arity = subs[which].arity;
    bool fits = arity >= 0 ? args.argc == (size_t)arity : args.argc >= (size_t)-arity;
    if (!fits) {
        bool info = command_word(args.argv[0], "xinfo");
        resp_write_errorf(reply, "ERR wrong number of arguments for '%s|%s' command",
                          info ? "xinfo" : "xgroup", subs[which].name);
        return count;
    }
    return which;
}

void stream_args_refuse_sub(struct buf *reply, const char *container, struct slice sub)
{
    const struct slice pieces[] = {
        slice_str("ERR unknown subcommand or wrong number of arguments for '"), shown(sub),
        slice_str("'. Try "), slice_str(container), slice_str(" HELP.")};
    stream_args_refuse(reply, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

void stream_args_reply_help(struct buf *reply, const char *container, const char *const *lines)
{
    size_t start = reply->len;
    size_t count = 3;
    buf_append_format(reply, "+%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n",
                      container);
    for (; *lines != NULL; lines++) {
        resp_write_simple(reply, *lines);
        count++;
    }
    resp_write_simple(reply, "HELP");
    resp_write_simple(reply, "    Prints this help.");
    resp_insert_array(reply, start, count);
}
