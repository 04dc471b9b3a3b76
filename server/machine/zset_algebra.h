#ifndef SERVER_MACHINE_ZSET_ALGEBRA_H
#define SERVER_MACHINE_ZSET_ALGEBRA_H

#include "server/machine/zset.h"

/* Unions, intersections and differences of sorted sets and sets, whose members have the score 1.
 * Semantics: Redis 7.0 t_zset.c zunionInterDiffGenericCommand(). One input after the other is read,
 * so that memory and time are those of what is read, not of the number of inputs. Pure. Uses both
 * keyspace slots, SCRATCH_WORK and SCRATCH_RESULT. */

enum zset_algebra_kind { ZSET_UNION, ZSET_INTER, ZSET_DIFF };
enum zset_aggregate { ZSET_SUM, ZSET_MIN, ZSET_MAX };

struct zset_algebra {
    enum zset_algebra_kind kind;
    bool only_count; /* ZINTERCARD */
    bool stores;     /* Has a destination, so no WITHSCORES. */
    bool with_scores;
    enum zset_aggregate aggregate;
    struct args keys;
    struct args weights; /* As text; none: all 1. */
    uint64_t limit;      /* Of ZINTERCARD; 0: none. */
};

/* Reads what follows the keys. NULL, or the error. */
const char *zset_algebra_parse(struct args options, struct zset_algebra *algebra);

/* WRONG_TYPE if a key is neither. */
MUST_USE enum status zset_algebra_check(struct call *call, const struct zset_algebra *algebra);

/* The result in order (of sub-keys if it is stored), in any order if it is only counted. Lies in
 * SCRATCH_RESULT and SCRATCH_WORK. AGAIN also if that may take long. */
struct zset_algebra_element {
    struct slice sub_key;
    double score; /* As it was computed: a zero may be negative. */
};
MUST_USE enum status zset_algebra_run(struct call *call,
                                      const struct zset_algebra *algebra,
                                      struct zset_algebra_element **elements,
                                      size_t *count);

#endif
