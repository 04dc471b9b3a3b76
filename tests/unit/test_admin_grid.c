#include "client/admin/grid.h"
#include "tests/support/test.h"

static void check_grid(const char *const *cells, size_t columns, size_t count, const char *want)
{
    struct grid grid;
    struct buf out;
    buf_init(&out, 1 << 20);
    grid_init(&grid, cells, columns);
    for (size_t i = columns; i < count; i++) {
        grid_add(&grid, cells[i]);
    }
    grid_write(&grid, &out);
    CHECK_BYTES(buf_slice(&out), want);
    buf_deinit(&out);
    grid_deinit(&grid);
}

TEST(grid_write, aligns_texts_left_and_numbers_right)
{
    static const char *const cells[] = {"NODE", "ADDRESS", "LEADS", "1", "127.0.0.1:7001",
                                        "11",   "22",      "b",     "-"};
    check_grid(cells, 3, 9,
               "NODE  ADDRESS         LEADS\n"
               "   1  127.0.0.1:7001     11\n"
               "  22  b                   -\n");
}

TEST(grid_write, has_only_a_head_without_rows)
{
    static const char *const cells[] = {"A", "B"};
    check_grid(cells, 2, 2, "A  B\n");
}

TEST(grid_write, counts_letters_not_bytes)
{
    static const char *const cells[] = {"KEY", "N", "\xed\x82\xa4", "1", "abc", "2"};
    check_grid(cells, 2, 6, "KEY  N\n\xed\x82\xa4    1\nabc  2\n");
}
