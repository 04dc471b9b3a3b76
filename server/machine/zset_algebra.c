#include "server/machine/zset_algebra.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/collection.h"
#include "server/machine/score.h"
#include "server/machine/zset_cursor.h"

/* An input: one of the keys. */
struct input {
    struct slice key;
    size_t nth;
    double weight;
    uint64_t size;
};

/* An element of the result so far. */
struct entry {
    size_t at; /* Of its sub-key in the bytes: room for the score, then the member. */
    size_t len;
    struct slice sub_key; /* The same, once all bytes are there. */
    double score;
    size_t nth; /* In the order of reading. */
    bool gone;
};

struct work {
    struct call *call;
    const struct zset_algebra *algebra;
    double weight; /* Of the input that is read. */
    struct buf *bytes;
    struct buf *room;
    size_t count;
};

static const char *take_weights(struct args options, size_t *at, struct zset_algebra *algebra)
{
    algebra->weights = (struct args){.argv = options.argv + *at + 1, .argc = algebra->keys.argc};
    *at += algebra->keys.argc;
    for (size_t i = 0; i < algebra->weights.argc; i++) {
        double weight = 0;
        if (!score_parse(algebra->weights.argv[i], &weight)) {
            return "ERR weight value is not a float";
        }
    }
    return NULL;
}

static const char *take_aggregate(struct slice word, struct zset_algebra *algebra)
{
    static const char *const words[] = {[ZSET_SUM] = "sum", [ZSET_MIN] = "min", [ZSET_MAX] = "max"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (command_word(word, words[i])) {
            algebra->aggregate = (enum zset_aggregate)i;
            return NULL;
        }
    }
    return ERR_SYNTAX;
}

static const char *take_limit(struct slice text, struct zset_algebra *algebra)
{
    int64_t limit = 0;
    if (!number_parse_i64(text, &limit) || limit < 0) {
        return "ERR LIMIT can't be negative";
    }
    algebra->limit = (uint64_t)limit;
    return NULL;
}

const char *zset_algebra_parse(struct args options, struct zset_algebra *algebra)
{
    bool weighs = algebra->kind != ZSET_DIFF && !algebra->only_count;
    const char *error = NULL;
    for (size_t at = 0; at < options.argc && error == NULL; at++) {
        struct slice word = options.argv[at];
        size_t behind = options.argc - at - 1;
        if (weighs && behind >= algebra->keys.argc && command_word(word, "weights")) {
            error = take_weights(options, &at, algebra);
        } else if (weighs && behind >= 1 && command_word(word, "aggregate")) {
            error = take_aggregate(options.argv[++at], algebra);
        } else if (!algebra->stores && !algebra->only_count && command_word(word, "withscores")) {
            algebra->with_scores = true;
        } else if (algebra->only_count && behind >= 1 && command_word(word, "limit")) {
            error = take_limit(options.argv[++at], algebra);
        } else {
            error = ERR_SYNTAX;
        }
    }
    return error;
}

static enum status size_of(struct call *call, struct slice key, uint64_t *size)
{
    struct row row;
    enum status status = keyspace_load(call, SLOT_B, call->db, key, &row);
    *size = status == STATUS_OK && row.found ? row.size : 0;
    if (status == STATUS_OK && row.found && row.type != KEYSPACE_ZSET && row.type != KEYSPACE_SET) {
        return STATUS_WRONG_TYPE;
    }
    return status;
}

enum status zset_algebra_check(struct call *call, const struct zset_algebra *algebra)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < algebra->keys.argc && status == STATUS_OK; i++) {
        uint64_t size = 0;
        status = size_of(call, algebra->keys.argv[i], &size);
    }
    return status;
}

static int compare_inputs(const void *a, const void *b)
{
    const struct input *left = a;
    const struct input *right = b;
    if (left->size != right->size) {
        return left->size < right->size ? -1 : 1;
    }
    return (left->nth > right->nth) - (left->nth < right->nth);
}

static struct entry *entries(const struct work *work)
{
    return (struct entry *)(void *)work->room->data;
}

static void add_entry(struct work *work, struct slice member, double score)
{
    struct entry *entry = (struct entry *)(void *)buf_reserve(work->room, sizeof(*entry));
    work->room->len += sizeof(*entry);
    *entry = (struct entry){.at = work->bytes->len,
                            .len = SCORE_SIZE + member.len,
                            .score = score,
                            .nth = work->count++};
    buf_append_u64(work->bytes, 0);
    buf_append_slice(work->bytes, member);
}

