#include "server/store/overlay.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/little.h"

enum {
    BUCKET_COUNT_MIN = 1024,
    CLEAN_VALUE_SIZE_MAX = 64 * 1024,
    CLOCK_STEPS_MAX = 64, /* Per insertion. */
    SWEEP_SHARE = 1024,   /* A range delete visits one in so many rows. */
};

void overlay_init(struct overlay *overlay, size_t size_max)
{
    *overlay = (struct overlay){.size_max = size_max, .bucket_count = BUCKET_COUNT_MIN};
    overlay->buckets = calloc(overlay->bucket_count, sizeof(*overlay->buckets));
    assert(overlay->buckets != NULL);
    list_init(&overlay->clean);
    list_init(&overlay->saved);
    for (int family = 0; family < STORE_FAMILY_COUNT; family++) {
        for (int kind = 0; kind < 4; kind++) {
            list_init(&overlay->families[family].dirty[kind / 2][kind % 2]);
        }
    }
    buf_init(&overlay->undo_keys, SIZE_MAX / 2);
}

static size_t row_size(const struct overlay_row *row)
{
    return offsetof(struct overlay_row, bytes) + row->key_len + row->value_size;
}

/* NULL if the list is empty. */
static struct overlay_row *front(const struct list *list)
{
    return list_empty(list) ? NULL : list_entry(list->next, struct overlay_row, list);
}

static struct overlay_family *family_of(struct overlay *overlay, const struct overlay_row *row)
{
    return &overlay->families[row->family];
}

static struct overlay_row **bucket_of(const struct overlay *overlay, uint32_t hash)
{
    return &overlay->buckets[hash & (overlay->bucket_count - 1)];
}

static void chain(struct overlay *overlay, struct overlay_row *row)
{
    struct overlay_row **bucket = bucket_of(overlay, row->hash);
    row->chain = *bucket;
    *bucket = row;
    overlay->count++;
    overlay->size += row_size(row);
}

static void unchain(struct overlay *overlay, struct overlay_row *row)
{
    struct overlay_row **at = bucket_of(overlay, row->hash);
    while (*at != row) {
        assert(*at != NULL);
        at = &(*at)->chain;
    }
    *at = row->chain;
    overlay->count--;
    assert(overlay->size >= row_size(row));
    overlay->size -= row_size(row);
}

/* The row is in no list. */
static void mark_dirty(struct overlay *overlay, struct overlay_row *row)
{
    struct overlay_family *family = family_of(overlay, row);
    row->dirty = true;
    row->ordered = false;
    row->touched = overlay->marked;
    list_push_back(&family->dirty[row->touched][0], &row->list);
    family->dirty_count++;
    overlay->dirty_size += row_size(row);
}

/* Leaves the row in no list. */
static void unmark_dirty(struct overlay *overlay, struct overlay_row *row)
{
    struct overlay_family *family = family_of(overlay, row);
    assert(row->dirty);
    assert(family->dirty_count > 0);
    assert(overlay->dirty_size >= row_size(row));
    if (row->ordered) {
        row_tree_remove(&family->tree, row);
        row->ordered = false;
    }
    list_remove(&row->list);
    row->dirty = false;
    row->touched = false;
    family->dirty_count--;
    overlay->dirty_size -= row_size(row);
}

static void make_clean(struct overlay *overlay, struct overlay_row *row)
{
    row->stamp = overlay->stamp;
    list_push_back(&overlay->clean, &row->list);
}

/* Takes the row out of everything. */
static void detach(struct overlay *overlay, struct overlay_row *row)
{
    unchain(overlay, row);
    if (row->dirty) {
        unmark_dirty(overlay, row);
    } else {
        list_remove(&row->list);
    }
}

static void drop(struct overlay *overlay, struct overlay_row *row)
{
    detach(overlay, row);
    free(row);
}

static void drop_all(struct overlay *overlay, struct list *rows)
{
    for (struct overlay_row *row; (row = front(rows)) != NULL;) {
        drop(overlay, row);
    }
}

