#include "server/store/range_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "server/store/overlay.h"

void range_set_clear(struct range_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->ranges[i].bytes);
    }
    set->count = 0;
}

void range_set_deinit(struct range_set *set)
{
    range_set_clear(set);
    free(set->ranges);
    *set = (struct range_set){0};
}

/* The first range that ends behind the key, or at it. */
static size_t first_to(const struct range_set *set, struct slice key)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (overlay_compare(range_to(&set->ranges[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first range that begins behind the key. */
static size_t first_from(const struct range_set *set, struct slice key)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (overlay_compare(range_from(&set->ranges[middle]), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Puts the count ranges at with into the place of the old_count ones at index. */
static void splice(
    struct range_set *set, size_t index, size_t old_count, const struct range *with, size_t count)
{
    assert(index + old_count <= set->count);
    size_t total = set->count - old_count + count;
    if (total > set->size) {
        set->size = total < 8 ? 8 : total * 2;
        set->ranges = realloc(set->ranges, set->size * sizeof(*set->ranges));
        assert(set->ranges != NULL);
    }
    size_t behind = set->count - index - old_count;
    if (behind > 0) {
        memmove(set->ranges + index + count, set->ranges + index + old_count,
                behind * sizeof(*set->ranges));
    }
    if (count > 0) {
        memcpy(set->ranges + index, with, count * sizeof(*set->ranges));
    }
    set->count = total;
}

static struct range new_range(struct slice from, struct slice to, uint64_t stamp)
{
    struct range range = {.from_len = from.len, .to_len = to.len, .stamp = stamp};
    assert(to.len > 0);
    range.bytes = malloc(from.len + to.len);
    assert(range.bytes != NULL);
    if (from.len > 0) {
        memcpy(range.bytes, from.data, from.len);
    }
    memcpy(range.bytes + from.len, to.data, to.len);
    return range;
}

bool range_set_add(struct range_set *set,
                   struct slice from,
                   struct slice to,
                   uint64_t stamp,
                   struct range_set *replaced)
{
    assert(overlay_compare(from, to) < 0);
    size_t index = first_to(set, from);
    size_t end = first_from(set, to);
    size_t count = end > index ? end - index : 0;
    if (count > 0) {
        struct range *first = &set->ranges[index];
        struct slice last_to = range_to(&set->ranges[end - 1]);
        bool begins = overlay_compare(range_from(first), from) <= 0;
        bool ends = overlay_compare(to, last_to) <= 0;
        if (count == 1 && begins && ends) {
            first->stamp = stamp;
            return false;
        }
        from = begins ? range_from(first) : from;
        to = ends ? last_to : to;
    }
    struct range range = new_range(from, to, stamp);
    if (replaced != NULL) {
        splice(replaced, replaced->count, 0, set->ranges + index, count);
    } else {
        for (size_t i = index; i < index + count; i++) {
            free(set->ranges[i].bytes);
        }
    }
    splice(set, index, count, &range, 1);
    return true;
}

void range_set_undo(struct range_set *set,
                    struct slice from,
                    struct range_set *replaced,
                    size_t count)
{
    assert(count <= replaced->count);
    size_t index = first_from(set, from);
    assert(index > 0);
    index--;
    assert(overlay_compare(from, range_to(&set->ranges[index])) < 0);
    free(set->ranges[index].bytes);
    size_t rest = replaced->count - count;
    splice(set, index, 1, replaced->ranges + rest, count);
    replaced->count = rest;
}

void range_set_prune(struct range_set *set, uint64_t stamp)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (set->ranges[i].stamp > stamp) {
            set->ranges[kept++] = set->ranges[i];
        } else {
            free(set->ranges[i].bytes);
        }
    }
    set->count = kept;
}

bool range_set_overlaps(const struct range_set *set, struct slice from, struct slice to)
{
    size_t index = first_to(set, from);
    if (index < set->count && overlay_compare(range_to(&set->ranges[index]), from) == 0) {
        index++; /* It ends where these begin. */
    }
    return index < set->count && overlay_compare(range_from(&set->ranges[index]), to) < 0;
}

const struct range *range_set_find(const struct range_set *set, struct slice key)
{
    if (set->count == 0) {
        return NULL;
    }
    size_t behind = first_from(set, key);
    if (behind == 0) {
        return NULL;
    }
    const struct range *range = &set->ranges[behind - 1];
    return overlay_compare(key, range_to(range)) < 0 ? range : NULL;
}
