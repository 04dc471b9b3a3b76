/* Single elements of sorted sets: ZADD, ZINCRBY, ZREM, ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK.
 * Semantics: Redis 7.0 t_zset.c. */

#include <math.h>

#include "common/base/assert.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"
#include "server/machine/score.h"
#include "server/machine/zset_add.h"

static double score_at(struct slice arg)
{
    uint64_t bits = planned_number(arg);
    double score = 0;
    memcpy(&score, &bits, sizeof(score));
    return score;
}

static unsigned zadd_word(struct slice word)
{
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {{"nx", ZADD_NX}, {"xx", ZADD_XX},     {"gt", ZADD_GT},
                 {"lt", ZADD_LT}, {"incr", ZADD_INCR}, {"ch", ZADD_CH}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (command_word(word, words[i].word)) {
            return words[i].flag;
        }
    }
    return 0;
}

static const char *refuse_zadd(unsigned flags, size_t args)
{
    if (args == 0 || args % 2 != 0) {
        return ERR_SYNTAX;
    }
    if ((flags & ZADD_NX) != 0 && (flags & ZADD_XX) != 0) {
        return "ERR XX and NX options at the same time are not compatible";
    }
    unsigned only_one = flags & (ZADD_NX | ZADD_GT | ZADD_LT);
    if ((only_one & (only_one - 1)) != 0) {
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    }
    if ((flags & ZADD_INCR) != 0 && args > 2) {
        return "ERR INCR option supports a single increment-element pair";
    }
    return NULL;
}

/* pairs: scores and members as text. */
static enum status plan_zadd(const struct machine_plan_input *input,
                             struct plan *plan,
                             unsigned flags,
                             struct args pairs)
{
    double score = 0;
    for (size_t i = 0; i < pairs.argc; i += 2) {
        if (!score_parse(pairs.argv[i], &score)) {
            return planned_refuse(plan, "ERR value is not a valid float");
        }
    }
    for (size_t i = 1; i < pairs.argc; i += 2) {
        if (pairs.argv[i].len > ZSET_MEMBER_SIZE_MAX) {
            return planned_refuse(plan, ERR_MEMBER_SIZE);
        }
    }
    zset_add_begin(plan, input, flags, pairs.argc / 2);
    for (size_t i = 0; i < pairs.argc; i += 2) {
        bool fits = score_parse(pairs.argv[i], &score);
        assert(fits);
        zset_add_pair(plan, score, pairs.argv[i + 1]);
    }
    return STATUS_OK;
}

enum status cmd_zadd_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    unsigned flags = 0;
    size_t at = 2;
    for (unsigned flag = 1; at < args.argc && flag != 0; at += flag != 0) {
        flag = zadd_word(args.argv[at]);
        flags |= flag;
    }
    struct args pairs = {.argv = args.argv + at, .argc = args.argc - at};
    const char *error = refuse_zadd(flags, pairs.argc);
    return error != NULL ? planned_refuse(plan, error) : plan_zadd(input, plan, flags, pairs);
}

enum status cmd_zincrby_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args pairs = {.argv = input->args.argv + 2, .argc = 2};
    return plan_zadd(input, plan, ZADD_INCR, pairs);
}

enum status cmd_zincrby_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as ZADD. */
}

/* What became of the elements of a ZADD. */
struct zadd {
    struct zset *zset;
    unsigned flags;
    uint64_t added;
    uint64_t updated;
    bool done;    /* The last one was not left out because of NX, XX, GT or LT. */
    bool nan;     /* Its score would not be a number. */
    double score; /* The one that it has now. */
};

static enum status zadd_one(struct zadd *zadd, double score, struct slice member)
{
    bool found = false;
    double old = 0;
    enum status status = zset_find(zadd->zset, member, &found, &old);
    zadd->done = false;
    if (status != STATUS_OK || (zadd->flags & (found ? ZADD_NX : ZADD_XX)) != 0) {
        return status;
    }
    if (found && (zadd->flags & ZADD_INCR) != 0) {
        score += old;
    }
    zadd->nan = isnan(score);
    if (zadd->nan || (found && (((zadd->flags & ZADD_LT) != 0 && score >= old) ||
                                ((zadd->flags & ZADD_GT) != 0 && score <= old)))) {
        return STATUS_OK;
    }
    zadd->done = true;
    zadd->score = score;
    if (found && score == old) {
        return STATUS_OK;
    }
    zadd->added += !found;
    zadd->updated += found;
    return zset_put(zadd->zset, member, score, found ? &old : NULL);
}