/* Forgets what a rollback would need. */
static void clear_undo(struct overlay *overlay)
{
    for (struct list *at; (at = list_pop_front(&overlay->saved)) != NULL;) {
        free(list_entry(at, struct overlay_row, list));
    }
    range_set_clear(&overlay->replaced);
    buf_clear(&overlay->undo_keys);
    overlay->undo_count = 0;
    overlay->marked = false;
}

void overlay_deinit(struct overlay *overlay)
{
    clear_undo(overlay);
    drop_all(overlay, &overlay->clean);
    for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
        struct overlay_family *family = &overlay->families[i];
        for (int kind = 0; kind < 4; kind++) {
            drop_all(overlay, &family->dirty[kind / 2][kind % 2]);
        }
        assert(family->dirty_count == 0 && family->tree.root == NULL);
        range_set_deinit(&family->deleted);
        range_set_deinit(&family->stale);
    }
    assert(overlay->count == 0 && overlay->size == 0 && overlay->dirty_size == 0);
    range_set_deinit(&overlay->replaced);
    buf_deinit(&overlay->undo_keys);
    free(overlay->undo);
    free(overlay->buckets);
    *overlay = (struct overlay){0};
}

static uint32_t hash_of(enum store_family family, struct slice key)
{
    return (uint32_t)hash_bytes_seeded(key, (uint64_t)family);
}

static struct overlay_row *find(const struct overlay *overlay,
                                enum store_family family,
                                struct slice key,
                                uint32_t hash)
{
    struct overlay_row *row = *bucket_of(overlay, hash);
    while (row != NULL && (row->hash != hash || row->family != (uint8_t)family ||
                           !slice_equal(overlay_row_key(row), key))) {
        row = row->chain;
    }
    return row;
}

/* False, and the row is dropped, if it is clean and a range that was deleted later covers it. */
static bool renew(struct overlay *overlay, struct overlay_row *row)
{
    if (row->dirty || row->stamp == overlay->stamp) {
        return true;
    }
    const struct range *range =
        range_set_find(&family_of(overlay, row)->stale, overlay_row_key(row));
    if (range != NULL && range->stamp > row->stamp) {
        drop(overlay, row);
        return false;
    }
    row->stamp = overlay->stamp;
    return true;
}

const struct overlay_row *overlay_find(struct overlay *overlay,
                                       enum store_family family,
                                       struct slice key)
{
    struct overlay_row *row = find(overlay, family, key, hash_of(family, key));
    if (row == NULL || !renew(overlay, row)) {
        return NULL;
    }
    row->referenced = true;
    return row;
}

bool overlay_covers(const struct overlay *overlay, enum store_family family, struct slice key)
{
    return range_set_find(&overlay->families[family].deleted, key) != NULL;
}

static void grow(struct overlay *overlay)
{
    size_t old_count = overlay->bucket_count;
    struct overlay_row **old = overlay->buckets;
    overlay->bucket_count = old_count * 2;
    overlay->buckets = calloc(overlay->bucket_count, sizeof(*overlay->buckets));
    assert(overlay->buckets != NULL);
    for (size_t i = 0; i < old_count; i++) {
        struct overlay_row *row = old[i];
        while (row != NULL) {
            struct overlay_row *next = row->chain;
            struct overlay_row **bucket = bucket_of(overlay, row->hash);
            row->chain = *bucket;
            *bucket = row;
            row = next;
        }
    }
    free(old);
}

/* Moves the hand over a row that stays. */
static void pass(struct overlay *overlay, struct overlay_row *row)
{
    list_remove(&row->list);
    list_push_back(&overlay->clean, &row->list);
}

static void evict(struct overlay *overlay)
{
    for (int i = 0; i < CLOCK_STEPS_MAX && overlay->size > overlay->size_max; i++) {
        struct overlay_row *row = front(&overlay->clean);
        if (row == NULL) {
            return;
        }
        overlay->sweep_left -= overlay->sweep_left > 0;
        if (!row->referenced) {
            drop(overlay, row);
        } else if (renew(overlay, row)) {
            row->referenced = false;
            pass(overlay, row);
        }
    }
}

