#ifndef COMMON_BASE_RAND_H
#define COMMON_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256** (Blackman, Vigna 2018): fast, and the same numbers for the same seed everywhere.
 * Not for secrets. Thread: one owner. */
struct rand {
    uint64_t state[4];
};

void rand_init(struct rand *rand, uint64_t seed);
uint64_t rand_u64(struct rand *rand);
/* In [0, bound). bound > 0. */
uint64_t rand_below(struct rand *rand, uint64_t bound);
/* Bytes from the operating system: seeds and ids. Any thread. */
void rand_os(void *bytes, size_t len);

#endif
