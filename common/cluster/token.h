#ifndef COMMON_CLUSTER_TOKEN_H
#define COMMON_CLUSTER_TOKEN_H

#include "common/base/slice.h"

/* Where a key lives on the ring of 2^64 tokens. Pure, any thread. */

/* XXH3_64bits of the hash tag (the bytes between the first '{' and the next '}', if there are
 * any, as in Redis Cluster) or of the whole key. */
uint64_t token_of_key(struct slice key);
/* The bytes of the key that are hashed. */
struct slice token_tag(struct slice key);

/* Database 0 is sharded by key; databases 1..15 are co-located: each has one constant token. */
uint64_t token_of(uint8_t db, struct slice key);

#endif