/* In no list yet. */
static struct overlay_row *add(struct overlay *overlay,
                               enum store_family family,
                               struct slice key,
                               uint32_t hash,
                               size_t value_size)
{
    assert(key.len <= UINT32_MAX && value_size <= UINT32_MAX);
    evict(overlay);
    /* Every row of a chain that is not the one is a cache miss: few of them. */
    if (overlay->count >= overlay->bucket_count / 2) {
        grow(overlay);
    }
    /* The struct ends in padding, which the key may use. */
    size_t size = offsetof(struct overlay_row, bytes) + key.len + value_size;
    struct overlay_row *row = malloc(size < sizeof(*row) ? sizeof(*row) : size);
    assert(row != NULL);
    *row = (struct overlay_row){.hash = hash,
                                .family = (uint8_t)family,
                                .key_len = (uint32_t)key.len,
                                .value_size = (uint32_t)value_size};
    if (key.len > 0) {
        memcpy(row->bytes, key.data, key.len);
    }
    chain(overlay, row);
    return row;
}

static void set_value(struct overlay_row *row, struct slice value)
{
    assert(value.len <= row->value_size);
    row->present = true;
    row->value_len = (uint32_t)value.len;
    if (value.len > 0) {
        memcpy(row->bytes + row->key_len, value.data, value.len);
    }
}

/* Keeps a row that was dirty at the mark for the rollback. */
static void save(struct overlay *overlay, struct overlay_row *row)
{
    detach(overlay, row);
    list_push_back(&overlay->saved, &row->list);
}

/* The dirty row of the key, with room for value_size bytes: the caller writes the value. */
static struct overlay_row *write_row(struct overlay *overlay,
                                     enum store_family family,
                                     struct slice key,
                                     size_t value_size)
{
    uint32_t hash = hash_of(family, key);
    struct overlay_row *row = find(overlay, family, key, hash);
    bool grown = row != NULL && row->value_size < value_size;
    if (row != NULL && overlay->marked && row->dirty && !row->touched) {
        save(overlay, row);
        row = NULL;
    } else if (grown) {
        drop(overlay, row);
        row = NULL;
    } else if (row != NULL && !row->dirty) {
        list_remove(&row->list);
        mark_dirty(overlay, row);
    }
    if (row == NULL) {
        /* A value that grew once will grow again. */
        row = add(overlay, family, key, hash, value_size + (grown ? value_size / 2 : 0));
        mark_dirty(overlay, row);
    }
    return row;
}

void overlay_put(struct overlay *overlay,
                 enum store_family family,
                 struct slice key,
                 struct slice value)
{
    set_value(write_row(overlay, family, key, value.len), value);
}

void overlay_delete(struct overlay *overlay, enum store_family family, struct slice key)
{
    struct overlay_row *row = write_row(overlay, family, key, 0);
    row->present = false;
    row->value_len = 0;
}

/* Clean rows prove themselves, a share of all at each call; when all have, ranges that are older
 * than the first proof say nothing any more. */
static void sweep(struct overlay *overlay)
{
    if (overlay->sweep_left == 0) {
        for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
            range_set_prune(&overlay->families[i].stale, overlay->sweep_stamp);
        }
        overlay->sweep_stamp = overlay->stamp;
        overlay->sweep_left = overlay->count;
    }
    size_t steps = overlay->count / SWEEP_SHARE + 1;
    for (; steps > 0 && overlay->sweep_left > 0; steps--) {
        struct overlay_row *row = front(&overlay->clean);
        if (row == NULL) {
            overlay->sweep_left = 0;
            return;
        }
        overlay->sweep_left--;
        if (renew(overlay, row)) {
            pass(overlay, row);
        }
    }
}

