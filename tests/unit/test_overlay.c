#include "server/store/overlay.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

enum { KEYS = 500, CACHE_SIZE = 1 << 20 };

static struct slice number(int n, char text[16])
{
    (void)snprintf(text, 16, "%06d", n);
    return slice_str(text);
}

static void remember(struct overlay *overlay, int n)
{
    char text[16];
    struct slice value = slice_str("value");
    overlay_remember(overlay, STORE_DATA, number(n, text), &value);
}

static bool known(struct overlay *overlay, int n)
{
    char text[16];
    return overlay_find(overlay, STORE_DATA, number(n, text)) != NULL;
}

static void delete_range(struct overlay *overlay, int from, int to)
{
    char from_text[16];
    char to_text[16];
    overlay_delete_range(overlay, STORE_DATA, number(from, from_text), number(to, to_text));
}

TEST(overlay_delete_range, hides_what_was_remembered_also_when_it_is_committed)
{
    struct overlay overlay;
    overlay_init(&overlay, CACHE_SIZE);
    for (int n = 0; n < 10; n++) {
        remember(&overlay, n);
    }
    delete_range(&overlay, 2, 5);
    CHECK(known(&overlay, 1));
    CHECK(!known(&overlay, 2));
    CHECK(overlay_covers(&overlay, STORE_DATA, slice_str("000002")));
    CHECK(!overlay_covers(&overlay, STORE_LOCAL, slice_str("000002")));
    overlay_settle(&overlay);
    CHECK(!known(&overlay, 3));
    CHECK(!overlay_covers(&overlay, STORE_DATA, slice_str("000003")));
    remember(&overlay, 3);
    CHECK(known(&overlay, 3));
    CHECK(!known(&overlay, 4));
    CHECK(known(&overlay, 5));
    overlay_deinit(&overlay);
}

TEST(overlay_delete_range, is_forgotten_when_all_rows_are_newer)
{
    struct overlay overlay;
    overlay_init(&overlay, CACHE_SIZE);
    for (int n = 0; n < KEYS; n++) {
        remember(&overlay, n);
    }
    size_t most = 0;
    for (int n = 0; n < 20 * KEYS; n++) {
        /* Apart from each other: none is joined. */
        delete_range(&overlay, 2 * n + KEYS, 2 * n + KEYS + 1);
        overlay_settle(&overlay);
        size_t count = overlay.families[STORE_DATA].stale.count;
        most = count > most ? count : most;
    }
    CHECK(most > KEYS);
    CHECK(most < 3 * (size_t)KEYS);
    for (int n = 0; n < KEYS; n++) {
        CHECK(known(&overlay, n));
    }
    overlay_deinit(&overlay);
}

TEST(overlay_forget_range, drops_what_was_remembered_and_hides_nothing)
{
    struct overlay overlay;
    overlay_init(&overlay, CACHE_SIZE);
    for (int n = 0; n < 10; n++) {
        remember(&overlay, n);
    }
    overlay_forget_range(&overlay, STORE_DATA, slice_str("000002"), slice_str("000005"));
    CHECK(known(&overlay, 1));
    CHECK(!known(&overlay, 2) && !known(&overlay, 4));
    CHECK(known(&overlay, 5));
    CHECK(!overlay_covers(&overlay, STORE_DATA, slice_str("000002"))); /* The engine is asked. */
    CHECK(overlay_clean(&overlay));
    remember(&overlay, 3);
    CHECK(known(&overlay, 3));
    overlay_deinit(&overlay);
}

TEST(overlay_forget, keeps_what_is_dirty)
{
    struct overlay overlay;
    overlay_init(&overlay, CACHE_SIZE);
    remember(&overlay, 1);
    overlay_put(&overlay, STORE_DATA, slice_str("000002"), slice_str("x"));
    overlay_forget(&overlay);
    CHECK(!known(&overlay, 1));
    CHECK(known(&overlay, 2));
    CHECK_EQ(overlay_dirty_count(&overlay), 1);
    overlay_deinit(&overlay);
}

static int depth(const struct overlay_row *row)
{
    int count = 0;
    for (; row != NULL; row = row->node.parent) {
        count++;
    }
    return count;
}

static void check_order(const struct row_tree *tree, size_t count)
{
    const struct overlay_row *row = row_tree_first(tree, slice_of(NULL, 0));
    const struct overlay_row *last = NULL;
    size_t found = 0;
    int deepest = 0;
    for (; row != NULL; row = row_tree_next(row)) {
        CHECK(last == NULL || overlay_compare(overlay_row_key(last), overlay_row_key(row)) < 0);
        CHECK(row_tree_prev(row) == last);
        deepest = depth(row) > deepest ? depth(row) : deepest;
        last = row;
        found++;
    }
    CHECK_EQ(found, count);
    CHECK(row_tree_last(tree, slice_str("999999")) == last);
    CHECK(deepest < 40);
}

TEST(row_tree, is_in_order_and_flat_whatever_the_keys)
{
    struct overlay overlay;
    overlay_init(&overlay, CACHE_SIZE);
    char text[16];
    for (int n = 0; n < 20 * KEYS; n++) {
        overlay_put(&overlay, STORE_DATA, number(n, text), slice_str("x"));
    }
    check_order(overlay_ordered(&overlay, STORE_DATA), (size_t)20 * KEYS);
    delete_range(&overlay, KEYS, 19 * KEYS);
    check_order(overlay_ordered(&overlay, STORE_DATA), (size_t)2 * KEYS);
    overlay_settle(&overlay);
    check_order(overlay_ordered(&overlay, STORE_DATA), 0);
    overlay_deinit(&overlay);
}
