#include "tests/support/clock_sim.h"

#include "common/base/assert.h"
#include "common/base/clock.h"

static uint64_t sim_now_ns;
static uint64_t sim_wall_ms = UINT64_C(1767225600000);
static int64_t sim_boot_offset_ns;
static int64_t sim_wall_offset_ms;

void clock_sim_set_ns(uint64_t now_ns)
{
    sim_now_ns = now_ns;
}

uint64_t clock_sim_ns(void)
{
    return sim_now_ns;
}

void clock_sim_set_wall_ms(uint64_t wall_ms)
{
    sim_wall_ms = wall_ms;
}

void clock_sim_set_offset(int64_t boot_ns, int64_t wall_ms)
{
    sim_boot_offset_ns = boot_ns;
    sim_wall_offset_ms = wall_ms;
}

uint64_t clock_now_ns(void)
{
    int64_t now_ns = (int64_t)sim_now_ns + sim_boot_offset_ns;
    assert(now_ns >= 0);
    return (uint64_t)now_ns;
}

uint64_t clock_now_ms(void)
{
    return clock_now_ns() / 1000000;
}

uint64_t clock_wall_ms(void)
{
    int64_t wall_ms = (int64_t)(sim_wall_ms + sim_now_ns / 1000000) + sim_wall_offset_ms;
    assert(wall_ms >= 0);
    return (uint64_t)wall_ms;
}

uint64_t clock_thread_ns(void)
{
    return 0;
}