static void add_undo(struct overlay *overlay,
                     enum store_family family,
                     struct slice from,
                     size_t replaced_count)
{
    if (overlay->undo_count == overlay->undo_size) {
        overlay->undo_size = overlay->undo_size == 0 ? 8 : overlay->undo_size * 2;
        overlay->undo = realloc(overlay->undo, overlay->undo_size * sizeof(*overlay->undo));
        assert(overlay->undo != NULL);
    }
    overlay->undo[overlay->undo_count++] = (struct overlay_undo){.family = family,
                                                                 .from = overlay->undo_keys.len,
                                                                 .from_len = from.len,
                                                                 .replaced_count = replaced_count};
    buf_append_slice(&overlay->undo_keys, from);
}

void overlay_delete_range(struct overlay *overlay,
                          enum store_family family,
                          struct slice from,
                          struct slice to)
{
    assert(overlay_compare(from, to) < 0);
    struct overlay_row *row = row_tree_first(overlay_ordered(overlay, family), from);
    while (row != NULL && overlay_compare(overlay_row_key(row), to) < 0) {
        struct overlay_row *next = row_tree_next(row);
        if (overlay->marked && !row->touched) {
            save(overlay, row);
        } else {
            drop(overlay, row);
        }
        row = next;
    }
    struct overlay_family *ranges = &overlay->families[family];
    overlay->stamp++;
    range_set_add(&ranges->stale, from, to, overlay->stamp, NULL);
    size_t replaced = overlay->replaced.count;
    struct range_set *stack = overlay->marked ? &overlay->replaced : NULL;
    if (range_set_add(&ranges->deleted, from, to, 0, stack) && overlay->marked) {
        add_undo(overlay, family, from, overlay->replaced.count - replaced);
    }
    sweep(overlay);
}

void overlay_forget_range(struct overlay *overlay,
                          enum store_family family,
                          struct slice from,
                          struct slice to)
{
    assert(!overlay->marked && overlay_compare(from, to) < 0);
    overlay->stamp++;
    range_set_add(&overlay->families[family].stale, from, to, overlay->stamp, NULL);
    sweep(overlay);
}

void overlay_remember(struct overlay *overlay,
                      enum store_family family,
                      struct slice key,
                      const struct slice *value)
{
    size_t value_len = value == NULL ? 0 : value->len;
    if (value_len > CLEAN_VALUE_SIZE_MAX) {
        return;
    }
    struct overlay_row *row = add(overlay, family, key, hash_of(family, key), value_len);
    if (value != NULL) {
        set_value(row, *value);
    }
    make_clean(overlay, row);
}

static void settle_rows(struct overlay *overlay, struct list *rows)
{
    for (struct overlay_row *row; (row = front(rows)) != NULL;) {
        row->ordered = false; /* The tree goes as a whole, not row by row. */
        unmark_dirty(overlay, row);
        make_clean(overlay, row);
        if (row->value_size > CLEAN_VALUE_SIZE_MAX) {
            drop(overlay, row);
        }
    }
}

void overlay_settle(struct overlay *overlay)
{
    assert(!overlay->marked);
    for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
        struct overlay_family *family = &overlay->families[i];
        settle_rows(overlay, &family->dirty[0][0]);
        settle_rows(overlay, &family->dirty[0][1]);
        assert(family->dirty_count == 0);
        family->tree.root = NULL;
        range_set_clear(&family->deleted);
    }
    overlay->disowned = false;
}

void overlay_forget(struct overlay *overlay)
{
    drop_all(overlay, &overlay->clean);
}

void overlay_mark(struct overlay *overlay)
{
    assert(!overlay->marked);
    assert(list_empty(&overlay->saved) && overlay->undo_count == 0);
    overlay->marked = true;
    overlay->marked_disowned = overlay->disowned;
}

void overlay_rollback(struct overlay *overlay)
{
    assert(overlay->marked);
    for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
        drop_all(overlay, &overlay->families[i].dirty[1][0]);
        drop_all(overlay, &overlay->families[i].dirty[1][1]);
    }
    while (overlay->undo_count > 0) {
        const struct overlay_undo *undo = &overlay->undo[--overlay->undo_count];
        range_set_undo(&overlay->families[undo->family].deleted,
                       slice_of(overlay->undo_keys.data + undo->from, undo->from_len),
                       &overlay->replaced, undo->replaced_count);
    }
    overlay->marked = false;
    overlay->disowned = overlay->marked_disowned;
    for (struct list *at; (at = list_pop_front(&overlay->saved)) != NULL;) {
        struct overlay_row *row = list_entry(at, struct overlay_row, list);
        assert(find(overlay, (enum store_family)row->family, overlay_row_key(row), row->hash) ==
               NULL);
        chain(overlay, row);
        mark_dirty(overlay, row);
    }
    clear_undo(overlay);
}

