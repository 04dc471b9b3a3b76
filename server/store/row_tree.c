#include "server/store/row_tree.h"

#include "common/base/assert.h"
#include "server/store/overlay.h"

/* Steele, Lea, Flood 2014 (splitmix64). */
static uint16_t next_random(struct row_tree *tree)
{
    uint64_t z = tree->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint16_t)(z >> 48);
}

/* Where the tree points to the row. */
static struct overlay_row **place_of(struct row_tree *tree, const struct overlay_row *row)
{
    struct overlay_row *parent = row->node.parent;
    if (parent == NULL) {
        return &tree->root;
    }
    return parent->node.left == row ? &parent->node.left : &parent->node.right;
}

/* Puts a child of the row into its place, and the row below it. */
static void rotate(struct row_tree *tree, struct overlay_row *row, struct overlay_row *child)
{
    struct overlay_row *moved = NULL;
    *place_of(tree, row) = child;
    if (row->node.left == child) {
        moved = child->node.right;
        child->node.right = row;
        row->node.left = moved;
    } else {
        moved = child->node.left;
        child->node.left = row;
        row->node.right = moved;
    }
    if (moved != NULL) {
        moved->node.parent = row;
    }
    child->node.parent = row->node.parent;
    row->node.parent = child;
}

void row_tree_insert(struct row_tree *tree, struct overlay_row *row)
{
    struct slice key = overlay_row_key(row);
    struct overlay_row *parent = NULL;
    struct overlay_row **at = &tree->root;
    while (*at != NULL) {
        parent = *at;
        int order = overlay_compare(key, overlay_row_key(parent));
        assert(order != 0);
        at = order < 0 ? &parent->node.left : &parent->node.right;
    }
    row->node = (struct row_node){.parent = parent};
    row->priority = next_random(tree);
    *at = row;
    while (row->node.parent != NULL && row->node.parent->priority < row->priority) {
        rotate(tree, row->node.parent, row);
    }
}

void row_tree_remove(struct row_tree *tree, struct overlay_row *row)
{
    while (row->node.left != NULL && row->node.right != NULL) {
        struct overlay_row *left = row->node.left;
        struct overlay_row *right = row->node.right;
        rotate(tree, row, left->priority > right->priority ? left : right);
    }
    struct overlay_row *child = row->node.left != NULL ? row->node.left : row->node.right;
    *place_of(tree, row) = child;
    if (child != NULL) {
        child->node.parent = row->node.parent;
    }
}

/* The nearest row at or behind the key, without the key itself if exact is false. */
static struct overlay_row *find_behind(const struct row_tree *tree, struct slice key, bool exact)
{
    struct overlay_row *found = NULL;
    struct overlay_row *at = tree->root;
    while (at != NULL) {
        int order = overlay_compare(overlay_row_key(at), key);
        bool fits = order > 0 || (order == 0 && exact);
        found = fits ? at : found;
        at = fits ? at->node.left : at->node.right;
    }
    return found;
}

static struct overlay_row *find_ahead(const struct row_tree *tree, struct slice key, bool exact)
{
    struct overlay_row *found = NULL;
    struct overlay_row *at = tree->root;
    while (at != NULL) {
        int order = overlay_compare(overlay_row_key(at), key);
        bool fits = order < 0 || (order == 0 && exact);
        found = fits ? at : found;
        at = fits ? at->node.right : at->node.left;
    }
    return found;
}

struct overlay_row *row_tree_first(const struct row_tree *tree, struct slice key)
{
    return find_behind(tree, key, true);
}

struct overlay_row *row_tree_after(const struct row_tree *tree, struct slice key)
{
    return find_behind(tree, key, false);
}

struct overlay_row *row_tree_last(const struct row_tree *tree, struct slice key)
{
    return find_ahead(tree, key, true);
}

struct overlay_row *row_tree_before(const struct row_tree *tree, struct slice key)
{
    return find_ahead(tree, key, false);
}

struct overlay_row *row_tree_next(const struct overlay_row *row)
{
    if (row->node.right != NULL) {
        struct overlay_row *next = row->node.right;
        while (next->node.left != NULL) {
            next = next->node.left;
        }
        return next;
    }
    struct overlay_row *parent = row->node.parent;
    while (parent != NULL && parent->node.right == row) {
        row = parent;
        parent = parent->node.parent;
    }
    return parent;
}

struct overlay_row *row_tree_prev(const struct overlay_row *row)
{
    if (row->node.left != NULL) {
        struct overlay_row *prev = row->node.left;
        while (prev->node.right != NULL) {
            prev = prev->node.right;
        }
        return prev;
    }
    struct overlay_row *parent = row->node.parent;
    while (parent != NULL && parent->node.left == row) {
        row = parent;
        parent = parent->node.parent;
    }
    return parent;
}
