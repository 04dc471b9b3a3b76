#include "common/base/space_saving.h"

#include "common/base/assert.h"
#include "common/base/hash.h"

void space_saving_init(struct space_saving *top)
{
    top->total = 0;
    top->count = 0;
}

static size_t find(const struct space_saving *top, uint64_t id)
{
    size_t found = top->count;
    for (size_t i = 0; i < top->count; i++) {
        if (top->ids[i] == id) {
            found = i;
            break;
        }
    }
    return found;
}

static size_t lightest(const struct space_saving *top)
{
    size_t at = 0;
    for (size_t i = 1; i < top->count; i++) {
        if (top->weights[i] < top->weights[at]) {
            at = i;
        }
    }
    return at;
}

static void name(struct space_saving_item *item, const struct space_saving_hit *hit)
{
    size_t len = hit->key.len;
    item->key_size = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    len = len > SPACE_SAVING_KEY_SIZE_MAX ? SPACE_SAVING_KEY_SIZE_MAX : len;
    item->key_len = (uint8_t)len;
    if (len > 0) {
        memcpy(item->key, hit->key.data, len);
    }
}

void space_saving_add(struct space_saving *top, const struct space_saving_hit *hit)
{
    assert(top->count <= SPACE_SAVING_COUNTERS);
    uint64_t id = hash_bytes_seeded(hit->key, hit->db);
    size_t at = find(top, id);
    if (at == top->count) {
        uint64_t over = 0;
        if (top->count < SPACE_SAVING_COUNTERS) {
            top->count++;
        } else {
            at = lightest(top);
            over = top->weights[at];
        }
        top->ids[at] = id;
        top->weights[at] = over;
        top->items[at] =
            (struct space_saving_item){.place = hit->place, .over = over, .db = hit->db};
        name(&top->items[at], hit);
    }
    top->total += hit->weight;
    top->weights[at] += hit->weight;
    top->items[at].writes += hit->write ? hit->weight : 0;
    top->items[at].absent += hit->absent ? hit->weight : 0;
}

static void drop(struct space_saving *top, size_t at)
{
    assert(at < top->count);
    top->count--;
    top->ids[at] = top->ids[top->count];
    top->weights[at] = top->weights[top->count];
    top->items[at] = top->items[top->count];
}

void space_saving_halve(struct space_saving *top)
{
    top->total /= 2;
    for (size_t i = top->count; i > 0; i--) {
        size_t at = i - 1;
        top->weights[at] /= 2;
        top->items[at].over /= 2;
        top->items[at].writes /= 2;
        top->items[at].absent /= 2;
        if (top->weights[at] == 0) {
            drop(top, at);
        }
    }
}

void space_saving_keep(struct space_saving *top, uint64_t first, uint64_t last)
{
    double before = 0;
    double after = 0;
    for (size_t i = top->count; i > 0; i--) {
        size_t at = i - 1;
        double weight = (double)(top->weights[at] - top->items[at].over);
        before += weight;
        if (top->items[at].place < first || top->items[at].place > last) {
            drop(top, at);
        } else {
            after += weight;
        }
    }
    top->total = before > 0 ? (uint64_t)((double)top->total * (after / before)) : 0;
}

size_t space_saving_top(const struct space_saving *top, size_t *indexes, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < top->count; i++) {
        size_t at = count;
        while (at > 0 && top->weights[indexes[at - 1]] < top->weights[i]) {
            at--;
        }
        if (at == max) {
            continue;
        }
        count += count < max;
        for (size_t move = count - 1; move > at; move--) {
            indexes[move] = indexes[move - 1];
        }
        indexes[at] = i;
    }
    return count;
}
