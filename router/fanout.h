#ifndef ROUTER_FANOUT_H
#define ROUTER_FANOUT_H

#include "common/base/buf.h"
#include "common/proto/command.h"

/* Makes one reply of the replies of several shards. Pure. Any thread. */

struct fanout_part {
    struct slice reply;   /* One RESP value in the machine's form. */
    const uint32_t *keys; /* ORDER: argument indexes of its keys, in the order of its elements. */
    size_t key_count;
};

/* Appends one RESP value. An error among the replies becomes the reply, the first one by part: an
 * answer of which a piece is missing is no answer. A reply of a form that the merge cannot use (the
 * node has another version than we) is an error too. merge of the command: ORDER, SUM, OK, ALL_*;
 * count > 0. ALL_ONE and ALL_FOUND take what is no error. */
void fanout_merge(const struct command *command,
                  const struct fanout_part *parts,
                  size_t count,
                  struct buf *out);

/* SCAN of one shard whose range ends with token last: its "0" means that this shard has no more,
 * and becomes the beginning of the next; only the last shard's is the end. Other replies pass as
 * they are. */
void fanout_scan(struct slice reply, uint64_t last, struct buf *out);

/* RANDOMKEY of a shard that has none. */
bool fanout_is_null(struct slice reply);
bool fanout_is_error(struct slice reply);

#endif
