#include "common/base/chain.h"

#include "common/base/assert.h"

void chain_add(struct map *map, struct chain *node, uint64_t hash)
{
    node->hash = hash;
    node->next = map_put(map, hash, node);
    assert(node->next == NULL || node->next->hash == hash);
}

void chain_remove(struct map *map, struct chain *node)
{
    struct chain *before = map_get(map, node->hash);
    assert(before != NULL);
    if (before == node && node->next == NULL) {
        (void)map_remove(map, node->hash);
    } else if (before == node) {
        (void)map_put(map, node->hash, node->next);
    } else {
        while (before->next != node) {
            before = before->next;
            assert(before != NULL);
        }
        before->next = node->next;
    }
    node->next = NULL;
}
