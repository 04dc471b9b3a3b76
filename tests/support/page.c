#include "tests/support/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/test.h"

enum { PAGE_SIZE_MAX = 1 << 20 };

static FILE *open_page(const struct page *page, const char *mode)
{
    /* This file is tests/support/page.c under the root. */
    const char *end = strstr(__FILE__, "tests/support/");
    CHECK(end != NULL);
    char path[4096];
    (void)snprintf(path, sizeof(path), "%.*sdocs/%s", (int)(end - __FILE__), __FILE__, page->name);
    FILE *file = fopen(path, mode);
    CHECK(file != NULL);
    return file;
}

void page_write(const struct page *page)
{
    struct buf text;
    buf_init(&text, PAGE_SIZE_MAX);
    page->document(&text);
    FILE *file = open_page(page, "we");
    CHECK_EQ(fwrite(text.data, 1, text.len, file), text.len);
    CHECK_EQ(fclose(file), 0);
    buf_deinit(&text);
}

void page_check(const struct page *page)
{
    struct buf text;
    buf_init(&text, PAGE_SIZE_MAX);
    page->document(&text);
    FILE *file = open_page(page, "re");
    char *kept = malloc(text.len + 2);
    CHECK(kept != NULL);
    size_t len = fread(kept, 1, text.len + 1, file);
    (void)fclose(file);
    bool same = slice_equal(slice_of(kept, len), buf_slice(&text));
    if (!same) {
        fprintf(stderr, "docs/%s is not what the table says: run this with --write\n", page->name);
    }
    CHECK(same);
    free(kept);
    buf_deinit(&text);
}
