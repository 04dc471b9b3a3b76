#ifndef CLIENT_ADMIN_GRID_H
#define CLIENT_ADMIN_GRID_H

#include <stddef.h>

#include "common/base/buf.h"

/* An aligned table of texts: a head line, then rows. Columns are as wide as their widest cell; a
 * column whose cells are all numbers (or "-") stands to the right. Thread: one owner. */

enum {
    GRID_COLUMNS_MAX = 16,
    GRID_SIZE_MAX = 256 * 1024 * 1024,
};

struct grid {
    size_t columns;
    size_t cells;    /* The head included. */
    struct buf text; /* All cells, each with its NUL. */
};

/* heads: columns names. */
void grid_init(struct grid *grid, const char *const *heads, size_t columns);
void grid_deinit(struct grid *grid);
/* Cells come row by row, from left to right. */
void grid_add(struct grid *grid, const char *text);
/* Appends the table; the last row is whole. */
void grid_write(const struct grid *grid, struct buf *out);
/* On standard output. */
void grid_print(const struct grid *grid);

#endif
