#ifndef ROUTER_SEEK_H
#define ROUTER_SEEK_H

#include "router/core_state.h"

/* Scripts that a shard does not know by their SHA-1. A script that was run with EVAL is known where
 * it ran; a client may run it by its SHA-1 anywhere, through any router. So when a shard says
 * NO_SCRIPT (then nothing was done), all shards are asked for the source, and the command is sent
 * again with it: as EVAL, in a transaction at its first place. Only what no shard knows is
 * NOSCRIPT.
 *
 * Nothing that the client sent behind such a command may be done before it: the request is asked to
 * be alone when it begins, unless its script was known at its shard of late. If that is no longer
 * so and others are behind it, it is NOSCRIPT, too. Thread: the core's. */

enum {
    SEEK_MS = 1000,        /* Shards that do not answer by then know nothing. */
    SEEK_KNOWN_MAX = 8192, /* Pairs of script and shard that are remembered. */
};

/* SCRIPT FLUSH. */
void seek_forget(struct core *core);
/* It is about to go to that shard. */
void seek_prepare(struct core *core, struct core_request *request, uint64_t shard);
/* It was answered there. */
void seek_note(struct core *core, const struct core_request *request, uint64_t shard);
/* NO_SCRIPT was the answer to this part, which is in no lane any more. May end its request. */
void seek_begin(struct core *core, struct lane_part *part);
/* Shards are being asked for this one. */
bool seek_busy(const struct core_request *request);
/* The request ends, or is forgotten: it is as it came. */
void seek_end(struct core *core, struct core_request *request);

#endif
