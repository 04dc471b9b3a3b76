#ifndef CLIENT_BENCH_KEY_PICK_H
#define CLIENT_BENCH_KEY_PICK_H

#include "common/base/rand.h"

/* Which key comes next: numbers in [0, count). Deterministic from its seed. Thread: one owner. */

enum key_pick_kind {
    KEY_PICK_UNIFORM,
    KEY_PICK_ZIPF,       /* The n-th most popular key in proportion to 1 / n^theta. */
    KEY_PICK_SEQUENTIAL, /* 0, 1, 2 ... and again. */
};

struct key_pick {
    enum key_pick_kind kind;
    uint64_t count;
    uint64_t next;
    double theta, alpha, eta, zeta;
    struct rand rand;
};

/* theta is in (0, 1); only for zipf, where this takes time in proportion to count. */
void key_pick_init(
    struct key_pick *pick, enum key_pick_kind kind, uint64_t count, double theta, uint64_t seed);
uint64_t key_pick_next(struct key_pick *pick);

#endif
