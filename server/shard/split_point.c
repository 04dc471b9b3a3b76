#include "server/shard/split_point.h"

#include "common/base/assert.h"

enum {
    PERMILLE = 1000,
    LOAD_MIN = 256, /* Less says nothing. */
    TOP_MIN = 64,
    HEAVY_PART = 8,      /* A bucket with 1/8 of the load is looked into. */
    ONE_KEY_SHARE = 500, /* No cut can halve what one token has half of. */
    LARGER_MAX = 750,
};

static unsigned shift_of(uint64_t start, uint64_t last)
{
    assert(start <= last);
    unsigned shift = 0;
    while (((last - start) >> shift) >= HEAT_BUCKETS) {
        shift++;
    }
    return shift;
}

void heat_init(struct heat *heat, uint64_t start, uint64_t last)
{
    *heat = (struct heat){.start = start, .last = last, .shift = shift_of(start, last)};
}

static size_t bucket_of(const struct heat *heat, uint64_t token)
{
    assert(token >= heat->start && token <= heat->last);
    return (size_t)((token - heat->start) >> heat->shift);
}

void heat_add(struct heat *heat, uint64_t token, uint32_t weight, bool found)
{
    if (token < heat->start || token > heat->last) {
        return;
    }
    size_t at = bucket_of(heat, token);
    uint32_t room = UINT32_MAX - heat->buckets[at];
    heat->buckets[at] += weight < room ? weight : room;
    if (found) {
        heat->found[at / 64] |= UINT64_C(1) << (at % 64);
    }
}

uint64_t heat_total(const struct heat *heat)
{
    uint64_t total = 0;
    for (size_t i = 0; i < HEAT_BUCKETS; i++) {
        total += heat->buckets[i];
    }
    return total;
}

static uint64_t bucket_start(const struct heat *heat, size_t at)
{
    return heat->start + ((uint64_t)at << heat->shift);
}

/* The last bucket ends with the range. */
static uint64_t bucket_last(const struct heat *heat, size_t at)
{
    uint64_t width_less_one = (UINT64_C(1) << heat->shift) - 1;
    uint64_t start = bucket_start(heat, at);
    return heat->last - start < width_less_one ? heat->last : start + width_less_one;
}

static size_t bucket_count(const struct heat *heat)
{
    return bucket_of(heat, heat->last) + 1;
}

/* What of `from` lies within first..last. */
static double weight_within(const struct heat *from, uint64_t first, uint64_t last)
{
    first = first < from->start ? from->start : first;
    last = last > from->last ? from->last : last;
    if (first > last) {
        return 0;
    }
    double sum = 0;
    for (size_t at = bucket_of(from, first); at <= bucket_of(from, last); at++) {
        uint64_t start = bucket_start(from, at);
        uint64_t end = bucket_last(from, at);
        uint64_t low = first > start ? first : start;
        uint64_t high = last < end ? last : end;
        double part = ((double)(high - low) + 1) / ((double)(end - start) + 1);
        sum += from->buckets[at] * part;
    }
    return sum;
}

void heat_merge(struct heat *to, const struct heat *from)
{
    double carried = 0; /* Of the fractions, so that none is lost on the way. */
    for (size_t at = 0; at < bucket_count(to); at++) {
        carried += weight_within(from, bucket_start(to, at), bucket_last(to, at));
        uint32_t whole = carried > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)carried;
        heat_add(to, bucket_start(to, at), whole, false);
        carried -= whole;
    }
}

void heat_copy(struct heat *to, const struct heat *from, uint64_t start, uint64_t last)
{
    assert(to != from);
    heat_init(to, start, last);
    heat_merge(to, from);
}

void heat_shares(const struct heat *heat, uint16_t *shares, size_t count)
{
    uint64_t total = heat_total(heat);
    uint64_t width = (heat->last - heat->start) / count;
    for (size_t i = 0; i < count; i++) {
        shares[i] = 0;
        uint64_t first = heat->start + i * width + (i > 0 && width > 0);
        uint64_t end = i + 1 == count ? heat->last : heat->start + (i + 1) * width;
        if (total > 0 && (width > 0 || i + 1 == count)) {
            double share = weight_within(heat, first, end) * PERMILLE / (double)total;
            shares[i] = share > PERMILLE ? PERMILLE : (uint16_t)share;
        }
    }
}

/* What is tried, and the best so far. */
struct search {
    const struct heat *heat;
    const struct space_saving *top;
    double total;
    size_t count;
    double before[HEAT_BUCKETS + 1]; /* Load in front of each bucket. */
    double best_off;                 /* From the half. */
    double best_left;
    uint64_t best;
    bool any; /* A point with something stored on both sides. */
};

static bool found_between(const struct heat *heat, size_t first, size_t end)
{
    for (size_t at = first; at < end; at++) {
        if ((heat->found[at / 64] >> (at % 64) & 1) != 0) {
            return true;
        }
    }
    return false;
}