/* The score that an element has in the result because of one input. */
static double weighed(const struct work *work, double score)
{
    if (work->algebra->kind == ZSET_DIFF) {
        return score;
    }
    double value = work->weight * score;
    return isnan(value) ? 0 : value;
}

static double aggregate(const struct work *work, double score, double value)
{
    switch (work->algebra->aggregate) {
    case ZSET_SUM: {
        double sum = score + value;
        return isnan(sum) ? 0 : sum; /* Infinities of both signs. */
    }
    case ZSET_MIN: return value < score ? value : score;
    case ZSET_MAX: return value > score ? value : score;
    }
    return score;
}

static enum status take_member(void *ctx, const struct collection_entry *entry)
{
    struct work *work = ctx;
    add_entry(work, entry->field, weighed(work, 1));
    return STATUS_OK;
}

/* A key as a set or a sorted set; the other is empty. */
struct either {
    bool sorted;
    struct zset zset;
    struct collection set;
};

static enum status open_either(struct call *call, struct slice key, struct either *either)
{
    struct row row;
    enum status status = keyspace_load(call, SLOT_B, call->db, key, &row);
    if (status != STATUS_OK) {
        return status;
    }
    either->sorted = !row.found || row.type != KEYSPACE_SET;
    return either->sorted ? zset_load(call, SLOT_B, key, &either->zset)
                          : collection_open(call, SLOT_B, key, KEYSPACE_SET, &either->set);
}

/* Adds all elements of an input. */
static enum status read_all(struct work *work, const struct input *input)
{
    struct either either;
    enum status status = open_either(work->call, input->key, &either);
    if (status != STATUS_OK) {
        return status;
    }
    work->weight = input->weight;
    if (!either.sorted) {
        return collection_each(&either.set, take_member, work);
    }
    struct zset_cursor cursor;
    struct slice sub_key;
    zset_cursor_open(&cursor, &either.zset, zset_range_all(), false, 0);
    while (zset_cursor_next(&cursor, &sub_key)) {
        double score = zset_packed_score(sub_key);
        add_entry(work, zset_packed_member(sub_key), weighed(work, score));
    }
    return zset_cursor_close(&cursor);
}

static enum status find_in(struct either *either, struct slice member, bool *found, double *score)
{
    if (either->sorted) {
        return zset_find(&either->zset, member, found, score);
    }
    struct slice nothing;
    *score = 1;
    return collection_get(&either->set, member, &nothing, found);
}

/* Keeps what is in the input too, or, of a difference, what is not. */
static enum status filter(struct work *work, const struct input *input)
{
    struct either either;
    enum status status = open_either(work->call, input->key, &either);
    work->weight = input->weight;
    for (size_t n = 0; n < work->count && status == STATUS_OK; n++) {
        struct entry *entry = &entries(work)[n];
        bool found = false;
        double score = 0;
        if (entry->gone) {
            continue;
        }
        struct slice member =
            slice_of(work->bytes->data + entry->at + SCORE_SIZE, entry->len - SCORE_SIZE);
        status = find_in(&either, member, &found, &score);
        entry->gone = found == (work->algebra->kind == ZSET_DIFF);
        if (found && !entry->gone) {
            /* Without the guard against NaN that the first input has; as Redis does it. */
            entry->score = aggregate(work, entry->score, work->weight * score);
        }
    }
    return status;
}

static int compare_members(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    int order =
        zset_packed_compare(zset_packed_member(left->sub_key), zset_packed_member(right->sub_key));
    return order != 0 ? order : (left->nth > right->nth) - (left->nth < right->nth);
}

static void place_entries(struct work *work)
{
    for (size_t n = 0; n < work->count; n++) {
        struct entry *entry = &entries(work)[n];
        entry->sub_key = slice_of(work->bytes->data + entry->at, entry->len);
    }
}

/* Entries of one member become the first of them. */
static void join(struct work *work)
{
    struct entry *list = entries(work);
    if (work->count == 0) {
        return;
    }
    qsort(list, work->count, sizeof(*list), compare_members);
    struct entry *first = list;
    for (size_t n = 1; n < work->count; n++) {
        struct slice member = zset_packed_member(list[n].sub_key);
        if (slice_equal(member, zset_packed_member(first->sub_key))) {
            first->score = aggregate(work, first->score, list[n].score);
            list[n].gone = true;
        } else {
            first = &list[n];
        }
    }
}

