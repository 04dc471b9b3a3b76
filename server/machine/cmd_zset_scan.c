/* Some of the elements of a sorted set: ZSCAN, ZRANDMEMBER. Semantics: Redis 7.0 t_zset.c, db.c. */

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/rand.h"
#include "server/machine/scan_args.h"
#include "server/machine/zset_cursor.h"

enum {
    PICK_COUNT_MAX = 1 << 20, /* Repeated elements that one command may ask for. */
    NEAR_COUNT = 32,          /* Elements that are passed rather than sought. */
    SPARSE = 3,               /* Times as many elements as are asked for, and more. */
    SCORE_TEXT_MAX = 64,
};

/* Redis writes a score as an integer into a listpack if it is one of less than 63 bits, and ZSCAN
 * shows what is there; from a skip list it makes a text of a double. */
static void show_score(double score, bool packed, struct buf *out)
{
    static const double integer_max = 0x1p62;
    char text[SCORE_TEXT_MAX];
    size_t len = 0;
    if (packed && score >= -integer_max && score <= integer_max &&
        (double)(int64_t)score == score) {
        len = number_format_i64((int64_t)score, text);
    } else {
        len = (size_t)snprintf(text, sizeof(text), "%.17g", score);
    }
    assert(len < sizeof(text));
    resp_write_bulk(out, slice_of(text, len));
}

struct page {
    bool packed;
    const struct scan_args *scan;
    struct buf *out;
    size_t count; /* Bulk strings. */
};

static void take(void *arg, struct slice member, double score)
{
    struct page *page = arg;
    if (!scan_args_match(page->scan, member)) {
        return;
    }
    resp_write_bulk(page->out, member);
    show_score(score, page->packed, page->out);
    page->count += 2;
}

enum status cmd_zscan_read(struct call *call)
{
    struct scan_args scan;
    const char *error = scan_args_cursor(call->args.argv[2], &scan);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    if (status != STATUS_OK) {
        return status;
    }
    error = zset.row.found ? scan_args_options(call->args, 3, &scan) : NULL;
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct page page = {
        .packed = zset.packed, .scan = &scan, .out = txn_scratch(call->txn, SCRATCH_RESULT)};
    uint64_t place = scan.cursor;
    status = zset_cursor_scan(&zset, &place, scan.count, take, &page);
    if (status == STATUS_OK) {
        scan_args_reply(call->reply, place, page.count, buf_slice(page.out));
    }
    return status;
}

struct pick {
    uint64_t count;
    bool single; /* One element, not an array of one. */
    bool repeats;
    bool scores;
};

static const char *parse_pick(struct args args, struct pick *pick)
{
    int64_t count = 1;
    *pick = (struct pick){.single = args.argc == 2};
    if (args.argc > 2 && !number_parse_i64(args.argv[2], &count)) {
        return ERR_NOT_INTEGER;
    }
    if (count == INT64_MIN) {
        return "ERR value is out of range, value must between -9223372036854775807 and "
               "9223372036854775807";
    }
    if (args.argc > 4 || (args.argc == 4 && !command_word(args.argv[3], "withscores"))) {
        return ERR_SYNTAX;
    }
    pick->repeats = count < 0;
    pick->count = (uint64_t)(count < 0 ? -count : count);
    pick->scores = args.argc == 4;
    if (pick->scores && pick->count > INT64_MAX / 2) {
        return "ERR value is out of range";
    }
    return NULL;
}

static enum status show(struct zset *zset, struct slice sub_key, bool scores)
{
    struct call *call = zset->call;
    zset_reply(sub_key, scores, call->reply);
    return zset_may_reply(call, call->reply->len);
}

/* The elements of these ranks, which do not fall. */
static enum status show_ranks(struct zset *zset, const uint64_t *ranks, uint64_t count, bool scores)
{
    struct zset_cursor cursor;
    struct slice sub_key = slice_of(NULL, 0);
    enum status status = STATUS_OK;
    uint64_t at = 0; /* Rank of the element that comes next. */
    bool open = false;
    for (uint64_t n = 0; n < count && status == STATUS_OK; n++) {
        if (open && ranks[n] - at > NEAR_COUNT && ranks[n] >= at) {
            status = zset_cursor_close(&cursor);
            open = false;
        }
        if (!open && status == STATUS_OK) {
            zset_cursor_open(&cursor, zset, zset_range_all(), false, ranks[n]);
            at = ranks[n];
            open = true;
        }
        bool more = true;
        for (; more && at <= ranks[n]; at++) {
            more = zset_cursor_next(&cursor, &sub_key);
        }
        if (!more) {
            status = zset_cursor_close(&cursor);
            return status == STATUS_OK ? STATUS_CORRUPT : status;
        }
        status = status == STATUS_OK ? show(zset, sub_key, scores) : status;
    }
    enum status closed = open ? zset_cursor_close(&cursor) : STATUS_OK;
    return status == STATUS_OK ? closed : status;
}

