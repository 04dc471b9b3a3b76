#include "server/shard/throttle.h"

#include "common/base/assert.h"

enum { SECOND_NS = 1000000000, BURST_NS = 100 * 1000 * 1000 };

/* A rate of a few bytes a second must not overflow. */
static uint64_t duration_ns(uint64_t bytes, uint64_t rate)
{
    assert(bytes < UINT64_MAX / SECOND_NS);
    return bytes * SECOND_NS / rate;
}

void throttle_init(struct throttle *throttle, uint64_t rate)
{
    atomic_init(&throttle->rate, rate);
    atomic_init(&throttle->free_ns, 0);
}

void throttle_set(struct throttle *throttle, uint64_t rate)
{
    atomic_store(&throttle->rate, rate);
    atomic_store(&throttle->free_ns, 0);
}

uint64_t throttle_rate(const struct throttle *throttle)
{
    return atomic_load_explicit(&throttle->rate, memory_order_relaxed);
}

bool throttle_open(const struct throttle *throttle, uint64_t now_ns)
{
    return throttle_rate(throttle) == 0 || atomic_load(&throttle->free_ns) <= now_ns;
}

bool throttle_take(struct throttle *throttle, uint64_t bytes, uint64_t now_ns)
{
    uint64_t rate = throttle_rate(throttle);
    if (rate == 0) {
        return true;
    }
    uint64_t length = duration_ns(bytes, rate);
    uint64_t free = atomic_load(&throttle->free_ns);
    uint64_t next = 0;
    do {
        if (free > now_ns) {
            return false;
        }
        uint64_t earliest = now_ns > BURST_NS ? now_ns - BURST_NS : 0;
        next = (free > earliest ? free : earliest) + length;
    } while (!atomic_compare_exchange_weak(&throttle->free_ns, &free, next));
    return true;
}
