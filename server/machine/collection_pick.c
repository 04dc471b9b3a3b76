/* Elements of a collection chosen at random. Every choice follows from the state of rand alone. */

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "server/machine/collection.h"

enum {
    SKIP_MAX = 64, /* Steps behind a random place: evens out the gaps between hashes. */
    SKIP_MIN = 8,  /* They are fewer if each walks over many dead elements. */
    SHARE = 3,     /* One in so many wanted: look at all, instead of choosing again and again. */
};

static bool is_packed(const struct collection *c)
{
    return (c->row.flags & KEYSPACE_PACKED) != 0;
}

/* Few enough to count through. */
static bool is_small(const struct collection *c)
{
    return c->row.size <= 2 * SKIP_MAX;
}

static uint64_t skip_bound(const struct collection *c)
{
    uint64_t share = c->dead / c->row.size + 1;
    uint64_t bound = SKIP_MAX / share;
    return bound < SKIP_MIN ? SKIP_MIN : bound;
}

/* To a random element of a collection in rows; false only if the walk failed. */
static bool land(struct collection_walk *walk, struct rand *rand)
{
    uint64_t size = walk->collection->row.size;
    bool small = is_small(walk->collection);
    uint64_t skip = rand_below(rand, small ? size : skip_bound(walk->collection));
    bool more = collection_walk_seek(walk, small ? 0 : rand_u64(rand));
    while (true) {
        if (!more) {
            more = walk->status == STATUS_OK && collection_walk_seek(walk, 0);
        }
        if (!more || skip == 0) {
            return more;
        }
        skip--;
        more = collection_walk_next(walk);
    }
}

/* All entries of a packed collection, to choose among. */
static enum status index_packed(struct collection *c, uint16_t *places)
{
    struct collection_walk walk;
    size_t count = 0;
    bool more = collection_walk_open(&walk, c, 0);
    for (; more && count < c->row.size; more = collection_walk_next(&walk)) {
        places[count++] = (uint16_t)walk.packed.entry.at;
    }
    enum status status = collection_walk_close(&walk);
    return status == STATUS_OK && (more || count != c->row.size) ? STATUS_CORRUPT : status;
}

static enum status pick_packed(
    struct collection *c, struct rand *rand, uint64_t count, collection_visit visit, void *ctx)
{
    uint16_t places[PACKED_INTEGERS_MAX];
    static_assert(PACKED_COUNT_MAX * 2 * (1 + PACKED_SIZE_MAX) <= UINT16_MAX, "places fit");
    assert(c->row.size <= PACKED_INTEGERS_MAX);
    enum status status = index_packed(c, places);
    struct collection_walk walk;
    if (status == STATUS_OK && !collection_walk_open(&walk, c, 0)) {
        return STATUS_CORRUPT;
    }
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        walk.packed.at = places[rand_below(rand, c->row.size)];
        bool there = collection_walk_next(&walk);
        assert(there);
        status = visit(ctx, &walk.entry);
    }
    return status;
}

enum status collection_pick(
    struct collection *c, struct rand *rand, uint64_t count, collection_visit visit, void *ctx)
{
    assert(collection_count(c) > 0);
    if (is_packed(c)) {
        return pick_packed(c, rand, count, visit, ctx);
    }
    enum status status =
        collection_may_walk(c, count > UINT64_MAX / SKIP_MAX ? count : count * SKIP_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    struct collection_walk walk;
    collection_walk_begin(&walk, c);
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        if (!land(&walk, rand)) {
            status = walk.status == STATUS_OK ? STATUS_CORRUPT : walk.status;
            break;
        }
        status = visit(ctx, &walk.entry);
    }
    enum status walked = collection_walk_close(&walk);
    return status == STATUS_OK ? walked : status;
}

/* Looks at all and takes each with the chance of what is wanted by what is left (Knuth, The Art of
 * Computer Programming 2, algorithm 3.4.2 S). */
static enum status select_all(
    struct collection *c, struct rand *rand, uint64_t count, collection_visit visit, void *ctx)
{
    enum status status = collection_may_walk(c, UINT64_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    struct collection_walk walk;
    uint64_t left = c->row.size;
    bool more = collection_walk_open(&walk, c, 0);
    while (more && count > 0 && left > 0 && status == STATUS_OK) {
        if (rand_below(rand, left) < count) {
            status = visit(ctx, &walk.entry);
            count--;
        }
        left--;
        more = status == STATUS_OK && count > 0 && collection_walk_next(&walk);
    }
    enum status walked = collection_walk_close(&walk);
    status = status == STATUS_OK ? walked : status;
    return status == STATUS_OK && count > 0 ? STATUS_CORRUPT : status;
}

/* Elements that were shown, by the hash of the field; a collision only leaves one out. */
struct seen {
    struct map map;
    collection_visit visit;
    void *ctx;
    uint64_t count;
};

static enum status show_new(void *ctx, const struct collection_entry *entry)
{
    struct seen *seen = ctx;
    uint64_t hash = hash_bytes(entry->field);
    if (map_get(&seen->map, hash) != NULL) {
        return STATUS_OK;
    }
    (void)map_put(&seen->map, hash, seen);
    seen->count++;
    return seen->visit(seen->ctx, entry);
}

enum status collection_pick_distinct(
    struct collection *c, struct rand *rand, uint64_t count, collection_visit visit, void *ctx)
{
    assert(count < collection_count(c));
    if (is_packed(c) || is_small(c) || count > c->row.size / SHARE) {
        return select_all(c, rand, count, visit, ctx);
    }
    struct seen seen = {.visit = visit, .ctx = ctx};
    map_init(&seen.map);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && seen.count < count) {
        status = collection_pick(c, rand, count - seen.count, show_new, &seen);
    }
    map_deinit(&seen.map);
    return status;
}

enum status collection_pick_run(
    struct collection *c, struct rand *rand, uint64_t count, collection_visit visit, void *ctx)
{
    assert(count < collection_count(c));
    if (is_packed(c)) {
        return select_all(c, rand, count, visit, ctx);
    }
    struct collection_walk walk;
    enum status status = STATUS_OK;
    collection_walk_begin(&walk, c);
    bool more = count > 0 && land(&walk, rand);
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        if (!more) {
            more = walk.status == STATUS_OK && collection_walk_seek(&walk, 0);
        }
        status = more ? visit(ctx, &walk.entry) : STATUS_CORRUPT;
        more = more && collection_walk_next(&walk);
    }
    enum status walked = collection_walk_close(&walk);
    return walked == STATUS_OK ? status : walked;
}
