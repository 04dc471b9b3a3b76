#ifndef SERVER_CONTROL_BALANCE_MEMORY_H
#define SERVER_CONTROL_BALANCE_MEMORY_H

#include "common/base/map.h"
#include "common/cluster/cluster_job.h"

/* What the balancer did to each shard lately, so that it leaves it alone for a while, the longer
 * the more often it was changed. A shard is known by its first token: that stays when it is split.
 * Pure. Thread: one owner. */

enum {
    BALANCE_PASTS_MAX = 4096, /* Then the oldest is forgotten. */
    BALANCE_SPLITS_MAX = 8,   /* Of one shard, before it rests longer. */
};

struct balance_past {
    uint64_t start;
    uint64_t change_ms; /* The last of any kind. */
    uint64_t given_ms;  /* When it was given to another node, */
    unsigned given;     /* and how often since it was split last. */
    unsigned splits;
    uint64_t useless_ms; /* When it was found out that nothing helps; 0: never. */
    uint64_t advised_ms; /* When something was said of it; 0: never. */
};

struct balance_memory {
    struct map pasts; /* First token -> struct balance_past. */
    unsigned haste;   /* Divides all times. */
};

void balance_memory_init(struct balance_memory *memory, unsigned haste);
void balance_memory_deinit(struct balance_memory *memory);

/* NULL: nothing is known of it. */
struct balance_past *balance_memory_find(const struct balance_memory *memory, uint64_t start);
/* Made if there is none; valid until the next. */
struct balance_past *balance_memory_of(struct balance_memory *memory, uint64_t start);
/* A job for the shard that begins there was decided. */
void balance_memory_note(struct balance_memory *memory,
                         uint64_t start,
                         const struct job_spec *spec,
                         uint64_t now_ms);
/* When the shard may be changed so at the earliest. */
uint64_t balance_memory_ready_ms(const struct balance_memory *memory,
                                 const struct balance_past *past,
                                 enum job_kind kind);

#endif
