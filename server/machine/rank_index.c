#include "server/machine/rank_index.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/handlers.h"

/* A node on the way from the top level to a key. */
struct step {
    size_t name_at; /* In path.names. */
    size_t name_len;
    uint64_t count;
    uint32_t children;
};

struct path {
    struct rank_index *index;
    struct buf *names;
    struct step steps[RANK_INDEX_LEVELS_MAX + 1]; /* By level; 0 is not used. */
};

static int compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct slice node_key(struct rank_index *index,
                             size_t scratch,
                             size_t level,
                             struct slice name)
{
    struct buf *key = txn_scratch(index->txn, scratch);
    buf_append_slice(key, index->nodes);
    buf_append_u8(key, (uint8_t)level);
    buf_append_slice(key, name);
    return buf_slice(key);
}

static void put_node(
    struct rank_index *index, size_t level, struct slice name, uint64_t count, uint32_t children)
{
    assert(level > 0 && count > 0);
    assert((level == 1) == (children == 0));
    uint8_t value[sizeof(count) + sizeof(children)];
    memcpy(value, &count, sizeof(count));
    memcpy(value + sizeof(count), &children, sizeof(children));
    struct slice key = node_key(index, SCRATCH_RANK_KEY, level, name);
    txn_put(index->txn, STORE_DATA, key, slice_of(value, sizeof(value)));
}

static void drop_node(struct rank_index *index, size_t level, struct slice name)
{
    txn_delete(index->txn, STORE_DATA, node_key(index, SCRATCH_RANK_KEY, level, name));
}

static struct slice step_name(const struct path *path, size_t level)
{
    const struct step *step = &path->steps[level];
    return slice_of(path->names->data + step->name_at, step->name_len);
}

static void name_step(struct path *path, size_t level, struct slice name)
{
    path->steps[level].name_at = path->names->len;
    path->steps[level].name_len = name.len;
    buf_append_slice(path->names, name);
}

static void put_step(const struct path *path, size_t level)
{
    const struct step *step = &path->steps[level];
    put_node(path->index, level, step_name(path, level), step->count, step->children);
}

static enum status read_node(struct store_iter *iter, uint64_t *count, uint32_t *children)
{
    struct reader in = reader_of(iter_value(iter));
    *count = reader_u64(&in);
    *children = reader_u32(&in);
    return reader_done(&in) && *count > 0 ? STATUS_OK : STATUS_CORRUPT;
}

static void set_first(struct rank_index *index, struct slice name)
{
    index->first_size =
        (uint8_t)(name.len < RANK_INDEX_FIRST_MAX ? name.len : RANK_INDEX_FIRST_MAX);
    if (index->first_size > 0) {
        memcpy(index->first, name.data, index->first_size);
    }
}

static struct slice first_name(const struct rank_index *index)
{
    return slice_of(index->first, index->first_size);
}

/* Where the nodes of a level begin, as far as is known, that are not before lower. */
static struct slice begin_of(const struct rank_index *index, size_t level, struct slice lower)
{
    bool before = level == index->levels && compare(lower, first_name(index)) < 0;
    return before ? first_name(index) : lower;
}

/* All nodes of a level with names that are not less than lower. A name at or behind high would have
 * no rows. */
static struct store_iter *open_level(struct rank_index *index, size_t level, struct slice lower)
{
    lower = begin_of(index, level, lower);
    struct slice upper = compare(lower, index->high) > 0 ? lower : index->high;
    struct slice from = node_key(index, SCRATCH_RANK_FROM, level, lower);
    struct slice to = node_key(index, SCRATCH_RANK_TO, level, upper);
    return iter_open(index->txn, STORE_DATA, from, to);
}

static struct slice node_name(const struct rank_index *index, struct store_iter *iter)
{
    struct slice key = iter_key(iter);
    assert(key.len > index->nodes.len);
    return slice_of(key.data + index->nodes.len + 1, key.len - index->nodes.len - 1);
}

