#include <stdlib.h>

#include "common/base/assert.h"
#include "server/store/engine.h"
#include "server/store/overlay.h"

enum { IDLE_MAX = 8 };

/* Merges two sorted sequences: the txn's own dirty rows and the engine's. An own row hides the
 * engine's of the same key; a deleted range hides the engine's rows in it. Both sides stand at
 * their next row in the direction of the walk; one of them, or both, is the current one. */
struct store_iter {
    struct store_iter *next; /* Of the idle ones. */
    struct iter_shelf *shelf;
    enum store_family family;
    bool backward;
    enum { UNPLACED, AT_END, AT_ROW, AT_ENGINE } place;
    bool twin;                       /* At a row that hides the one at which the engine stands. */
    enum status status;              /* The first failure of the engine. */
    const struct range_set *deleted; /* NULL: only the engine's rows. */
    const struct row_tree *rows;     /* As deleted. */
    const struct overlay_row *row;   /* NULL: no more within the bounds. */
    struct engine_iter *engine;
    struct buf lower;
    struct buf upper;
    struct buf key; /* Where the walk turned. */
};

/* The own row, or none if it lies beyond the bound of this direction. */
static void set_row(struct store_iter *iter, const struct overlay_row *row)
{
    bool within = row != NULL;
    if (within && iter->backward) {
        within = overlay_compare(overlay_row_key(row), buf_slice(&iter->lower)) >= 0;
    } else if (within) {
        within = overlay_compare(overlay_row_key(row), buf_slice(&iter->upper)) < 0;
    }
    iter->row = within ? row : NULL;
}

static void step_row(struct store_iter *iter)
{
    set_row(iter, iter->backward ? row_tree_prev(iter->row) : row_tree_next(iter->row));
}

static void step_engine(struct store_iter *iter)
{
    if (iter->backward) {
        engine_iter_prev(iter->engine);
    } else {
        engine_iter_next(iter->engine);
    }
}

/* The engine's side to its first row beyond key, in the direction of the walk. */
static void pass_engine(struct store_iter *iter, struct slice key)
{
    if (iter->backward) {
        engine_iter_seek_for_prev(iter->engine, key);
    } else {
        engine_iter_seek(iter->engine, key);
    }
    if (engine_iter_valid(iter->engine) && slice_equal(engine_iter_key(iter->engine), key)) {
        step_engine(iter);
    }
}

/* Moves the engine's side behind the deleted range that covers its key, if one does. */
static bool skip_range(struct store_iter *iter)
{
    const struct range *range = range_set_find(iter->deleted, engine_iter_key(iter->engine));
    if (range == NULL) {
        return false;
    }
    if (iter->backward) {
        pass_engine(iter, range_from(range));
    } else {
        engine_iter_seek(iter->engine, range_to(range));
    }
    return true;
}

/* One step towards a row that is visible; false when there is nothing more to decide. */
static bool resolve(struct store_iter *iter)
{
    bool engine = engine_iter_valid(iter->engine);
    if (engine && iter->deleted != NULL && skip_range(iter)) {
        return true;
    }
    if (!engine && iter->status == STATUS_OK) {
        iter->status = engine_iter_status(iter->engine);
    }
    const struct overlay_row *row = iter->row;
    if (row == NULL) {
        iter->place = engine ? AT_ENGINE : AT_END;
        return false;
    }
    int order = engine ? overlay_compare(overlay_row_key(row), engine_iter_key(iter->engine)) : 0;
    if (engine && order == 0 && row->present) {
        /* Most walks end here: the engine steps when this one goes on. */
        iter->twin = true;
        iter->place = AT_ROW;
        return false;
    }
    if (engine && order == 0) {
        step_engine(iter);
        return true;
    }
    if (iter->backward ? order < 0 : order > 0) {
        iter->place = AT_ENGINE;
        return false;
    }
    if (!row->present) {
        step_row(iter);
        return true;
    }
    iter->place = AT_ROW;
    return false;
}

static void settle(struct store_iter *iter)
{
    iter->twin = false;
    while (resolve(iter)) {
    }
}

static struct store_iter *take_idle(struct iter_shelf *shelf)
{
    struct store_iter *iter = shelf->idle;
    if (iter != NULL) {
        shelf->idle = iter->next;
        shelf->idle_count--;
        return iter;
    }
    iter = calloc(1, sizeof(*iter));
    assert(iter != NULL);
    buf_init(&iter->key, SIZE_MAX / 2);
    buf_init(&iter->lower, SIZE_MAX / 2);
    buf_init(&iter->upper, SIZE_MAX / 2);
    return iter;
}

static void free_iter(struct store_iter *iter)
{
    buf_deinit(&iter->key);
    buf_deinit(&iter->lower);
    buf_deinit(&iter->upper);
    free(iter);
}

