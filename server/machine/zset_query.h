#ifndef SERVER_MACHINE_ZSET_QUERY_H
#define SERVER_MACHINE_ZSET_QUERY_H

#include "server/machine/zset_cursor.h"

/* Intervals of a sorted set as commands name them: by rank, by score or by member, forward or
 * backward, with LIMIT. Semantics and texts of errors: Redis 7.0 t_zset.c zrangeGenericCommand().
 * Pure. Uses SCRATCH_ZSET_FROM and SCRATCH_ZSET_TO. */

enum zset_query_by { ZSET_BY_ANY, ZSET_BY_RANK, ZSET_BY_SCORE, ZSET_BY_LEX };

struct zset_query {
    enum zset_query_by by;
    bool reverse;
    bool with_scores;
    int64_t start; /* Ranks; negative: from the end. */
    int64_t stop;
    uint64_t from; /* Encoded scores, */
    uint64_t to;   /* this one beyond. */
    struct slice min;
    struct slice max;
    int64_t offset;
    int64_t limit; /* Negative: none. */
};

/* What a command allows: with ZSET_BY_ANY the words BYSCORE, BYLEX and REV choose. */
struct zset_query_form {
    enum zset_query_by by;
    bool reverse;
    bool options;   /* WITHSCORES, LIMIT, ... may follow. */
    bool no_scores; /* But not WITHSCORES. */
};

/* args: both ends, then options. NULL, or the error. */
const char *zset_query_parse(struct args args,
                             const struct zset_query_form *form,
                             struct zset_query *query);

/* What the query means in a set as it is now: elements of an interval, without the first `skip`, at
 * most `count`. */
struct zset_part {
    struct zset_range range;
    uint64_t skip;
    uint64_t count;
};
void zset_query_part(struct zset *zset, const struct zset_query *query, struct zset_part *part);
/* How many that are. */
MUST_USE enum status zset_query_count(struct zset *zset,
                                      const struct zset_query *query,
                                      uint64_t *count);

#endif
