#include "tests/raft/clock_fake.h"

#include "common/base/clock.h"

static uint64_t now_ns;
static unsigned used;
static struct {
    uint64_t offset_ns;
    int drift_ppm;
} machines[CLOCK_FAKE_MACHINES];

void clock_fake_reset(void)
{
    now_ns = 1000000000;
    used = 0;
    for (unsigned i = 0; i < CLOCK_FAKE_MACHINES; i++) {
        clock_fake_set(i, 0, 0);
    }
}

void clock_fake_set(unsigned machine, uint64_t offset_ns, int drift_ppm)
{
    machines[machine].offset_ns = offset_ns;
    machines[machine].drift_ppm = drift_ppm;
}

void clock_fake_use(unsigned machine)
{
    used = machine;
}

void clock_fake_advance_ms(uint64_t ms)
{
    now_ns += ms * 1000000;
}

uint64_t clock_fake_now_ms(void)
{
    return now_ns / 1000000;
}

uint64_t clock_now_ns(void)
{
    int64_t drift = (int64_t)(now_ns / 1000000) * machines[used].drift_ppm;
    return (uint64_t)((int64_t)(now_ns + machines[used].offset_ns) + drift);
}

uint64_t clock_now_ms(void)
{
    return clock_now_ns() / 1000000;
}

uint64_t clock_wall_ms(void)
{
    return clock_now_ms();
}
