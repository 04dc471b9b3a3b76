#ifndef SERVER_MACHINE_EFFECTS_H
#define SERVER_MACHINE_EFFECTS_H

#include "server/machine/planned.h"

/* What a script did, as one planned command: the planned commands that it ran, in order, and the
 * reply that it made. Every replica applies the commands and gives the reply; the script itself is
 * not in the log. Keys: those of the commands that are in the same database as the whole, each
 * once. Arguments: keys, reply, planned commands. Pure. */

enum { EFFECTS_REPLY_SIZE_MAX = 64 * 1024 }; /* As dedup.h: longer ones are not kept. */

struct effects {
    struct buf items; /* Each: u32 length, planned command. */
    size_t count;
};

void effects_init(struct effects *effects);
void effects_deinit(struct effects *effects);
void effects_clear(struct effects *effects);
void effects_add(struct effects *effects, struct slice planned);

/* Appends the planned command. reply: one value, at most EFFECTS_REPLY_SIZE_MAX. */
void effects_write(const struct effects *effects, uint8_t db, struct slice reply, struct buf *out);

/* Of a planned command that is applied: true if the shard has all keys of all its commands. */
bool effects_owned(const struct call *call);

#endif
