#include "client/bench/key_pick.h"

#include <math.h>

#include "common/base/assert.h"

static double zeta(uint64_t count, double theta)
{
    double sum = 0;
    for (uint64_t i = 1; i <= count; i++) {
        sum += pow((double)i, -theta);
    }
    return sum;
}

/* Constants of Gray et al., "Quickly generating billion-record synthetic databases" (1994), 3.2. */
static void init_zipf(struct key_pick *pick, double theta)
{
    assert(theta > 0 && theta < 1);
    double count = (double)pick->count;
    pick->theta = theta;
    pick->zeta = zeta(pick->count, theta);
    pick->alpha = 1 / (1 - theta);
    pick->eta = (1 - pow(2 / count, 1 - theta)) / (1 - zeta(2, theta) / pick->zeta);
}

void key_pick_init(
    struct key_pick *pick, enum key_pick_kind kind, uint64_t count, double theta, uint64_t seed)
{
    assert(count > 0);
    *pick = (struct key_pick){.kind = kind, .count = count};
    rand_init(&pick->rand, seed);
    if (kind == KEY_PICK_ZIPF) {
        init_zipf(pick, theta);
    }
}

static uint64_t zipf_rank(struct key_pick *pick)
{
    double u = (double)(rand_u64(&pick->rand) >> 11) * 0x1p-53;
    double uz = u * pick->zeta;
    if (uz < 1) {
        return 0;
    }
    if (uz < 1 + pow(0.5, pick->theta)) {
        return 1;
    }
    double rank = (double)pick->count * pow(pick->eta * u - pick->eta + 1, pick->alpha);
    return (uint64_t)rank;
}

uint64_t key_pick_next(struct key_pick *pick)
{
    uint64_t key = 0;
    switch (pick->kind) {
    case KEY_PICK_UNIFORM: return rand_below(&pick->rand, pick->count);
    case KEY_PICK_ZIPF: key = zipf_rank(pick); return key < pick->count ? key : pick->count - 1;
    case KEY_PICK_SEQUENTIAL:
        key = pick->next;
        pick->next = key + 1 == pick->count ? 0 : key + 1;
        break;
    }
    return key;
}