static enum status show_repeated(struct zset *zset, struct rand *rand, const struct pick *pick)
{
    enum status status = STATUS_OK;
    for (uint64_t n = 0; n < pick->count && status == STATUS_OK; n++) {
        uint64_t rank = rand_below(rand, zset->size);
        status = show_ranks(zset, &rank, 1, pick->scores);
    }
    return status;
}

/* One walk over all, which takes each with the chance that just as many come out (Knuth, The Art of
 * Computer Programming 2, algorithm 3.4.2 S). */
static enum status show_many(struct zset *zset, struct rand *rand, const struct pick *pick)
{
    struct zset_cursor cursor;
    struct slice sub_key;
    uint64_t wanted = pick->count < zset->size ? pick->count : zset->size;
    enum status status = STATUS_OK;
    zset_cursor_open(&cursor, zset, zset_range_all(), false, 0);
    for (uint64_t left = zset->size; wanted > 0 && status == STATUS_OK; left--) {
        if (left == 0 || !zset_cursor_next(&cursor, &sub_key)) {
            break;
        }
        if (rand_below(rand, left) < wanted) {
            status = show(zset, sub_key, pick->scores);
            wanted--;
        }
    }
    enum status closed = zset_cursor_close(&cursor);
    return status == STATUS_OK ? closed : status;
}

static int compare_ranks(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Some ranks out of many, each once: what was drawn twice is drawn again. */
static enum status show_few(struct zset *zset, struct rand *rand, const struct pick *pick)
{
    struct buf *room = txn_scratch(zset->call->txn, SCRATCH_WORK);
    uint64_t *ranks = (uint64_t *)(void *)buf_reserve(room, (size_t)pick->count * sizeof(*ranks));
    uint64_t count = 0;
    while (count < pick->count) {
        while (count < pick->count) {
            ranks[count++] = rand_below(rand, zset->size);
        }
        qsort(ranks, count, sizeof(*ranks), compare_ranks);
        uint64_t kept = 1;
        for (uint64_t n = 1; n < count; n++) {
            ranks[kept] = ranks[n];
            kept += ranks[n] != ranks[kept - 1];
        }
        count = kept;
    }
    return show_ranks(zset, ranks, count, pick->scores);
}

static enum status pick_some(struct zset *zset, const struct pick *pick)
{
    struct call *call = zset->call;
    struct rand rand;
    rand_init(&rand, call->seed);
    uint64_t count = zset->size == 0 ? 0 : pick->count;
    count = !pick->repeats && count > zset->size ? zset->size : count;
    bool long_walk = !zset->packed && count > ZSET_CURSOR_FAST_COUNT;
    if (pick->repeats && count > PICK_COUNT_MAX) {
        return STATUS_TOO_BIG;
    }
    if (long_walk && txn_cache_only(call->txn)) {
        return STATUS_AGAIN;
    }
    if (pick->scores && count > 0) {
        resp_write_pairs(call->reply, count);
    } else {
        resp_write_array(call->reply, count);
    }
    if (count == 0) {
        return STATUS_OK;
    }
    if (pick->repeats) {
        return show_repeated(zset, &rand, pick);
    }
    return count > zset->size / SPARSE ? show_many(zset, &rand, pick) : show_few(zset, &rand, pick);
}

enum status cmd_zrandmember_read(struct call *call)
{
    struct pick pick;
    const char *error = parse_pick(call->args, &pick);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    if (status != STATUS_OK || !pick.single) {
        return status == STATUS_OK ? pick_some(&zset, &pick) : status;
    }
    if (zset.size == 0) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    struct rand rand;
    rand_init(&rand, call->seed);
    uint64_t rank = rand_below(&rand, zset.size);
    return show_ranks(&zset, &rank, 1, false);
}
