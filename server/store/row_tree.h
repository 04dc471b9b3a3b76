#ifndef SERVER_STORE_ROW_TREE_H
#define SERVER_STORE_ROW_TREE_H

#include "common/base/slice.h"

/* Rows of an overlay in the order of their keys: a treap (Seidel, Aragon 1996), whose depth is
 * logarithmic whatever the keys are, for the priorities do not come from them; none below a row has
 * a higher one. Intrusive, owns nothing, allocates nothing; keys are unique. Thread: one owner. */

struct overlay_row;

struct row_node {
    struct overlay_row *left;
    struct overlay_row *right;
    struct overlay_row *parent;
};

struct row_tree {
    struct overlay_row *root; /* NULL: empty. */
    uint64_t random;
};

void row_tree_insert(struct row_tree *tree, struct overlay_row *row);
void row_tree_remove(struct row_tree *tree, struct overlay_row *row);

/* NULL where there is none. first: key >= key; after: key > key; last: key <= key; before: key <
 * key. */
struct overlay_row *row_tree_first(const struct row_tree *tree, struct slice key);
struct overlay_row *row_tree_after(const struct row_tree *tree, struct slice key);
struct overlay_row *row_tree_last(const struct row_tree *tree, struct slice key);
struct overlay_row *row_tree_before(const struct row_tree *tree, struct slice key);
struct overlay_row *row_tree_next(const struct overlay_row *row);
struct overlay_row *row_tree_prev(const struct overlay_row *row);

#endif