/* Rows with from <= sub-key < to, as far as there may be any. */
static struct store_iter *open_rows(struct rank_index *index, struct slice from, struct slice to)
{
    struct buf *lower = txn_scratch(index->txn, SCRATCH_RANK_FROM);
    struct buf *upper = txn_scratch(index->txn, SCRATCH_RANK_TO);
    buf_append_slice(lower, index->rows);
    buf_append_slice(lower, compare(from, index->low) < 0 ? index->low : from);
    buf_append_slice(upper, index->rows);
    buf_append_slice(upper, compare(to, index->high) > 0 ? index->high : to);
    return iter_open(index->txn, STORE_DATA, buf_slice(lower), buf_slice(upper));
}

static struct slice row_sub_key(const struct rank_index *index, struct store_iter *iter)
{
    struct slice key = iter_key(iter);
    assert(key.len >= index->rows.len);
    return slice_of(key.data + index->rows.len, key.len - index->rows.len);
}

static enum status close_iter(struct store_iter *iter, enum status status)
{
    enum status walked = iter_status(iter);
    iter_close(iter);
    return walked != STATUS_OK ? walked : status;
}

/* Where to look for a key: removed nodes at either end are not walked over. */
static struct slice within(const struct rank_index *index, struct slice key)
{
    if (compare(key, index->low) < 0) {
        return index->low;
    }
    return compare(key, index->high) > 0 ? index->high : key;
}

/* The node of the level that the key belongs to, among those not before lower. */
static enum status find_step(struct path *path, size_t level, struct slice lower, struct slice key)
{
    struct rank_index *index = path->index;
    struct store_iter *iter = open_level(index, level, lower);
    /* Before the first there is none; looking for it backward would walk over the rows of a set of
     * the same name that was deleted, however many those are. */
    bool before = compare(key, begin_of(index, level, lower)) < 0;
    if (!before) {
        iter_seek_for_prev(iter, node_key(index, SCRATCH_RANK_KEY, level, key));
    }
    if (before || !iter_valid(iter)) {
        iter_seek(iter, node_key(index, SCRATCH_RANK_KEY, level, lower));
    }
    enum status status = STATUS_CORRUPT;
    if (iter_valid(iter)) {
        struct step *step = &path->steps[level];
        status = read_node(iter, &step->count, &step->children);
        name_step(path, level, node_name(index, iter));
    }
    return close_iter(iter, status);
}