void engine_shelf_clear(struct iter_shelf *shelf)
{
    assert(shelf->open_count == 0);
    while (shelf->idle != NULL) {
        free_iter(take_idle(shelf));
    }
}

struct store_iter *iter_open(struct txn *txn,
                             enum store_family family,
                             struct slice lower,
                             struct slice upper)
{
    assert(family < STORE_FAMILY_COUNT);
    struct iter_shelf *shelf = engine_txn_shelf(txn);
    struct store_iter *iter = take_idle(shelf);
    struct overlay *overlay = engine_txn_overlay(txn);
    shelf->open_count++;
    iter->shelf = shelf;
    iter->family = family;
    iter->place = UNPLACED;
    iter->status = STATUS_OK;
    iter->row = NULL;
    iter->rows = overlay == NULL ? NULL : overlay_ordered(overlay, family);
    iter->deleted = overlay == NULL ? NULL : &overlay->families[family].deleted;
    iter->engine = engine_iter_new(engine_txn_reader(txn), family, lower, upper);
    buf_clear(&iter->lower);
    buf_append_slice(&iter->lower, lower);
    buf_clear(&iter->upper);
    buf_append_slice(&iter->upper, upper);
    return iter;
}

void iter_close(struct store_iter *iter)
{
    struct iter_shelf *shelf = iter->shelf;
    engine_iter_free(iter->engine);
    assert(shelf->open_count > 0);
    shelf->open_count--;
    if (shelf->idle_count == IDLE_MAX) {
        free_iter(iter);
        return;
    }
    iter->next = shelf->idle;
    shelf->idle = iter;
    shelf->idle_count++;
}

void iter_seek(struct store_iter *iter, struct slice key)
{
    iter->backward = false;
    if (iter->rows != NULL) {
        struct slice lower = buf_slice(&iter->lower);
        bool below = overlay_compare(key, lower) < 0;
        set_row(iter, row_tree_first(iter->rows, below ? lower : key));
    }
    engine_iter_seek(iter->engine, key);
    settle(iter);
}

void iter_seek_for_prev(struct store_iter *iter, struct slice key)
{
    if (overlay_compare(key, buf_slice(&iter->upper)) >= 0) {
        iter_seek_last(iter);
        return;
    }
    iter->backward = true;
    if (iter->rows != NULL) {
        set_row(iter, row_tree_last(iter->rows, key));
    }
    engine_iter_seek_for_prev(iter->engine, key);
    settle(iter);
}

void iter_seek_last(struct store_iter *iter)
{
    iter->backward = true;
    if (iter->rows != NULL) {
        set_row(iter, row_tree_before(iter->rows, buf_slice(&iter->upper)));
    }
    engine_iter_seek_last(iter->engine);
    settle(iter);
}

/* An iterator that is sought at once, or walked backward, does not pay for its first key. */
static void place_first(struct store_iter *iter)
{
    if (iter->place == UNPLACED) {
        iter_seek(iter, buf_slice(&iter->lower));
    }
}

/* From the current key to the next one in the direction, which may be a new one. */
static void move(struct store_iter *iter, bool backward)
{
    place_first(iter);
    assert(iter->place != AT_END);
    if (iter->backward != backward) {
        /* The other side stands somewhere beyond the current key, on the wrong side of it. */
        buf_clear(&iter->key);
        buf_append_slice(&iter->key, iter_key(iter));
        iter->backward = backward;
        if (iter->rows != NULL) {
            set_row(iter, backward ? row_tree_before(iter->rows, buf_slice(&iter->key))
                                   : row_tree_after(iter->rows, buf_slice(&iter->key)));
        }
        pass_engine(iter, buf_slice(&iter->key));
    } else if (iter->place == AT_ROW) {
        if (iter->twin) {
            step_engine(iter);
        }
        step_row(iter);
    } else {
        step_engine(iter);
    }
    settle(iter);
}

bool iter_valid(struct store_iter *iter)
{
    place_first(iter);
    return iter->place != AT_END;
}

void iter_next(struct store_iter *iter)
{
    move(iter, false);
}

void iter_prev(struct store_iter *iter)
{
    move(iter, true);
}

struct slice iter_key(struct store_iter *iter)
{
    place_first(iter);
    assert(iter->place != AT_END);
    return iter->place == AT_ROW ? overlay_row_key(iter->row) : engine_iter_key(iter->engine);
}

struct slice iter_value(struct store_iter *iter)
{
    place_first(iter);
    assert(iter->place != AT_END);
    return iter->place == AT_ROW ? overlay_row_value(iter->row) : engine_iter_value(iter->engine);
}

enum status iter_status(struct store_iter *iter)
{
    place_first(iter);
    return iter->status;
}
