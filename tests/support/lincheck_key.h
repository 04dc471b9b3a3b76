#ifndef TESTS_SUPPORT_LINCHECK_KEY_H
#define TESTS_SUPPORT_LINCHECK_KEY_H

#include "tests/support/lincheck.h"

/* The operations of one key, prepared for the two deciders, and the deciders themselves.
 * A value is a number in `texts`; TEXT_POOL_NONE is the key that does not exist. */

struct lincheck_op {
    uint64_t invoked;
    uint64_t returned; /* HISTORY_NEVER: the outcome is unknown. */
    enum history_kind kind;
    bool known;     /* The outcome is OK. */
    bool malformed; /* The result, or the argument, is not what this kind can have. */
    uint32_t arg;
    uint32_t result;
    int64_t number; /* The result as a number, where it is one. */
    int64_t delta;  /* incrby */
    size_t source;  /* In the history. */
};

struct lincheck_key {
    struct lincheck_op *ops;
    size_t count;
    struct text_pool texts;
};

/* What a decider found. The last fields are for the report: the longest way it came. */
struct lincheck_finding {
    enum lincheck_verdict verdict;
    uint64_t steps;
    size_t done;       /* Operations with known outcome that could be put in order. */
    uint32_t value;    /* The value after them. */
    size_t blocked_by; /* In ops: the operation that had to come next and did not fit. */
    size_t other;      /* In ops: the operation that contradicts it, or equal to blocked_by. */
};

/* Only sets of values that are all different, and gets. */
bool lincheck_zones_fit(const struct lincheck_key *key);
/* Needs lincheck_zones_fit(). Never UNDECIDED. */
struct lincheck_finding lincheck_zones_decide(const struct lincheck_key *key);

/* Any operations. May add texts to the key. */
struct lincheck_finding lincheck_search_decide(struct lincheck_key *key,
                                               const struct lincheck_options *options);

#endif
