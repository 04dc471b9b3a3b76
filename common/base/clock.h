#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include <stdint.h>

/* The only clocks. The simulator links tests/support/clock_sim.c in place of clock.c, so code
 * that asks here runs in virtual time. Any thread. */

/* CLOCK_BOOTTIME in nanoseconds: monotonic, and goes on while the machine is suspended, which
 * leases need. Read anew at every call. */
uint64_t clock_now_ns(void);
/* The same in milliseconds. */
uint64_t clock_now_ms(void);
/* Wall clock, milliseconds since 1970; may jump. For key expiry (stamped by a leader) and logs. */
uint64_t clock_wall_ms(void);
/* Processor time of the calling thread, nanoseconds. A system call: not once per command. Always 0
 * in the simulator. */
uint64_t clock_thread_ns(void);

#endif