static enum status find_path(struct path *path, struct rank_index *index, struct slice key)
{
    assert(index->levels > 0 && index->levels <= RANK_INDEX_LEVELS_MAX);
    path->index = index;
    path->names = txn_scratch(index->txn, SCRATCH_RANK_NAMES);
    struct slice near = within(index, key);
    struct slice lower = slice_of(NULL, 0);
    for (size_t level = index->levels; level > 0; level--) {
        if (level < index->levels) {
            lower = step_name(path, level + 1);
        }
        struct buf *copy = txn_scratch(index->txn, SCRATCH_RANK_ROW);
        buf_append_slice(copy, lower); /* The names move when they grow. */
        enum status status = find_step(path, level, buf_slice(copy), near);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Where a node is cut in two: the first `count` rows of its `children` stay. */
struct cut {
    struct buf *name; /* Of the second part. */
    uint64_t count;
    uint32_t children;
};

/* In the middle of its rows, or before its last one. */
static enum status cut_leaf(const struct path *path, bool at_end, struct slice key, struct cut *cut)
{
    const struct step *step = &path->steps[1];
    cut->count = at_end ? step->count - 1 : step->count / 2;
    cut->children = 0;
    if (at_end) {
        buf_append_slice(cut->name, key);
        return STATUS_OK;
    }
    struct store_iter *iter = open_rows(path->index, step_name(path, 1), path->index->high);
    for (uint64_t n = 0; n < cut->count && iter_valid(iter); n++) {
        iter_next(iter);
    }
    bool found = iter_valid(iter);
    if (found) {
        buf_append_slice(cut->name, row_sub_key(path->index, iter));
    }
    return close_iter(iter, found ? STATUS_OK : STATUS_CORRUPT);
}

static enum status cut_children(const struct path *path, size_t level, bool at_end, struct cut *cut)
{
    const struct step *step = &path->steps[level];
    cut->children = at_end ? step->children - 1 : step->children / 2;
    cut->count = 0;
    struct store_iter *iter = open_level(path->index, level - 1, step_name(path, level));
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < cut->children && status == STATUS_OK && iter_valid(iter); n++) {
        uint64_t count = 0;
        uint32_t children = 0;
        status = read_node(iter, &count, &children);
        cut->count += count;
        iter_next(iter);
    }
    bool found = iter_valid(iter) && cut->count < step->count;
    if (found) {
        buf_append_slice(cut->name, node_name(path->index, iter));
    }
    return close_iter(iter, found ? status : STATUS_CORRUPT);
}

/* A node of a new level above all that are there. */
static enum status grow(struct path *path)
{
    struct rank_index *index = path->index;
    assert(index->levels < RANK_INDEX_LEVELS_MAX);
    size_t level = index->levels + 1U;
    struct step *step = &path->steps[level];
    *step = (struct step){.children = index->top};
    struct store_iter *iter = open_level(index, index->levels, slice_of(NULL, 0));
    if (iter_valid(iter)) {
        name_step(path, level, node_name(index, iter));
    }
    enum status status = STATUS_OK;
    uint32_t nodes = 0;
    for (; status == STATUS_OK && iter_valid(iter); iter_next(iter)) {
        uint64_t count = 0;
        uint32_t children = 0;
        status = read_node(iter, &count, &children);
        step->count += count;
        nodes++;
    }
    status = close_iter(iter, nodes == index->top ? status : STATUS_CORRUPT);
    if (status == STATUS_OK) {
        index->levels++;
        index->top = 1;
        put_step(path, level);
    }
    return status;
}

static enum status split(struct path *path, size_t level, bool at_end, struct slice key)
{
    struct rank_index *index = path->index;
    struct step *step = &path->steps[level];
    struct cut cut = {.name = txn_scratch(index->txn, SCRATCH_RANK_ROW)};
    enum status status =
        level == 1 ? cut_leaf(path, at_end, key, &cut) : cut_children(path, level, at_end, &cut);
    if (status != STATUS_OK) {
        return status;
    }
    struct slice name = buf_slice(cut.name);
    put_node(index, level, name, step->count - cut.count, step->children - cut.children);
    step->count = cut.count;
    step->children = cut.children;
    put_step(path, level);
    if (level == index->levels) {
        index->top++;
        return STATUS_OK;
    }
    path->steps[level + 1].children++;
    put_step(path, level + 1);
    return STATUS_OK;
}

static bool too_large(const struct path *path, size_t level)
{
    const struct step *step = &path->steps[level];
    return level == 1 ? step->count > path->index->leaf_max : step->children > path->index->fan_max;
}

/* The first key that is greater. */
static struct buf *behind(struct rank_index *index, struct slice key)
{
    struct buf *next = txn_scratch(index->txn, SCRATCH_RANK_BOUND);
    buf_append_slice(next, key);
    buf_append_u8(next, 0);
    return next;
}

enum status rank_index_add(struct rank_index *index, struct slice key)
{
    struct path path;
    enum status status = find_path(&path, index, key);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t level = index->levels; level > 0; level--) {
        struct slice name = step_name(&path, level);
        if (compare(key, name) < 0) {
            drop_node(index, level, name);
            name_step(&path, level, key);
        }
        path.steps[level].count++;
        put_step(&path, level);
    }
    if (compare(key, first_name(index)) < 0) {
        set_first(index, key);
    }
    /* The new row is there already, perhaps beyond the bounds. */
    struct rank_index before = *index;
    bool at_end = compare(key, index->high) >= 0;
    if (at_end) {
        index->high = buf_slice(behind(index, key));
    } else if (compare(key, index->low) < 0) {
        index->low = key;
    }
    for (size_t level = 1; level <= index->levels && status == STATUS_OK; level++) {
        if (too_large(&path, level)) {
            status = split(&path, level, at_end, key);
        }
        if (status == STATUS_OK && level == index->levels && index->top > index->fan_max) {
            status = grow(&path);
        }
    }
    index->low = before.low;
    index->high = before.high;
    return status;
}

/* A node of the highest level is gone. */
static enum status move_first(struct rank_index *index, struct slice name)
{
    struct slice first = first_name(index);
    bool was_first = name.len >= first.len && memcmp(name.data, first.data, first.len) == 0;
    if (index->top == 0 || !was_first) {
        return STATUS_OK;
    }
    struct store_iter *iter = open_level(index, index->levels, slice_of(NULL, 0));
    bool found = iter_valid(iter);
    if (found) {
        set_first(index, node_name(index, iter));
    }
    return close_iter(iter, found ? STATUS_OK : STATUS_CORRUPT);
}

