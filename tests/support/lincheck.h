#ifndef TESTS_SUPPORT_LINCHECK_H
#define TESTS_SUPPORT_LINCHECK_H

#include "common/base/buf.h"
#include "tests/support/history.h"

/* Is a history linearizable, key by key? Every operation must seem to happen at one moment between
 * its call and its return, on one string value that does not exist at first. (Keys are independent,
 * so the whole is linearizable if each key is: Herlihy, Wing 1990.)
 *
 * A key that has only sets of different values, and gets, is decided in O(n log n) by zones
 * (Gibbons, Korach 1997). Others by the search of Wing and Gong (1993) with the memory of Lowe
 * (2017): states already seen are (set of operations done, value), kept as 128-bit sums. Three cuts
 * keep it small: an operation that changes nothing and fits is taken at once; of equal operations
 * of unknown outcome the eldest goes first; one of unknown outcome is not put in front of one that
 * overwrites it.
 *
 * The search is bounded; a key on which it gives up makes the verdict UNDECIDED, which a test must
 * treat as a failure of its own. Thread: any; shares nothing. */

enum lincheck_verdict {
    LINCHECK_LINEARIZABLE,
    LINCHECK_VIOLATION,
    LINCHECK_UNDECIDED,
};

struct lincheck_options {
    uint64_t steps_max;  /* Per key; 0 for the default. */
    uint64_t states_max; /* Per key, 16 to 32 bytes each; 0 for the default. */
    bool search_only;    /* Leave out the fast way, to test one against the other. */
};

struct lincheck_report {
    enum lincheck_verdict verdict;
    size_t keys;
    size_t ops;        /* Without those that cannot matter. */
    size_t unknown;    /* Of these, with unknown outcome. */
    uint64_t steps;    /* Of all searches. */
    struct buf detail; /* Text for a person: the first bad keys, and where they get stuck. */
};

/* Initialises and fills the report. */
void lincheck_run(const struct history *history,
                  const struct lincheck_options *options,
                  struct lincheck_report *report);
void lincheck_report_deinit(struct lincheck_report *report);
const char *lincheck_verdict_name(enum lincheck_verdict verdict);

#endif
