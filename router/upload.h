#ifndef ROUTER_UPLOAD_H
#define ROUTER_UPLOAD_H

#include "router/core.h"

/* SET and its relatives with a large value: the value goes to its shard in pieces, a few at a time,
 * each a write of its own with its own deadline, and then the command, which makes the key of them.
 * So no link, log or loop ever carries the value at once. If the key's shard was split or merged
 * meanwhile its heir has not all of them, and everything is sent once more; the value is the
 * request's own, so that this costs no memory. Whoever sends something behind such a
 * command on the same key waits for its reply first. Thread: the core's. */

enum {
    UPLOAD_SIZE_MIN = 1 << 20,     /* Longer values go in pieces. */
    UPLOAD_PIECE_SIZE = 512 << 10, /* Whole chunks of the store. */
    UPLOAD_PIECES_MAX = 4,         /* Under way at a time, of one value. */
    UPLOAD_ROUNDS_MAX = 8,         /* So often it is begun. */
};

/* Bytes of all arguments that a command may have which is sent at once. */
enum { UPLOAD_WHOLE_SIZE_MAX = 30 << 20 };

bool upload_wanted(const struct core_request *request);
/* As core_execute(). */
void upload_execute(struct core *core, struct core_request *request);

#endif
