#ifndef TESTS_SUPPORT_CLOCK_SIM_H
#define TESTS_SUPPORT_CLOCK_SIM_H

#include <stdint.h>

/* The simulator's clock, linked in place of common/base/clock.c. Time stands still until the
 * simulator moves it. Before it enters a node it also says how that node's clocks differ from the
 * true time: a node's own start of the monotonic clock, drift, and a wrong wall clock. One thread.
 *
 *   clock_now_ns()  = now + boot offset              (never below 0)
 *   clock_wall_ms() = wall at time 0 + now + wall offset
 */

/* The true time since the simulation began. */
void clock_sim_set_ns(uint64_t now_ns);
uint64_t clock_sim_ns(void);
/* Wall clock at time 0, milliseconds since 1970. At the start: 2026-01-01. */
void clock_sim_set_wall_ms(uint64_t wall_ms);
/* Of the node that is entered now; {0, 0} is the true time. */
void clock_sim_set_offset(int64_t boot_ns, int64_t wall_ms);

#endif
