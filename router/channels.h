#ifndef ROUTER_CHANNELS_H
#define ROUTER_CHANNELS_H

#include "common/base/chain.h"
#include "router/core.h"

/* The topics that clients of this core listen to, and where they are joined: a channel at the
 * leader of the shard that owns its token; patterns, and channels of keyspace events, at every
 * shard. What a leader knows of them ends with its term and with the connection, so they are joined
 * again whenever either has changed. Part of the core; thread: the core's. */

struct channels {
    struct map by_hash; /* Hash -> chain of struct joined. */
    struct list all;
    struct list asking; /* Joins under way. */
    uint64_t seen;      /* Leaders and connections as of the last look. */
    uint64_t look_ms;   /* When to look next. */
    bool behind;        /* Some are not joined where they should be. */
    uint64_t joins;     /* Sent. */
};

void channels_init(struct channels *channels);
/* Calls nothing back. The core's requests are gone. */
void channels_deinit(struct channels *channels);

void channels_join(struct core *core, const struct core_join *join);
/* Joins again what has to be. Asks the core to be called again while there is any channel. */
void channels_tick(struct core *core);

#endif
