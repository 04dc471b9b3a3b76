#ifndef SERVER_MACHINE_ZSET_ADD_H
#define SERVER_MACHINE_ZSET_ADD_H

#include "server/machine/planned.h"
#include "server/machine/zset.h"

/* The planned ZADD, which others are planned as too:
 *   key, u64 flags, pairs of u64 score (as IEEE 754 has it) and member. Pure. */

enum zadd_flag {
    ZADD_NX = 1 << 0,
    ZADD_XX = 1 << 1,
    ZADD_GT = 1 << 2,
    ZADD_LT = 1 << 3,
    ZADD_INCR = 1 << 4,
    ZADD_CH = 1 << 5, /* Counts what was changed, not only what was added. */
};

enum { ZADD_KEY, ZADD_FLAGS, ZADD_PAIRS };

/* input's first argument is the key; then so many pairs. */
static inline void zset_add_begin(struct plan *plan,
                                  const struct machine_plan_input *input,
                                  unsigned flags,
                                  size_t pairs)
{
    planned_begin(plan, CMD_zadd, input->db, 1, ZADD_PAIRS + 2 * pairs);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, flags);
}

/* The member has at most ZSET_MEMBER_SIZE_MAX bytes. */
static inline void zset_add_pair(struct plan *plan, double score, struct slice member)
{
    uint64_t bits = 0;
    memcpy(&bits, &score, sizeof(bits));
    planned_u64(plan, bits);
    planned_bytes(plan, member);
}

#endif
