#ifndef SERVER_SHARD_THROTTLE_H
#define SERVER_SHARD_THROTTLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A limit of bytes per second that several threads share: each takes before it sends. Who was idle
 * may catch up for a tenth of a second; beyond that the mean is the rate, exactly, over any time
 * but for the last take. Times are nanoseconds of one clock. Lock-free. */

struct throttle {
    _Atomic uint64_t rate;    /* Bytes per second; 0: no limit. */
    _Atomic uint64_t free_ns; /* When the next byte may leave. */
};

void throttle_init(struct throttle *throttle, uint64_t rate);
/* From now on; what was taken under the old rate is forgotten. */
void throttle_set(struct throttle *throttle, uint64_t rate);
uint64_t throttle_rate(const struct throttle *throttle);
/* Would a take succeed? */
bool throttle_open(const struct throttle *throttle, uint64_t now_ns);
/* True if so many bytes may leave now: then they count. Size does not matter for that, only for
 * how long the next one waits. */
bool throttle_take(struct throttle *throttle, uint64_t bytes, uint64_t now_ns);

#endif