static void try_point(struct search *search, uint64_t token, double left)
{
    search->any = true;
    double off = left - search->total / 2;
    off = off < 0 ? -off : off;
    if (search->best == 0 || off < search->best_off) {
        search->best = token;
        search->best_off = off;
        search->best_left = left;
    }
}

static void try_edges(struct search *search)
{
    for (size_t at = 1; at < search->count; at++) {
        if (found_between(search->heat, 0, at) && found_between(search->heat, at, search->count)) {
            try_point(search, bucket_start(search->heat, at), search->before[at]);
        }
    }
}

/* Of the items of one bucket: how much lies on each side of a token, and whether any of it is
 * stored. */
struct sides {
    double left, right;
    bool found_left, found_right;
};

static struct sides sides_of(const struct search *search, size_t bucket, uint64_t token)
{
    const struct space_saving *top = search->top;
    struct sides sides = {0};
    for (size_t i = 0; i < top->count; i++) {
        uint64_t place = top->items[i].place;
        if (place < search->heat->start || place > search->heat->last ||
            bucket_of(search->heat, place) != bucket) {
            continue;
        }
        bool found = top->items[i].absent < top->weights[i];
        if (place < token) {
            sides.left += (double)top->weights[i];
            sides.found_left = sides.found_left || found;
        } else {
            sides.right += (double)top->weights[i];
            sides.found_right = sides.found_right || found;
        }
    }
    return sides;
}

static void try_within(struct search *search, size_t bucket, uint64_t token)
{
    const struct heat *heat = search->heat;
    if (token <= heat->start || token > heat->last) {
        return;
    }
    struct sides sides = sides_of(search, bucket, token);
    bool found_left = sides.found_left || found_between(heat, 0, bucket);
    bool found_right = sides.found_right || found_between(heat, bucket + 1, search->count);
    if (!found_left || !found_right || sides.left + sides.right <= 0) {
        return;
    }
    double part = sides.left / (sides.left + sides.right);
    try_point(search, token, search->before[bucket] + part * heat->buckets[bucket]);
}

/* Heavy buckets are cut in front of and behind each key that is known there. */
static void try_keys(struct search *search)
{
    const struct space_saving *top = search->top;
    for (size_t i = 0; i < top->count; i++) {
        uint64_t place = top->items[i].place;
        if (place < search->heat->start || place > search->heat->last) {
            continue;
        }
        size_t bucket = bucket_of(search->heat, place);
        if (search->heat->buckets[bucket] * (double)HEAVY_PART >= search->total) {
            try_within(search, bucket, place);
            if (place < search->heat->last) {
                try_within(search, bucket, place + 1);
            }
        }
    }
}

/* Many keys of one tag, or of a co-located database, lie on one token: their weights are added up.
 * The weights of all items add up to the total, and what an item took over from others is shared
 * out like everything else, so that the sum is a fair estimate. */
static void find_hot(const struct space_saving *top, struct split_point *point)
{
    if (top == NULL || top->total < TOP_MIN) {
        return;
    }
    uint64_t best = 0;
    for (size_t i = 0; i < top->count; i++) {
        uint64_t sum = 0;
        for (size_t other = 0; other < top->count; other++) {
            bool same = top->items[other].place == top->items[i].place;
            sum += same ? top->weights[other] : 0;
        }
        if (sum > best) {
            best = sum;
            point->hot_token = top->items[i].place;
        }
    }
    uint64_t share = best * PERMILLE / top->total;
    point->hot_share = share > PERMILLE ? PERMILLE : (uint16_t)share;
}

static enum split_verdict judge(const struct search *search, const struct split_point *point)
{
    if (point->hot_share >= ONE_KEY_SHARE) {
        return SPLIT_ONE_KEY;
    }
    if (!search->any) {
        return SPLIT_NO_DATA;
    }
    double half_and_off = search->total / 2 + search->best_off;
    return half_and_off * PERMILLE <= search->total * LARGER_MAX ? SPLIT_GOOD : SPLIT_UNEVEN;
}

void split_point_find(const struct heat *heat,
                      const struct space_saving *top,
                      struct split_point *point)
{
    *point = (struct split_point){.verdict = SPLIT_UNKNOWN};
    find_hot(top, point);
    if (heat->start == heat->last) {
        point->verdict = SPLIT_ONE_TOKEN;
        return;
    }
    struct search search = {.heat = heat, .top = top, .count = bucket_count(heat)};
    for (size_t at = 0; at < search.count; at++) {
        search.before[at] = search.total;
        search.total += heat->buckets[at];
    }
    if (search.total < LOAD_MIN) {
        return;
    }
    try_edges(&search);
    if (top != NULL && top->total >= TOP_MIN) {
        try_keys(&search);
    }
    point->verdict = judge(&search, point);
    if (point->verdict == SPLIT_GOOD) {
        point->token = search.best;
        point->left = (uint16_t)(search.best_left * PERMILLE / search.total);
    }
}
