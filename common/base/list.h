#ifndef COMMON_BASE_LIST_H
#define COMMON_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Intrusive doubly linked ring. The head is a `struct list` too; an element embeds a
 * `struct list` and is found again with list_entry(). Owns nothing. */
struct list {
    struct list *next;
    struct list *prev;
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_push_back(struct list *list, struct list *node)
{
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

/* The node may be removed again: it is left as a ring of its own. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* NULL if the list is empty. */
static inline struct list *list_pop_front(struct list *list)
{
    if (list_empty(list)) {
        return NULL;
    }
    struct list *node = list->next;
    list_remove(node);
    return node;
}

#endif
