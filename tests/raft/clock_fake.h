#ifndef TESTS_RAFT_CLOCK_FAKE_H
#define TESTS_RAFT_CLOCK_FAKE_H

#include <stdint.h>

/* Virtual time. Every machine has a clock of its own: an offset, and a drift in parts per million.
 * clock_fake_use() says whose clock the code that runs now looks at. */
enum { CLOCK_FAKE_MACHINES = 16 };

void clock_fake_reset(void);
void clock_fake_set(unsigned machine, uint64_t offset_ns, int drift_ppm);
void clock_fake_use(unsigned machine);
void clock_fake_advance_ms(uint64_t ms);
uint64_t clock_fake_now_ms(void); /* True time. */

#endif
