#include <stdlib.h>

#include "common/base/assert.h"
#include "server/store/engine.h"
#include "server/store/overlay.h"

/* Merges two sorted sequences: the txn's own dirty rows and the engine's. An own row hides the
 * engine's of the same key; a deleted range hides the engine's rows in it. Both sides stand at
 * their next row in the direction of the walk; one of them, or both, is the current one. */
struct store_iter {
    enum store_family family;
    bool backward;
    enum { UNPLACED, AT_END, AT_ROW, AT_ENGINE } place;
    enum status status;            /* The first failure of the engine. */
    const struct overlay *overlay; /* NULL: only the engine's rows. */
    const struct overlay_row **rows;
    size_t row_count;
    size_t row_at; /* Of the next row; of the one behind it if the walk goes backward. */
    struct engine_iter *engine;
    struct buf lower;
    struct buf key; /* Where the walk turned. */
};

static const struct overlay_row *row_here(const struct store_iter *iter)
{
    if (iter->backward) {
        return iter->row_at > 0 ? iter->rows[iter->row_at - 1] : NULL;
    }
    return iter->row_at < iter->row_count ? iter->rows[iter->row_at] : NULL;
}

/* Index of the first row with a key >= key, or > key. */
static size_t row_from(const struct store_iter *iter, struct slice key, bool behind)
{
    size_t low = 0;
    size_t high = iter->row_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = overlay_compare(overlay_row_key(iter->rows[middle]), key);
        if (order < 0 || (order == 0 && behind)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void step_row(struct store_iter *iter)
{
    iter->row_at = iter->backward ? iter->row_at - 1 : iter->row_at + 1;
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
    for (size_t i = 0; i < iter->overlay->range_count; i++) {
        const struct overlay_range *range = &iter->overlay->ranges[i];
        struct slice key = engine_iter_key(iter->engine);
        if (range->family != (uint8_t)iter->family ||
            overlay_compare(overlay_range_from(range), key) > 0 ||
            overlay_compare(key, overlay_range_to(range)) >= 0) {
            continue;
        }
        if (iter->backward) {
            pass_engine(iter, overlay_range_from(range));
        } else {
            engine_iter_seek(iter->engine, overlay_range_to(range));
        }
        return true;
    }
    return false;
}

/* One step towards a row that is visible; false when there is nothing more to decide. */
static bool resolve(struct store_iter *iter)
{
    bool engine = engine_iter_valid(iter->engine);
    if (engine && iter->overlay != NULL && skip_range(iter)) {
        return true;
    }
    if (!engine && iter->status == STATUS_OK) {
        iter->status = engine_iter_status(iter->engine);
    }
    const struct overlay_row *row = row_here(iter);
    if (row == NULL) {
        iter->place = engine ? AT_ENGINE : AT_END;
        return false;
    }
    int order = engine ? overlay_compare(overlay_row_key(row), engine_iter_key(iter->engine)) : 0;
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
    while (resolve(iter)) {
    }
}

struct store_iter *iter_open(struct txn *txn,
                             enum store_family family,
                             struct slice lower,
                             struct slice upper)
{
    assert(family < STORE_FAMILY_COUNT);
    struct store_iter *iter = calloc(1, sizeof(*iter));
    assert(iter != NULL);
    iter->family = family;
    iter->overlay = engine_txn_overlay(txn);
    if (iter->overlay != NULL) {
        iter->rows = overlay_collect(iter->overlay, family, lower, upper, &iter->row_count);
    }
    iter->engine = engine_iter_new(engine_txn_reader(txn), family, lower, upper);
    buf_init(&iter->key, SIZE_MAX / 2);
    buf_init(&iter->lower, SIZE_MAX / 2);
    buf_append_slice(&iter->lower, lower);
    return iter;
}

void iter_close(struct store_iter *iter)
{
    engine_iter_free(iter->engine);
    buf_deinit(&iter->key);
    buf_deinit(&iter->lower);
    free(iter->rows);
    free(iter);
}

void iter_seek(struct store_iter *iter, struct slice key)
{
    iter->backward = false;
    iter->row_at = row_from(iter, key, false);
    engine_iter_seek(iter->engine, key);
    settle(iter);
}

void iter_seek_for_prev(struct store_iter *iter, struct slice key)
{
    iter->backward = true;
    iter->row_at = row_from(iter, key, true);
    engine_iter_seek_for_prev(iter->engine, key);
    settle(iter);
}

void iter_seek_last(struct store_iter *iter)
{
    iter->backward = true;
    iter->row_at = iter->row_count;
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
        iter->row_at = row_from(iter, buf_slice(&iter->key), !backward);
        pass_engine(iter, buf_slice(&iter->key));
    } else if (iter->place == AT_ROW) {
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
    return iter->place == AT_ROW ? overlay_row_key(row_here(iter)) : engine_iter_key(iter->engine);
}

struct slice iter_value(struct store_iter *iter)
{
    place_first(iter);
    assert(iter->place != AT_END);
    return iter->place == AT_ROW ? overlay_row_value(row_here(iter))
                                 : engine_iter_value(iter->engine);
}

enum status iter_status(struct store_iter *iter)
{
    place_first(iter);
    return iter->status;
}
