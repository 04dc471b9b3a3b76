#include "server/machine/scan_args.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/glob.h"
#include "common/base/number.h"
#include "server/machine/handlers.h"

enum {
    COUNT_DEFAULT = 10,
    CURSOR_SIZE_MAX = 64,
    TYPE_AT = 2, /* Where the options begin of the one that has TYPE. */
};

/* As strtoul() reads it, which takes a sign, leading zeros and nothing at all. */
const char *scan_args_cursor(struct slice text, struct scan_args *scan)
{
    static const char invalid[] = "ERR invalid cursor";
    char copy[CURSOR_SIZE_MAX];
    *scan = (struct scan_args){.count = COUNT_DEFAULT};
    if (text.len >= sizeof(copy)) {
        return invalid;
    }
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\0';
    errno = 0;
    char *end = NULL;
    scan->cursor = strtoull(copy, &end, 10);
    bool valid = !isspace((unsigned char)copy[0]) && *end == '\0' && errno != ERANGE;
    return valid ? NULL : invalid;
}

const char *scan_args_options(struct args args, size_t at, struct scan_args *scan)
{
    assert(scan->count > 0);
    for (size_t i = at; i < args.argc; i += 2) {
        if (i + 1 == args.argc) {
            return ERR_SYNTAX;
        }
        struct slice value = args.argv[i + 1];
        if (command_word(args.argv[i], "count")) {
            int64_t count = 0;
            if (!number_parse_i64(value, &count)) {
                return ERR_NOT_INTEGER;
            }
            if (count < 1) {
                return ERR_SYNTAX;
            }
            scan->count = (uint64_t)count;
        } else if (command_word(args.argv[i], "match")) {
            scan->pattern = value;
            scan->has_pattern = !(value.len == 1 && value.data[0] == '*');
        } else if (at == TYPE_AT && command_word(args.argv[i], "type")) {
            scan->type = value;
            scan->has_type = true;
        } else {
            return ERR_SYNTAX;
        }
    }
    return NULL;
}

bool scan_args_match(const struct scan_args *scan, struct slice text)
{
    return !scan->has_pattern || glob_match(scan->pattern, text);
}

void scan_args_reply(struct buf *reply, uint64_t next, size_t count, struct slice elements)
{
    char text[NUMBER_I64_SIZE_MAX];
    size_t len = number_format_u64(next, text);
    resp_write_array(reply, 2);
    resp_write_bulk(reply, slice_of(text, len));
    resp_write_array(reply, count);
    buf_append_slice(reply, elements);
}
