#include "client/admin/grid.h"

#include <stdio.h>

#include "common/base/assert.h"

void grid_init(struct grid *grid, const char *const *heads, size_t columns)
{
    assert(columns > 0 && columns <= GRID_COLUMNS_MAX);
    *grid = (struct grid){.columns = columns};
    buf_init(&grid->text, GRID_SIZE_MAX);
    for (size_t i = 0; i < columns; i++) {
        grid_add(grid, heads[i]);
    }
}

void grid_deinit(struct grid *grid)
{
    buf_deinit(&grid->text);
}

void grid_add(struct grid *grid, const char *text)
{
    buf_append(&grid->text, text, strlen(text) + 1);
    grid->cells++;
}

/* What a terminal shows: UTF-8 continuation bytes take no column. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static bool is_number(const char *text)
{
    return strcmp(text, "-") == 0 ||
           (text[0] != '\0' && strspn(text, "0123456789.%") == strlen(text));
}

static void pad(struct buf *out, size_t count)
{
    buf_append_format(out, "%*s", (int)count, "");
}

void grid_write(const struct grid *grid, struct buf *out)
{
    assert(grid->cells % grid->columns == 0);
    size_t widths[GRID_COLUMNS_MAX] = {0};
    bool right[GRID_COLUMNS_MAX];
    memset(right, true, sizeof right);
    const char *cell = (const char *)grid->text.data;
    for (size_t i = 0; i < grid->cells; i++, cell += strlen(cell) + 1) {
        size_t column = i % grid->columns;
        size_t width = width_of(cell);
        widths[column] = width > widths[column] ? width : widths[column];
        right[column] = right[column] && (i < grid->columns || is_number(cell));
    }
    cell = (const char *)grid->text.data;
    for (size_t i = 0; i < grid->cells; i++, cell += strlen(cell) + 1) {
        size_t column = i % grid->columns;
        size_t gap = widths[column] - width_of(cell);
        bool last = column + 1 == grid->columns;
        if (right[column]) {
            pad(out, gap);
        }
        buf_append_text(out, cell);
        if (!right[column] && !last) {
            pad(out, gap);
        }
        buf_append_text(out, last ? "\n" : "  ");
    }
}

void grid_print(const struct grid *grid)
{
    struct buf out;
    buf_init(&out, GRID_SIZE_MAX);
    grid_write(grid, &out);
    fwrite(out.data, 1, out.len, stdout);
    buf_deinit(&out);
}
