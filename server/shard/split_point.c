#include "server/shard/split_point.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum {
    PERMILLE = 1000,
    LOAD_MIN = 256, /* Less says nothing. */
    TOP_MIN = 64,
    HEAVY_PART = 8,      /* A bucket with 1/8 of the load is looked into. */
    ONE_KEY_SHARE = 500, /* No cut can halve what one token has half of. */
    LARGER_MAX = 750,
    HALF = SHARD_LOAD_CUTS / 2,
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

/* The keys that are known, by place. */
struct spot {
    uint64_t place;
    uint64_t weight;
    bool found;
};

struct candidate {
    uint64_t token;
    double off; /* From what is wanted. */
    double left;
};

/* What is tried, and the best so far. */
struct search {
    const struct heat *heat;
    size_t spot_count;
    struct spot spots[SPACE_SAVING_COUNTERS];
    double total;
    size_t count;
    double before[HEAT_BUCKETS + 1];        /* Load in front of each bucket. */
    struct candidate best[SHARD_LOAD_CUTS]; /* For each eighth. */
    bool any;                               /* A point with something stored on both sides. */
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
    for (size_t i = 0; i < SHARD_LOAD_CUTS; i++) {
        struct candidate *best = &search->best[i];
        double off = left - search->total * (double)(i + 1) / (SHARD_LOAD_CUTS + 1);
        off = off < 0 ? -off : off;
        if (!search->any || off < best->off) {
            *best = (struct candidate){.token = token, .off = off, .left = left};
        }
    }
    search->any = true;
}

static void try_edges(struct search *search)
{
    const struct heat *heat = search->heat;
    size_t first = 0; /* The first and the last bucket where something is stored. */
    size_t last = search->count;
    while (first < search->count && !found_between(heat, first, first + 1)) {
        first++;
    }
    while (last > first && !found_between(heat, last - 1, last)) {
        last--;
    }
    for (size_t at = first + 1; at < last; at++) {
        try_point(search, bucket_start(heat, at), search->before[at]);
    }
}

static int by_place(const void *a, const void *b)
{
    const struct spot *left = a;
    const struct spot *right = b;
    return (left->place > right->place) - (left->place < right->place);
}

static void sort_spots(struct search *search, const struct space_saving *top)
{
    const struct heat *heat = search->heat;
    for (size_t i = 0; i < top->count; i++) {
        const struct space_saving_item *item = &top->items[i];
        if (item->place >= heat->start && item->place <= heat->last) {
            search->spots[search->spot_count++] = (struct spot){
                item->place, top->weights[i], item->absent < top->weights[i] - item->over};
        }
    }
    qsort(search->spots, search->spot_count, sizeof(search->spots[0]), by_place);
}

/* Of the spots of one bucket, first..end: what is in front of a token there, and behind. */
struct sides {
    double left, right;
    bool found_left, found_right;
};

static void try_within(struct search *search,
                       size_t bucket,
                       uint64_t token,
                       const struct sides *sides)
{
    const struct heat *heat = search->heat;
    bool found_left = sides->found_left || found_between(heat, 0, bucket);
    bool found_right = sides->found_right || found_between(heat, bucket + 1, search->count);
    if (token > heat->start && found_left && found_right && sides->left + sides->right > 0) {
        double part = sides->left / (sides->left + sides->right);
        try_point(search, token, search->before[bucket] + part * heat->buckets[bucket]);
    }
}

/* A heavy bucket is cut in front of and behind each key that is known there. */
static void try_bucket(struct search *search, size_t bucket, size_t first, size_t end)
{
    double total = 0;
    size_t found = 0;
    for (size_t i = first; i < end; i++) {
        total += (double)search->spots[i].weight;
        found += search->spots[i].found;
    }
    struct sides sides = {.right = total, .found_right = found > 0};
    for (size_t i = first; i < end; i++) {
        const struct spot *spot = &search->spots[i];
        try_within(search, bucket, spot->place, &sides);
        sides.left += (double)spot->weight;
        sides.right -= (double)spot->weight;
        sides.found_left = sides.found_left || spot->found;
        found -= spot->found;
        sides.found_right = found > 0;
        bool same = i + 1 < end && search->spots[i + 1].place == spot->place;
        if (spot->place < search->heat->last && !same) {
            try_within(search, bucket, spot->place + 1, &sides);
        }
    }
}

static void try_keys(struct search *search)
{
    size_t end = 0;
    for (size_t first = 0; first < search->spot_count; first = end) {
        size_t bucket = bucket_of(search->heat, search->spots[first].place);
        end = first + 1;
        while (end < search->spot_count &&
               bucket_of(search->heat, search->spots[end].place) == bucket) {
            end++;
        }
        if (search->heat->buckets[bucket] * (double)HEAVY_PART >= search->total) {
            try_bucket(search, bucket, first, end);
        }
    }
}

/* Many keys of one tag, or of a co-located database, lie on one token: their weights are added up.
 * The weights of all items add up to the total, and what an item took over from others is shared
 * out like everything else, so that the sum is a fair estimate. */
static void find_hot(const struct search *search, uint64_t total, struct split_point *point)
{
    uint64_t best = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < search->spot_count; i++) {
        bool same = i > 0 && search->spots[i - 1].place == search->spots[i].place;
        sum = search->spots[i].weight + (same ? sum : 0);
        if (sum > best) {
            best = sum;
            point->hot_token = search->spots[i].place;
        }
    }
    uint64_t share = best * PERMILLE / total;
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
    double half_and_off = search->total / 2 + search->best[HALF].off;
    return half_and_off * PERMILLE <= search->total * LARGER_MAX ? SPLIT_GOOD : SPLIT_UNEVEN;
}

static uint16_t permille_of(double part, double total)
{
    double share = part * PERMILLE / total;
    return share > PERMILLE ? PERMILLE : (uint16_t)share;
}

/* By rising token, each once, and none without load on both sides. */
static void add_cuts(const struct search *search, struct split_point *point)
{
    for (size_t i = 0; i < SHARD_LOAD_CUTS; i++) {
        const struct candidate *best = &search->best[i];
        uint16_t left = permille_of(best->left, search->total);
        bool again = point->cut_count > 0 && point->cuts[point->cut_count - 1].token >= best->token;
        if (!again && left > 0 && left < PERMILLE) {
            point->cuts[point->cut_count++] = (struct load_cut){.token = best->token, .left = left};
        }
    }
}

void split_point_find(const struct heat *heat,
                      const struct space_saving *top,
                      struct split_point *point)
{
    *point = (struct split_point){.verdict = SPLIT_UNKNOWN};
    struct search search = {.heat = heat, .count = bucket_count(heat)};
    if (top != NULL && top->total >= TOP_MIN) {
        sort_spots(&search, top);
        find_hot(&search, top->total, point);
    }
    if (heat->start == heat->last) {
        point->verdict = SPLIT_ONE_TOKEN;
        return;
    }
    for (size_t at = 0; at < search.count; at++) {
        search.before[at] = search.total;
        search.total += heat->buckets[at];
    }
    if (search.total < LOAD_MIN) {
        return;
    }
    try_edges(&search);
    try_keys(&search);
    point->verdict = judge(&search, point);
    if (search.any) {
        add_cuts(&search, point);
    }
    if (point->verdict == SPLIT_GOOD) {
        point->token = search.best[HALF].token;
        point->left = permille_of(search.best[HALF].left, search.total);
    }
}
