#include "tests/support/engine_model.h"

#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

enum {
    KEYS = 64,
    STEPS = 4000,
    WALK_STEPS = 24,
    NOWHERE = -1,
    TEXT_SIZE = 16,
};

struct model {
    uint64_t seed;
    struct rand rand;
    struct store *store;
    struct txn *txn;
    int value[STORE_FAMILY_COUNT][KEYS]; /* NOWHERE: the key is not there. */
    bool marked;
    int at_mark[STORE_FAMILY_COUNT][KEYS];
    size_t pending_at_mark[2]; /* Rows, bytes. */
    int committed[STORE_FAMILY_COUNT][KEYS];
};

/* Places are counted in halves, so that there are some between the keys: 2 * n is key n. */
static struct slice place_key(int place, char text[TEXT_SIZE])
{
    (void)snprintf(text, TEXT_SIZE, place % 2 == 0 ? "%03d" : "%03dx", place / 2);
    return slice_str(text);
}

static struct slice value_text(int value, char text[TEXT_SIZE])
{
    /* Values of different lengths: a row is replaced when its value grows. */
    (void)snprintf(text, TEXT_SIZE, "%0*d", 5 + value % 9, value);
    return slice_str(text);
}

static void expect(const struct model *model, bool so)
{
    if (!so) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)model->seed);
    }
    CHECK(so);
}

static int pick(struct model *model, int count)
{
    return (int)rand_below(&model->rand, (uint64_t)count);
}

static enum store_family pick_family(struct model *model)
{
    return pick(model, 3) == 0 ? STORE_LOCAL : STORE_DATA;
}

static void check_row(const struct model *model, enum store_family family, int n)
{
    char key[TEXT_SIZE];
    char value[TEXT_SIZE];
    struct buf got;
    buf_init(&got, 1024);
    enum status status = txn_get(model->txn, family, place_key(2 * n, key), &got);
    int wanted = model->value[family][n];
    expect(model, status == (wanted == NOWHERE ? STATUS_NOT_FOUND : STATUS_OK));
    if (status == STATUS_OK) {
        expect(model, slice_equal(buf_slice(&got), value_text(wanted, value)));
    }
    buf_deinit(&got);
}

/* A walk, and the key that it should stand at. */
struct walk {
    struct model *model;
    struct store_iter *iter;
    const int *value;
    int lower; /* Places. */
    int upper;
    int at;
};

/* The first key at or behind the place, or the last at or before it, that is there. */
static int find(const struct walk *walk, int place, int step)
{
    int n = step > 0 ? (place + 1) / 2 : (place + 2) / 2 - 1;
    for (; n >= 0 && n < KEYS; n += step) {
        bool within = 2 * n >= walk->lower && 2 * n < walk->upper;
        if (within && walk->value[n] != NOWHERE) {
            return n;
        }
    }
    return NOWHERE;
}

static void check_place(struct walk *walk)
{
    char text[TEXT_SIZE];
    expect(walk->model, iter_valid(walk->iter) == (walk->at != NOWHERE));
    if (walk->at == NOWHERE) {
        return;
    }
    struct slice key = place_key(2 * walk->at, text);
    expect(walk->model, slice_equal(iter_key(walk->iter), key));
    struct slice value = value_text(walk->value[walk->at], text);
    expect(walk->model, slice_equal(iter_value(walk->iter), value));
}

static void walk_step(struct walk *walk, int kind)
{
    char text[TEXT_SIZE];
    int place = pick(walk->model, 2 * KEYS);
    if (kind < 4 && walk->at != NOWHERE) {
        walk->at = find(walk, 2 * walk->at + 1, 1);
        iter_next(walk->iter);
    } else if (kind < 8 && walk->at != NOWHERE) {
        walk->at = find(walk, 2 * walk->at - 1, -1);
        iter_prev(walk->iter);
    } else if (kind % 3 == 0) {
        walk->at = find(walk, place, 1);
        iter_seek(walk->iter, place_key(place, text));
    } else if (kind % 3 == 1) {
        walk->at = find(walk, place, -1);
        iter_seek_for_prev(walk->iter, place_key(place, text));
    } else {
        walk->at = find(walk, 2 * KEYS - 1, -1);
        iter_seek_last(walk->iter);
    }
}

static struct walk start_walk(struct model *model,
                              struct txn *txn,
                              enum store_family family,
                              const int *value)
{
    char lower[TEXT_SIZE];
    char upper[TEXT_SIZE];
    struct walk walk = {.model = model, .value = value};
    walk.lower = pick(model, KEYS);
    walk.upper = walk.lower + pick(model, 2 * KEYS);
    struct slice from = place_key(walk.lower, lower);
    walk.iter = iter_open(txn, family, from, place_key(walk.upper, upper));
    walk.at = find(&walk, 0, 1);
    if (pick(model, 2) == 0) {
        walk_step(&walk, 8 + pick(model, 3));
    }
    return walk;
}

