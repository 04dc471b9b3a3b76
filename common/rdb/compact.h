#ifndef COMMON_RDB_COMPACT_H
#define COMMON_RDB_COMPACT_H

#include "common/base/number.h"
#include "common/base/slice.h"

/* The elements of a small collection as Redis keeps them in one piece of memory and writes them to
 * dumps, to be read in order: listpack, ziplist (up to Redis 6), intset, zipmap (up to Redis 2.4);
 * the formats are those of the files of these names in Redis' sources. The bytes come from outside:
 * whatever they say is checked when it is used. Nothing is allocated. Pure. Any thread. */

enum compact_form { COMPACT_LISTPACK, COMPACT_ZIPLIST, COMPACT_INTSET, COMPACT_ZIPMAP };

struct compact {
    enum compact_form form;
    bool corrupt;      /* Set once something was wrong; nothing more comes then. */
    struct slice rest; /* Elements that did not come yet, and the end mark. */
    uint64_t left;     /* So many should still come; UINT64_MAX: not known. */
    uint64_t last;     /* Ziplist: size of the element before. */
    uint32_t width;    /* Intset: bytes of an integer. */
    bool value;        /* Zipmap: a value comes next. */
    int64_t number;    /* Of the newest element, */
    bool is_number;    /* if it is one. */
    bool any;          /* An element came already. */
    char text[NUMBER_I64_SIZE_MAX];
};

struct compact compact_of(enum compact_form form, struct slice bytes);
/* The next element, as text that is valid until the next call. False at the end, or if it is
 * corrupt. */
bool compact_next(struct compact *compact, struct slice *text);
/* The next element, which has to be a number. Sets corrupt if not. */
int64_t compact_next_number(struct compact *compact);

#endif
