#ifndef TESTS_SUPPORT_STORE_MEMORY_H
#define TESTS_SUPPORT_STORE_MEMORY_H

#include "common/base/rand.h"
#include "server/store/store.h"

/* The simulator's engine behind store.h. A store is an image in memory, found by its path, that
 * outlives store_close(). It has a flushed and a live state and the commits between them; nothing
 * but a flush, an ingestion or a crash moves the flushed one. Exported files go through disk.h.
 * Same calls, same results: no clock, no addresses. Thread: one for all stores. */

/* The machine under all stores whose path begins with prefix loses its power: each keeps its
 * flushed state plus, if rand is not NULL, a random number of the commits after it (the engine
 * flushes when it likes, but whole commits and in order). Stores still open are dead: their
 * commits, flushes and ingestions return IO; they may be closed, and the path be opened again. */
void store_memory_crash(const char *prefix, struct rand *rand);

/* Forgets the images whose path begins with prefix: the disk was replaced. */
void store_memory_wipe(const char *prefix);

/* A hash of all that is visible in a store, both families: equal states, equal hashes. */
uint64_t store_memory_hash(struct store *store, enum store_family family);

#endif