enum status rank_index_remove(struct rank_index *index, struct slice key, uint64_t count)
{
    assert(count > 0);
    struct path path;
    enum status status = find_path(&path, index, key);
    for (size_t level = 1; status == STATUS_OK && level <= index->levels; level++) {
        struct step *step = &path.steps[level];
        if (step->count < count) {
            return STATUS_CORRUPT;
        }
        step->count -= count;
        if (step->count > 0) {
            put_step(&path, level);
            continue;
        }
        drop_node(index, level, step_name(&path, level));
        if (level == index->levels) {
            index->top--;
            status = move_first(index, step_name(&path, level));
        } else {
            path.steps[level + 1].children--;
        }
    }
    return status;
}

enum status rank_index_leaf_end(struct rank_index *index, struct slice key, struct buf *end)
{
    assert(index->levels > 0);
    struct store_iter *iter = open_level(index, 1, buf_slice(behind(index, key)));
    buf_clear(end);
    if (iter_valid(iter)) {
        buf_append_slice(end, node_name(index, iter));
    }
    return close_iter(iter, STATUS_OK);
}

/* Adds what is before the last node of the level whose name is not greater than the key, which
 * becomes *lower; *inside is false if there is none. */
static enum status count_level(struct rank_index *index,
                               size_t level,
                               struct slice key,
                               struct buf *lower,
                               uint64_t *before,
                               bool *inside)
{
    struct store_iter *iter = open_level(index, level, buf_slice(lower));
    enum status status = STATUS_OK;
    uint64_t last = 0;
    *inside = false;
    while (status == STATUS_OK && iter_valid(iter) && compare(node_name(index, iter), key) <= 0) {
        uint32_t children = 0;
        *before += last;
        status = read_node(iter, &last, &children);
        *inside = true;
        buf_clear(lower);
        buf_append_slice(lower, node_name(index, iter));
        iter_next(iter);
    }
    return close_iter(iter, status);
}

static enum status count_rows(struct rank_index *index,
                              struct slice from,
                              struct slice key,
                              uint64_t *before)
{
    struct store_iter *iter = open_rows(index, from, key);
    for (; iter_valid(iter); iter_next(iter)) {
        (*before)++;
    }
    return close_iter(iter, STATUS_OK);
}

enum status rank_index_count(struct rank_index *index, struct slice key, uint64_t *before)
{
    uint64_t found = 0;
    enum status status = STATUS_OK;
    bool inside = true;
    if (compare(key, index->low) <= 0 || compare(key, index->high) >= 0) {
        *before = compare(key, index->low) <= 0 ? 0 : index->size;
        return STATUS_OK;
    }
    struct buf *lower = txn_scratch(index->txn, SCRATCH_RANK_NAMES);
    for (size_t level = index->levels; level > 0 && status == STATUS_OK && inside; level--) {
        status = count_level(index, level, key, lower, &found, &inside);
    }
    if (status == STATUS_OK && inside) {
        status = count_rows(index, buf_slice(lower), key, &found);
    }
    if (status == STATUS_OK) {
        *before = found;
    }
    return status;
}

/* The node of the level that holds the rank, counted from lower on; it becomes *lower. */
static enum status descend(struct rank_index *index,
                           size_t level,
                           struct buf *lower,
                           uint64_t *rank)
{
    struct store_iter *iter = open_level(index, level, buf_slice(lower));
    enum status status = STATUS_OK;
    bool found = false;
    for (; status == STATUS_OK && !found && iter_valid(iter); iter_next(iter)) {
        uint64_t count = 0;
        uint32_t children = 0;
        status = read_node(iter, &count, &children);
        if (*rank >= count) {
            *rank -= count;
            continue;
        }
        found = true;
        buf_clear(lower);
        buf_append_slice(lower, node_name(index, iter));
        break;
    }
    return close_iter(iter, found ? status : STATUS_CORRUPT);
}