static enum status run_inputs(struct work *work, const struct input *inputs, size_t count)
{
    bool united = work->algebra->kind == ZSET_UNION;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < (united ? count : 1) && status == STATUS_OK; i++) {
        status = read_all(work, &inputs[i]);
    }
    for (size_t i = 1; i < count && !united && work->count > 0 && status == STATUS_OK; i++) {
        status = filter(work, &inputs[i]);
    }
    place_entries(work);
    if (united && status == STATUS_OK) {
        join(work);
    }
    return status;
}

/* As a reply has them: both zeros are one score. */
static int compare_shown(const void *a, const void *b)
{
    const struct zset_algebra_element *left = a;
    const struct zset_algebra_element *right = b;
    if (left->score != right->score) {
        return left->score < right->score ? -1 : 1;
    }
    return zset_packed_compare(zset_packed_member(left->sub_key),
                               zset_packed_member(right->sub_key));
}

static int compare_elements(const void *a, const void *b)
{
    const struct zset_algebra_element *left = a;
    const struct zset_algebra_element *right = b;
    return zset_packed_compare(left->sub_key, right->sub_key);
}

/* What becomes of the entries is smaller and takes their place. */
static struct zset_algebra_element *finish(struct work *work, size_t *count)
{
    static_assert(sizeof(struct zset_algebra_element) <= sizeof(struct entry), "it fits");
    struct zset_algebra_element *elements = (struct zset_algebra_element *)(void *)work->room->data;
    size_t kept = 0;
    for (size_t n = 0; n < work->count; n++) {
        struct entry entry = entries(work)[n];
        if (entry.gone) {
            continue;
        }
        uint64_t bits = __builtin_bswap64(score_encode(entry.score));
        memcpy(work->bytes->data + entry.at, &bits, sizeof(bits));
        struct zset_algebra_element element = {.sub_key = entry.sub_key, .score = entry.score};
        memcpy(&elements[kept++], &element, sizeof(element));
    }
    if (kept > 1 && !work->algebra->only_count) {
        qsort(elements, kept, sizeof(*elements),
              work->algebra->stores ? compare_elements : compare_shown);
    }
    *count = kept;
    return elements;
}

static enum status measure(struct call *call,
                           const struct zset_algebra *algebra,
                           struct input *inputs,
                           uint64_t *total)
{
    enum status status = STATUS_OK;
    *total = 0;
    for (size_t i = 0; i < algebra->keys.argc && status == STATUS_OK; i++) {
        inputs[i] = (struct input){.key = algebra->keys.argv[i], .nth = i, .weight = 1};
        status = size_of(call, inputs[i].key, &inputs[i].size);
        *total += inputs[i].size;
        bool valid =
            algebra->weights.argc == 0 || score_parse(algebra->weights.argv[i], &inputs[i].weight);
        assert(valid);
    }
    return status;
}

enum status zset_algebra_run(struct call *call,
                             const struct zset_algebra *algebra,
                             struct zset_algebra_element **elements,
                             size_t *count)
{
    assert(algebra->keys.argc > 0);
    size_t inputs_size = algebra->keys.argc * sizeof(struct input);
    struct buf *inputs_room = txn_scratch(call->txn, SCRATCH_ZSET_KEYS);
    struct input *inputs = (struct input *)(void *)buf_reserve(inputs_room, inputs_size);
    uint64_t total = 0;
    enum status status = measure(call, algebra, inputs, &total);
    if (status != STATUS_OK) {
        return status;
    }
    if (total + algebra->keys.argc > ZSET_CURSOR_FAST_COUNT && txn_cache_only(call->txn)) {
        return STATUS_AGAIN;
    }
    if (algebra->kind != ZSET_DIFF) {
        qsort(inputs, algebra->keys.argc, sizeof(*inputs), compare_inputs);
    }
    struct work work = {.call = call,
                        .algebra = algebra,
                        .bytes = txn_scratch(call->txn, SCRATCH_WORK),
                        .room = txn_scratch(call->txn, SCRATCH_RESULT)};
    status = run_inputs(&work, inputs, algebra->keys.argc);
    if (status == STATUS_OK) {
        *elements = finish(&work, count);
    }
    return status;
}
