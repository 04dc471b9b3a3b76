#include "tests/support/clock_sim.h"

#include "common/base/clock.h"
#include "tests/support/test.h"

TEST(clock_now_ns, stands_still_until_it_is_moved)
{
    clock_sim_set_ns(5000000);
    CHECK_EQ(clock_now_ns(), 5000000);
    CHECK_EQ(clock_now_ns(), 5000000);
    CHECK_EQ(clock_now_ms(), 5);
    clock_sim_set_ns(7000000);
    CHECK_EQ(clock_now_ms(), 7);
    CHECK_EQ(clock_sim_ns(), 7000000);
}

TEST(clock_sim_set_offset, shifts_the_clocks_of_one_node)
{
    clock_sim_set_ns(1000000000);
    clock_sim_set_wall_ms(1000000);
    clock_sim_set_offset(250000000, -2000);
    CHECK_EQ(clock_now_ms(), 1250);
    CHECK_EQ(clock_wall_ms(), 1000000 + 1000 - 2000);
    clock_sim_set_offset(0, 0);
    CHECK_EQ(clock_now_ms(), 1000);
    CHECK_EQ(clock_wall_ms(), 1001000);
}
