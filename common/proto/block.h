#ifndef COMMON_PROTO_BLOCK_H
#define COMMON_PROTO_BLOCK_H

#include "common/proto/command.h"

/* How long a command waits for something to take: the timeout of BLPOP and its like (seconds), the
 * option BLOCK of XREAD and XREADGROUP (milliseconds). Semantics and texts: Redis 7.0 timeout.c
 * getTimeoutFromObjectOrReply(). Pure. Any thread. */

#define BLOCK_FOREVER UINT64_MAX

/* NULL, and *timeout_ms (BLOCK_FOREVER for the timeout 0); or the error. */
const char *block_seconds(struct slice text, uint64_t *timeout_ms);
const char *block_milliseconds(struct slice text, uint64_t *timeout_ms);

/* 0 if the command as given never waits; also if its timeout is malformed, which is the machine's
 * to say. */
uint64_t block_timeout(const struct command *command, struct args args);

#endif
