#include <stdlib.h>

#include "common/base/assert.h"
#include "server/store/engine.h"
#include "server/store/overlay.h"

/* Merges two sorted sequences: the txn's own dirty rows and the engine's. An own row hides the
 * engine's of the same key; a deleted range hides the engine's rows in it. */
struct store_iter {
    enum store_family family;
    const struct overlay *overlay; /* NULL: only the engine's rows. */
    const struct overlay_row **rows;
    size_t row_count;
    size_t row_at;
    struct engine_iter *engine;
    enum { AT_END, AT_ROW, AT_ENGINE } place;
};

/* Moves the engine's side behind the deleted range that covers its key, if one does. */
static bool skip_range(struct store_iter *iter)
{
    for (size_t i = 0; i < iter->overlay->range_count; i++) {
        const struct overlay_range *range = &iter->overlay->ranges[i];
        struct slice key = engine_iter_key(iter->engine);
        if (range->family == (uint8_t)iter->family &&
            overlay_compare(overlay_range_from(range), key) <= 0 &&
            overlay_compare(key, overlay_range_to(range)) < 0) {
            engine_iter_seek(iter->engine, overlay_range_to(range));
            return true;
        }
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
    if (iter->row_at == iter->row_count) {
        iter->place = engine ? AT_ENGINE : AT_END;
        return false;
    }
    const struct overlay_row *row = iter->rows[iter->row_at];
    int order = engine ? overlay_compare(overlay_row_key(row), engine_iter_key(iter->engine)) : -1;
    if (order > 0) {
        iter->place = AT_ENGINE;
        return false;
    }
    if (order == 0) {
        engine_iter_next(iter->engine);
        return true;
    }
    if (!row->present) {
        iter->row_at++;
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
    engine_iter_seek(iter->engine, lower);
    settle(iter);
    return iter;
}

void iter_close(struct store_iter *iter)
{
    engine_iter_free(iter->engine);
    free(iter->rows);
    free(iter);
}

bool iter_valid(const struct store_iter *iter)
{
    return iter->place != AT_END;
}

void iter_next(struct store_iter *iter)
{
    assert(iter->place != AT_END);
    if (iter->place == AT_ROW) {
        iter->row_at++;
    } else {
        engine_iter_next(iter->engine);
    }
    settle(iter);
}

void iter_seek(struct store_iter *iter, struct slice key)
{
    size_t low = 0;
    size_t high = iter->row_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (overlay_compare(overlay_row_key(iter->rows[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    iter->row_at = low;
    engine_iter_seek(iter->engine, key);
    settle(iter);
}

struct slice iter_key(const struct store_iter *iter)
{
    assert(iter->place != AT_END);
    return iter->place == AT_ROW ? overlay_row_key(iter->rows[iter->row_at])
                                 : engine_iter_key(iter->engine);
}

struct slice iter_value(const struct store_iter *iter)
{
    assert(iter->place != AT_END);
    return iter->place == AT_ROW ? overlay_row_value(iter->rows[iter->row_at])
                                 : engine_iter_value(iter->engine);
}

enum status iter_status(const struct store_iter *iter)
{
    return engine_iter_status(iter->engine);
}