enum status rank_index_at(struct rank_index *index, uint64_t rank, struct buf *from, uint64_t *skip)
{
    assert(rank < index->size);
    buf_clear(from);
    enum status status = STATUS_OK;
    if (rank >= index->leaf_max) {
        for (size_t level = index->levels; level > 0 && status == STATUS_OK; level--) {
            status = descend(index, level, from, &rank);
        }
    }
    if (compare(buf_slice(from), index->low) < 0) {
        buf_clear(from);
        buf_append_slice(from, index->low);
    }
    *skip = rank;
    return status;
}

/* What is built leaves room for more. */
static uint32_t fill_of(uint32_t max)
{
    return max - max / 4;
}

void rank_builder_begin(struct rank_builder *builder, struct rank_index *index)
{
    assert(index->levels == 0);
    assert(index->leaf_max > 1 && index->fan_max > 1);
    *builder = (struct rank_builder){.index = index};
    builder->names = txn_scratch(index->txn, SCRATCH_RANK_NAMES);
}

/* Writes the node of a level that is being filled; it becomes a child of the one above. */
static void finish_node(struct rank_builder *builder, size_t level)
{
    assert(level < RANK_INDEX_LEVELS_MAX);
    uint64_t count = builder->levels[level].count;
    size_t name_at = builder->levels[level].name_at;
    size_t name_len = builder->levels[level].name_len;
    struct slice name = slice_of(builder->names->data + name_at, name_len);
    put_node(builder->index, level, name, count, builder->levels[level].children);
    builder->levels[level].nodes++;
    builder->levels[level].count = 0;
    builder->levels[level].children = 0;
    if (builder->levels[level + 1].count == 0) {
        builder->levels[level + 1].name_at = name_at;
        builder->levels[level + 1].name_len = name_len;
    }
    builder->levels[level + 1].count += count;
    builder->levels[level + 1].children++;
}

/* Names of nodes that are written make room. */
static void begin_leaf(struct rank_builder *builder, struct slice key)
{
    size_t end = 0;
    for (size_t level = 2; level <= RANK_INDEX_LEVELS_MAX; level++) {
        size_t used = builder->levels[level].name_at + builder->levels[level].name_len;
        end = builder->levels[level].count > 0 && used > end ? used : end;
    }
    buf_truncate(builder->names, end);
    builder->levels[1].name_at = end;
    builder->levels[1].name_len = key.len;
    buf_append_slice(builder->names, key);
}

void rank_builder_add(struct rank_builder *builder, struct slice key)
{
    if (!builder->started) {
        set_first(builder->index, key);
        builder->started = true;
    }
    if (builder->levels[1].count == 0) {
        begin_leaf(builder, key);
    }
    builder->levels[1].count++;
    bool full = builder->levels[1].count == fill_of(builder->index->leaf_max);
    for (size_t level = 1; full; level++) {
        finish_node(builder, level);
        full = builder->levels[level + 1].children == fill_of(builder->index->fan_max);
    }
}

void rank_builder_end(struct rank_builder *builder)
{
    size_t level = 0;
    do {
        level++;
        if (builder->levels[level].count > 0) {
            finish_node(builder, level);
        }
    } while (builder->levels[level + 1].nodes > 0 ||
             builder->levels[level].nodes > builder->index->fan_max);
    builder->index->levels = (uint8_t)level;
    builder->index->top = builder->levels[level].nodes;
    assert(builder->index->top > 0);
}

enum status rank_index_build(struct rank_index *index)
{
    struct rank_builder builder;
    rank_builder_begin(&builder, index);
    /* Nothing may be written while an iterator is open: the names are taken down first. */
    struct buf *names = txn_scratch(index->txn, SCRATCH_RANK_ROW);
    struct store_iter *iter = open_rows(index, index->low, index->high);
    for (; iter_valid(iter); iter_next(iter)) {
        buf_append_bytes(names, row_sub_key(index, iter));
    }
    enum status status = close_iter(iter, names->len > 0 ? STATUS_OK : STATUS_CORRUPT);
    struct reader in = reader_of(buf_slice(names));
    while (status == STATUS_OK && in.rest.len > 0) {
        rank_builder_add(&builder, reader_bytes(&in, UINT32_MAX));
    }
    if (status == STATUS_OK) {
        rank_builder_end(&builder);
    }
    return status;
}
