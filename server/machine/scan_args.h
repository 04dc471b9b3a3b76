#ifndef SERVER_MACHINE_SCAN_ARGS_H
#define SERVER_MACHINE_SCAN_ARGS_H

#include "common/proto/resp.h"

/* What SCAN, HSCAN, SSCAN and ZSCAN have in common: arguments and the shape of the reply.
 * Semantics: Redis 7.0 db.c scanGenericCommand(). Pure. */

struct scan_args {
    uint64_t cursor;
    uint64_t count;
    struct slice pattern;
    struct slice type;
    bool has_pattern;
    bool has_type;
};

/* Both return NULL or the error's text. The cursor comes first: it sets the rest to what is so
 * without options. */
const char *scan_args_cursor(struct slice text, struct scan_args *scan);
/* argv[at] and following. TYPE is for SCAN, whose options begin at 2. */
const char *scan_args_options(struct args args, size_t at, struct scan_args *scan);

/* True if there is no pattern, or it matches. */
bool scan_args_match(const struct scan_args *scan, struct slice text);

/* elements are count bulk strings. */
void scan_args_reply(struct buf *reply, uint64_t next, size_t count, struct slice elements);

#endif
