#include "server/machine/zset_query.h"

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/score.h"

static const char *take_limit(struct args args, size_t at, struct zset_query *query)
{
    if (!number_parse_i64(args.argv[at + 1], &query->offset) ||
        !number_parse_i64(args.argv[at + 2], &query->limit)) {
        return ERR_NOT_INTEGER;
    }
    return NULL;
}

/* The option at args[*at], which moves to its last word. */
static const char *take_option(struct args args,
                               size_t *at,
                               const struct zset_query_form *form,
                               struct zset_query *query)
{
    struct slice word = args.argv[*at];
    bool any = form->by == ZSET_BY_ANY;
    if (!form->no_scores && command_word(word, "withscores")) {
        query->with_scores = true;
    } else if (command_word(word, "limit") && *at + 2 < args.argc) {
        *at += 2;
        return take_limit(args, *at - 2, query);
    } else if (any && !query->reverse && command_word(word, "rev")) {
        query->reverse = true;
    } else if (query->by == ZSET_BY_ANY && command_word(word, "bylex")) {
        query->by = ZSET_BY_LEX;
    } else if (query->by == ZSET_BY_ANY && command_word(word, "byscore")) {
        query->by = ZSET_BY_SCORE;
    } else {
        return ERR_SYNTAX;
    }
    return NULL;
}

/* "-", "+", "(member" or "[member". */
static bool lex_valid(struct slice text)
{
    if (text.len == 0) {
        return false;
    }
    uint8_t first = text.data[0];
    /* Redis looks for the end of a string there. */
    bool alone = text.len == 1 || text.data[1] == '\0';
    return first == '(' || first == '[' || ((first == '-' || first == '+') && alone);
}

static const char *parse_ends(struct slice min, struct slice max, struct zset_query *query)
{
    switch (query->by) {
    case ZSET_BY_ANY:
    case ZSET_BY_RANK: return ERR_SYNTAX;
    case ZSET_BY_SCORE:
        if (!score_parse_bound(min, false, &query->from) ||
            !score_parse_bound(max, true, &query->to)) {
            return "ERR min or max is not a float";
        }
        break;
    case ZSET_BY_LEX:
        if (!lex_valid(min) || !lex_valid(max)) {
            return "ERR min or max not valid string range item";
        }
        break;
    }
    query->min = min;
    query->max = max;
    return NULL;
}

const char *zset_query_parse(struct args args,
                             const struct zset_query_form *form,
                             struct zset_query *query)
{
    assert(args.argc >= 2);
    *query = (struct zset_query){.by = form->by, .reverse = form->reverse, .limit = -1};
    const char *error = NULL;
    for (size_t at = 2; at < args.argc && error == NULL; at++) {
        error = form->options ? take_option(args, &at, form, query) : ERR_SYNTAX;
    }
    if (error != NULL) {
        return error;
    }
    query->by = query->by == ZSET_BY_ANY ? ZSET_BY_RANK : query->by;
    if (query->limit != -1 && query->by == ZSET_BY_RANK) {
        return "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or "
               "BYLEX";
    }
    if (query->with_scores && query->by == ZSET_BY_LEX) {
        return "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    }
    if (query->by != ZSET_BY_RANK) {
        return parse_ends(args.argv[query->reverse ? 1 : 0], args.argv[query->reverse ? 0 : 1],
                          query);
    }
    bool valid = number_parse_i64(args.argv[0], &query->start) &&
                 number_parse_i64(args.argv[1], &query->stop);
    return valid ? NULL : ERR_NOT_INTEGER;
}

static void part_of_ranks(const struct zset *zset,
                          const struct zset_query *query,
                          struct zset_part *part)
{
    int64_t size = (int64_t)zset->size;
    int64_t start = query->start < 0 ? query->start + size : query->start;
    int64_t stop = query->stop < 0 ? query->stop + size : query->stop;
    start = start < 0 ? 0 : start;
    stop = stop >= size ? size - 1 : stop;
    part->range = zset_range_all();
    part->skip = (uint64_t)start;
    part->count = start <= stop ? (uint64_t)(stop - start) + 1 : 0;
}

/* An end of an interval of members: all have the score of the first element. "-" is before all
 * elements, "+" behind them. */
static struct slice lex_end(struct zset *zset, struct slice text, bool upper)
{
    struct zset_range all = zset_range_all();
    if (text.data[0] == '-' || text.data[0] == '+') {
        return text.data[0] == '-' ? all.from : all.to;
    }
    struct buf *end = txn_scratch(zset->call->txn, upper ? SCRATCH_ZSET_TO : SCRATCH_ZSET_FROM);
    buf_append_u64_be(end, zset_first_score(zset));
    buf_append(end, text.data + 1, text.len - 1);
    bool behind = (text.data[0] == '(') != upper;
    if (behind) {
        buf_append_u8(end, 0);
    }
    return buf_slice(end);
}

static struct slice score_end(struct zset *zset, uint64_t bits, enum call_scratch scratch)
{
    struct buf *end = txn_scratch(zset->call->txn, scratch);
    buf_append_u64_be(end, bits);
    return buf_slice(end);
}

void zset_query_part(struct zset *zset, const struct zset_query *query, struct zset_part *part)
{
    if (query->by == ZSET_BY_RANK) {
        part_of_ranks(zset, query, part);
        return;
    }
    part->skip = (uint64_t)query->offset;
    part->count = query->limit < 0 ? UINT64_MAX : (uint64_t)query->limit;
    if (query->offset < 0 || zset->size == 0) {
        part->skip = 0;
        part->count = 0; /* Redis walks past the end. */
    }
    if (query->by == ZSET_BY_SCORE || zset->size == 0) {
        part->range.from = score_end(zset, query->from, SCRATCH_ZSET_FROM);
        part->range.to = score_end(zset, query->to, SCRATCH_ZSET_TO);
        return;
    }
    part->range.from = lex_end(zset, query->min, false);
    part->range.to = lex_end(zset, query->max, true);
}

enum status zset_query_count(struct zset *zset, const struct zset_query *query, uint64_t *count)
{
    struct zset_part part;
    uint64_t first = 0;
    uint64_t behind = 0;
    zset_query_part(zset, query, &part);
    assert(part.skip == 0 || query->by == ZSET_BY_RANK);
    *count = 0;
    if (part.count == 0) {
        return STATUS_OK;
    }
    enum status status = zset_count(zset, part.range.from, &first);
    if (status == STATUS_OK) {
        status = zset_count(zset, part.range.to, &behind);
    }
    *count = behind > first ? behind - first : 0;
    return status;
}
