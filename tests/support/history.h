#ifndef TESTS_SUPPORT_HISTORY_H
#define TESTS_SUPPORT_HISTORY_H

#include <stdbool.h>
#include <stdio.h>

#include "common/base/slice.h"
#include "tests/support/text_pool.h"

/* What clients asked and what they were told, with times: the input of lincheck.
 *
 * Times are any unit that grows (nanoseconds of one clock, or a counter). An operation that
 * returned at t and one that was invoked at t count as concurrent.
 *
 * Arguments and results are text: `incrby` takes a decimal, its result is one; setnx, del and
 * exists result in "0" or "1", append in the new length; get, getset and getdel in the value, or in
 * a slice with NULL data for "no such key". The result of set is not looked at.
 *
 * Text form, one operation per line, '#' starts a comment line:
 *
 *     INVOKED RETURNED OUTCOME CLIENT KEY KIND ARGUMENT RESULT
 *     1200    1500     ok      3      k17 set  v1       _
 *     1210    1600     ok      4      k17 get  _        v1
 *     1300    -        unknown 5      c1  incrby 1      _
 *
 * `_` is "nothing"; bytes outside of the printable ASCII, blank, '%', and a lone `_` or an empty
 * text are written as %XX (the empty text as `%`).
 *
 * A history copies what it is given. Thread: one owner. */

enum history_kind {
    HISTORY_GET,
    HISTORY_SET,
    HISTORY_SETNX,
    HISTORY_GETSET,
    HISTORY_GETDEL,
    HISTORY_DEL,
    HISTORY_EXISTS,
    HISTORY_INCRBY,
    HISTORY_APPEND,
    HISTORY_KIND_COUNT,
};

enum history_outcome {
    HISTORY_PENDING, /* Not answered yet; the checker takes it as unknown. */
    HISTORY_OK,
    HISTORY_FAIL,    /* Certainly without effect: the checker leaves it out. */
    HISTORY_UNKNOWN, /* May take effect once, at any time after the call, or never. */
};

#define HISTORY_NEVER UINT64_MAX

struct history_op {
    uint64_t invoked;
    uint64_t returned; /* HISTORY_NEVER unless OK or FAIL. */
    uint32_t client;
    enum history_kind kind;
    enum history_outcome outcome;
    uint32_t key;    /* These three are numbers in the pool. */
    uint32_t arg;    /* TEXT_POOL_NONE if the kind takes none. */
    uint32_t result; /* TEXT_POOL_NONE is "no such key". */
};

struct history {
    struct text_pool texts;
    struct history_op *ops;
    size_t count;
    size_t size;
};

void history_init(struct history *history);
void history_deinit(struct history *history);

/* Returns the number of the operation, for history_return(). */
size_t history_invoke(struct history *history,
                      uint64_t now,
                      uint32_t client,
                      enum history_kind kind,
                      struct slice key,
                      struct slice arg);
/* Once per operation. result matters with HISTORY_OK only. */
void history_return(struct history *history,
                    size_t op,
                    uint64_t now,
                    enum history_outcome outcome,
                    struct slice result);

const char *history_kind_name(enum history_kind kind);
/* Writes one operation, or all, in the text form. */
void history_print(const struct history *history, size_t op, FILE *to);
void history_write(const struct history *history, FILE *to);
/* Adds what a file in the text form holds. false: line number *bad_line is not understood. */
bool history_read(struct history *history, FILE *from, size_t *bad_line);

#endif
