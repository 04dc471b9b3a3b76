#include "server/shard/throttle.h"

#include "tests/support/test.h"

enum { SECOND = 1000000000 };

/* Takes as often as it can for a second; returns the bytes. */
static uint64_t drain(struct throttle *throttle, uint64_t from_ns, uint64_t step_ns, uint64_t size)
{
    uint64_t taken = 0;
    for (uint64_t now = from_ns; now < from_ns + SECOND; now += step_ns) {
        while (throttle_take(throttle, size, now)) {
            taken += size;
            CHECK(taken < UINT64_C(1) << 40);
        }
    }
    return taken;
}

static void check_near(uint64_t value, uint64_t wanted, uint64_t more)
{
    CHECK(value + more >= wanted);
    CHECK(value <= wanted + more);
}

TEST(throttle_take, holds_the_rate_whatever_the_steps)
{
    struct throttle throttle;
    throttle_init(&throttle, 1000000);
    (void)drain(&throttle, 10 * (uint64_t)SECOND, 1000000, 1000); /* The first burst. */
    check_near(drain(&throttle, 11 * (uint64_t)SECOND, 1000000, 1000), 1000000, 2000);
    check_near(drain(&throttle, 12 * (uint64_t)SECOND, 20000000, 1000), 1000000, 21000);
    check_near(drain(&throttle, 13 * (uint64_t)SECOND, 1000000, 250000), 1000000, 270000);
}

TEST(throttle_take, lets_an_idle_one_catch_up_a_little)
{
    struct throttle throttle;
    throttle_init(&throttle, 1000000);
    check_near(drain(&throttle, 100 * (uint64_t)SECOND, 1000000, 1000), 1100000, 2000);
    check_near(drain(&throttle, 900 * (uint64_t)SECOND, 1000000, 1000), 1100000, 2000);
}

TEST(throttle_set, takes_effect_at_once)
{
    struct throttle throttle;
    uint64_t now = 50 * (uint64_t)SECOND;
    throttle_init(&throttle, 1);
    CHECK(throttle_take(&throttle, 262144, now)); /* Three days. */
    CHECK(!throttle_open(&throttle, now + SECOND));
    throttle_set(&throttle, 1000000);
    CHECK_EQ(throttle_rate(&throttle), 1000000);
    check_near(drain(&throttle, now + SECOND, 1000000, 1000), 1100000, 2000);
    throttle_set(&throttle, 0);
    for (int i = 0; i < 100; i++) {
        CHECK(throttle_take(&throttle, UINT32_MAX, now));
    }
}