static void reply_zadd(struct call *call, const struct zadd *zadd)
{
    if (zadd->nan) {
        resp_write_error(call->reply, "ERR resulting score is not a number (NaN)");
    } else if ((zadd->flags & ZADD_INCR) == 0) {
        uint64_t count = zadd->added + ((zadd->flags & ZADD_CH) != 0 ? zadd->updated : 0);
        resp_write_int(call->reply, (int64_t)count);
    } else if (zadd->done) {
        resp_write_double(call->reply, zadd->score);
    } else {
        resp_write_null(call->reply);
    }
}

enum status cmd_zadd_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    size_t argc = call->args.argc;
    if (argc < ZADD_PAIRS + 2 || argc % 2 != 0 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct zset zset;
    struct zadd zadd = {.zset = &zset, .flags = (unsigned)planned_number(argv[ZADD_FLAGS])};
    enum status status = zset_load(call, SLOT_A, argv[ZADD_KEY], &zset);
    for (size_t i = ZADD_PAIRS; i < argc && status == STATUS_OK && !zadd.nan; i += 2) {
        double score = score_at(argv[i]);
        if (isnan(score) || argv[i + 1].len > ZSET_MEMBER_SIZE_MAX) {
            return STATUS_CORRUPT;
        }
        status = zadd_one(&zadd, score, argv[i + 1]);
    }
    if (status != STATUS_OK) {
        return status;
    }
    reply_zadd(call, &zadd);
    if (zadd.added + zadd.updated > 0) {
        zset_save(&zset);
        bool incr = (zadd.flags & ZADD_INCR) != 0;
        event_note(call, EVENT_ZSET, incr ? "zincr" : "zadd", argv[ZADD_KEY]);
    }
    return STATUS_OK;
}

/* A planned ZREM: key, members. */
enum status cmd_zrem_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_zrem, input->db, 1, input->args.argc - 1);
    for (size_t i = 1; i < input->args.argc; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

enum status cmd_zrem_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc < 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct zset zset;
    int64_t removed = 0;
    enum status status = zset_load(call, SLOT_A, argv[0], &zset);
    for (size_t i = 1; i < call->args.argc && status == STATUS_OK && zset.size > 0; i++) {
        bool found = false;
        double score = 0;
        status = zset_find(&zset, argv[i], &found, &score);
        if (status == STATUS_OK && found) {
            status = zset_remove(&zset, argv[i], score);
            removed++;
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, removed);
    if (removed > 0) {
        zset_finish(&zset, "zrem", argv[0]);
    }
    return STATUS_OK;
}

enum status cmd_zcard_read(struct call *call)
{
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, (int64_t)zset.size);
    }
    return status;
}

static enum status reply_score(struct call *call, struct zset *zset, struct slice member)
{
    bool found = false;
    double score = 0;
    enum status status = zset_find(zset, member, &found, &score);
    if (status == STATUS_OK && found) {
        resp_write_double(call->reply, score);
    } else if (status == STATUS_OK) {
        resp_write_null(call->reply);
    }
    return status;
}

enum status cmd_zscore_read(struct call *call)
{
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    return status == STATUS_OK ? reply_score(call, &zset, call->args.argv[2]) : status;
}

enum status cmd_zmscore_read(struct call *call)
{
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    resp_write_array(call->reply, call->args.argc - 2);
    for (size_t i = 2; i < call->args.argc && status == STATUS_OK; i++) {
        status = reply_score(call, &zset, call->args.argv[i]);
    }
    return status;
}

static enum status read_rank(struct call *call, bool reverse)
{
    struct zset zset;
    struct slice member = call->args.argv[2];
    bool found = false;
    double score = 0;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    if (status == STATUS_OK) {
        status = zset_find(&zset, member, &found, &score);
    }
    if (status != STATUS_OK || !found) {
        resp_write_null(call->reply);
        return status;
    }
    struct buf *sub_key = txn_scratch(call->txn, SCRATCH_ZSET_SUB);
    zset_sub_key(score, member, sub_key);
    uint64_t rank = 0;
    status = zset_count(&zset, buf_slice(sub_key), &rank);
    if (status == STATUS_OK && rank >= zset.size) {
        return STATUS_CORRUPT;
    }
    if (status == STATUS_OK) {
        resp_write_int(call->reply, (int64_t)(reverse ? zset.size - 1 - rank : rank));
    }
    return status;
}

enum status cmd_zrank_read(struct call *call)
{
    return read_rank(call, false);
}

enum status cmd_zrevrank_read(struct call *call)
{
    return read_rank(call, true);
}
