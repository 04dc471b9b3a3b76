#ifndef TESTS_SIM_SIM_MIX_H
#define TESTS_SIM_SIM_MIX_H

#include "common/base/rand.h"
#include "common/base/slice.h"

/* Random writes to collections, small and large, all on one shard. Their replies are not judged;
 * what they leave is compared between replicas, to the byte. Pure. */

enum { SIM_MIX_ARGC_MAX = 64, SIM_MIX_TEXT_SIZE = 32 };

struct sim_mix {
    char texts[SIM_MIX_ARGC_MAX][SIM_MIX_TEXT_SIZE];
    struct slice argv[SIM_MIX_ARGC_MAX];
    size_t argc;
};

void sim_mix_fill(struct sim_mix *mix, struct rand *rand);

#endif
