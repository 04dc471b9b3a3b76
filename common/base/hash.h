#ifndef COMMON_BASE_HASH_H
#define COMMON_BASE_HASH_H

#include "common/base/slice.h"

/* XXH3 64 bits, the one hash of Sherd: tokens and checksums. Its values are stored and sent, so
 * it never changes (source: xxHash 0.8, stable output since 0.8.0). Any thread. */
uint64_t hash_bytes(struct slice bytes);
uint64_t hash_bytes_seeded(struct slice bytes, uint64_t seed);

#endif