static void finish_walk(struct walk walk)
{
    struct model *model = walk.model;
    /* To the end, in the direction that a coin says. */
    int way = pick(model, 2) * 4;
    while (walk.at != NOWHERE) {
        check_place(&walk);
        walk_step(&walk, way);
    }
    check_place(&walk);
    expect(model, iter_status(walk.iter) == STATUS_OK);
    iter_close(walk.iter);
}

/* Two at once, which have nothing to do with each other. */
static void check_walks(struct model *model, struct txn *txn, int value[][KEYS])
{
    enum store_family family = pick_family(model);
    struct walk one = start_walk(model, txn, family, value[family]);
    family = pick_family(model);
    struct walk two = start_walk(model, txn, family, value[family]);
    for (int step = 0; step < WALK_STEPS; step++) {
        struct walk *walk = pick(model, 2) == 0 ? &one : &two;
        check_place(walk);
        walk_step(walk, pick(model, 9));
    }
    finish_walk(one);
    finish_walk(two);
}

static void check_view(struct model *model)
{
    struct txn *view = txn_view(model->store);
    check_walks(model, view, model->committed);
    check_walks(model, view, model->committed);
    txn_free(view);
}

static void write_row(struct model *model, int step)
{
    char key[TEXT_SIZE];
    char text[TEXT_SIZE];
    enum store_family family = pick_family(model);
    int n = pick(model, KEYS);
    int kind = pick(model, 20);
    struct slice from = place_key(2 * n, key);
    if (kind == 0) {
        int end = n + pick(model, 10);
        txn_delete_range(model->txn, family, from, place_key(2 * end, text));
        for (; n < end && n < KEYS; n++) {
            model->value[family][n] = NOWHERE;
        }
    } else if (kind < 7) {
        txn_delete(model->txn, family, from);
        model->value[family][n] = NOWHERE;
    } else {
        txn_put(model->txn, family, from, value_text(step, text));
        model->value[family][n] = step;
    }
}

static void end_mark(struct model *model)
{
    if (pick(model, 2) == 0) {
        txn_release(model->txn);
    } else {
        txn_rollback(model->txn);
        memcpy(model->value, model->at_mark, sizeof(model->value));
        size_t size = 0;
        expect(model, txn_pending(model->txn, &size) == model->pending_at_mark[0]);
        expect(model, size == model->pending_at_mark[1]);
    }
    model->marked = false;
}

static void random_step(struct model *model, int step)
{
    if (!model->marked && pick(model, 15) == 0) {
        txn_mark(model->txn);
        memcpy(model->at_mark, model->value, sizeof(model->value));
        model->pending_at_mark[0] = txn_pending(model->txn, &model->pending_at_mark[1]);
        model->marked = true;
    }
    write_row(model, step);
    check_row(model, pick_family(model), pick(model, KEYS));
    if (model->marked && pick(model, 10) == 0) {
        end_mark(model);
    }
    if (!model->marked && pick(model, 10) == 0) {
        expect(model, txn_commit(model->txn) == STATUS_OK);
        expect(model, txn_empty(model->txn));
        memcpy(model->committed, model->value, sizeof(model->value));
    }
    if (pick(model, 20) == 0) {
        check_walks(model, model->txn, model->value);
    }
    if (pick(model, 100) == 0) {
        check_view(model);
        txn_rest(model->txn);
    }
    if (pick(model, 500) == 0) {
        expect(model, store_flush(model->store) == STATUS_OK);
    }
}

void engine_model_run(const char *folder, uint64_t seed)
{
    /* A cache that remembers little, or all. */
    struct store_options options = {.cache_size = 4 << 20,
                                    .memtable_size = 4 << 20,
                                    .threads = 2,
                                    .row_cache_size = seed % 2 == 0 ? 4 << 10 : 4 << 20};
    struct model model = {.seed = seed};
    rand_init(&model.rand, seed);
    memset(model.value, 0xFF, sizeof(model.value));
    memset(model.committed, 0xFF, sizeof(model.committed));
    CHECK_EQ(store_open(folder, &options, &model.store), STATUS_OK);
    model.txn = txn_new(model.store);
    for (int step = 0; step < STEPS; step++) {
        random_step(&model, step);
    }
    for (int n = 0; n < KEYS; n++) {
        check_row(&model, STORE_DATA, n);
        check_row(&model, STORE_LOCAL, n);
    }
    txn_free(model.txn);
    store_close(model.store);
}
