#ifndef TESTS_SUPPORT_PAGE_H
#define TESTS_SUPPORT_PAGE_H

#include "common/base/buf.h"

/* A page of docs that is made of a table: a test holds that it is, `test_x --write` writes it. */

struct page {
    const char *name; /* Under docs/. */
    void (*document)(struct buf *out);
};

void page_write(const struct page *page);
void page_check(const struct page *page);

/* Adds the test --write if the program was called so. */
#define PAGE_WRITER(page)                                                          \
    static void write_page(void)                                                   \
    {                                                                              \
        page_write(page);                                                          \
    }                                                                              \
    __attribute__((constructor)) static void offer_to_write(int argc, char **argv) \
    {                                                                              \
        static struct test test = {.name = "--write", .run = write_page};          \
        if (argc > 1 && strcmp(argv[1], "--write") == 0) {                         \
            test_add(&test);                                                       \
        }                                                                          \
    }

#endif