void overlay_release(struct overlay *overlay)
{
    assert(overlay->marked);
    for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
        for (int ordered = 0; ordered < 2; ordered++) {
            struct list *kept = &overlay->families[i].dirty[0][ordered];
            for (struct list *at;
                 (at = list_pop_front(&overlay->families[i].dirty[1][ordered])) != NULL;) {
                list_entry(at, struct overlay_row, list)->touched = false;
                list_push_back(kept, at);
            }
        }
    }
    clear_undo(overlay);
}

bool overlay_clean(const struct overlay *overlay)
{
    for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
        const struct overlay_family *family = &overlay->families[i];
        if (family->dirty_count > 0 || family->deleted.count > 0) {
            return false;
        }
    }
    return true;
}

size_t overlay_dirty_count(const struct overlay *overlay)
{
    size_t count = 0;
    for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
        count += overlay->families[i].dirty_count;
    }
    return count;
}

const struct row_tree *overlay_ordered(struct overlay *overlay, enum store_family family)
{
    struct overlay_family *rows = &overlay->families[family];
    for (int touched = 0; touched < 2; touched++) {
        for (struct list *at; (at = list_pop_front(&rows->dirty[touched][0])) != NULL;) {
            struct overlay_row *row = list_entry(at, struct overlay_row, list);
            row_tree_insert(&rows->tree, row);
            row->ordered = true;
            list_push_back(&rows->dirty[touched][1], at);
        }
    }
    return &rows->tree;
}

/* A row with the beginning of its key: most comparisons end there, without a look at rows that are
 * spread over the memory. */
struct ranked {
    uint64_t rank;
    const struct overlay_row *row;
};

static uint64_t rank_of(const struct overlay_row *row)
{
    uint8_t first[8] = {0};
    memcpy(first, row->bytes, row->key_len < sizeof(first) ? row->key_len : sizeof(first));
    return __builtin_bswap64(little_u64(first));
}

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;
    if (left->rank != right->rank) {
        return left->rank < right->rank ? -1 : 1;
    }
    return overlay_compare(overlay_row_key(left->row), overlay_row_key(right->row));
}

/* Fills rows with the rows of the four lists in order. */
static void sort_dirty(const struct overlay_family *from, const struct overlay_row **rows)
{
    struct ranked *ranked = calloc(from->dirty_count + 1, sizeof(*ranked));
    assert(ranked != NULL);
    size_t count = 0;
    for (int kind = 0; kind < 4; kind++) {
        const struct list *dirty = &from->dirty[kind / 2][kind % 2];
        for (struct list *at = dirty->next; at != dirty; at = at->next) {
            const struct overlay_row *row = list_entry(at, struct overlay_row, list);
            ranked[count++] = (struct ranked){.rank = rank_of(row), .row = row};
        }
    }
    assert(count == from->dirty_count);
    qsort(ranked, count, sizeof(*ranked), compare_ranked);
    for (size_t i = 0; i < count; i++) {
        rows[i] = ranked[i].row;
    }
    free(ranked);
}

void overlay_collect(const struct overlay *overlay,
                     enum store_family family,
                     const struct overlay_row **rows)
{
    const struct overlay_family *from = &overlay->families[family];
    size_t count = 0;
    if (list_empty(&from->dirty[0][0]) && list_empty(&from->dirty[1][0])) {
        const struct overlay_row *row = row_tree_first(&from->tree, slice_of(NULL, 0));
        for (; row != NULL; row = row_tree_next(row)) {
            rows[count++] = row;
        }
        assert(count == from->dirty_count);
        return;
    }
    sort_dirty(from, rows);
}
