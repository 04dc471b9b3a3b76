#include "tests/support/store_pages.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "server/store/overlay.h"

static void unref_row(struct pages_row *row)
{
    if (--row->refs == 0) {
        free(row);
    }
}

static void unref_page(struct pages_page *page)
{
    if (--page->refs > 0) {
        return;
    }
    for (size_t i = 0; i < page->count; i++) {
        unref_row(page->rows[i]);
    }
    free(page);
}

struct pages *pages_new(void)
{
    struct pages *pages = calloc(1, sizeof(*pages));
    assert(pages != NULL);
    pages->refs = 1;
    return pages;
}

struct pages *pages_ref(struct pages *pages)
{
    pages->refs++;
    return pages;
}

void pages_unref(struct pages *pages)
{
    if (--pages->refs > 0) {
        return;
    }
    for (size_t i = 0; i < pages->count; i++) {
        unref_page(pages->pages[i]);
    }
    free(pages->pages);
    free(pages);
}

struct pages *pages_copy(const struct pages *pages)
{
    struct pages *copy = pages_new();
    copy->count = pages->count;
    copy->size = pages->count + 4;
    copy->pages = malloc(copy->size * sizeof(*copy->pages));
    assert(copy->pages != NULL);
    for (size_t i = 0; i < pages->count; i++) {
        copy->pages[i] = pages->pages[i];
        copy->pages[i]->refs++;
    }
    return copy;
}

/* The page at index, as one that only this version has. */
static struct pages_page *own_page(struct pages *pages, size_t index)
{
    struct pages_page *page = pages->pages[index];
    if (page->refs == 1) {
        return page;
    }
    struct pages_page *copy = malloc(sizeof(*copy));
    assert(copy != NULL);
    *copy = *page;
    copy->refs = 1;
    for (size_t i = 0; i < copy->count; i++) {
        copy->rows[i]->refs++;
    }
    page->refs--;
    pages->pages[index] = copy;
    return copy;
}

static void insert_page(struct pages *pages, size_t index, struct pages_page *page)
{
    if (pages->count == pages->size) {
        pages->size = pages->size == 0 ? 8 : pages->size * 2;
        pages->pages = realloc(pages->pages, pages->size * sizeof(*pages->pages));
        assert(pages->pages != NULL);
    }
    memmove(pages->pages + index + 1, pages->pages + index,
            (pages->count - index) * sizeof(*pages->pages));
    pages->pages[index] = page;
    pages->count++;
}

static void remove_page(struct pages *pages, size_t index)
{
    unref_page(pages->pages[index]);
    pages->count--;
    memmove(pages->pages + index, pages->pages + index + 1,
            (pages->count - index) * sizeof(*pages->pages));
}

/* The last page whose first key is <= key, or the first. */
static size_t page_of(const struct pages *pages, struct slice key)
{
    size_t low = 0;
    size_t high = pages->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (overlay_compare(pages_key(pages->pages[middle]->rows[0]), key) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first row of the page with a key >= key; its count if there is none. */
static size_t row_of(const struct pages_page *page, struct slice key)
{
    size_t low = 0;
    size_t high = page->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (overlay_compare(pages_key(page->rows[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void split_page(struct pages *pages, size_t index)
{
    struct pages_page *page = own_page(pages, index);
    struct pages_page *right = malloc(sizeof(*right));
    assert(right != NULL);
    size_t half = page->count / 2;
    right->refs = 1;
    right->count = page->count - half;
    memcpy(right->rows, page->rows + half, right->count * sizeof(*right->rows));
    page->count = half;
    insert_page(pages, index + 1, right);
}

static struct pages_row *new_row(struct slice key, struct slice value)
{
    struct pages_row *row = malloc(sizeof(*row) + key.len + value.len);
    assert(row != NULL);
    *row = (struct pages_row){.refs = 1, .key_len = key.len, .value_len = value.len};
    if (key.len > 0) {
        memcpy(row->bytes, key.data, key.len);
    }
    if (value.len > 0) {
        memcpy(row->bytes + key.len, value.data, value.len);
    }
    return row;
}

void pages_put(struct pages *pages, struct slice key, struct slice value)
{
    assert(pages->refs == 1);
    struct pages_row *row = new_row(key, value);
    if (pages->count == 0) {
        struct pages_page *page = calloc(1, sizeof(*page));
        assert(page != NULL);
        page->refs = 1;
        page->count = 1;
        page->rows[0] = row;
        insert_page(pages, 0, page);
        return;
    }
    size_t index = page_of(pages, key);
    if (pages->pages[index]->count == PAGES_ROW_COUNT_MAX) {
        split_page(pages, index);
        index = page_of(pages, key);
    }
    struct pages_page *page = own_page(pages, index);
    size_t at = row_of(page, key);
    if (at < page->count && slice_equal(pages_key(page->rows[at]), key)) {
        unref_row(page->rows[at]);
    } else {
        memmove(page->rows + at + 1, page->rows + at, (page->count - at) * sizeof(*page->rows));
        page->count++;
    }
    page->rows[at] = row;
}

static void delete_at(struct pages *pages, struct pages_at at)
{
    if (pages->pages[at.page]->count == 1) {
        remove_page(pages, at.page);
        return;
    }
    struct pages_page *page = own_page(pages, at.page);
    unref_row(page->rows[at.row]);
    page->count--;
    memmove(page->rows + at.row, page->rows + at.row + 1,
            (page->count - at.row) * sizeof(*page->rows));
}

void pages_delete(struct pages *pages, struct slice key)
{
    assert(pages->refs == 1);
    struct pages_at at = pages_seek(pages, key);
    const struct pages_row *row = pages_row_at(pages, at);
    if (row != NULL && slice_equal(pages_key(row), key)) {
        delete_at(pages, at);
    }
}

void pages_delete_range(struct pages *pages, struct slice from, struct slice to)
{
    assert(pages->refs == 1);
    while (true) {
        struct pages_at at = pages_seek(pages, from);
        const struct pages_row *row = pages_row_at(pages, at);
        if (row == NULL || overlay_compare(pages_key(row), to) >= 0) {
            return;
        }
        struct pages_page *page = pages->pages[at.page];
        if (at.row == 0 && overlay_compare(pages_key(page->rows[page->count - 1]), to) < 0) {
            remove_page(pages, at.page);
        } else {
            delete_at(pages, at);
        }
    }
}

/* Row counts of pages are checked here once: a place behind a page's last row is the next page. */
static struct pages_at normal(const struct pages *pages, struct pages_at at)
{
    if (at.page < pages->count && at.row == pages->pages[at.page]->count) {
        return (struct pages_at){.page = at.page + 1};
    }
    return at;
}

struct pages_at pages_seek(const struct pages *pages, struct slice key)
{
    if (pages->count == 0) {
        return (struct pages_at){0};
    }
    size_t page = page_of(pages, key);
    size_t row = row_of(pages->pages[page], key);
    return normal(pages, (struct pages_at){.page = page, .row = row});
}

struct pages_at pages_after(const struct pages *pages, struct pages_at at)
{
    assert(at.page < pages->count);
    at.row++;
    return normal(pages, at);
}

struct pages_at pages_before(const struct pages *pages, struct pages_at at)
{
    if (at.row > 0) {
        at.row--;
        return at;
    }
    assert(at.page > 0);
    at.page--;
    at.row = pages->pages[at.page]->count - 1;
    return at;
}

const struct pages_row *pages_row_at(const struct pages *pages, struct pages_at at)
{
    return at.page < pages->count ? pages->pages[at.page]->rows[at.row] : NULL;
}
