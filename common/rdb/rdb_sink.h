#ifndef COMMON_RDB_RDB_SINK_H
#define COMMON_RDB_RDB_SINK_H

#include "common/base/buf.h"

/* Writes the primitives of Redis' dumps (rdb.c), in their plain forms, which all versions read:
 * nothing is compressed, and no string is an integer. rdb_source.h reads them. Pure. Any thread. */

void rdb_sink_length(struct buf *out, uint64_t length);
void rdb_sink_string(struct buf *out, struct slice bytes);

#endif
